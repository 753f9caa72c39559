"""`salbench speed`."""

import pytest

from salbench.speed import machine, methods, metrics, sizes


def test_metrics_by_default(salbench, monkeypatch, capsys):
    monkeypatch.setattr(metrics, "report", lambda: "the report")
    assert salbench("speed") == 0
    assert capsys.readouterr().out == "the report\n"


def test_networks(network, salbench, monkeypatch, capsys):
    monkeypatch.setattr(machine, "in_fresh_process", lambda function, *words: function(*words))
    monkeypatch.setattr(methods, "SIZE", (24, 32))
    speed = "speed", "--methods", "small,uniform", "--init", "random", "--methods-dir", network
    assert salbench(*speed) == 0
    printed = capsys.readouterr().out
    assert "| small+random-init " in printed
    assert "skipped uniform: is not a network" in printed


@pytest.mark.slow
def test_methods_without_a_network(salbench, capsys):
    assert salbench("speed", "--methods", "uniform,center_bias") == 0
    printed = capsys.readouterr().out
    (row,) = [line.split("|") for line in printed.splitlines() if line.startswith("| uniform ")]
    assert float(row[2]) > 0  # images per second
    assert (row[3].strip(), row[7].strip()) == ("–", "–")  # nothing is outside a network
    assert "skipped center_bias: is fitted on the data set of a run" in printed


def test_the_runtime_is_handed_down(network, salbench, monkeypatch, tmp_path):
    calls = []
    monkeypatch.setattr(methods, "report", lambda *words: calls.append(words) or ("the report", 1))
    speed = "speed", "--methods", "small", "--methods-dir", network, "--weights-root", tmp_path
    assert salbench(*speed) == 0
    ((specs, runtime, methods_dir),) = calls
    assert (specs, runtime.weights_root, methods_dir) == (["small"], tmp_path, network)


def test_a_size_is_handed_down(salbench, monkeypatch, capsys):
    calls = []
    monkeypatch.setattr(sizes, "report", lambda *words: calls.append(words) or ("the report", 1))
    assert salbench("speed", "--methods", "diffusion_readout", "--size", "full") == 0
    ((specs, size, runtime, methods_dir),) = calls
    assert (specs, size, runtime.device, methods_dir) == (["diffusion_readout"], "full", "cpu", None)
    assert capsys.readouterr().out == "the report\n"


@pytest.mark.parametrize(("method", "size", "reason"), [
    ("uniform", "full", "has no other size than its own; leave out --size"),
    ("diffusion_readout", "half", "unknown size 'half'. Known: full"),
])  # fmt: skip
def test_a_size_that_a_method_does_not_have(method, size, reason, salbench, capsys):
    assert salbench("speed", "--methods", method, "--size", size) == 1
    assert f"skipped {method}: {reason}" in capsys.readouterr().out


@pytest.mark.parametrize("option", [("--init", "random"), ("--backbone", "X")])
def test_a_size_brings_its_own_weights(option, salbench, capsys):
    assert salbench("speed", "--methods", "diffusion_readout", "--size", "full", *option) == 2
    assert f"error: --size and {option[0]}: expected one of them, got both" in capsys.readouterr().err


def test_nothing_timed_is_no_success(salbench):
    assert salbench("speed", "--methods", "uniform", "--init", "random") == 1


@pytest.mark.parametrize(
    "option",
    [
        ("--size", "full"),
        ("--init", "random"),
        ("--device", "cuda"),
        ("--weights-root", "X"),
        ("--backbone", "X"),
        ("--methods-dir", "X"),
    ],
)
def test_options_of_networks_need_networks(option, salbench, capsys):
    assert salbench("speed", *option) == 2
    assert f"error: {option[0]} requires --methods" in capsys.readouterr().err
