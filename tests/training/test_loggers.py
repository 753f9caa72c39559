"""What a training writes after every epoch, read back by the readers of others."""

import csv
import sys

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from salbench import optional_packages
from salbench.training import loggers

HISTORY = [{"epoch": 1, "loss": 2.5, "nss": 0.25}, {"epoch": 2, "loss": 1.25, "nss": 0.75}]


def written(name, folder):
    """The files that a logger has written after two epochs."""
    log = loggers.named(name)
    for last in (1, 2):
        log(folder, HISTORY[:last])
    return sorted(path.relative_to(folder).parts[0] for path in folder.rglob("*") if path.is_file())


def test_csv(tmp_path):
    assert written("csv", tmp_path) == ["log.csv"]
    with open(tmp_path / "log.csv", newline="") as file:
        assert [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)] == HISTORY


def test_tensorboard(tmp_path):
    assert set(written("tensorboard", tmp_path)) == {"tensorboard"}
    names = [path.name for path in (tmp_path / "tensorboard").iterdir()]
    assert sorted(names) == ["events.out.tfevents.0000000001", "events.out.tfevents.0000000002"]  # no name of a host
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(events.Tags()["scalars"]) == {"epoch", "loss", "nss"}
    assert [(event.step, event.value) for event in events.Scalars("nss")] == [(1, 0.25), (2, 0.75)]


def test_none(tmp_path):
    assert written("none", tmp_path) == []


def test_an_unknown_name():
    with pytest.raises(ValueError, match="logger: expected one of none, csv, tensorboard, got 'wandb'"):
        loggers.named("wandb")


def test_tensorboard_that_is_not_installed(monkeypatch):
    for name in [name for name in sys.modules if name.startswith("torch.utils.tensorboard")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(ModuleNotFoundError) as caught:
        loggers.named("tensorboard")
    assert optional_packages.needs(caught.value).startswith("needs tensorboard: python -m pip install ")
