"""`salbench list`."""

import json

import pytest

from salbench.augment import PRESETS


@pytest.mark.parametrize("what", ["methods", "datasets", "metrics", "protocols", "augmentations"])
def test_table_and_json_name_the_same(what, salbench, capsys):
    assert salbench("list", what) == 0
    text = capsys.readouterr().out
    assert salbench("list", what, "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert rows
    assert all(row["name"] in text for row in rows)


def test_a_broken_method_is_listed_and_hides_no_other(salbench, tmp_path, capsys):
    (tmp_path / "broken.py").write_text("raise RuntimeError('no')")
    assert salbench("list", "methods", "--methods-dir", tmp_path) == 0
    printed = capsys.readouterr().out
    assert "BROKEN" in printed
    assert "spectral_residual" in printed


def test_a_method_whose_package_is_missing_is_skipped_with_the_command_that_installs_it(salbench, tmp_path, capsys):
    (tmp_path / "lacking.py").write_text("import a_package_that_nobody_has")
    assert salbench("list", "methods", "--methods-dir", tmp_path, "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["lacking"]["skipped"] == (
        "needs a_package_that_nobody_has: python -m pip install a_package_that_nobody_has"
    )
    assert rows["uniform"]["skipped"] is None
    assert rows["uniform"].keys() == rows["lacking"].keys()


def test_images(salbench, images, capsys):
    assert salbench("list", "images", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 30
    assert {"color_01", "scene_02"} < {row["id"] for row in rows}
    assert salbench("list", "images", "--dataset", f"folder:{images}", "--json") == 0
    assert json.loads(capsys.readouterr().out) == [
        {"id": id, "height": 48, "width": 64, "fixations": 12, "caption": None} for id in "abc"
    ]
    assert salbench("list", "images", "--dataset", "popuot") == 2
    assert "Did you mean 'popout'" in capsys.readouterr().err
    assert salbench("list", "methods", "--dataset", "popout") == 2
    assert "--dataset requires images" in capsys.readouterr().err


def test_ids_are_printed_as_they_are(salbench, write_data_set, tmp_path, capsys):
    dataset = write_data_set(tmp_path / "numbers", ["0010", "1e5", "7.50"], seed=0)
    assert salbench("list", "images", "--dataset", f"folder:{dataset}") == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[2:]] == ["0010", "1e5", "7.50"]


def test_weights_are_looked_for_below_the_weights_root(salbench, tmp_path, capsys):
    for there in (False, True):
        if there:
            (tmp_path / "unisal").mkdir()
            (tmp_path / "unisal" / "unisal.safetensors").touch()
        assert salbench("list", "methods", "--weights-root", tmp_path, "--json") == 0
        rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
        assert rows["unisal"]["skipped"] == (None if there else "no weights, see: salbench weights")


def test_augmentations(salbench, tmp_path, capsys):
    (tmp_path / "mine.py").write_text(
        "from salbench.augment import photometric\n@photometric\ndef same(image, rng):\n    return image\n"
    )
    assert salbench("list", "augmentations", "--json", "--augmentations-dir", tmp_path) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert {*PRESETS["paper12"], *PRESETS["che18"], "same"} <= set(rows)
    assert rows["hflip"]["presets"] == ["paper12", "che18"]
    assert rows["crop_128"]["parameters"] == {"side_px": 128}
