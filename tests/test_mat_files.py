"""MATLAB files: what SciPy wrote is read as SciPy reads it, and no damage crashes the process."""

import contextlib
import io

import numpy as np
import pytest
import scipy.io
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st

from salbench.mat_files import read_variables

NUMBERS = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
CELLS = np.empty((1, 2), object)
CELLS[0] = NUMBERS, "abc"
VARIABLES = {
    "integers": NUMBERS,
    "floats": NUMBERS / 7,
    "complex": NUMBERS * 1j,
    "text": "hello",
    "cells": CELLS,
    "structure": {"x": NUMBERS, "deeper": {"y": 1.5, "text": "hi"}},
    "records": np.array([(1, 2.5), (3, 4.5)], dtype=[("a", int), ("b", float)]),
    "sparse": scipy.sparse.csc_matrix(NUMBERS.astype(float)),
}


def mat(variables, **options):
    buffer = io.BytesIO()
    scipy.io.savemat(buffer, variables, **options)
    return buffer.getvalue()


FILES = {name: mat({name: value}) for name, value in VARIABLES.items()}
FILES["compressed"] = mat(VARIABLES, do_compression=True)
FILES["version 4"] = mat({"floats": NUMBERS / 7, "text": "hello"}, format="4")


@pytest.mark.parametrize("name", FILES)
def test_variables_are_those_that_scipy_reads(name):
    expected = scipy.io.loadmat(io.BytesIO(FILES[name]))
    got = read_variables(FILES[name])
    assert list(got) == [key for key in expected if not key.startswith("__")]
    for key, value in got.items():
        assert str(value) == str(expected[key])


def test_only_the_variables_asked_for():
    assert list(read_variables(FILES["compressed"], ["text", "cells"])) == ["text", "cells"]


INNER = FILES["structure"].index(b"\x06\0\0\0\x08\0\0\0", 144)  # where the matrix of the first field tells its class


def damaged(name, *changes):
    content = bytearray(FILES[name])
    for position, value in changes:
        content[position] = value
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "message"),
    [  # each of the first four crashes scipy.io.loadmat
        (damaged("integers", (184, 50)), "expected a known type of data, got type 50"),
        (damaged("integers", (184, 14)), "expected 1 elements of numbers in a matrix of class 9"),
        (damaged("structure", (INNER + 9, 8)), "expected 2 elements of numbers in a matrix of class 9"),
        (damaged("text", (156, 0)), "at least two dimensions|elements of numbers"),
        (FILES["integers"][:190], "the file ends inside an element"),
        (damaged("integers", (136, 5)), "does not begin with its class"),
        (damaged("structure", (162, 99)), r"at most \d+ elements in a matrix of \d+ bytes, got .* \(6488065, 1\)"),
    ],
)
def test_what_is_damaged_is_said(content, message):
    with pytest.raises(ValueError, match=message):
        read_variables(content)


@pytest.mark.parametrize("name", FILES)
@settings(max_examples=50, deadline=None)
@given(
    changes=st.lists(st.tuples(st.integers(124, 600), st.sampled_from([0, 1, 5, 8, 14, 15, 50, 255])), max_size=4),
    length=st.none() | st.integers(0, 600),
)
def test_no_damage_crashes_the_process(name, changes, length):
    content = damaged(name, *((at, value) for at, value in changes if at < len(FILES[name])))
    with contextlib.suppress(Exception):
        assert isinstance(read_variables(content[:length]), dict)
