import dataclasses
import pickle
import subprocess
import sys
from functools import cache, partial

import numpy as np
import pytest
from scipy import ndimage

from salbench import augment as package
from salbench.augment import Augmentation, augment, get, names
from salbench.files import hash_bytes
from salbench.maps import density_from_fixations
from salbench.sample import PER_FIXATION, Sample

GEOMETRIC = [name for name in names() if get(name).kind == "geometric"]
PHOTOMETRIC = [name for name in names() if get(name).kind == "photometric"]
RANDOM = ["crop_128", "crop_256", "noise_var_0.1", "noise_var_0.2"]
SIZE = (480, 640)
BOXES = [(x, y, 30, 18) for x in range(78, 600, 134) for y in range(7, 450, 53)]
# whole, fractional, near the border, the centre; several are inside every crop and shear
SPOTS = [(21.3, 19.8), (621.3, 19.8), (21.3, 459.8), (621.3, 459.8), (321.3, 19.8), (320.0, 240.0), (333, 250)]


@cache
def spot_sample(x, y):
    """Dark grey with a bright round spot of 3 pixels on the only fixation, and its density."""
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    spot = np.exp(-((columns + 0.5 - x) ** 2 + (rows + 0.5 - y) ** 2) / (2 * 3.0**2))
    image = np.repeat(np.rint(20 + 230 * spot).astype(np.uint8)[..., None], 3, axis=2)
    density = density_from_fixations([(x, y)], SIZE, 6.0)
    return Sample("spot", SIZE, lambda: image, [(x, y)], [0], lambda: density, sigma=6.0)


def centroid(values):
    """x, y in pixels of the brightest spot."""
    values = values.astype(float)
    row, column = np.unravel_index(ndimage.gaussian_filter(values, 1.5).argmax(), values.shape)
    return np.array([column + 0.5, row + 0.5])


@pytest.mark.parametrize("name", GEOMETRIC)
def test_the_peak_of_image_and_density_follows_the_moved_point(name):
    seen = 0
    for x, y in SPOTS:
        new = augment(spot_sample(x, y), name)
        assert new.dropped + len(new.sample.fixations) == 1
        if new.empty:
            continue
        (point,) = new.sample.fixations
        height, width = new.sample.size
        if not ((point > 9) & (point < (width - 9, height - 9))).all():
            continue  # the spot is cut, so its peak is not its centre
        seen += 1
        grey = new.sample.image[..., 0].astype(float)
        grey[grey == 128] = 0  # the fill of the squashed canvases
        assert np.abs(centroid(grey) - point).max() <= 1, (x, y)
        assert np.abs(centroid(new.sample.read_density()) - point).max() <= 1, (x, y)
    assert seen >= 1


def filled(box):
    """Grey as the fill of the squashed canvases, and white in the box."""
    x, y, width, height = box
    image = np.full((*SIZE, 3), 128, np.uint8)
    image[y : y + height, x : x + width] = 255
    return Sample("box", SIZE, lambda: image, boxes=[box], categories=[17])


@pytest.mark.parametrize("name", GEOMETRIC)
def test_the_moved_box_is_around_the_moved_pixels(name):
    seen = 0
    for box in BOXES if get(name).crops else BOXES[::3]:  # few are inside a crop
        new = augment(filled(box), name).sample
        assert len(new.boxes) == len(new.categories)
        if not len(new.boxes):
            continue
        low, extent = new.boxes.reshape(2, 2)
        if (low < 1).any() or (low + extent > np.array(new.size[::-1]) - 1).any():
            continue  # cut, so that the upright box around the corners is not that of the pixels that are left
        seen += 1
        assert new.categories.tolist() == [17]
        rows, columns = np.nonzero(new.image[..., 0] > 140)
        np.testing.assert_allclose(low, (columns.min(), rows.min()), rtol=0, atol=1, err_msg=str(box))
        np.testing.assert_allclose(low + extent, (columns.max() + 1, rows.max() + 1), rtol=0, atol=1, err_msg=str(box))
    assert seen >= 2


@pytest.mark.parametrize("name", GEOMETRIC)
def test_as_released_leaves_boxes_where_they_were(name):
    sample = filled((250, 210, 38, 22))
    new, moved = augment(sample, name, labels="as_released").sample, augment(sample, name).sample
    if get(name).crops:
        np.testing.assert_array_equal(new.boxes, moved.boxes)
        np.testing.assert_array_equal(new.categories, moved.categories)
    else:
        assert (new.boxes.tolist(), new.categories.tolist()) == ([[250, 210, 38, 22]], [17])


def test_a_box_that_leaves_takes_its_category_with_it(sample):
    boxes = [[0.0, 0, 60, 40], [300.0, 10, 60, 40], [190.0, 250, 40, 40], [195.0, 5, 6, 6]]
    sample = dataclasses.replace(sample, boxes=boxes, categories=[1, 2, 3, 4])
    new = augment(sample, "crop_left_200").sample
    assert new.boxes.tolist() == [[100, 10, 60, 40], [0, 250, 30, 40]]
    assert new.categories.tolist() == [2, 3]
    unnamed = augment(dataclasses.replace(sample, categories=None), "crop_left_200").sample
    assert (len(unnamed.boxes), unnamed.categories) == (2, None)


@pytest.mark.parametrize("name", ["hflip", "crop_128", "shear_x_0.5"])
def test_an_image_without_objects_stays_one(sample, name):
    new = augment(dataclasses.replace(sample, boxes=[], categories=[]), name).sample
    assert (new.boxes.shape, new.categories.shape) == ((0, 4), (0,))


@pytest.mark.parametrize("name", PHOTOMETRIC)
def test_photometric_ones_change_the_image_and_nothing_else(sample, name):
    sample = dataclasses.replace(sample, categories=np.array([17, 1]))
    new = augment(sample, name)
    assert (new.dropped, new.empty) == (0, False)
    assert new.sample.id == f"cat@{name}"
    for field in {field.name for field in dataclasses.fields(Sample)} - {"id", "read_image"}:
        assert getattr(new.sample, field) is getattr(sample, field)
    assert new.sample.fixations.tobytes() == sample.fixations.tobytes()
    assert new.sample.image.shape == sample.image.shape
    assert (new.sample.image != sample.image).any()


@pytest.mark.parametrize("name", ["hflip", "vflip", "rot90_180"])
def test_involutions(sample, name):
    twice = augment(augment(sample, name).sample, name).sample
    assert twice.id == f"cat@{name}@{name}"
    np.testing.assert_array_equal(twice.image, sample.image)
    assert twice.fixations.tobytes() == sample.fixations.tobytes()
    np.testing.assert_array_equal(twice.read_density(), sample.read_density())
    np.testing.assert_array_equal(twice.boxes, sample.boxes)


def test_four_quarter_turns_are_the_identity(sample):
    for name in ("rot90_cw", "rot90_ccw"):
        turned = sample
        for _ in range(4):
            turned = augment(turned, name).sample
        np.testing.assert_array_equal(turned.image, sample.image)
        assert turned.fixations.tobytes() == sample.fixations.tobytes()
        np.testing.assert_array_equal(turned.read_density(), sample.read_density())
    assert augment(sample, "rot90_cw").sample.size == sample.size[::-1]


def test_flips_are_index_flips(sample):
    assert (augment(sample, "hflip").sample.image == sample.image[:, ::-1]).all()
    assert (augment(sample, "vflip").sample.image == sample.image[::-1]).all()


@pytest.mark.parametrize("name", GEOMETRIC)
def test_what_is_dropped_is_counted_and_the_rest_kept_in_order(sample, name):
    new = augment(sample, name)
    assert new.dropped == len(sample.fixations) - len(new.sample.fixations)
    assert len(new.sample.observers) == len(new.sample.fixations)
    assert (new.sample.sigma, new.sample.caption) == (sample.sigma, sample.caption)
    assert new.sample.image.shape == (*new.sample.size, 3)
    density = new.sample.read_density()
    assert density.shape == new.sample.size
    assert density.min() >= 0
    boxes = new.sample.boxes
    assert (boxes >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= np.array(new.sample.size[::-1]) + 1e-9).all()


def test_dropped_counts_are_right_for_a_crop(sample):
    new = augment(sample, "crop_128")
    window = np.argwhere((new.sample.image[0, 0] == sample.image).all(2))
    matches = [(y, x) for y, x in window if (sample.image[y : y + 128, x : x + 128][:1] == new.sample.image[:1]).all()]
    ((y, x),) = [m for m in matches if m[0] <= 300 - 128 and m[1] <= 420 - 128]
    inside = ((sample.fixations >= (x, y)) & (sample.fixations < (x + 128, y + 128))).all(1)
    assert new.dropped == (~inside).sum()
    assert 0 < new.dropped < len(sample.fixations)
    np.testing.assert_array_equal(new.sample.fixations, sample.fixations[inside] - (x, y))
    for name in PER_FIXATION:
        np.testing.assert_array_equal(getattr(new.sample, name), getattr(sample, name)[inside])
    np.testing.assert_array_equal(new.sample.image, sample.image[y : y + 128, x : x + 128])
    np.testing.assert_array_equal(new.sample.read_density(), sample.read_density()[y : y + 128, x : x + 128])


def test_an_image_left_without_points_is_flagged(sample):
    corner = dataclasses.replace(sample.only(np.arange(80) == 0), fixations=[(0.5, 299.5)])
    new = augment(corner, "crop_top_200")
    assert not new.empty
    corner = dataclasses.replace(corner, fixations=[(0.5, 0.5)])
    new = augment(corner, "crop_top_200")
    assert new.empty
    assert new.dropped == 1
    assert new.sample.fixations.shape == (0, 2)
    assert len(new.sample.observers) == 0


@pytest.mark.parametrize("name", ["hflip", "invert", "crop_128", "shear_x_0.5"])
def test_a_sample_without_labels_stays_without(sample, name):
    new = augment(sample.blind(), name)
    assert (new.dropped, new.empty) == (0, False)
    assert (new.sample.fixations, new.sample.observers, new.sample.read_density) == (None,) * 3
    assert (new.sample.boxes, new.sample.categories) == (None, None)


@pytest.mark.parametrize("name", names())
def test_nothing_is_decoded_before_it_is_asked_for(sample, name):
    def refuse():
        raise AssertionError("decoded too early")

    augment(dataclasses.replace(sample, read_image=refuse, read_density=refuse), name)


@pytest.mark.parametrize("name", names())
def test_every_read_gives_the_same_and_the_sample_can_be_sent_to_a_worker(sample, image, name):
    sample = dataclasses.replace(sample, read_image=partial(np.copy, image), read_density=None)
    new = augment(sample, name, seed=3).sample
    sent = pickle.loads(pickle.dumps(new))
    np.testing.assert_array_equal(new.image, new.image)
    np.testing.assert_array_equal(sent.image, new.image)
    np.testing.assert_array_equal(sent.fixations, new.fixations)


@pytest.mark.parametrize("name", RANDOM)
def test_seeds_repeat_and_differ_between_ids_names_and_seeds(sample, name):
    image = augment(sample, name, seed=4).sample.image
    assert (augment(sample, name, seed=4).sample.image == image).all()
    assert (augment(sample, name, seed=5).sample.image != image).any()
    other = dataclasses.replace(sample, id="dog")
    assert (augment(other, name, seed=4).sample.image != image).any()
    renamed = dataclasses.replace(get(name), name="another")
    assert (augment(sample, renamed, seed=4).sample.image != image).any()


def test_seeds_repeat_in_another_process():
    program = (
        "import numpy as np; from salbench.augment import augment; from salbench.sample import Sample; "
        "from salbench.files import hash_bytes; "
        "image = (np.arange(300 * 420 * 3) % 251).astype(np.uint8).reshape(300, 420, 3); "
        "sample = Sample('cat', (300, 420), lambda: image); "
        f"print([hash_bytes(augment(sample, n, seed=7).sample.image.tobytes()) for n in {RANDOM}])"
    )
    run = [sys.executable, "-c", program]
    prints = {
        subprocess.run(run, capture_output=True, text=True, check=True, env={"PYTHONHASHSEED": seed}).stdout.strip()
        for seed in ("1", "2")
    }
    image = (np.arange(300 * 420 * 3) % 251).astype(np.uint8).reshape(300, 420, 3)
    here = Sample("cat", (300, 420), lambda: image)
    assert prints == {str([hash_bytes(augment(here, n, seed=7).sample.image.tobytes()) for n in RANDOM])}


@pytest.mark.parametrize("name", names())
def test_as_released_keeps_the_labels_of_all_but_crops(sample, name):
    moved, released = augment(sample, name), augment(sample, name, labels="as_released")
    np.testing.assert_array_equal(released.sample.image, moved.sample.image)
    if get(name).crops:
        np.testing.assert_array_equal(released.sample.fixations, moved.sample.fixations)
        np.testing.assert_array_equal(released.sample.read_density(), moved.sample.read_density())
    elif released.sample.size == sample.size:
        assert released.dropped == 0
        assert released.sample.fixations.tobytes() == sample.fixations.tobytes()
        np.testing.assert_array_equal(released.sample.read_density(), sample.read_density())
        np.testing.assert_array_equal(released.sample.boxes, sample.boxes)


def test_as_released_on_a_canvas_of_another_size_cuts_and_pads(sample):
    new = augment(sample, "rot90_cw", labels="as_released")  # 420 x 300 (width x height) becomes 300 x 420
    inside = sample.fixations[:, 0] < 300
    assert new.dropped == (~inside).sum() > 0
    np.testing.assert_array_equal(new.sample.fixations, sample.fixations[inside])
    density = new.sample.read_density()
    np.testing.assert_array_equal(density[:300], sample.read_density()[:, :300])
    assert not density[300:].any()


def test_errors_name_the_image_and_the_augmentation(sample):
    small = dataclasses.replace(sample.blind(), size=(100, 200))
    with pytest.raises(ValueError, match=r"cat: crop_128: expected an image of at least 128 x 128 .* got 200 x 100"):
        augment(small, "crop_128")
    with pytest.raises(ValueError, match="expected moved or as_released, got 'kept'"):
        augment(sample, "hflip", labels="kept")
    with pytest.raises(ValueError, match="Did you mean 'vflip'"):
        augment(sample, "vflp")
    with pytest.raises(ValueError, match="odd: expected its function to return a Geometry, got"):
        augment(sample, Augmentation("odd", "geometric", lambda size, rng: size))
    shrunk = augment(sample, Augmentation("half", "photometric", lambda image, rng: image[::2]))
    with pytest.raises(ValueError, match=r"cat@half: expected a uint8 \(300, 420, 3\) image"):
        shrunk.sample.image  # noqa: B018


@pytest.fixture(scope="module")
def released(shared):
    """Picture and outputs of the released script's operations, every sixth pixel, BGR."""
    pytest.importorskip("torch")  # the file that makes the picture imports it
    kits = shared / "kits"
    if not (kits / "augsal" / "expected_classical.npz").is_file():
        pytest.skip(f"needs expected_classical.npz, not found in {kits / 'augsal'}")
    space = {}
    exec((kits / "weights.py").read_text(encoding="utf-8"), space)
    picture = space["synthetic_rgb"](300, 400, 0)
    return picture, np.load(kits / "augsal" / "expected_classical.npz")


def every_sixth(picture):
    return picture[::6, ::6, ::-1].astype(int)


@pytest.mark.parametrize(("script", "name"), [("Inversion", "invert"), ("Horizontal", "hflip"), ("Mirroring", "vflip")])
def test_equal_to_the_released_operation(released, script, name):
    picture, expected = released
    new = augment(Sample("a", (300, 400), lambda: picture), name).sample
    np.testing.assert_array_equal(every_sixth(new.image), expected[f"{script}/image_bgr_sub6"])


@pytest.mark.parametrize(("script", "side"), [("Cropping1", 128), ("Cropping2", 256)])
def test_crops_equal_the_released_ones_at_the_same_place(released, script, side):
    picture, expected = released
    rng = np.random.RandomState(7)
    x, y = rng.randint(0, 400 - side), rng.randint(0, 300 - side)
    window = package.Geometry((side, side), [[1, 0, x], [0, 1, y]])
    np.testing.assert_array_equal(every_sixth(window.image(picture)), expected[f"{script}/image_bgr_sub6"])


@pytest.mark.parametrize(
    ("script", "name", "parameters"),
    [
        ("Rotate90", "rotate_90", {}),
        ("Rotate270", "rotate_270", {}),
        ("Rotate-45", "rotate_-45", {}),
        ("Rotate135", "rotate_-135", {}),
        ("Shearing1", "shear_x_0.5", {"x_per_y": 400 / 600}),
        ("Shearing3", "shear_y_0.5", {"y_per_x": 300 / 800}),
    ],
)
def test_turns_and_shears_are_those_of_the_released_script(released, script, name, parameters):
    picture, expected = released
    row = dataclasses.replace(get(name), parameters={**get(name).parameters, **parameters})
    difference = every_sixth(augment(Sample("a", (300, 400), lambda: picture), row).sample.image)
    difference -= expected[f"{script}/image_bgr_sub6"]
    # the script counts from pixel centres, so it turns about a point half a pixel away
    assert np.abs(difference).max(2).mean() < 3
    assert np.median(np.abs(difference)) <= 1
