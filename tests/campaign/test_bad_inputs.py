"""A short part of the campaign of damaged inputs, and what its judge must find."""

import json

import pytest
from bad_inputs import CANARY, Base, Campaign, Case, cases, changed, harm, judged, table
from forked import Ended
from inputs import KINDS
from server import Server

SHORT = list(cases(len(KINDS), seed=2))[::2]  # one case of every second kind: neighbours are read by the same code
BY_NAME = {kind.name: kind for kind in KINDS}


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    with Server() as server:
        yield Campaign(server, tmp_path_factory.mktemp("campaign"))


def test_no_damaged_input_is_a_fault(campaign):
    outcomes = [campaign.run(case) for case in SHORT]
    faults = [(o.case.number, o.case.kind.name, o.case.mutation.name, o.fault) for o in outcomes if o.fault]
    assert not faults, "see one: python tests/campaign/bad_inputs.py --seed 2 --case NUMBER"
    assert {outcome.what for outcome in outcomes} == {"refused clearly", "recorded", "right"}
    assert table(outcomes).splitlines()[-1].startswith(f"| all | {len(SHORT)} |")


def test_a_case_is_the_same_again():
    def drawn(seed):
        return [(case.kind.name, case.mutation.name, case.rng.random()) for case in cases(20, seed)]

    assert drawn(0) == drawn(0) != drawn(1)


@pytest.fixture
def judge(tmp_path):
    """A function of how a command ended: the fault that is found for a damaged fixations.csv."""
    kind = BY_NAME["fixations: table"]
    base = Base(tmp_path, lambda: {"a.csv\n0\nauc": 0.5})

    def fault(status, errors="", found=None, same=False):
        mutation = next(each for each in kind.every if each.same == same)
        target = tmp_path / "set" / "fixations.csv"
        return judged(Ended(status, "", errors), base, found or {}, Case(0, kind, mutation, None), target)[1]

    return fault


@pytest.mark.parametrize(
    ("status", "errors", "fault"),
    [
        (None, "", "no end"),
        (-11, "", "killed by signal 11"),
        (1, "Traceback (most recent call last):\n", "traceback"),
        (2, "", "exit status 2 without an error"),
        (2, "error: bad", "an error that does not name the file"),
        (2, "error: set/fixations.csv: bad", "an error without a remedy"),
        (2, "error: set/fixations.csv: expected\na\nb\n", "an error of 3 lines"),
        (2, "error: set/fixations.csv: expected x, got y; save it again\n", ""),
        (1, "", "exit status 1 without a word on the file"),
        (1, "failed mine: fixations: no\n", ""),
    ],
)
def test_what_the_judge_says_of_an_end(judge, status, errors, fault):
    assert judge(status, errors) == fault


@pytest.mark.parametrize(
    ("found", "same", "fault"),
    [
        ({"a.csv\n0\nauc": 0.5}, True, ""),
        ({"a.csv\n0\nauc": 0.6}, False, ""),
        ({"a.csv\n0\nauc": 1.5}, False, "a result of 1.5 for auc, row 0"),
        ({"a.csv\n0\nauc": float("nan")}, False, "a result of nan for auc, row 0"),
        ({"a.csv\n0\nauc": 0.6}, True, "another score than that of the whole file: 'a.csv\\n0\\nauc'"),
        ({}, True, "other results than those of the whole file"),
    ],
)
def test_what_the_judge_says_of_a_result(judge, found, same, fault):
    assert judge(0, found=found, same=same) == fault


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("out/a/b.csv", ""),
        ("in/set/a.png", "an input was changed: in/set/a.png"),
        ("in/new", "a file outside --out: in/new"),
        (f"out/{CANARY}", "code was executed"),
    ],
)
def test_what_a_command_must_not_do(name, fault):
    before = {"in/set/a.png": "1"}
    assert harm(changed(before, before | {name: "2"}), before, BY_NAME["fixations: table"]) == fault


class TestServer:
    def test_ends_as_a_command_that_was_started(self, campaign, tmp_path):
        ended = campaign.server.run(["list", "metrics", "--json"], tmp_path)
        assert ended.status == 0
        assert "auc" in json.dumps(json.loads(ended.output))
        assert campaign.server.run(["list", "--nonsense"], tmp_path).status == 2

    def test_limits(self, campaign, tmp_path):
        assert campaign.server.run(["run", "--limit", "1"], tmp_path, seconds=0).status is None
        little = campaign.server.run(["run", "--limit", "1"], tmp_path, memory=1)
        assert little.status not in (0, None)  # where memory ends decides how: mostly in one line
