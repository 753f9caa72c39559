"""`salbench submit`."""

import zipfile

import numpy as np
import pytest
from PIL import Image

from salbench.datasets import salicon


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A data root with three images of SALICON's test split."""
    folder = tmp_path / "data" / "SALICON" / "images" / "test"
    folder.mkdir(parents=True)
    for i in range(3):
        picture = np.full((480, 640, 3), 90, np.uint8)
        picture[200:260, 100 * i + 100 : 100 * i + 160] = 250
        Image.fromarray(picture).save(folder / f"COCO_test2014_{i:012d}.jpg")
    monkeypatch.setitem(salicon.EXPECTED, "test", salicon.Published(images=3))
    return tmp_path / "data"


def test_a_valid_file_of_the_split(root, salbench, tmp_path, capsys):
    submit = "submit", "--methods", "spectral_residual", "--dataset", "salicon_test", "--data-root", root
    assert salbench(*submit, "--out", tmp_path / "zips") == 0
    with zipfile.ZipFile(tmp_path / "zips" / "salicon_test_spectral_residual.zip") as archive:
        assert archive.namelist() == [f"COCO_test2014_{i:012d}.png" for i in range(3)]
    assert "salicon_test_spectral_residual.zip: 3 maps" in capsys.readouterr().out


def test_a_method_that_needs_fixations_of_the_training_split(root, salbench, tmp_path, capsys):
    submit = "submit", "--methods", "center_bias", "--data-root", root, "--out", tmp_path / "zips"
    assert salbench(*submit) == 2
    assert "needs fixations to fit on: salicon_train" in capsys.readouterr().err
    assert not (tmp_path / "zips").exists()


def test_images_that_fail(root, salbench, add_method, tmp_path, capsys):
    body = "def predict(self, sample):\n    if sample.id.endswith('1'):\n        raise RuntimeError('no')\n"
    folder = add_method("fails", body + "    return np.ones((4, 4))")
    submit = "submit", "--methods", "fails", "--methods-dir", folder, "--data-root", root, "--out", tmp_path / "zips"
    assert salbench(*submit) == 2
    assert "COCO_test2014_000000000001" in capsys.readouterr().err
    assert not list((tmp_path / "zips").glob("*.zip"))
    assert salbench(*submit, "--partial") == 1
    assert "2 maps" in capsys.readouterr().out


def test_a_split_that_cannot_be_scored_says_what_to_do(root, salbench, tmp_path, capsys):
    assert salbench("--dataset", "salicon_test", "--data-root", root, "--out", tmp_path / "r") == 2
    assert "salbench submit" in capsys.readouterr().err


def test_a_check_prints_every_fault(root, salbench, tmp_path, capsys):
    submit = "submit", "--dataset", "salicon_test", "--data-root", root
    assert salbench(*submit, "--methods", "uniform", "--out", tmp_path) == 0
    path = tmp_path / "salicon_test_uniform.zip"
    capsys.readouterr()
    assert salbench(*submit, "--check", path) == 0
    assert capsys.readouterr().out == f"{path}: lsun17, 3 of 3 maps of salicon_test: valid\n"
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("readme.txt", "hello")
        archive.writestr("a/b.png", "hello")
    assert salbench(*submit, "--check", path) == 1
    printed = capsys.readouterr().out.splitlines()
    assert [line.removeprefix(f"{path}: ") for line in printed] == [
        "a/b.png: expected all files at the root, without folders",
        "readme.txt: not an image of this split with .png",
        "lsun17, 3 of 3 maps of salicon_test: 2 faults",
    ]


@pytest.mark.parametrize(("format", "suffix"), [("lsun15", ".zip"), ("tuebingen", ".h5")])
def test_other_formats(root, salbench, tmp_path, capsys, format, suffix):
    submit = "submit", "--dataset", "salicon_test", "--data-root", root, "--format", format
    assert salbench(*submit, "--methods", "gaze_lite" if format == "tuebingen" else "uniform", "--out", tmp_path) == 0
    (path,) = tmp_path.glob(f"salicon_test_*{suffix}")
    assert salbench(*submit, "--check", path) == 0
    assert f"{format}, 3 of 3 maps of salicon_test: valid" in capsys.readouterr().out


def test_either_methods_or_a_file(salbench, capsys):
    for options in ((), ("--methods", "uniform", "--check", "maps.zip")):
        with pytest.raises(SystemExit, match="2"):
            salbench("submit", *options)
    assert "not allowed with argument" in capsys.readouterr().err
