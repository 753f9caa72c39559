"""Figures in files: the same bytes for the same drawing, and nothing half-written."""

import sys

import pytest
from matplotlib.figure import Figure
from PIL import Image

from salbench import figure


def drawing():
    drawn = Figure(figsize=(2, 1))
    drawn.subplots().plot([0, 1], [1, 0], label="a line")
    return drawn


@pytest.mark.parametrize("suffix", figure.SUFFIXES)
def test_the_same_drawing_gives_the_same_bytes(tmp_path, suffix):
    for name in ("one", "two"):
        figure.save(drawing(), tmp_path / f"{name}{suffix}")
    assert (tmp_path / f"one{suffix}").read_bytes() == (tmp_path / f"two{suffix}").read_bytes()


def test_the_resolution_of_a_png(tmp_path):
    figure.save(drawing(), tmp_path / "figure.PNG")
    assert Image.open(tmp_path / "figure.PNG").size == (2 * figure.DPI, figure.DPI)


def test_another_ending_is_refused_before_anything_is_written(tmp_path):
    for refuse in (figure.check, lambda path: figure.save(drawing(), path)):
        with pytest.raises(ValueError, match=r"figure\.gif: expected a name ending in \.png, \.pdf, \.svg, \.jpg"):
            refuse(tmp_path / "figure.gif")
    assert not list(tmp_path.iterdir())


def test_a_missing_package_is_reported_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(ModuleNotFoundError, match="matplotlib"):
        figure.check("figure.png")


def test_a_drawing_that_fails_leaves_the_old_file(tmp_path, monkeypatch):
    def fails(*_, **__):
        raise ValueError("no")

    path = tmp_path / "figure.svg"
    path.write_text("old")
    monkeypatch.setattr(Figure, "savefig", fails)
    with pytest.raises(ValueError, match="no"):
        figure.save(drawing(), path)
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["figure.svg"]
