"""Fixation maps as pictures."""

import numpy as np
import pytest
from builders import write_image
from PIL import Image
from scipy.ndimage import gaussian_filter

from salbench.datasets import DatasetProblem, load

SIZE = (120, 160)
POINTS = np.unique(np.random.default_rng(5).normal((80, 60), (25, 20), (60, 2)).astype(int).clip(0, (159, 119)), axis=0)


@pytest.fixture
def folder(tmp_path):
    """A function of (name, array, options of `Image.save`): a folder with dog.jpg and this map of its fixations."""
    write_image(tmp_path / "images" / "dog.jpg", SIZE)
    (tmp_path / "fixations").mkdir()

    def make(name, array, **options):
        (array if isinstance(array, Image.Image) else Image.fromarray(array)).save(
            tmp_path / "fixations" / name, **options
        )
        return load(f"folder:{tmp_path}")

    return make


def white(value=255, dtype=np.uint8):
    array = np.zeros(SIZE, dtype)
    array[POINTS[:, 1], POINTS[:, 0]] = value
    return array


def found(dataset):
    """The fixated pixels, sorted as POINTS are."""
    return np.unique(dataset.samples[0].fixations, axis=0)


@pytest.mark.parametrize(
    ("name", "array"),
    [
        ("dog.png", white()),
        ("dog.bmp", white()),
        ("dog.png", white(1)),  # 0 and 1: looks black, and is binary all the same
        ("dog.png", white(65535, np.uint16)),
        ("dog.png", white(True, bool)),
        ("dog.png", np.repeat(white()[..., None], 3, axis=2)),
    ],
    ids=["0-255", "bmp", "0-1", "16 bit", "1 bit", "colour"],
)
def test_two_values(folder, name, array):
    dataset = folder(name, array)
    np.testing.assert_array_equal(found(dataset), POINTS)
    assert dataset.notes == []
    assert dataset.samples[0].observers is None


@pytest.mark.parametrize("quality", [50, 75, 90, 100])
def test_jpeg_noise_is_rounded_and_noted(folder, quality):
    dataset = folder("dog.jpg", white(), quality=quality)
    np.testing.assert_array_equal(found(dataset), POINTS)
    assert dataset.notes == [
        "1 of 1 fixation maps have grey pixels, as JPEG makes them: those above half are fixations."
    ]


def test_jpeg_noise_in_a_png(folder, tmp_path):
    Image.fromarray(white()).save(tmp_path / "noisy.jpg")
    np.testing.assert_array_equal(found(folder("dog.png", Image.open(tmp_path / "noisy.jpg"))), POINTS)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
@pytest.mark.parametrize("sigma", [1, 3, 10])
def test_a_blurred_density(folder, suffix, sigma):
    density = gaussian_filter(white().astype(float), sigma)
    with pytest.raises(DatasetProblem, match=r"dog\.\w+: expected a fixation map, .* grey pixels; is this a blurred"):
        folder(f"dog.{suffix}", (density / density.max() * 255).astype(np.uint8))


@pytest.mark.parametrize("scale", [1, 63, 85, 127])
def test_counts_are_not_guessed(folder, scale):
    counts = np.zeros(SIZE, np.uint8)
    counts[POINTS[:, 1], POINTS[:, 0]] = 1 + np.arange(len(POINTS)) % 2
    with pytest.raises(DatasetProblem, match=r"expected a fixation map.* save the counts as \.npy"):
        folder("dog.png", counts * scale)


def test_inverted(folder):
    with pytest.raises(
        DatasetProblem, match=r"dog\.png: expected white pixels on black, got 100% white pixels; invert"
    ):
        folder("dog.png", 255 - white())


def test_another_size(folder):
    with pytest.raises(DatasetProblem, match=r"dog\.png: expected the .* \(120, 160\), got \(160, 120\)"):
        folder("dog.png", white().T.copy())


def test_colours(folder):
    array = np.repeat(white()[..., None], 3, axis=2)
    array[..., 2] = 0
    with pytest.raises(DatasetProblem, match=r"dog\.png: expected a grey map, got a coloured picture"):
        folder("dog.png", array)


def test_a_black_map_is_an_image_without_fixations(folder, tmp_path):
    write_image(tmp_path / "images" / "cat.jpg", SIZE)
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(tmp_path / "fixations" / "cat.png")
    cat, dog = folder("dog.png", white()).samples
    assert len(cat.fixations) == 0
    assert len(dog.fixations) == len(POINTS)


def test_a_picture_beside_data_of_the_same_image_is_not_read(folder, tmp_path):
    np.save(tmp_path / "fixations" / "dog.npy", [[1.5, 2.5], [1.5, 2.5]])
    assert folder("dog.png", white()).samples[0].fixations.tolist() == [[1.5, 2.5]] * 2
