"""`salbench compare`: planned comparisons as text, CSV and a figure."""

import io

import numpy as np
import pandas
import pytest

from salbench.ablation import arms

PLAN = """
dataset = "osie"
method = "lite"
metric = "nss"
tests = ["osie_test"]

[[comparison]]
question = "Does mirroring help?"
arm = "hflip"
against = "none"
"""


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """The path of a plan; its arm is better by about 0.3."""
    rng = np.random.default_rng(0)
    scores = {arm: {"nss": shift + rng.normal(1, 0.1, (3, 40))} for arm, shift in (("none", 0.0), ("hflip", 0.3))}
    monkeypatch.setattr(arms, "read", lambda out, ablation, wanted: {"lite": scores})
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return path


def test_prints_answers_and_draws_them(plan, salbench, tmp_path, capsys):
    assert salbench("compare", plan) == 0
    assert "| Does mirroring help? | +0." in capsys.readouterr().out
    assert salbench("figure", "comparisons", "--plan", plan, "--out", tmp_path / "f.svg") == 0
    assert "Does mirroring help?" in (tmp_path / "f.svg").read_text()


def test_a_figure_needs_the_plan(salbench, capsys):
    assert salbench("figure", "comparisons") == 2
    assert "expected --plan FILE, got none" in capsys.readouterr().err


def test_csv(plan, salbench, capsys):
    assert salbench("compare", plan, "--csv") == 0
    (row,) = pandas.read_csv(io.StringIO(capsys.readouterr().out)).itertuples()
    assert (row.test, row.arm, row.against, row.seeds, row.images) == ("osie_test", "hflip", "none", 3, 40)
    assert row.low < 0.3 < row.high


def test_no_such_file(salbench, tmp_path, capsys):
    assert salbench("compare", tmp_path / "none.toml") == 2
    assert "expected a TOML file of planned comparisons" in capsys.readouterr().err
