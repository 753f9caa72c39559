"""`salbench controls`: from an edit set to its controls."""

import numpy as np
import pytest

from salbench import edits
from salbench.edit_controls import changed
from salbench.edits import NewEdit, Writer
from salbench.files import read_image


@pytest.fixture
def words(tmp_path, write_data_set):
    """The options for a folder data set and an edit set of one of its images."""
    folder = write_data_set(tmp_path / "x", "abc", 0)
    image = read_image(folder / "images" / "a.png")
    mask = np.zeros(image.shape[:2])
    mask[5:15, 5:15] = 1
    writer = Writer(tmp_path / "edits", {"method": "by hand"})
    writer.add(
        "a", image, {"contrast": mask}, [NewEdit("contrast", 1.5, 1.5, 1, changed("contrast", image, mask, 1.5))]
    )
    writer.finish()
    return "controls", "--edits", tmp_path / "edits", "--dataset", f"folder:{folder}", "--out", tmp_path / "c"


def test_prints_the_folders(words, salbench, tmp_path, capsys):
    assert salbench(*words, "--names", "reconstruction, masks_least") == 0
    folders = [tmp_path / "c" / "reconstruction", tmp_path / "c" / "masks_least"]
    assert capsys.readouterr().out.splitlines() == [str(folder) for folder in folders]
    assert edits.read(folders[0]).sources == ["a"]
    assert sorted(path.name for path in folders[1].iterdir()) == ["a.png", "setup.json"]


def test_the_default_are_those_in_pixels(words, salbench, tmp_path):
    assert salbench(*words) == 0
    made = sorted(path.name for path in (tmp_path / "c").iterdir())
    assert made == ["pixels", "pixels_everywhere", "pixels_least", "pixels_random"]


def test_an_unknown_name(words, salbench, tmp_path, capsys):
    assert salbench(*words, "--names", "pixel") == 2
    assert "expected names among reconstruction, pixels" in capsys.readouterr().err
    assert not (tmp_path / "c").exists()


def test_are_listed(salbench, capsys):
    assert salbench("list", "controls") == 0
    assert "pixels_everywhere" in capsys.readouterr().out
