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
    assert salbench(*submit, "--allow-partial") == 1
    assert "2 maps" in capsys.readouterr().out


def test_a_split_that_cannot_be_scored_says_what_to_do(root, salbench, tmp_path, capsys):
    assert salbench("--dataset", "salicon_test", "--data-root", root, "--out", tmp_path / "r") == 2
    assert "salbench submit" in capsys.readouterr().err
