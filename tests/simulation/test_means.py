"""Intervals of a mean hold the truth as often as they say, for images drawn from committed scores."""

import csv
from pathlib import Path

import numpy as np
import pytest

from salbench.stats import bootstrap_means

FOLDER = Path(__file__).resolve().parents[2] / "results" / "osie_test"
REPLICATIONS = 2000  # coverage of 0.95 has a standard error of 0.0049, a quarter of the window to either side
WINDOW = 0.93, 0.97
COLUMNS = [("lite", "kl"), ("lite", "auc")]  # the most skewed of all columns: 1.4 and -1.3


def scores(method, metric):
    with open(FOLDER / f"{method}.csv", encoding="utf-8", newline="") as file:
        return np.array([float(row[metric]) for row in csv.DictReader(file)])


def drawn(population, n, rng):
    """(n, REPLICATIONS): in each column, `n` images drawn from the population."""
    return rng.choice(population, (n, REPLICATIONS))


def share_holding(truth, low, high):
    return np.mean((low <= truth) & (truth <= high))


@pytest.mark.parametrize("n", [8, 30, 200])
@pytest.mark.parametrize("column", COLUMNS, ids="-".join)
def test_coverage(column, n):
    population = scores(*column)
    values = drawn(population, n, np.random.default_rng(n))
    _, low, high = bootstrap_means(values, np.ones(n), seed=0)
    assert WINDOW[0] <= share_holding(population.mean(), low, high) <= WINDOW[1]


@pytest.mark.parametrize("n", [12, 60])
def test_coverage_of_weighted_means(n):
    """The weights of images are drawn with their scores and are related to them."""
    population = scores("lite", "nss")
    weights = 5 + np.argsort(np.argsort(population + np.random.default_rng(1).normal(0, 1, len(population)))) / 10
    truth = np.average(population, weights=weights)
    rng, hits = np.random.default_rng(2), 0
    for trial in range(400):
        picked = rng.integers(len(population), size=n)
        _, low, high = bootstrap_means(population[picked, None], weights[picked], seed=trial)
        hits += low[0] <= truth <= high[0]
    assert hits >= WINDOW[0] * 400


def test_percentile_intervals_are_too_short_for_few_images():
    population = scores("lite", "kl")
    rng = np.random.default_rng(12)
    values = drawn(population, 12, rng)
    counts = rng.multinomial(12, np.full(12, 1 / 12), 2000) / 12
    low, high = np.quantile(counts @ values, (0.025, 0.975), axis=0)
    assert share_holding(population.mean(), low, high) < WINDOW[0]
