"""Planned comparisons, of scores whose true differences are known."""

import numpy as np
import pytest

from salbench import plots
from salbench.ablation import arms, comparisons
from salbench.ablation.splits import AblationProblem
from salbench.stats import holm, random_effects_difference

PLAN = """
dataset = "osie"
method = "lite"
metric = "{metric}"
tests = ["one", "two"]

[[comparison]]
question = "Does mirroring help?"
arm = "hflip"
against = "none"

[[comparison]]
question = "Is it better than noise?"
arm = "hflip"
against = "noise"
"""


def scores(shift, seed):
    rng = np.random.default_rng([seed, 7])
    return {name: rng.normal(1, 0.1, (3, 40)) + shift for name in ("nss", "kl")}


@pytest.fixture
def by_test():
    """{test: {arm: scores}}: mirroring helps by 0.3 on the first data set, and by nothing on the second."""
    return {
        test: {"none": scores(0, i), "hflip": scores(shift, 10 + i), "noise": scores(0, 20 + i)}
        for i, (test, shift) in enumerate((("one", 0.3), ("two", 0.0)))
    }


@pytest.fixture
def planned(tmp_path, monkeypatch, by_test):
    """A function of a metric: the plan, whose arms are `by_test`."""
    monkeypatch.setattr(arms, "read", lambda out, ablation, wanted: {"lite": by_test[ablation.test]})

    def write(metric="nss"):
        path = tmp_path / "plan.toml"
        path.write_text(PLAN.format(metric=metric))
        return comparisons.read(path)

    return write


def test_each_answer_is_the_paired_difference(planned, by_test):
    answers = comparisons.answer("out", planned())
    assert list(answers) == ["one", "two"]
    first = answers["one"][0].difference
    assert first == random_effects_difference(by_test["one"]["hflip"]["nss"], by_test["one"]["none"]["nss"])
    assert first.low < 0.3 < first.high
    second = answers["two"][1].difference
    assert second == random_effects_difference(by_test["two"]["hflip"]["nss"], by_test["two"]["noise"]["nss"])


def test_holm_is_over_all_comparisons_and_data_sets(planned):
    answers = [one for each in comparisons.answer("out", planned()).values() for one in each]
    np.testing.assert_allclose([one.p for one in answers], holm([one.difference.p for one in answers]))


def test_the_table_prints_them(planned):
    plan = planned()
    text = comparisons.table(plan, comparisons.answer("out", plan))
    assert "lite trained on osie, tested on one (40 images x 3 seeds)" in text
    assert "| question " in text
    assert "nss ↑" in text
    (row,) = [line for line in text.split("tested on two")[0].splitlines() if "Does mirroring help?" in line]
    assert "+0.298 [" in row
    assert "**0.00" in row
    assert "all 4 planned comparisons" in text


def test_the_frame_has_a_row_for_each(planned, by_test):
    plan = planned("kl")
    frame = comparisons.frame(plan, comparisons.answer("out", plan))
    assert list(frame["test"]) == ["one", "one", "two", "two"]
    assert list(frame["arm"]) == ["hflip"] * 4
    strict = random_effects_difference(by_test["two"]["hflip"]["kl"], by_test["two"]["noise"]["kl"], level=1 - 0.05 / 4)
    assert frame["detectable"].iloc[-1] == strict.detectable


@pytest.mark.parametrize(("metric", "turned"), [("nss", False), ("kl", True)])
def test_the_figure_puts_better_to_the_right(metric, turned, planned):
    drawing = plots.comparisons("out", planned(metric))
    assert [panel.get_title() for panel in drawing.axes] == ["one\n40 images", "two\n40 images"]
    for panel in drawing.axes:
        low, high = panel.get_xlim()
        assert bool(low > high) is turned


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('metric = "nss"', 'metric = "speed"', "metric: expected one of auc, .* got 'speed'"),
        ('against = "none"', "", "expected dataset, method, metric, tests, protocol and, for each"),
        ('tests = ["one", "two"]', "tests = []", "at least one comparison and one test"),
        ('tests = ["one", "two"]', 'tests = ["one", "two"]\nseeds = 3', "got other content .*seeds"),
        ('dataset = "osie"', "dataset = osie", "expected a TOML file"),
    ],
)
def test_bad_files(old, new, message, tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(PLAN.format(metric="nss").replace(old, new, 1))
    with pytest.raises(AblationProblem, match=message):
        comparisons.read(path)


def test_a_missing_file_and_a_missing_arm(planned, tmp_path, monkeypatch):
    plan = planned()
    with pytest.raises(AblationProblem, match="expected a TOML file"):
        comparisons.read(tmp_path / "none.toml")
    monkeypatch.setattr(arms, "read", lambda out, ablation, wanted: {"another": {}})
    with pytest.raises(AblationProblem, match="all arms of lite that are compared, hflip, noise, none; make them with"):
        comparisons.answer("out", plan)
