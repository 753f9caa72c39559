"""The format of 2015, against the results that the authors' evaluation code brings as an example."""

import base64
import io
import json
import re
import zipfile

import numpy as np
import pytest
from PIL import Image

from salbench.datasets import load
from salbench.maps import quantise
from salbench.registry import SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.submission import SubmissionProblem, check, write

SIZE = (480, 640)
NUMBERS = [42, 7, 581929]
IDS = [f"COCO_val2014_{n:012d}" for n in NUMBERS]


class Maps(SaliencyMethod):
    name = "maps"

    def predict(self, sample):
        return np.random.default_rng(int(sample.id[-3:])).random(SIZE)


def samples(ids=IDS):
    return [Sample(id, SIZE, lambda: np.zeros((*SIZE, 3), np.uint8)) for id in ids]


def picture(mode="L", size=(640, 480), format="PNG", value=7):
    buffer = io.BytesIO()
    Image.new(mode, size, value if mode == "L" else None).save(buffer, format)
    return base64.b64encode(buffer.getvalue()).decode()


def results(**changes):
    """Valid results; `changes` are those of the first."""
    return [{"image_id": n, "saliency_map": picture()} for n in NUMBERS[1:]] + [
        {"image_id": NUMBERS[0], "saliency_map": picture()} | changes
    ]


def zipped(path, content, name="fixations_val2014_mine_results.json"):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content if isinstance(content, str | bytes) else json.dumps(content))
    return path


def test_the_authors_example_is_valid(shared):
    path = shared / "data/salicon2015_examples/results/fixations_train2014examples_fake_results.json"
    dataset = load("salicon2015_examples", shared / "data")
    report = check(path, dataset.samples, "lsun15")
    assert (report.images, report.faults) == (10, [])


def test_what_is_written_has_the_structure_of_the_example(tmp_path, shared):
    example = json.loads(
        (shared / "data/salicon2015_examples/results/fixations_train2014examples_fake_results.json").read_text()
    )
    path = tmp_path / "maps.zip"
    summary = write(Maps(), samples(), path, "lsun15", Runtime(workers=2, progress=False))
    assert summary.images == 3
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["fixations_val2014_maps_results.json"]
        written = json.loads(archive.read(archive.namelist()[0]))
    assert [list(entry) for entry in written] == [list(example[0])] * 3
    assert [entry["image_id"] for entry in written] == NUMBERS
    for entry, sample in zip(written, samples(), strict=True):
        stored = np.asarray(Image.open(io.BytesIO(base64.b64decode(entry["saliency_map"]))))
        np.testing.assert_array_equal(stored, quantise(Maps().predict(sample)))
    assert check(path, samples(), "lsun15").faults == []


def test_same_maps_give_the_same_bytes(tmp_path):
    for name in "ab":
        write(Maps(), samples(), tmp_path / name, "lsun15", Runtime(workers=2, progress=False))
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_images_without_a_number_are_refused(tmp_path):
    with pytest.raises(SubmissionProblem, match="expected ids such as COCO_val2014_000000000042, got 'cat'"):
        write(Maps(), samples(["cat"]), tmp_path / "maps.zip", "lsun15", Runtime(progress=False))
    assert list(tmp_path.iterdir()) == []


DAMAGE = {
    "text": ("hello", "expected JSON: "),
    "an object": ({"image_id": 42}, "expected a list of results, got dict"),
    "empty": ([], "expected maps, found none"),
    "missing": (results()[1:], "1 of 3 maps are missing, such as 7"),
    "twice": ([*results(), *results()[:1]], "7: 2 times"),
    "another image": (
        [*results(), {"image_id": 8, "saliency_map": picture()}],
        "8: not the number of an image of this",
    ),
    "a name": (results(image_id="COCO_val2014_000000000042"), "1 of 3 results, the first is number 3: expected only"),
    "another key": (results(map="x"), "1 of 3 results, the first is number 3: expected only image_id"),
    "no base64": (results(saliency_map="?"), "42: expected a picture in base64"),
    "numbers": (results(saliency_map=[[0, 1]]), "42: expected a picture in base64"),
    "transposed": (results(saliency_map=picture(size=(480, 640))), "got L 480 x 640"),
    "colour": (results(saliency_map=picture("RGB")), "got RGB 640 x 480"),
    "truncated": (results(saliency_map=picture()[:-80]), "42: expected a readable PNG or JPEG"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_check_says_what_is_wrong(tmp_path, damage):
    content, message = DAMAGE[damage]
    found = check(zipped(tmp_path / "maps.zip", content), samples(), "lsun15").faults
    assert any(re.search(message, fault) for fault in found), found


@pytest.mark.parametrize("name", ["fixations_test2014_a_results.json", "a/fixations_val2014_a_results.json", "a.json"])
def test_a_file_of_another_name(tmp_path, name):
    (fault,) = check(zipped(tmp_path / "maps.zip", results(), name), samples(), "lsun15").faults
    assert (
        fault
        == "expected one file fixations_val2014_NAME_results.json at the root of the zip, found none among 1 files"
    )


def test_neither_zip_nor_json(tmp_path):
    (tmp_path / "maps.zip").write_bytes(b"\x89PNG")
    (fault,) = check(tmp_path / "maps.zip", samples(), "lsun15").faults
    assert fault == "expected a zip with a JSON file, or the JSON file, got a file that is neither"


def test_a_changed_byte_is_found(tmp_path):
    path = zipped(tmp_path / "maps.zip", results())
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    (fault,) = check(path, samples(), "lsun15").faults
    assert "fixations_val2014_mine_results.json: cannot be unpacked" in fault


def test_maps_of_zeros_are_told(tmp_path):
    report = check(zipped(tmp_path / "maps.zip", results(saliency_map=picture(value=0))), samples(), "lsun15")
    assert (report.faults, report.remarks) == ([], ["1 of 3 maps are zero everywhere, such as 42"])


def test_partial(tmp_path):
    report = check(zipped(tmp_path / "maps.zip", results()[1:]), samples(), "lsun15", partial=True)
    assert (report.images, report.faults) == (2, [])
