"""A type of edit that is only a row of the table can be asked for, measured, and shown."""

import re

import pytest
from numpy.testing import assert_allclose
from studies import MASK, chequers, predicted

from salbench import edits
from salbench.edits import EDIT_TYPES, EditType, NewEdit, Writer
from salbench.study import figures, report


@pytest.fixture(autouse=True)
def blueness(monkeypatch):
    blue = EditType(
        "blueness", (0.5, 3.0), neutral=0.0, is_factor=True, unit="mean blue",
        measure=lambda pixels, original: float(pixels[:, 2].mean()), definition="mean of blue, 0 to 255",
    )  # fmt: skip
    monkeypatch.setitem(EDIT_TYPES, "blueness", blue)


@pytest.fixture
def study(tmp_path):
    writer = Writer(tmp_path / "set", {})
    for k in range(2):
        made = []
        for strength in (0.5, 3.0):
            image = chequers(1, k)
            image[..., 2] = 100 + 10 * strength
            made.append(NewEdit("blueness", strength, strength, 1, image))
        writer.add(f"s{k}", chequers(1, k), {"blueness": MASK}, made)
    return predicted(tmp_path / "set", ["uniform"])


def test_can_be_asked_for():
    assert edits.wanted("blueness,contrast") == {"blueness": [0.5, 3.0], "contrast": [1.2, 1.5, 2.0]}
    with pytest.raises(ValueError, match="does not change blueness"):
        edits.wanted("blueness", [0.0])
    with pytest.raises(ValueError, match="expected 0 or more for blueness"):
        edits.wanted("blueness", [-1.0])
    with pytest.raises(ValueError, match="expected one or more of contrast, brightness, color, blueness"):
        edits.wanted("hue")


def test_is_measured(study):
    """Before: a chequerboard of 128 +- amplitude, whose mean inside is 128."""
    assert [m.values["blueness (mean blue)"] for m in study.edits] == [(128, 105), (128, 130)] * 2
    assert study.trends()["blueness"]["blueness (mean blue)"] == pytest.approx((1, 1, 1, 2))


def test_edits_that_an_earlier_study_could_not_measure_are_predicted(study, monkeypatch):
    folder = study.edit_set.originals["s0"].args[0].parents[1]
    for k in range(2):
        made = [NewEdit("contrast", 2.0, 2.0, 1, chequers(2, k)), NewEdit("blueness", 3.0, 3.0, 1, chequers(1, k))]
        Writer(folder, {}).add(f"s{k}", chequers(1, k), {"contrast": MASK, "blueness": MASK}, made)
    with monkeypatch.context() as without:
        without.delitem(EDIT_TYPES, "blueness")
        assert "got 'blueness'" in predicted(folder, ["uniform"]).left_out["s0_blueness_3"]
    again = predicted(folder, ["uniform"])
    assert [m.edit.type for m in again.edits] == ["blueness", "contrast"] * 2
    assert all("uniform" in m.values for m in again.edits)


def test_is_in_tables(study):
    text = report.predicted_table(study)
    assert re.search(r"\| blueness \| 3 +\| blueness \(mean blue\) \| 2 +\| 128\.0000 +\| 130\.0000", text)
    assert "- blueness (mean blue): mean of blue, 0 to 255.\n" in text
    header, *rows = report.predicted_rows(study)
    assert [dict(zip(header, row, strict=True))["after"] for row in rows] == [105, 130] * 2


def test_is_in_figures(study):
    left, right = figures.predicted_figure(study).axes
    assert left.get_ylabel() == "change of blueness\n(mean blue)"
    line = next(line for line in left.get_lines() if line.get_label() == "blueness (mean blue)")
    assert_allclose(line.get_xydata(), [(0, 0), (0.5, -23), (3, 2)])
    assert [line.get_label() for line in right.get_lines() if len(line.get_xdata()) == 3] == ["uniform"]
