"""`salbench predict`."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from salbench import DEFAULT_METHOD, api, registry
from salbench.files import read_map


@pytest.fixture
def predict(salbench, tmp_path):
    """A function of words: `salbench predict` with a method that needs no torch, to the folder `out`."""
    words = "--method", "spectral_residual", "--out", tmp_path / "out"
    return lambda *more: salbench("predict", *more, *words)


def test_pictures_and_folders(predict, images, picture, tmp_path, capsys):
    assert predict(images, picture) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"predicted 4 of 4 pictures: {tmp_path / 'out' / 'predictions.csv'}\nlook at: ")
    assert Path(out.splitlines()[1].removeprefix("look at: ")).is_file()
    assert read_map(tmp_path / "out" / "cat.png").shape == (60, 80)
    assert read_map(tmp_path / "out" / "images" / "b.png").shape == (48, 64)
    assert predict(images, picture) == 0
    assert "predicted 4 of 4 pictures (4 of them by an earlier run)" in capsys.readouterr().out


def test_every_option(predict, picture, tmp_path):
    (tmp_path / "r.csv").write_text("region,left,top,right,bottom\nwhole,0,0,80,60\n")
    assert predict(picture, "--density", "--size", "30x20", "--grid", "2x5", "--regions", tmp_path / "r.csv") == 0
    density = np.load(tmp_path / "out" / "cat.npy")
    assert density.shape == (30, 20)
    assert density.sum() == pytest.approx(1)
    summary = json.loads((tmp_path / "out" / "cat.json").read_text())
    assert np.shape(summary["grid"]) == (2, 5)
    assert summary["regions"]["whole"] == pytest.approx({"share": 1, "area": 1})


def test_the_default_method_is_that_of_python(salbench, picture, tmp_path, monkeypatch):
    assert api.predict.__defaults__[0] == DEFAULT_METHOD
    asked = []
    monkeypatch.setattr(registry, "create", lambda spec, _: asked.append(spec) or registry.get("uniform")())
    assert salbench("predict", picture, "--out", tmp_path / "out") == 0
    assert asked == [DEFAULT_METHOD]


def test_what_fails_is_said(predict, picture, tmp_path, capsys):
    (picture.parent / "text.png").write_text("no picture")
    assert predict(picture, picture.parent / "text.png", "gone.jpg") == 1
    captured = capsys.readouterr()
    assert "predicted 1 of 3 pictures" in captured.out
    assert "failed: text: " in captured.err
    assert "failed: gone: gone.jpg: no such file" in captured.err
    assert predict("gone.jpg") == 1
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--density", "--format", "png"), "a density needs the format npy"),
        (("--regions", "gone.json"), "gone.json: no such file"),
        (("--method", "lyte"), "Did you mean 'lite'"),
        (("--method", "center_bias"), "center_bias: needs fixations"),
        (("--methods-dir", "gone"), "expected a folder of method files"),
    ],
)
def test_errors_before_anything_is_written(words, message, salbench, picture, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    method = () if "--method" in words else ("--method", "uniform")
    assert salbench("predict", picture, *words, *method) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "predictions").exists()


@pytest.mark.parametrize("size", ["30", "0x5", "3x", "axb", "-3x5", "3x4x5"])
def test_a_size_is_two_numbers(size, salbench, picture, capsys):
    with pytest.raises(SystemExit):
        salbench("predict", picture, f"--size={size}")
    assert "expected two whole numbers above 0 with an x between them" in capsys.readouterr().err


def test_the_outputs_of_a_folder_are_no_inputs(salbench, images, monkeypatch, capsys):
    monkeypatch.chdir(images)
    for _ in range(2):
        assert salbench("predict", ".", "--method", "uniform") == 0
        assert "predicted 3 of 3 pictures" in capsys.readouterr().out
    assert salbench("predict", ".", "--method", "uniform", "--out", ".") == 2
    assert "expected another folder for the outputs" in capsys.readouterr().err


def test_a_bar_on_several_pictures(salbench, images, picture, tmp_path, capsys):
    predict = "predict", "--method", "uniform", "--out", tmp_path / "out"
    assert salbench(*predict, picture) == 0
    assert capsys.readouterr().err == ""
    assert salbench(*predict, images) == 0
    assert "3/3" in capsys.readouterr().err


def test_an_upright_map_of_a_turned_photograph(predict, tmp_path):
    photo = Image.fromarray(np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8))
    photo.getexif()[0x0112] = 6
    photo.save(tmp_path / "turned.jpg", exif=photo.getexif())
    assert predict(tmp_path / "turned.jpg") == 0
    assert read_map(tmp_path / "out" / "turned.png").shape == (60, 40)
    with Image.open(tmp_path / "out" / "turned_overlay.jpg") as overlay:
        assert overlay.size == (40, 60)
