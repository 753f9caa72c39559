import numpy as np
import pytest
from PIL import Image

from salbench.datasets import DatasetProblem, augsal, load
from salbench.maps import density_from_fixations

STEMS = ["COCO_train2014_000000000009", "COCO_train2014_000000000025"]


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A data root with two originals, edits of them, and densities of which the second is half zero."""
    folder = tmp_path / "augsal_contrast100"
    for part in ("images", "saliency_gt"):
        (folder / part).mkdir(parents=True)
    for i, stem in enumerate(reversed(STEMS)):
        for strength in ("1.0", "1.3000000000000003"):
            Image.new("RGB", (512, 512), (i, 0, 0)).save(folder / "images" / f"{stem}.jpgedited_image{strength}.jpg")
        density = np.full((256, 256), 255, np.uint8)
        density[:128] *= i
        Image.fromarray(density).save(folder / "saliency_gt" / f"salmap_{stem}.jpg.png")
    monkeypatch.setattr(augsal, "IMAGES", 2)
    return tmp_path


def test_the_originals_with_their_densities(tree):
    dataset = load("augsal_contrast100", tree)
    assert [s.id for s in dataset.samples] == STEMS
    assert dataset.licence == "CC BY-SA 4.0"
    assert not dataset.has_fixations
    first, second = dataset.samples
    assert first.size == (512, 512)
    assert first.image.shape == (512, 512, 3)
    assert first.fixations is None
    np.testing.assert_array_equal(first.read_density(), 255)
    density = second.read_density()
    assert density.shape == (512, 512)
    np.testing.assert_array_equal(density[:255], 0)
    np.testing.assert_array_equal(density[257:], 255)


def test_fixations_of_salicon_are_squeezed_like_the_images(tree):
    folder = tree / "augsal_contrast100" / "fixations"
    folder.mkdir()
    for stem in STEMS:
        fixated = np.zeros((480, 640), np.uint8)
        fixated[479, 639] = fixated[0, 320] = 255
        Image.fromarray(fixated).save(folder / f"{stem}.png")
    dataset = load("augsal_contrast100", tree)
    assert dataset.has_fixations
    np.testing.assert_allclose(dataset.samples[1].fixations, [[256.4, 0.5333333], [511.6, 511.4666667]])
    (folder / f"{STEMS[0]}.png").unlink()
    with pytest.raises(DatasetProblem, match=rf"1 are missing, such as {STEMS[0]}\.png"):
        load("augsal_contrast100", tree)


def test_an_original_is_missing(tree):
    (tree / "augsal_contrast100" / "images" / f"{STEMS[0]}.jpgedited_image1.0.jpg").unlink()
    with pytest.raises(
        DatasetProblem, match=r"expected 2 images <stem>\.jpgedited_image1\.0\.jpg, found 1 .*--partial\. AugSal: "
    ):
        load("augsal_contrast100", tree)


def test_a_density_is_missing(tree):
    (tree / "augsal_contrast100" / "saliency_gt" / f"salmap_{STEMS[0]}.jpg.png").unlink()
    with pytest.raises(DatasetProblem, match=rf"1 are missing, such as salmap_{STEMS[0]}\.jpg\.png"):
        load("augsal_contrast100", tree)


def test_the_released_files(real_root):
    dataset = load("augsal_contrast100", real_root("augsal_contrast100"))
    assert len(dataset.samples) == 100
    sample = dataset.samples[0]
    assert sample.id == "COCO_train2014_000000010046"
    assert sample.image.shape == (512, 512, 3)
    assert sample.read_density().shape == (512, 512)
    assert sample.read_density().max() == 255


def test_fixations_give_the_distributed_densities(real_root, tmp_path):
    root = real_root("augsal_contrast100")
    folder = tmp_path / "augsal_contrast100"
    folder.mkdir()
    for part in ("images", "saliency_gt", "selected"):
        (folder / part).symlink_to(root / "augsal_contrast100" / part)
    (folder / "fixations").symlink_to(root / "salicon2017_excerpt" / "fixations_of_augsal_contrast100")
    sigma = 19.0 * np.divide((512, 512), (480, 640))  # SALICON's blur, squeezed
    for sample in load("augsal_contrast100", tmp_path).samples[:10]:
        made = density_from_fixations(sample.fixations, sample.size, tuple(sigma))
        assert (
            np.corrcoef(made.ravel(), sample.read_density().ravel())[0, 1] > 0.99
        )  # the release adds blur by its size of 256 x 256
