"""`salbench features`."""

import pytest
from PIL import Image

from salbench.contact_sheet import TILE


def test_a_tile_per_feature_map(salbench, add_method, picture, tmp_path, capsys):
    body = "def features(self, sample):\n    return {'a': np.eye(6)[None], 'b': np.ones((3, 4, 5))}"
    folder, out = add_method("looks", body), tmp_path / "sheet.png"
    features = "features", "--methods", "looks", "--methods-dir", folder, "--image", picture, "--out", out
    assert salbench(*features) == 0
    assert capsys.readouterr().out == f"sheet: {out}\n"
    with Image.open(out) as sheet:
        assert sheet.width == 3 * (TILE[0] + 12) + 12


def test_the_method_gets_a_blind_sample(salbench, add_method, tmp_path):
    """Images of a data set have fixations; the method does not see them."""
    body = "def features(self, sample):\n    assert sample.fixations is None\n    return {'a': np.eye(6)[None]}"
    features = "features", "--methods", "looks", "--methods-dir", add_method("looks", body)
    assert salbench(*features, "--id", "color_01", "--out", tmp_path / "sheet.png") == 0


def test_fixations_are_not_asked_for(salbench, picture, capsys):
    with pytest.raises(SystemExit):
        salbench("features", "--image", picture, "--fixations", picture.with_suffix(".csv"))
    assert "unknown option '--fixations'" in capsys.readouterr().err


def test_scorecard(salbench, add_method, capsys):
    body = """
def scorecard(self, samples):
    import pandas as pd
    assert [s.fixations for s in samples] == [None] * 3
    card = pd.DataFrame({"property": ["red"] * 2 + ["blue"] * 2, "share": [0.01, 0.1] * 2, "r2": [0.1, 0.2, 0.3, 0.4]})
    card.attrs["r2"] = "How right it is"
    return card
"""
    folder = add_method("reads", body)
    assert salbench("features", "--methods", "reads", "--methods-dir", folder, "--scorecard", "--limit", 3) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("reads on popout, 3 images")
    assert lines[2] == "How right it is."
    assert [line.split("|")[1:-1] for line in lines if line.startswith("| ")] == [
        [" property   ", "   1% ", "   10% "],
        [" red        ", " 0.10 ", "  0.20 "],
        [" blue       ", " 0.30 ", "  0.40 "],
    ]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--limit", "3"], "--limit requires --scorecard"),
        (["--scorecard", "--id", "color_01"], "--scorecard: expected a --dataset"),
        (["--methods", "uniform", "--scorecard"], "uniform has no scorecard"),
        (["--methods", "uniform,center_bias"], "--methods: expected one method, got uniform,center_bias"),
        (["--methods", "uniform"], "uniform has no feature maps"),
        (["--methods", "unifrom"], "Did you mean 'uniform'"),
    ],
)
def test_errors(words, message, salbench, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert salbench("features", *words) == 2
    assert message in capsys.readouterr().err
