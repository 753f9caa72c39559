"""`salbench ablate`."""

import inspect

import pytest

from salbench.ablation import run
from salbench.ablation.splits import Ablation


@pytest.fixture
def called(network, monkeypatch, salbench, tmp_path):
    """A function of further words: the arguments that `ablate` was called with, without training anything."""
    signature, calls = inspect.signature(run.ablate), []

    def record(*args, **kwargs):
        calls.append(signature.bind(*args, **kwargs).arguments)
        return [run.Failure("hflip", 1, "no")]

    monkeypatch.setattr(run, "ablate", record)
    monkeypatch.setattr("salbench.ablation.report.table", lambda *_: "the table")

    def ablate(*words):
        out = "--out", tmp_path / "r", "--checkpoints", tmp_path / "c"
        assert salbench("ablate", "--methods-dir", network, "--methods", "small", *out, *words) == 1
        (arguments,) = calls
        return arguments

    return ablate


def test_what_is_compared(called, capsys, tmp_path):
    words = "--augmentations hflip,vflip --seeds 1,2 --epochs 3 --batch-size 4 --p 0.25,0.75 --labels as_released"
    arguments = called("--dataset", "folder:x", *words.split(), "--workers", 2)
    runtime = arguments.pop("runtime")
    assert runtime.workers == 2
    assert arguments == {
        "name": "small",
        "ablation": Ablation("folder:x"),
        "augmentations": ["hflip", "vflip"],
        "seeds": [1, 2],
        "out": tmp_path / "r",
        "checkpoints": tmp_path / "c",
        "root": None,
        "recipe": {"epochs": 3, "batch_size": 4},
        "p": [0.25, 0.75],
        "labels": "as_released",
        "edit_sets": [],
        "edit_losses": [{"agreement": 1.0}],
        "start": None,
    }
    printed = capsys.readouterr()
    assert printed.err == "failed: hflip, seed 1: no\n"
    assert "the table\n" in printed.out
    assert f"salbench table --ablation folder:x --protocol tuebingen --out {tmp_path}/r\n" in printed.out
    assert f"salbench figure ablation --datasets folder:x --protocol tuebingen --results {tmp_path}/r\n" in printed.out


def test_how_it_is_scored(called, capsys, tmp_path):
    arguments = called("--dataset", "osie", "--test", "nus_scene", "--protocol", "augsal")
    assert arguments["ablation"] == Ablation("osie", "nus_scene", "augsal")
    printed = capsys.readouterr().out
    assert f"table --ablation osie --test nus_scene --protocol augsal --out {tmp_path}/r\n" in printed


def test_by_default(called):
    arguments = called()
    assert (arguments["ablation"], arguments["seeds"], arguments["p"]) == (Ablation("osie"), [0], [None])
    assert arguments["ablation"].protocol == "tuebingen"
    assert len(arguments["augmentations"]) == 12
    assert arguments["recipe"] == {}


@pytest.mark.slow
def test_from_pictures_to_a_figure(network, write_data_set, salbench, tmp_path, capsys):
    for split, names, seed in (("train", "abcdefgh", 1), ("test", "ijk", 2)):
        write_data_set(tmp_path / f"mine_{split}", names, seed)
    out = "--out", tmp_path / "r"
    ablate = "ablate", "--methods-dir", network, "--methods", "small", "--dataset", f"folder:{tmp_path}/mine"
    assert salbench(*ablate, "--augmentations", "hflip", *out, "--checkpoints", tmp_path / "c") == 0
    printed = capsys.readouterr().out
    assert "| hflip " in printed
    assert salbench("table", "--ablation", f"folder:{tmp_path}/mine", *out) == 0
    assert capsys.readouterr().out.rstrip("\n") in printed
    drawn = "figure", "ablation", "--datasets", f"folder:{tmp_path}/mine", "--results", tmp_path / "r"
    assert salbench(*drawn, "--out", tmp_path / "ablation.png") == 0
    assert (tmp_path / "ablation.png").stat().st_size > 1000


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "popout"], "expected a data set with splits to train and to test on"),
        (["--protocol", "mti"], "protocol: expected one of"),
        (["--edit-losses", "kl=1"], "--edit-losses requires --augmentations edits:DIR"),
        (["--mode", "copies", "--p", "0.5"], "--p requires --mode replace"),
        (["--methods", "center_bias"], "center_bias is fitted in every run"),
        (["--augmentations", "hflop"], "Did you mean 'hflip'"),
    ],
)
def test_errors(words, message, network, salbench, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert salbench("ablate", "--methods-dir", network, "--methods", "small", *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("p", ["2", "-0.1", "0.5,2", "0.5,"])
def test_a_probability_is_from_0_to_1(p, salbench, capsys):
    with pytest.raises(SystemExit):
        salbench("ablate", "--methods", "lite", f"--p={p}")
    assert f"expected a probability from 0 to 1, got '{p.rpartition(',')[2]}'" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "p"), [(["--mode", "replace"], [0.5]), (["--p", "0.25,0.5"], [0.25, 0.5])])
def test_how_often_the_original_is_shown(words, p, called):
    assert called(*words)["p"] == p
