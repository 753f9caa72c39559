"""`salbench results`."""

import json

import pytest


@pytest.fixture
def packed(salbench, tmp_path, capsys):
    """A folder of results, `r`, and its archive with maps, `r.zip`."""
    run = "run", "--methods", "uniform", "--protocol", "lsun17", "--out", tmp_path / "r", "--save-maps", tmp_path / "m"
    assert salbench(*run) == 0
    assert salbench("results", "pack", tmp_path / "r", "--maps", tmp_path / "m") == 0
    assert "r.zip: 1 result on 1 data set, " in capsys.readouterr().out
    return tmp_path / "r.zip"


def test_check_prints_claimed_beside_recomputed(packed, salbench, capsys):
    assert salbench("results", "check", packed) == 0
    printed = capsys.readouterr().out
    assert "popout/uniform, from the maps that were scored" in printed
    assert [line.split() for line in printed.splitlines() if line.startswith("auc ")] == [["auc", "0.5000", "0.5000"]]
    assert printed.endswith(f"{packed}: 1 result on 1 data set: valid\n")


def test_check_and_merge_show_what_is_wrong(packed, salbench, capsys, tmp_path):
    assert salbench("results", "merge", packed, "--out", tmp_path / "all") == 0
    assert capsys.readouterr().out == f"{tmp_path}/all: 1 added, 0 there already, 0 disagree\n"
    path = tmp_path / "r/popout/uniform.json"
    fields = json.loads(path.read_text())
    path.write_text(json.dumps(fields | {"notes": ["a note"]}))
    assert salbench("results", "pack", tmp_path / "r", "--out", tmp_path / "b.zip") == 0
    capsys.readouterr()
    assert salbench("results", "merge", tmp_path / "b.zip", "--out", tmp_path / "all") == 1
    assert "not merged: popout/uniform: " in capsys.readouterr().out
    damaged = (tmp_path / "b.zip").read_bytes().replace(b"results/popout/uniform.csv", b"results/popout/uniform.cs_")
    (tmp_path / "b.zip").write_bytes(damaged)
    assert salbench("results", "check", tmp_path / "b.zip", packed) == 1
    printed = capsys.readouterr().out
    assert "results/popout/uniform.csv: expected by manifest.json, not in the archive" in printed
    assert "0 results on 0 data sets: 3 faults" in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["check"], "results check: expected archives after it"),
        (["check", "nowhere.zip"], "nowhere.zip: no such file"),
        (["check", "a.zip", "--out", "x"], "--out requires results pack or merge"),
        (["merge", "a.zip"], "expected archives and --out"),
        (["merge", "a.zip", "--out", "x", "--maps", "y"], "--maps requires results pack"),
        (["pack", "a", "b"], "expected one folder, got a, b"),
        (["pack", "/nowhere", "--out", "x.zip"], "/nowhere: expected results of runs to pack"),
    ],
)
def test_errors(words, message, salbench, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert salbench("results", *words) == 2
    assert message in capsys.readouterr().err
