"""`salbench ablate`."""

import inspect

import pytest

from salbench.ablation import run


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
    words = "--augmentations hflip,vflip --seeds 1,2 --epochs 3 --batch-size 4 --p 0.25 --labels as_released"
    arguments = called("--dataset", "folder:x", *words.split(), "--workers", 2)
    runtime = arguments.pop("runtime")
    assert runtime.workers == 2
    assert arguments == {
        "name": "small",
        "dataset": "folder:x",
        "augmentations": ["hflip", "vflip"],
        "seeds": [1, 2],
        "out": tmp_path / "r",
        "checkpoints": tmp_path / "c",
        "root": None,
        "recipe": {"epochs": 3, "batch_size": 4},
        "p": 0.25,
        "labels": "as_released",
        "edit_sets": [],
        "edit_losses": [{"agreement": 1.0}],
    }
    printed = capsys.readouterr()
    assert printed.err == "failed: hflip, seed 1: no\n"
    assert "the table\n" in printed.out
    assert f"salbench table --ablation folder:x --out {tmp_path}/r --figure FILE" in printed.out


def test_by_default(called):
    arguments = called()
    assert (arguments["dataset"], arguments["seeds"], arguments["p"]) == ("osie", [0], None)
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
    figure = tmp_path / "ablation.png"
    table = "table", "--ablation", f"folder:{tmp_path}/mine", *out, "--figure", figure
    assert salbench(*table) == 0
    assert figure.stat().st_size > 1000
    assert capsys.readouterr().out.rstrip("\n") in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--dataset", "popout"], "expected one with splits"),
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


@pytest.mark.parametrize("p", ["2", "-0.1"])
def test_a_probability_is_from_0_to_1(p, salbench, capsys):
    with pytest.raises(SystemExit):
        salbench("ablate", "--methods", "lite", f"--p={p}")
    assert f"expected a probability from 0 to 1, got '{p}'" in capsys.readouterr().err
