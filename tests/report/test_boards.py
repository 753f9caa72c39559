"""The numbers of the pages are those of the tables."""

import csv
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from salbench import matrix, results, tables
from salbench.ablation import report as ablation_report
from salbench.ablation.splits import Ablation
from salbench.report import ablations, boards, generalisation, studies
from salbench.report.names import Names
from salbench.stats import random_effects_difference

COMMITTED = Path(__file__).resolve().parents[2] / "results"
NUMBER = ".3f"


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text)))


@pytest.fixture(scope="module")
def board():
    (found,) = boards.read(COMMITTED, Names(), ["osie_test"])
    return found


def test_a_leaderboard_is_the_table(board):
    rows = rows_of(tables.dataset_table(COMMITTED, "osie_test", "csv"))
    lines = [line for group in board.lines().values() for line in group]
    assert len(lines) == len(rows) > 20
    for line, row in zip(lines, rows, strict=True):
        assert row["method"].partition(" ")[0] == line.name
        for name in board.metrics:
            value = line.values[name]
            assert ("" if value is None else repr(value.mean)) == row[name]
            if value:
                low, high = float(row[f"{name}_low"]), float(row[f"{name}_high"])
                assert value.half == format((high - low) / 2, NUMBER)
                assert value.low <= value.middle <= value.high


def test_the_scale_of_bars_spans_the_ranked_rows(board):
    lines = {line.name: line for group in board.lines().values() for line in group}
    ranked = [line.values["auc"] for line in board.lines()["ranked"] if line.name != "uniform"]
    assert (min(value.low for value in ranked), max(value.high for value in ranked)) == (0, 100)
    assert lines["uniform"].values["auc"].high == 0  # the same AUC on all images
    assert lines["inter_observer"].values["auc"].middle == 100  # not ranked
    assert lines["lite"].values["auc"].high - lines["lite"].values["auc"].low > 5


def test_bold_are_the_cells_that_the_table_prints_bold(board):
    printed = tables.dataset_table(COMMITTED, "osie_test").splitlines()
    for line in board.lines()["ranked"]:
        (row,) = (each for each in printed if each.startswith(f"| {line.name} "))
        cells = [cell.strip() for cell in row.strip("|").split("|")][1:]
        assert [bool(value and value.is_best) for value in line.values.values()] == ["**" in cell for cell in cells]


def test_notes_are_those_of_the_table(board):
    assert board.notes()[0].startswith("±: half the width")
    assert set(board.notes()) <= set(tables.dataset_table(COMMITTED, "osie_test").replace("- ", "").splitlines())


def test_ceilings_and_what_was_trained_on_stand_beside_the_names(board):
    badges = {line.name: [badge.kind for badge in line.badges] for group in board.lines().values() for line in group}
    assert badges["inter_observer"] == ["ceiling"]
    assert badges["gaze_lite"] == ["trained"]
    assert badges["uniform"] == []
    assert [line.name for line in board.lines()["not ranked"]] == ["inter_observer"]


def test_pairs_are_paired_differences(board):
    scores = board.scores()
    pairs = board.pairs(scores)
    names = list(itertools.combinations(board.methods, 2))
    assert len(pairs) == len(names)
    place = names.index(("gaze_lite", "center_bias"))
    both = [results.read_scores(COMMITTED, "osie_test", label)["nss"].to_numpy()[None] for label in names[place]]
    expected = random_effects_difference(*both)
    assert pairs[place]["nss"] == pytest.approx([expected.mean, expected.low, expected.high, expected.p, 200], rel=1e-4)


def test_data_can_be_written_as_json(board):
    found = json.loads(json.dumps(boards.data(board), allow_nan=False))
    assert found["ids"][:2] == ["1001", "1002"]
    k = board.methods.index("lite")
    scores = results.read_scores(COMMITTED, "osie_test", "lite")["ig"]
    np.testing.assert_allclose(found["scores"]["ig"][k], scores, rtol=1e-4)


@pytest.fixture
def with_claims(tmp_path):
    """A result on salicon_val by the protocol of the paper's table 1, and a network that was trained on its images."""
    for label, seen in (("tempsal", 0), ("tempsal+seen", 7)):
        content = json.loads((COMMITTED / "osie_test" / "lite.json").read_text())
        content["identity"] |= {"method": label, "dataset": "salicon_val", "protocol": "lsun17"}
        content["n_seen"] = seen
        place = results.paths(tmp_path, "salicon_val", label)
        place.json.parent.mkdir(exist_ok=True)
        place.json.write_text(json.dumps(content))
        place.csv.write_text((COMMITTED / "osie_test" / "lite.csv").read_text())
    return tmp_path


def test_claims_stand_beside_what_was_measured(with_claims):
    (board,) = boards.read(with_claims, Names())
    lines = board.lines()
    (tempsal,) = lines["ranked"]
    assert tempsal.values["kl"].claimed == "0.195"  # table 1 of the paper
    assert tempsal.values["auc"].claimed == ""
    claimed = {line.name: line.values["nss"].text for line in lines["claimed"]}
    assert claimed["DINet"] == "1.974"
    assert "TempSAL" not in claimed
    assert [line.name for line in lines["not ranked"]] == ["tempsal+seen"]


def test_the_matrix_is_that_of_the_command():
    found = boards.read(COMMITTED, Names(), ["osie_test", "salicon2015_examples"])
    made = generalisation._matrix(COMMITTED, ["osie_test", "salicon2015_examples"], "ig", "tuebingen")
    rows = rows_of(matrix.table(COMMITTED, ["osie_test", "salicon2015_examples"], "ig", style="csv"))
    assert [line.name for line in made.lines] == [row["method"] for row in rows]
    for line, row in zip(made.lines, rows, strict=True):
        for dataset, cell in line.cells.items():
            assert ("" if cell is None else repr(cell.value.mean)) == row[dataset]
    assert len(found) == 2
    lite = next(line for line in made.lines if line.name == "lite")
    assert (lite.cells["osie_test"].is_seen, lite.cells["salicon2015_examples"].is_seen) == (True, False)
    assert lite.cells["osie_test"].explained == "50%"


def test_an_ablation_is_that_of_the_command(tmp_path):
    (tmp_path / "osie_ablation").symlink_to(COMMITTED / "osie_ablation")
    (page,) = ablations.read(tmp_path, Names(), [])
    rows = {row["method"]: row for row in rows_of(ablation_report.table(COMMITTED, Ablation("osie"), "csv"))}
    for forest in page.forests:
        assert {bar.name for bar in forest.bars} == set(rows)
        for bar in forest.bars:
            row, name = rows[bar.name], forest.metric
            expected = [row[name], row[f"{name}_low"], row[f"{name}_high"]]
            assert [repr(value) for value in (bar.mean, bar.low, bar.high)] == expected
            assert bar.is_sure == (float(row[f"{name}_p"]) < 0.05)
            assert bar.at_low <= bar.at_mean <= bar.at_high


def test_an_incomplete_ablation_is_told(tmp_path):
    folder = tmp_path / "osie_ablation"
    folder.mkdir()
    for suffix in (".json", ".csv"):
        name = f"lite+none-seed0{suffix}"
        (folder / name).write_bytes((COMMITTED / "osie_ablation" / name).read_bytes())
    left_out = []
    assert ablations.read(tmp_path, Names(), left_out) == []
    assert "expected an arm without augmentation and one with" in left_out[0]


@pytest.mark.parametrize("name", ["study_augsal", "study_small_backbone"])
def test_a_study_is_its_table(name):
    page = next(page for page in studies.read(COMMITTED, Names()) if page.title == name)
    assert len(page.changes) > 5
    for type, strength, quantity, change in page.changes:
        numbers = f"{change.mean:+.4f} [{change.low:+.4f}, {change.high:+.4f}]".replace("-0.0000", "+0.0000")
        row = next(
            line for line in page.text.splitlines()
            if [cell.strip() for cell in line.split("|")[1:4]] == [type, strength, quantity]
        )  # fmt: skip
        assert f"{change.before:.4f}" in row
        assert numbers in row
