"""Intervals hold the true difference as often as they say, for seeds and images that vary as in committed ablations."""

import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
import scipy.stats

from salbench.stats import random_effects_difference

RESULTS = Path(__file__).resolve().parents[2] / "results"
REPLICATIONS = 1500  # coverage of 0.95 has a standard error of 0.0056, and the window is 0.02 to either side
WINDOW = 0.93, 0.97


def committed(folder, method, metric):
    """(arms, seeds, images) differences to the arm without augmentation in a committed ablation."""
    scores = defaultdict(list)
    for path in sorted((RESULTS / folder).glob(f"{method}+*.csv")):
        arm, _, _ = path.stem.rpartition("-seed")
        with open(path, encoding="utf-8", newline="") as file:
            scores[arm].append([float(row[metric]) for row in csv.DictReader(file)])
    baseline = np.array(scores.pop(f"{method}+none"))
    return np.array([np.array(arm) - baseline for arm in scores.values()])


def spreads(differences):
    """Standard deviations of the effects of seeds, images and their interaction, estimated from all arms together.

    Uses the expected variances: of the means over images a² + e² / I, of the means over seeds b² + e² / S, and of a
    difference between two seeds on the same image 2 e² (apart from the difference between the seeds' means).
    """
    _, n_seeds, n_images = differences.shape
    centred = differences - differences.mean(2, keepdims=True)
    interaction = centred.var(1, ddof=1).sum(1).mean() / (n_images - 1)
    seeds = differences.mean(2).var(1, ddof=1).mean() - interaction / n_images
    images = differences.mean(1).var(1, ddof=1).mean() - interaction / n_seeds
    return np.sqrt(np.maximum([seeds, images, interaction], 0))


def simulated(rng, n, n_seeds, spread, images=None, interactions=None, n_images=200):
    """(n, seeds, images) differences without a true difference.

    Args:
        rng: random generator.
        n: number of replications.
        n_seeds: number of seeds.
        spread: standard deviations of the effects of seeds, images and their interaction.
        images: values to draw the effects of images from; otherwise normal.
        interactions: values to draw the interactions from; otherwise normal.
        n_images: number of images.
    """

    def draw(values, shape):
        if values is None:
            return rng.standard_normal(shape)
        return rng.choice((values - values.mean()) / values.std(), shape)

    seeds = rng.standard_normal((n, n_seeds, 1))
    images, interactions = draw(images, (n, 1, n_images)), draw(interactions, (n, n_seeds, n_images))
    return spread[0] * seeds + spread[1] * images + spread[2] * interactions


def compared(differences):
    """The comparison of each replication with zero."""
    baseline = np.zeros(differences.shape[1:])
    return [random_effects_difference(one, baseline) for one in differences]


def check(differences):
    """95 % intervals hold zero, and p-values are below 0.05, about as often as they should. Returns the p-values."""
    found = compared(differences)
    coverage = np.mean([one.low <= 0 <= one.high for one in found])
    rejection = np.mean([one.p < 0.05 for one in found])
    assert WINDOW[0] <= coverage <= WINDOW[1]
    assert 0.03 <= rejection <= 0.07
    return np.array([one.p for one in found])


def nested_coverage(differences, rng, resamples=1000):
    """Share of the percentile intervals that hold zero if seeds and images are resampled independently."""
    _, n_seeds, n_images = differences.shape
    seeds = rng.multinomial(n_seeds, np.full(n_seeds, 1 / n_seeds), resamples) / n_seeds
    images = rng.multinomial(n_images, np.full(n_images, 1 / n_images), resamples) / n_images
    means = sum(seeds[:, s, None] * (images @ differences[:, s].T) for s in range(n_seeds))
    low, high = np.quantile(means, (0.025, 0.975), axis=0)
    return np.mean((low <= 0) & (high >= 0))


def squared_errors(differences):
    """(n,) parts of the squared error of each mean due to seeds, images and their interaction; and their df."""
    _, n_seeds, n_images = differences.shape
    seeds, images = differences.mean(2, keepdims=True), differences.mean(1, keepdims=True)
    rest = differences - seeds - images + differences.mean((1, 2), keepdims=True)
    df = n_seeds - 1, n_images - 1, (n_seeds - 1) * (n_images - 1)
    sums = (seeds - seeds.mean(1, keepdims=True)) ** 2, (images - images.mean(2, keepdims=True)) ** 2, rest**2
    sizes = n_seeds, n_images, n_seeds * n_images
    return [x.sum((1, 2)) / d / size for x, d, size in zip(sums, df, sizes, strict=True)], df


def satterthwaite_p_values(differences):
    """P-values by Student's t with Satterthwaite's degrees of freedom."""
    (seeds, images, rest), (of_seeds, of_images, of_rest) = squared_errors(differences)
    total = seeds + np.maximum(images - rest, 0)
    df = total**2 / (seeds**2 / of_seeds + images**2 / of_images + rest**2 / of_rest)
    return 2 * scipy.stats.t.sf(np.abs(differences.mean((1, 2))) / np.sqrt(total), np.maximum(df, 1))


COMMITTED = {
    "diffusion_readout with edits": ("osie+augsal_contrast100_ablation", "diffusion_readout", "nss"),
    "lite with edits": ("osie+augsal_contrast100_ablation", "lite", "nss"),
    "lite, NSS": ("osie_ablation", "lite", "nss"),
    "lite, KL": ("osie_ablation", "lite", "kl"),
}


def test_spreads_are_estimated_without_bias():
    rng = np.random.default_rng(0)
    found = spreads(simulated(rng, 4000, 3, (0.2, 0.5, 1.0)))
    np.testing.assert_allclose(found, (0.2, 0.5, 1.0), rtol=0.02)


@pytest.mark.parametrize("case", COMMITTED)
def test_effects_drawn_from_committed_ablations(case):
    """Effects of images and interactions have the real spreads and shapes, which are not normal."""
    differences = committed(*COMMITTED[case])
    images = differences.mean(1, keepdims=True)
    interactions = differences - images - differences.mean(2, keepdims=True) + differences.mean((1, 2), keepdims=True)
    simulation = simulated(
        np.random.default_rng(2), REPLICATIONS, differences.shape[1], spreads(differences),
        (images - images.mean(2, keepdims=True)).ravel(), interactions.ravel(),
    )  # fmt: skip
    check(simulation)


@pytest.mark.parametrize("n_seeds", [2, 3, 5])
def test_seeds_dominate(n_seeds):
    """Nested resampling fails the same check on the same data."""
    rng = np.random.default_rng(n_seeds)
    simulation = simulated(rng, REPLICATIONS, n_seeds, (1.0, 1.0, 1.0))
    check(simulation)
    assert nested_coverage(simulation[:1000], rng) < WINDOW[0]


def test_nested_resampling_covers_too_often_if_seeds_do_not_vary():
    rng = np.random.default_rng(0)
    simulation = simulated(rng, 1000, 3, (0.0, 0.5, 1.0))
    assert nested_coverage(simulation, rng) > WINDOW[1]


def test_one_seed():
    check(simulated(np.random.default_rng(0), REPLICATIONS, 1, (0.0, 1.0, 1.0)))


@pytest.mark.parametrize("n_images", [6, 30])
def test_few_images(n_images):
    check(simulated(np.random.default_rng(0), REPLICATIONS, 3, (0.3, 1.0, 1.0), n_images=n_images))


@pytest.mark.parametrize("n_seeds", [2, 3])
def test_satterthwaite_fails_with_few_seeds(n_seeds):
    """Its intervals are too short, and its small p-values are many times too small."""
    simulation = simulated(np.random.default_rng(0), REPLICATIONS, n_seeds, (0.3, 1.0, 1.0))
    ours, theirs = check(simulation), satterthwaite_p_values(simulation)
    assert np.mean(theirs >= 0.05) < WINDOW[0]
    assert np.mean(theirs < 0.005) > 4 * 0.005
    assert np.mean(ours < 0.005) < 3 * 0.005


def test_intervals_are_too_long_if_the_seeds_part_is_raised_to_the_interaction():
    simulation = simulated(np.random.default_rng(0), REPLICATIONS, 3, (0.0, 0.5, 1.0))
    check(simulation)
    (seeds, images, rest), df = squared_errors(simulation)
    seeds, images = np.maximum(seeds, rest), np.maximum(images - rest, 0)
    of_seeds, of_images = scipy.stats.t.ppf(0.975, df[:2])
    critical = (seeds * of_seeds + images * of_images) / (seeds + images)
    assert np.mean(np.abs(simulation.mean((1, 2))) <= critical * np.sqrt(seeds + images)) > WINDOW[1]


@pytest.mark.parametrize(("of_seeds", "of_images"), [(0.3, 0.3), (0.0, 1.0), (1.0, 0.1)])
def test_detectable_differences_are_found_with_the_power_asked_for(of_seeds, of_images):
    """The true difference is the mean of what the experiments say they can detect."""
    rng = np.random.default_rng(3)

    def experiment(shift):
        seeds, images = rng.normal(0, of_seeds, (5, 1)), rng.normal(0, of_images, (1, 60))
        return random_effects_difference(shift + seeds + images + rng.normal(0, 0.5, (5, 60)), np.zeros((5, 60)))

    size = np.mean([experiment(0.0).detectable for _ in range(500)])
    assert 0.75 < np.mean([experiment(size).p < 0.05 for _ in range(1000)]) < 0.85
