import json
import os

import numpy as np
import pytest

from salbench.datasets import DatasetProblem, _coco
from salbench.datasets._coco import read_captions, read_objects

SIZE = (480, 640)
NAMES = ["COCO_val2014_000000000009.jpg", "COCO_val2014_000000000036.jpg", "COCO_val2014_000000000040.jpg"]
IDS = [9, 36, 40]
NOTHING = [(None, None)] * 3


def image(name, id, size=SIZE):
    return {"license": 1, "file_name": name, "height": size[0], "width": size[1], "id": id}


def instance(image_id, bbox, category_id, **more):
    outline = {"segmentation": [[1.5, 2.5, 3.0, 4.0]], "area": 12.5, "iscrowd": 0, "id": 7}
    return outline | {"image_id": image_id, "bbox": bbox, "category_id": category_id} | more


def caption(image_id, text, id=1):
    return {"image_id": image_id, "id": id, "caption": text}


IMAGES = [image(name, id) for name, id in zip(NAMES, IDS, strict=True)]
INSTANCES = [
    instance(36, [600.0, 400.0, 40.0, 80.0], 90),
    instance(9, [1.08, 187.69, 611.59, 285.84], 51),
    instance(999, [0.0, 0.0, 5.0, 5.0], 3),
    instance(36, [5, 6, 7, 8], 1, iscrowd=1, segmentation={"counts": [1, 2, 3], "size": [480, 640]}),
]
CAPTIONS = [
    caption(36, "Second  in the file. \n", id=1),
    caption(9, "A bowl of soup.", id=800),
    caption(999, "Of an image that SALICON has not."),
    caption(9, "Never the first.", id=2),
]


@pytest.fixture
def write(tmp_path):
    """A function of annotations and images, or of the whole content: the path of their JSON file."""

    def write(annotations=(), images=IMAGES, content=None):
        whole = {"info": {"year": 2014}, "images": [image("other.jpg", 999), *images], "annotations": annotations}
        path = tmp_path / "annotations_val2014.json"
        path.write_text(json.dumps(content or whole))
        return path

    return write


@pytest.fixture
def parsed(monkeypatch):
    """List of the files that were parsed."""
    paths, parse = [], _coco._annotated
    monkeypatch.setattr(_coco, "_annotated", lambda path, names: paths.append(path) or parse(path, names))
    return paths


def test_the_first_caption_of_the_file_whatever_its_id(write):
    captions = read_captions(write(CAPTIONS), NAMES)
    assert captions == ["A bowl of soup.", "Second in the file.", None]


def test_boxes_are_in_the_order_of_the_names_with_their_categories(write):
    (first, first_ids), (second, second_ids), (third, third_ids) = read_objects(write(INSTANCES), NAMES, SIZE)
    np.testing.assert_allclose(first, [[1.08, 187.69, 611.59, 285.84]], rtol=1e-14)
    np.testing.assert_array_equal(second, [[600, 400, 40, 80], [5, 6, 7, 8]])
    assert (first_ids.tolist(), second_ids.tolist()) == ([51], [90, 1])
    assert (third.shape, third_ids.shape) == ((0, 4), (0,))
    assert {boxes.dtype for boxes in (first, second, third)} == {np.dtype(np.float64)}
    assert {ids.dtype for ids in (first_ids, second_ids, third_ids)} == {np.dtype(np.int64)}


def test_no_object_in_any_image(write):
    objects = read_objects(write(), NAMES, SIZE)
    assert [(boxes.shape, ids.shape) for boxes, ids in objects] == [((0, 4), (0,))] * 3
    assert read_captions(write(), NAMES) == [None] * 3


def test_no_file(tmp_path):
    assert read_captions(tmp_path / "captions_val2014.json", NAMES) == [None] * 3
    assert read_objects(tmp_path / "instances_val2014.json", NAMES, SIZE) == NOTHING


def test_boxes_are_cut_at_the_border_and_left_out_where_nothing_remains(write):
    boxes = [[-10, 470, 30, 20], [700, 5, 9, 9], [3, 4, 0, 5], [3, 4, 5, -1], [630, -5, 20, 15], [0, -9, 9, 9]]
    instances = [instance(9, box, n) for n, box in enumerate(boxes, 1)]
    objects = read_objects(write([*instances, instance(36, [640, 0, 1, 1], 7), INSTANCES[0]]), NAMES, SIZE)
    (cut, ids), (_, next_ids), (_, last_ids) = objects
    assert cut.tolist() == [[0, 470, 20, 10], [630, 0, 10, 10]]
    assert (ids.tolist(), next_ids.tolist(), last_ids.tolist()) == ([1, 5], [90], [])


def test_boxes_of_a_smaller_original_are_scaled(write):
    images = [IMAGES[0], image(NAMES[1], 36, (375, 500)), IMAGES[2]]
    objects = read_objects(write([instance(id, [100, 50, 25, 375], 1) for id in IDS], images), NAMES, SIZE)
    np.testing.assert_allclose([boxes[0] for boxes, _ in objects][:2], [[100, 50, 25, 375], [128, 64, 32, 416]])


@pytest.mark.parametrize("size", [(640, 480), (480, 639), (427, 640)])
def test_another_aspect_ratio_is_refused_for_boxes_but_not_for_captions(write, size):
    images = [*IMAGES[:2], image(NAMES[2], 40, size)]
    message = rf"ratio of 640 x 480 pixels, got 1 others, such as {NAMES[2]} of {size[1]} x {size[0]}"
    with pytest.raises(DatasetProblem, match=message):
        read_objects(write(INSTANCES, images), NAMES, SIZE)
    assert read_captions(write(CAPTIONS, images), NAMES)[0] == "A bowl of soup."


@pytest.mark.parametrize("read", [read_captions, lambda path, names: read_objects(path, names, SIZE)])
class TestBrokenFile:
    @pytest.mark.parametrize("text", ["", "{", "\x00", "[]", "null", '"images"', "{}", '{"images": [{}]}'])
    def test_not_coco_json(self, tmp_path, read, text):
        path = tmp_path / "some_val2014.json"
        path.write_text(text)
        with pytest.raises(DatasetProblem, match=r"some_val2014\.json: expected a JSON file .*2014\.zip .*\): ."):
            read(path, NAMES)

    def test_no_annotations(self, write, read):
        with pytest.raises(DatasetProblem, match=r"expected a JSON file .*: 'annotations'"):
            read(write(content={"images": IMAGES}), NAMES)

    def test_not_text(self, tmp_path, read):
        path = tmp_path / "some_val2014.json"
        path.write_bytes(b'{"images": "\xff\xfe"}')
        with pytest.raises(DatasetProblem, match=r"some_val2014\.json: expected a JSON file.*utf-8"):
            read(path, NAMES)

    def test_truncated(self, write, read):
        path = write([instance(9, [1, 2, 3, 4], 5, caption="Soup.")])
        path.write_text(path.read_text()[:-3])
        with pytest.raises(DatasetProblem, match=r"unpack it again as COCO/annotations"):
            read(path, NAMES)

    def test_another_split(self, write, read):
        with pytest.raises(DatasetProblem, match=rf"2 of them are not listed, such as {NAMES[1]}.*another split\?"):
            read(write(INSTANCES, IMAGES[:1]), NAMES)

    @pytest.mark.parametrize("key", ["image_id", "caption", "bbox", "category_id"])
    def test_an_annotation_without_a_key_that_is_needed(self, write, read, key):
        whole = instance(9, [1, 2, 3, 4], 5, caption="Soup.")
        path = write([{k: v for k, v in whole.items() if k != key}])
        if key in (["bbox", "category_id"] if read is read_captions else ["caption"]):
            assert len(read(path, NAMES)) == 3
        else:
            with pytest.raises(DatasetProblem, match=rf"expected a JSON file.*: '{key}'"):
                read(path, NAMES)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"bbox": [1, 2, 3]}, "bbox"),
        ({"bbox": [1, 2, 3, None]}, "bbox"),
        ({"bbox": [1, 2, 3, float("nan")]}, "bbox"),
        ({"bbox": [1, 2, 3, float("inf")]}, "bbox"),
        ({"bbox": ["a", 2, 3, 4]}, "could not convert"),
        ({"category_id": 1.5}, "category_id"),
        ({"category_id": "cat"}, "category_id"),
        ({"category_id": None}, "category_id"),
        ({"category_id": [1]}, "category_id"),
        ({"category_id": 2**70}, "category_id"),
        ({"image_id": [9]}, "unhashable"),
    ],
)
def test_values_that_are_no_boxes_are_refused(write, changes, message):
    with pytest.raises(DatasetProblem, match=rf"annotations_val2014\.json: expected a JSON file.*{message}"):
        read_objects(write([instance(9, [1, 2, 3, 4], 5) | changes]), NAMES, SIZE)


@pytest.mark.parametrize("size", [(0, 640), (480.5, 640), ("a", 640), (None, 640)])
def test_sizes_that_are_none_are_refused(write, size):
    with pytest.raises(DatasetProblem, match=r"expected a JSON file.*got a height or width that is not a whole number"):
        read_objects(write(INSTANCES, [*IMAGES[:2], image(NAMES[2], 40, size)]), NAMES, SIZE)


def test_captions_that_are_no_text_are_refused(write):
    with pytest.raises(DatasetProblem, match=r"expected a JSON file.*'int' object has no attribute 'split'"):
        read_captions(write([caption(9, 5)]), NAMES)


class TestCache:
    def test_the_second_reading_parses_nothing_and_is_the_same(self, write, parsed):
        path = write([annotation | {"caption": "Soup."} for annotation in INSTANCES])
        captions, objects = read_captions(path, NAMES), read_objects(path, NAMES, SIZE)
        assert len(parsed) == 2
        # the two readings here share a file, and so a name in the cache, as COCO's never do
        again = read_objects(path, NAMES, SIZE)
        assert len(parsed) == 2
        for (boxes, ids), (same_boxes, same_ids) in zip(objects, again, strict=True):
            np.testing.assert_array_equal(boxes, same_boxes)
            np.testing.assert_array_equal(ids, same_ids)
        assert read_captions(path, NAMES) == captions == ["Soup.", "Soup.", None]
        assert len(parsed) == 3
        assert read_captions(path, NAMES) == captions
        assert len(parsed) == 3

    def test_other_images_or_a_changed_file_are_parsed_again(self, write, parsed):
        path = write(INSTANCES)
        assert len(read_objects(path, NAMES, SIZE)) == 3
        assert [ids.tolist() for _, ids in read_objects(path, NAMES[1:2], SIZE)] == [[90, 1]]
        assert [ids.tolist() for _, ids in read_objects(path, NAMES[:2], SIZE)] == [[51], [90, 1]]
        assert [ids.tolist() for _, ids in read_objects(path, NAMES[1::-1], SIZE)] == [[90, 1], [51]]
        assert len(parsed) == 4
        os.utime(path, ns=(1, 1))
        assert [ids.tolist() for _, ids in read_objects(path, NAMES[1::-1], SIZE)] == [[90, 1], [51]]
        assert len(parsed) == 5

    def test_captions_of_other_images_are_parsed_again(self, write, parsed):
        path = write(CAPTIONS)
        assert read_captions(path, NAMES[:2]) == ["A bowl of soup.", "Second in the file."]
        assert read_captions(path, NAMES[1::-1]) == ["Second in the file.", "A bowl of soup."]
        assert len(parsed) == 2

    def test_a_problem_is_not_kept(self, write, tmp_path):
        path = write([instance(9, [1, 2, 3], 5)])
        with pytest.raises(DatasetProblem):
            read_objects(path, NAMES, SIZE)
        assert not (tmp_path / "cache").exists()
