"""`salbench show`."""

import numpy as np
import pytest
from PIL import Image

from salbench.contact_sheet import _TEXT_HEIGHT, TILE

GAP = 12


def tile(path, number):
    """The picture of a tile in the first row."""
    left, top = GAP + number * (TILE[0] + GAP), GAP + _TEXT_HEIGHT
    with Image.open(path) as sheet:
        return np.asarray(sheet)[top : top + TILE[1], left : left + TILE[0]]


def test_a_picture_with_its_fixations(salbench, picture, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    inputs = "--image", picture, "--fixations", picture.with_suffix(".npy")
    assert salbench("show", "--augmentations", "hflip,invert", *inputs, "--out", out) == 0
    assert f"sheet: {out}" in capsys.readouterr().out
    with Image.open(out) as sheet:
        assert sheet.width == 3 * (TILE[0] + GAP) + GAP


def test_what_cannot_be_applied_is_told(salbench, picture, tmp_path, capsys):
    out = tmp_path / "sheet.png"
    assert salbench("show", "--augmentations", "crop_128", "--image", picture, "--out", out) == 1
    assert "not applied: crop_128: " in capsys.readouterr().err
    assert salbench("show", "--augmentations", "crop_128,hflip", "--image", picture, "--out", out) == 0


def test_an_image_of_a_data_set_and_an_augmentation_of_ones_own(salbench, tmp_path):
    folder, out = tmp_path / "own", tmp_path / "sheet.png"
    folder.mkdir()
    (folder / "mine.py").write_text(
        "from salbench.augment import photometric\n@photometric\ndef same(image, rng):\n    return image\n"
    )
    show = "show", "--augmentations", "same", "--augmentations-dir", folder, "--id", "scene_01", "--out", out
    assert salbench(*show) == 0
    np.testing.assert_array_equal(tile(out, 0), tile(out, 1))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--augmentations", "paper13"], "Did you mean 'paper12'"),
        (["--image", "cat.png", "--id", "1"], "--id requires --dataset"),
        (["--fixations", "cat.csv"], "--fixations requires --image"),
        (["--id", "scene_1"], "expected one such as 'scene_01'"),
        (["--out", "sheet.gif"], "sheet.gif: expected a name ending in .png"),
    ],
)
def test_errors(words, message, salbench, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert salbench("show", *words) == 2
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_a_real_photograph(salbench, shared, tmp_path):
    root, out = shared / "data", tmp_path / "osie.png"
    if not (root / "OSIE").is_dir():
        pytest.skip(f"needs OSIE, not found in {root}")
    assert salbench("show", "--dataset", "osie", "--id", "1001", "--data-root", root, "--out", out) == 0
    assert out.stat().st_size > 100_000
