import json

import numpy as np
import pytest
from builders import write_image

from salbench.datasets import DatasetProblem, load, salicon2015

TRACKS = {7: [[[1, 2], [3, 4], [1, 2]], [[3, 4], [48, 64], [5, 5]]], 3: [[[2, 2], [2, 2], [2, 2]]]}  # rows, columns


def content():
    images = [{"id": id, "file_name": f"COCO_{id}.jpg", "height": 48, "width": 64} for id in TRACKS]
    annotations = [
        {"image_id": id, "worker_id": worker, "fixations": track}
        for id, tracks in TRACKS.items()
        for worker, track in enumerate(tracks)
    ]
    return {"images": images, "annotations": annotations}


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """A data root with two images; returns (root, the annotations' path)."""
    folder = tmp_path / "salicon2015_examples"
    for id in TRACKS:
        write_image(folder / "images" / f"COCO_{id}.jpg", (48, 64))
    path = folder / "annotations" / "fixations_train2014examples.json"
    path.parent.mkdir()
    path.write_text(json.dumps(content()))
    expected = salicon2015.Published(2, 4, ((1 + 1 + 1 + 3) / 4, (1 + 1 + 0 + 2) / 4))
    monkeypatch.setattr(salicon2015, "EXPECTED", expected)
    return tmp_path, path


def test_a_return_of_the_mouse_is_a_fixation(tree):
    dataset = load("salicon2015_examples", tree[0])
    assert [s.id for s in dataset.samples] == ["COCO_3", "COCO_7"]
    np.testing.assert_array_equal(dataset.samples[0].fixations, [(1, 1), (1, 1)])  # three times there, two returns
    np.testing.assert_array_equal(dataset.samples[1].fixations, [(1, 0), (3, 2)])  # [row, column] from 1 -> x, y from 0
    assert dataset.samples[1].size == (48, 64)
    assert dataset.samples[1].image.shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda c: c.pop("annotations"), r"expected the annotations of SALICON 2015, .*'annotations'"),
        (lambda c: c["annotations"][0].update(image_id=99), r"expected the annotations of SALICON 2015, .*99"),
        (lambda c: c["annotations"][0].update(fixations="no"), r"expected the annotations of SALICON 2015"),
        (lambda c: c["annotations"][0].update(fixations=[[49, 1], [49, 1]]), r"COCO_7\.jpg: 1 of \d fixations are off"),
        (lambda c: c["annotations"][0].update(fixations=[]), r"expected the published 4 fixations"),
        (lambda c: c["images"][0].update(height="48"), r"got a height or width that is not a whole number of pixels"),
        (lambda c: c["images"][0].update(width=0), r"got a height or width that is not a whole number of pixels"),
        (lambda c: c["annotations"][0].update(fixations=[[10**30, 1]]), r"expected the annotations of SALICON 2015"),
        (lambda c: c["images"][0].update(file_name="../../secret"), r"1 are missing, such as \.\./\.\./secret"),
    ],
)
def test_other_content(tree, spoil, message):
    root, path = tree
    changed = content()
    spoil(changed)
    path.write_text(json.dumps(changed))
    with pytest.raises(DatasetProblem, match=message):
        load("salicon2015_examples", root)


def test_truncated(tree):
    root, path = tree
    path.write_text(path.read_text()[:100])
    with pytest.raises(DatasetProblem, match=r"cannot read them"):
        load("salicon2015_examples", root)


def test_nothing_there(tmp_path):
    with pytest.raises(DatasetProblem, match=r"expected the folder salicon2015_examples.*salicon-evaluation"):
        load("salicon2015_examples", tmp_path)


def test_the_published_files(real_root):
    dataset = load("salicon2015_examples", real_root("salicon2015_examples"))
    assert len(dataset.samples) == 10
    assert sum(len(s.fixations) for s in dataset.samples) == 3965  # as the authors' code kept, run elsewhere
