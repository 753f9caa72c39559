"""Files of regions in all forms, and what is wrong with others."""

import json

import numpy as np
import pytest
from PIL import Image

from salbench.files import FileProblem
from salbench.named_regions import facts, read_regions, read_shapes


@pytest.fixture
def write(tmp_path):
    """A function of a file name and its content: the regions read from it."""

    def write_and_read(name, content):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
        return read_regions(path)

    return write_and_read


def test_json_for_every_picture(write, tmp_path):
    mask = np.zeros((4, 5), np.uint8)
    mask[1, 2] = 255
    Image.fromarray(mask).save(tmp_path / "sign.png")
    regions = write("regions.json", {"face": [1, 2, 3.5, 4], "sign": "sign.png"}).of("anything")
    shapes = read_shapes(regions)
    assert shapes["face"].tolist() == [1, 2, 3.5, 4]
    assert (shapes["sign"] == mask).all()
    before = facts(regions)
    assert before["face"] == [1, 2, 3.5, 4]
    Image.fromarray(mask + 1).save(tmp_path / "sign.png")
    assert facts(regions)["sign"] != before["sign"]


def test_json_per_picture(write):
    regions = write("regions.json", {"dog.jpg": {"nose": [0, 0, 1, 1]}, "trip/sea": {"boat": [0, 0, 2, 2]}})
    assert regions.of("dog", "dog.jpg") == {"nose": [0, 0, 1, 1]}
    assert regions.of("trip/sea", "trip/sea.png") == {"boat": [0, 0, 2, 2]}
    assert regions.of("sea", "sea.png") == {}


def test_csv(write):
    assert write("r.csv", "region,left,top,right,bottom\na,0,1,2,3\n").of("x") == {"a": [0, 1, 2, 3]}
    text = "\ufeffimage,region,left,top,right,bottom\ndog,a,0,1,2,3\ncat,a,4,5,6,7.5\ndog,b,0,0,1,1\n"
    regions = write("r.csv", text)
    assert regions.of("dog") == {"a": [0, 1, 2, 3], "b": [0, 0, 1, 1]}
    assert regions.of("cat") == {"a": [4, 5, 6, 7.5]}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("r.txt", "", "expected a name ending in .json or .csv"),
        ("r.json", "{", "Expecting property name"),
        ("r.json", [1, 2], "expected .* got list"),
        ("r.json", {}, "got no region"),
        ("r.json", {"a": [0, 1, 2]}, r"region 'a': expected \[left, top, right, bottom\] or the name of a mask"),
        ("r.json", {"a": [0, 1, 2, "3"]}, "region 'a': expected"),
        ("r.json", {"a": [0, 1, 2, True]}, "region 'a': expected"),
        ("r.json", {"a": [0, 1, 2, 3], "dog": {"b": [0, 1, 2, 3]}}, "region 'dog': expected"),
        ("r.json", {"dog": {"b": 3}}, "region 'b': expected"),
        ("r.json", '{"a": [0, 0, 1, 1], "a": [0, 0, 2, 2]}', "expected each name once, got 'a' twice"),
        ("r.csv", "region,x,y,w,h\na,0,1,2,3\n", r"expected the header \[image,\]region,left,top,right,bottom, got"),
        ("r.csv", "", "expected the header"),
        ("r.csv", "region,left,top,right,bottom\n", "got no region"),
        ("r.csv", "region,left,top,right,bottom\na,0,1,2\n", "region 'a': expected four numbers, got 0, 1, 2, None"),
        ("r.csv", "region,left,top,right,bottom\na,0,1,2,3,4\n", "expected four numbers, got 0, 1, 2, 3, 4"),
        ("r.csv", "region,left,top,right,bottom\na,0,1,2,z\n", "expected four numbers, got 0, 1, 2, z"),
        ("r.csv", "region,left,top,right,bottom\na,0,1,2,3\na,0,1,2,3\n", "got 'a' twice"),
    ],
)
def test_a_file_of_another_form(write, tmp_path, name, content, message):
    with pytest.raises(FileProblem, match=message) as error:
        write(name, content)
    assert str(error.value).startswith(str(tmp_path / name))


def test_a_missing_file_or_mask(write, tmp_path):
    with pytest.raises(FileProblem, match="no such file"):
        read_regions(tmp_path / "r.json")
    with pytest.raises(FileProblem, match=r"gone\.png: no such file"):
        read_shapes(write("r.json", {"a": "gone.png"}).of("x"))
