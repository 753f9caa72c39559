"""A small part of the campaign with large inputs, and that it sees what it looks for."""

import math
from dataclasses import replace

import load
import numpy as np
import pytest


def test_small_inputs_are_within_what_is_promised(capsys):
    assert load.main(["--scale", "0.0005", "--cases", "images,rows,table"]) == 0
    table = capsys.readouterr().out
    assert "| images | 50 images of 16 x 16 " in table
    assert table.count("\n") == 5


@pytest.mark.slow
def test_a_large_picture_is_refused():
    assert load.main(["--scale", "0.4", "--cases", "too large image"]) == 0


@pytest.mark.parametrize(("power", "fault"), [(1, ""), (2, "grows too fast")])
def test_growth(power, fault, monkeypatch):
    seconds = {size: (size / 1000) ** power * 8 for size in (250, 1000)}
    monkeypatch.setattr(load, "measured", lambda case, size, seed: load.Measured(seconds[size], 2**20, ""))
    case = load.Case(1000, "steps", load._images, lambda size: load.BASE)
    line, found = load._line(case, 1000, 0)
    assert (line[-1], found) == (f"{power:.1f}", fault)


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"promised": lambda size: 1}, "more memory than promised"),
        ({"status": 3}, "exit status 0"),
        ({"said": "nothing of the kind"}, "exit status 0"),
    ],
)
def test_faults(change, fault):
    case = load.Case(4, "lines", lambda place, size, rng: ("-c", "print('done')"), lambda size: load.BASE)
    assert load._line(case, 4, 0)[1] == ""
    assert load._line(replace(case, **change), 4, 0)[1].startswith(fault)


def test_memory_is_that_of_the_process():
    code = "x = bytearray(300 * 2**20)"
    case = load.Case(1, "", lambda place, size, rng: ("-c", code), lambda size: math.inf)
    assert 300 * 2**20 < load.measured(case, 1, 0).memory < 400 * 2**20


def test_inputs_are_seeded(tmp_path):
    for name in "ab":
        (tmp_path / name).mkdir()
        load._images(tmp_path / name, 5, np.random.default_rng(3))
    a, b = ((tmp_path / name / "set" / "fixations.csv").read_text() for name in "ab")
    assert a == b
    assert a.count("\n") == 26
