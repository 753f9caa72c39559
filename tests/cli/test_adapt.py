"""`salbench adapt`."""

import pytest


def test_it_adapts_prints_and_draws(salbench, images, tmp_path, capsys):
    out, curve = tmp_path / "r", tmp_path / "curve.png"
    run = "adapt", "--methods", "spectral_residual", "--dataset", f"folder:{images}", "--out", out, "--figure", curve
    run += "--images", "2,all", "--draws", 2, "--scales", "0.5,1", "--workers", 1
    assert salbench(*run) == 0
    printed = capsys.readouterr()
    assert printed.out.startswith("spectral_residual adapted to folder+mine, 3 images, ")
    assert "| 2 images " in printed.out
    assert f"figure: {curve}" in printed.err
    assert curve.stat().st_size
    place = out / "folder+mine_adapt" / "spectral_residual"
    assert sorted(path.name for path in place.iterdir()) == ["fits.json", "scores.csv"]
    assert salbench(*run) == 0
    assert capsys.readouterr().out == printed.out


def test_other_settings_are_refused(salbench, images, tmp_path, capsys):
    run = "adapt", "--methods", "uniform", "--dataset", f"folder:{images}", "--out", tmp_path / "r", "--scales", 1
    assert salbench(*run, "--images", 1) == 0
    assert salbench(*run, "--images", 2) == 2
    assert "made with other settings" in capsys.readouterr().err
    assert salbench(*run, "--images", 2, "--overwrite") == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--images", "99"), "--images: expected at most 29 images to fit to, got 99"),
        (("--images", "few"), "--images: expected whole numbers above 0, or all, got few"),
        (("--scales", "2"), "--scales: expected numbers above 0 with 1 among them, got 2"),
        (("--figure", "f.gif"), "f.gif: expected a name ending in .png"),
        (("--methods", "uniform,center_bias"), "--methods: expected one method"),
        (("--methods", "inter_observer", "--images", "5"), "expected a method to adapt, got a ceiling"),
        (("--protocol", "toulouse"), "protocol: expected one of"),
    ],
)
def test_errors_before_anything_is_written(words, message, salbench, tmp_path, capsys):
    assert salbench("adapt", "--methods", "uniform", "--dataset", "popout", "--out", tmp_path / "r", *words) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "r").exists()
