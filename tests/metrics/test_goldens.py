"""The metrics against the MATLAB code of the MIT Saliency Benchmark, as run in GNU Octave (see goldens/README.md)."""

import csv
import importlib.util
from functools import reduce
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from slow import SLOW

from salbench.metrics import auc_borji, auc_judd, cc, ig, kl, nss, sauc, sim

HERE = Path(__file__).parent
SHARED = HERE.parents[1] / ".." / "shared"

# By the letters of the arrays in the goldens: prediction S, fixations F, density D, others' fixations O, baseline B.
MIT = {
    "auc_judd": lambda case: auc_judd(case["S"], case["F"]),
    "auc_borji": lambda case: auc_borji(case["S"], case["F"]),
    "sauc": lambda case: sauc(case["S"], case["F"], negatives=case["O"], step=0.1),
    "nss": lambda case: nss(case["S"], case["F"], ddof=1),
    "cc": lambda case: cc(case["S"], case["D"]),
    "kl": lambda case: kl(case["S"], case["D"]),
    "sim": lambda case: sim(case["S"], case["D"]),
    "ig": lambda case: ig(case["S"], case["F"], baseline=case["B"]),
}
# What the MIT code cannot answer; salbench answers by its definition (test_where_the_mit_code_has_no_answer).
DECIDED_OTHERWISE = {("negative", "kl"), ("single_fixation", "auc_borji")}
# Means over random draws of negatives scatter around our expectation: by 2.4e-3 at most over 500 draws, by 1.3e-3
# over 4000, except for one or two fixations, because a draw has as many negatives as there are fixations.
SCATTER = {"auc_borji_mc4000": 1.3e-3, "sauc_mc4000": 1.3e-3, "auc_borji_mc500": 2.5e-3, "sauc_mc500": 2.5e-3}
FEW_NEGATIVES = {("single_fixation", "sauc_mc4000"): 6e-3, ("two_fixations", "sauc_mc4000"): 2e-3}


def _table(path):
    with open(path, newline="") as file:
        return {row.pop("case"): {name: float(value) for name, value in row.items()} for row in csv.DictReader(file)}


SMALL = _table(HERE / "goldens" / "metrics_small.csv")


@pytest.fixture(scope="module")
def small():
    with np.load(HERE / "goldens" / "metrics_small.npz") as arrays:
        return {case: _binary({k: arrays[f"{case}/{k}"] for k in "SFDOB"}) for case in SMALL}


def _binary(case):
    return case | {k: (case[k] > 0).astype(int) for k in "FO"}


def _tolerance(case, column, value):
    if column in SCATTER:
        return FEW_NEGATIVES.get((case, column), SCATTER[column])
    if (case, column) == ("tiny_range", "nss"):
        # The map varies by 1e-6 around 0.5, and the MATLAB code subtracts the mean at once, which leaves it ten
        # digits: -0.01175470036. In exact rational arithmetic the value is -0.0117547005575, as ours.
        return 1e-9
    return max(1e-9 * abs(value), 1e-12)


def _judd_with_ties_broken(arrays, *, worse):
    """AUC_Judd with each fixated pixel losing, or winning, against all pixels within four ulp.

    In a centred Gaussian four mirrored pixels tie but for the last bits of NumPy's exp, which depend on the CPU.
    """
    fixated, shift = arrays["F"] > 0, 4 * np.spacing(arrays["S"])
    return auc_judd(np.where(fixated, arrays["S"] + (-shift if worse else shift), arrays["S"]), arrays["F"])


def _check(case, golden, arrays):
    for column, value in golden.items():
        metric = column.split("_mc")[0]
        if case.endswith("_center") and metric == "auc_judd":
            assert _judd_with_ties_broken(arrays, worse=True) <= value <= _judd_with_ties_broken(arrays, worse=False)
        elif (case, metric) not in DECIDED_OTHERWISE:
            assert MIT[metric](arrays) == pytest.approx(value, abs=_tolerance(case, column, value), rel=0), column


@pytest.mark.parametrize("case", SMALL)
def test_small_cases(small, case):
    assert {column.split("_mc")[0] for column in SMALL[case]} == set(MIT)
    _check(case, SMALL[case], small[case])


def test_nss_of_a_tiny_range_is_the_exact_value(small):
    assert MIT["nss"](small["tiny_range"]) == pytest.approx(-0.0117547005575, rel=1e-11)


def test_where_the_mit_code_has_no_answer(small):
    assert SMALL["negative"]["kl"] < 0  # no divergence is
    arrays = small["negative"]
    value = kl(arrays["S"], arrays["D"])
    assert value == pytest.approx(SLOW["kl"](arrays["S"], arrays["D"]), rel=1e-12)
    assert value == kl(arrays["S"].astype(float) - float(arrays["S"].min()), arrays["D"])

    assert np.isnan(SMALL["single_fixation"]["auc_borji_mc4000"])
    arrays = small["single_fixation"]
    value = auc_borji(arrays["S"], arrays["F"])
    assert value == pytest.approx(SLOW["auc_borji"](arrays["S"], arrays["F"]), rel=1e-12)
    assert 0 < value < 1


@pytest.mark.data
@pytest.mark.skipif(not (SHARED / "goldens").is_dir(), reason=f"needs the OSIE goldens in {SHARED / 'goldens'}")
@pytest.mark.skipif(not (SHARED / "data" / "OSIE").is_dir(), reason=f"needs OSIE in {SHARED / 'data'}")
def test_osie_cases():
    """Four predictions on each of three photographs."""
    spec = importlib.util.spec_from_file_location("osie_inputs", SHARED / "goldens" / "osie_inputs.py")
    inputs = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(inputs)
    one_by_one = {"sum": lambda maps, axis: reduce(np.add, maps)}  # the same whole numbers; np.sum joins 2.7 GB first
    inputs.np = SimpleNamespace(**vars(np) | one_by_one)
    goldens = _table(SHARED / "goldens" / "metrics_osie.csv")
    assert {int(case.partition("_")[0]) for case in goldens} == set(inputs.IMAGES)
    inputs.IMAGES = inputs.IMAGES[::2]
    cases = {case for case in goldens if int(case.partition("_")[0]) in inputs.IMAGES}
    for case, arrays in inputs.cases(SHARED / "data" / "OSIE"):
        _check(case, goldens[case], _binary(arrays))
        cases.remove(case)
    assert not cases
