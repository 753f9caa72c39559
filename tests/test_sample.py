import dataclasses

import numpy as np
import pytest

from salbench.sample import Edited, Sample

IMAGE = np.arange(3 * 4 * 3, dtype=np.uint8).reshape(3, 4, 3)


def full_sample(**changes):
    arguments = {
        "id": "cat",
        "size": (3, 4),
        "read_image": lambda: IMAGE,
        "fixations": [[0, 0], [3.9, 2.9]],
        "observers": np.array([0, 1]),
        "read_density": lambda: np.ones((3, 4)),
        "sigma": 2.0,
        "caption": "A cat on a mat.",
        "boxes": np.array([[0, 0, 2, 2.0]]),
        "categories": np.array([17]),
        "edit": Edited("contrast", 1.2, 1, lambda: np.ones((3, 4), np.float32), lambda: IMAGE),
        "dataset": "pets",
    }
    arguments |= changes
    if arguments["fixations"] is not None:
        number = np.arange(1.0, 1 + len(arguments["fixations"]))
        arguments = {"durations": 100 * number, "order": number} | arguments
    return Sample(**arguments)


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Sample)])
def test_is_frozen(field):
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(full_sample(), field, None)


def test_fixations_become_float_pairs():
    fixations = full_sample(fixations=[[0, 0], [3, 2]]).fixations
    assert fixations.dtype == np.float64
    assert fixations.tolist() == [[0, 0], [3, 2]]


def test_no_fixations_is_not_unknown_fixations():
    assert full_sample(fixations=[], observers=[]).fixations.shape == (0, 2)
    assert full_sample(fixations=None, observers=None).fixations is None


def test_a_test_split_has_only_an_image():
    sample = Sample("dog", (3, 4), lambda: IMAGE)
    rest = [getattr(sample, field.name) for field in dataclasses.fields(Sample)][3:]
    assert rest == [None] * 11
    assert sample.image is IMAGE


@pytest.mark.parametrize("point", [(4, 0), (0, 3), (-1, 0), (np.nan, 0)])
def test_fixations_off_the_image_are_refused_with_the_id(point):
    with pytest.raises(ValueError, match=r"cat: fixations: expected 0 <= x < 4 and 0 <= y < 3.* got 1 of 2"):
        full_sample(fixations=[[1, 1], point])


@pytest.mark.parametrize(("observers", "count"), [([0], 1), ([], 0), ([0, 1, 2], 3)])
def test_one_observer_per_fixation(observers, count):
    with pytest.raises(ValueError, match=f"cat: observers: expected one value per fixation, got {count}"):
        full_sample(observers=observers)


def test_observers_without_fixations_are_refused():
    with pytest.raises(ValueError, match="cat: observers: expected one value per fixation, got 2"):
        full_sample(fixations=None)


@pytest.mark.parametrize("name", ["durations", "order"])
def test_one_duration_and_place_per_fixation(name):
    with pytest.raises(ValueError, match=f"cat: {name}: expected one value per fixation, got 3 for 2 fixations"):
        full_sample(**{name: [1.0, 2.0, 3.0]})


def test_only_some_fixations_with_all_that_is_known_of_them():
    sample = full_sample()
    second = sample.only(np.array([False, True]))
    assert second.fixations.tolist() == [[3.9, 2.9]]
    assert (second.observers.tolist(), second.durations.tolist(), second.order.tolist()) == ([1], [200], [2])
    assert second.id == sample.id
    assert full_sample(durations=None).only(np.array([True, False])).durations is None
    with pytest.raises(ValueError, match="cat: expected fixations, this sample has none"):
        full_sample(fixations=None, observers=None).only(np.array([], bool))


def test_observers_may_be_unknown():
    assert full_sample(observers=None).observers is None


def test_boxes_become_float_rows_and_categories_whole_numbers():
    sample = full_sample(boxes=[[0, 0, 2, 1], [1, 1, 1, 2]], categories=[1, 90])
    assert (sample.boxes.dtype, sample.categories.dtype) == (np.float64, np.int64)
    assert (sample.boxes.tolist(), sample.categories.tolist()) == ([[0, 0, 2, 1], [1, 1, 1, 2]], [1, 90])


def test_no_boxes_are_not_unknown_boxes():
    sample = full_sample(boxes=[], categories=[])
    assert (sample.boxes.shape, sample.categories.shape) == ((0, 4), (0,))
    assert full_sample(categories=None).categories is None
    assert full_sample(boxes=None, categories=None).boxes is None


@pytest.mark.parametrize("box", [(0, 0, 0, 1), (0, 0, 1, -1), (np.nan, 0, 1, 1), (0, np.inf, 1, 1), (0, 0, np.inf, 1)])
def test_boxes_that_are_not_finite_or_empty_are_refused_with_the_id(box):
    with pytest.raises(ValueError, match=r"cat: boxes: expected finite .* got 1 other boxes, the first \["):
        full_sample(boxes=[(0, 0, 1, 1), box], categories=[1, 1])


@pytest.mark.parametrize("boxes", [[0, 0, 1, 1], [[0, 0, 1]], np.ones((1, 1, 4))])
def test_boxes_of_another_shape_are_refused(boxes):
    with pytest.raises(ValueError, match=r"cat: boxes: expected a \(K, 4\) array of x, y, width, height, got shape"):
        full_sample(boxes=boxes)


@pytest.mark.parametrize("categories", [[], [1, 2], [[1]], 1, [1.0], ["cat"], [True]])
def test_one_category_per_box(categories):
    with pytest.raises(ValueError, match=r"cat: categories: expected one whole number for each of the 1 boxes, got"):
        full_sample(categories=categories)


def test_categories_without_boxes_are_refused():
    with pytest.raises(ValueError, match=r"each of the 0 boxes, got int64 of shape \(1,\)"):
        full_sample(boxes=None)


def test_the_image_is_read_on_every_access():
    reads = []

    def read():
        reads.append(1)
        return IMAGE.copy()

    sample = full_sample(read_image=read)
    assert not reads
    assert sample.image is not sample.image
    assert len(reads) == 2


@pytest.mark.parametrize(
    "image",
    [IMAGE[:2], IMAGE.transpose(1, 0, 2), IMAGE[..., 0], IMAGE.astype(float), np.dstack([IMAGE, IMAGE[..., :1]])],
    ids=["cropped", "turned", "grey", "float", "RGBA"],
)
def test_an_image_of_another_shape_or_type_is_refused(image):
    with pytest.raises(ValueError, match=r"cat: expected a uint8 \(3, 4, 3\) image, got (uint8|float64) \("):
        full_sample(read_image=lambda: image).image  # noqa: B018


def test_blind_shows_the_image_its_size_its_id_caption_and_data_set_and_nothing_else():
    sample = full_sample()
    blind = sample.blind()
    shown = {"id", "size", "read_image", "caption", "dataset"}
    for field in dataclasses.fields(Sample):
        value = getattr(blind, field.name)
        if field.name in shown:
            assert value is getattr(sample, field.name)
        else:
            assert value is None, f"a method would see {field.name}"
            assert getattr(sample, field.name) is not None, f"give full_sample() a {field.name}"
    assert blind.image is IMAGE
    assert set(vars(blind)) == {field.name for field in dataclasses.fields(Sample)}


def test_blind_leaves_the_sample_as_it_is():
    sample = full_sample()
    sample.blind()
    assert len(sample.fixations) == 2
    assert sample.read_density().shape == (3, 4)
