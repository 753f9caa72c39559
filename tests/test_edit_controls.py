"""Controls of an edit set."""

import numpy as np
import pytest
from PIL import Image

from salbench import edits
from salbench.datasets import Dataset
from salbench.edit_controls import CONTROLS, changed, make, strength_in_pixels
from salbench.edits import EDIT_TYPES, EditSetProblem, NewEdit, Writer
from salbench.sample import Sample

SIZE = (40, 60)


def picture(seed):
    rng = np.random.default_rng(seed)
    return np.asarray(Image.fromarray(rng.integers(60, 190, (10, 15, 3), np.uint8)).resize(SIZE[::-1]))


def mask():
    """A soft disc in the upper left."""
    rows, columns = np.mgrid[: SIZE[0], : SIZE[1]]
    return np.clip(1.5 - np.hypot(rows - 12, columns - 15) / 8, 0, 1)


@pytest.fixture
def dataset():
    """Two images with the density peaking in the upper left; the lower right is never looked at."""
    density = np.exp(-np.hypot(*(np.mgrid[: SIZE[0], : SIZE[1]] - np.array([12, 15])[:, None, None])) / 10)
    samples = [Sample(n, SIZE, lambda s=s: picture(s), read_density=lambda: density) for s, n in enumerate("ab")]
    return Dataset("toys", samples, gaze="none", licence="none", citation="none")


@pytest.fixture
def edit_set(tmp_path, dataset):
    writer = Writer(tmp_path / "edits", {"method": "by hand", "licence": "CC0"})
    for sample in dataset.samples:
        made = [
            NewEdit(type, strength, strength, 1, changed(type, sample.image, mask(), strength))
            for type, strength in (("contrast", 1.4), ("contrast", 2.0), ("brightness", 0.1))
        ]
        writer.add(sample.id, sample.image, dict.fromkeys(("contrast", "brightness"), mask()), made)
    writer.finish()
    return edits.read(tmp_path / "edits")


def made(edit_set, dataset, folder, name, **options):
    (place,) = make(edit_set, dataset, folder, [name], **options)
    return edits.read(place)


def test_each_edit_set_has_the_same_sources_types_and_strengths(edit_set, dataset, tmp_path):
    names = [name for name, control in CONTROLS.items() if control.makes != "mask"]
    for place in make(edit_set, dataset, tmp_path / "c", names):
        found = edits.read(place)
        assert found.is_finished
        assert found.licence == "CC0"
        assert [[(e.type, e.asked, e.direction) for e in found.of(s)] for s in found.sources] == [
            [(e.type, e.asked, e.direction) for e in edit_set.of(s)] for s in edit_set.sources
        ]


def test_a_reconstruction_is_the_original(edit_set, dataset, tmp_path):
    found = made(edit_set, dataset, tmp_path / "c", "reconstruction")
    for edit in found.of("a"):
        np.testing.assert_array_equal(edit.read_image(), edit_set.originals["a"]())


def test_a_change_in_pixels_is_found_again(edit_set, dataset, tmp_path):
    """The edits are changes in pixels of known strength."""
    for edit in edit_set.of("b"):
        found = strength_in_pixels(edit, edit_set.originals["b"](), edit.read_mask())
        assert found == pytest.approx(edit.strength, abs=0.02)
    for edit, control in zip(edit_set.of("b"), made(edit_set, dataset, tmp_path / "c", "pixels").of("b"), strict=True):
        assert np.abs(edit.read_image().astype(int) - control.read_image()).max() <= 2


@pytest.mark.parametrize("name", ["pixels_random", "pixels_least", "masks_random", "masks_least"])
def test_a_moved_region_is_the_same_but_for_its_place(name, edit_set, dataset, tmp_path):
    (place,) = make(edit_set, dataset, tmp_path / "c", [name])
    for source in edit_set.sources:
        if CONTROLS[name].makes == "mask":
            moved = np.asarray(Image.open(place / f"{source}.png")) / 255
        else:
            moved = edits.read(place).of(source)[0].read_mask()
        original = edit_set.of(source)[0].read_mask()
        assert not np.array_equal(moved, original)
        moves = ((y, x) for y in range(SIZE[0]) for x in range(SIZE[1]))
        assert any(np.abs(np.roll(original, move, (0, 1)) - moved).max() <= 1 / 255 for move in moves)


def test_the_least_salient_region_is_the_best_of_all_moves(edit_set, dataset, tmp_path):
    moved = made(edit_set, dataset, tmp_path / "c", "pixels_least").of("a")[0].read_mask()
    density = dataset.samples[0].read_density()
    covered = [(np.roll(mask(), (y, x), (0, 1)) * density).sum() for y in range(SIZE[0]) for x in range(SIZE[1])]
    assert (moved * density).sum() == pytest.approx(min(covered), rel=0.02)


def test_random_regions_differ_by_image_and_seed_and_are_repeated(edit_set, dataset, tmp_path):
    found = [
        [made(edit_set, dataset, tmp_path / str(i), "pixels_random", seed=seed).of(s)[0].read_mask() for s in "ab"]
        for i, seed in enumerate((0, 0, 1))
    ]
    np.testing.assert_array_equal(found[0], found[1])
    assert not np.array_equal(found[0][0], found[2][0])
    assert not np.array_equal(found[0][0], found[0][1])


def test_random_masks_and_random_pixels_share_their_regions_also_when_resumed(edit_set, dataset, tmp_path):
    names = ["pixels_random", "masks_random"]
    pixels, masks = make(edit_set, dataset, tmp_path / "c", names)
    first = np.asarray(Image.open(masks / "a.png"))
    np.testing.assert_allclose(edits.read(pixels).of("a")[0].read_mask(), first / 255, atol=1e-6)
    make(edit_set, dataset, tmp_path / "c", names)
    np.testing.assert_array_equal(np.asarray(Image.open(masks / "a.png")), first)
    with pytest.raises(EditSetProblem, match="seed"):
        make(edit_set, dataset, tmp_path / "c", names[1:], seed=1)


def test_outside_a_moved_region_nothing_changes(edit_set, dataset, tmp_path):
    original = edit_set.originals["a"]()
    for edit in made(edit_set, dataset, tmp_path / "c", "pixels_least").of("a"):
        outside = edit.read_mask() == 0
        np.testing.assert_array_equal(edit.read_image()[outside], original[outside])
        assert (edit.read_image() != original).any()


def test_everywhere_changes_the_contrast_of_the_whole_image(edit_set, dataset, tmp_path):
    original = edit_set.originals["a"]()
    edit = next(e for e in made(edit_set, dataset, tmp_path / "c", "pixels_everywhere").of("a") if e.asked == 1.4)
    expected = original.mean((0, 1)) + edit.strength * (original - original.mean((0, 1)))
    np.testing.assert_allclose(edit.read_image(), expected.clip(0, 255), atol=0.51)


def test_a_rerun_keeps_what_is_there(edit_set, dataset, tmp_path):
    made(edit_set, dataset, tmp_path / "c", "pixels")
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "c" / "pixels" / "images").rglob("*.png")}
    made(edit_set, dataset, tmp_path / "c", "pixels")
    assert times == {path: path.stat().st_mtime_ns for path in times}
    with pytest.raises(EditSetProblem, match="seed"):
        made(edit_set, dataset, tmp_path / "c", "pixels", seed=1)


def test_an_edit_stronger_than_pixels_can_be_is_dropped(dataset, tmp_path):
    image = dataset.samples[0].image
    chess = np.where((np.indices(SIZE).sum(0) % 2 == 0)[..., None], 0, 255).astype(np.uint8) * np.ones(3, np.uint8)
    flat = np.full_like(image, 128)
    writer = Writer(tmp_path / "edits", {})
    writer.add("a", flat, {"contrast": mask()}, [NewEdit("contrast", 2.0, 2.0, 1, chess)])
    writer.finish()
    found = made(edits.read(tmp_path / "edits"), dataset, tmp_path / "c", "pixels")
    assert found.of("a") == []
    assert found.dropped == {"a: contrast 2": "no change of pixels is as strong as the edit"}


def test_bad_requests(edit_set, dataset, tmp_path):
    with pytest.raises(ValueError, match=r"expected names among reconstruction, .* got pixel$"):
        make(edit_set, dataset, tmp_path / "c", ["pixel"])
    other = Dataset("other", dataset.samples[:1], gaze="none", licence="none", citation="none")
    with pytest.raises(EditSetProblem, match="1 are not there, such as b"):
        make(edit_set, other, tmp_path / "c", ["pixels"])
    with pytest.raises(EditSetProblem, match="expected edits of contrast or brightness"):
        changed("color", picture(0), mask(), 1.0)
    assert not (tmp_path / "c").exists()


def test_types_with_an_equation_are_types_of_edits():
    for type in ("contrast", "brightness"):
        same = changed(type, picture(0), mask(), EDIT_TYPES[type].neutral)
        np.testing.assert_array_equal(same, picture(0))
