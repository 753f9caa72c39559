"""Intervals of mean slopes hold the true slope as often as they say, and 5 % of the p-values are below 0.05."""

import numpy as np
import pytest
import scipy.stats

from salbench.stats import CrossedDesign, mean_slope

WINDOW = 0.93, 0.97


def check(slopes):
    """Slopes that are zero on average. Any other mean slope would shift estimates and intervals alike."""
    coverage = np.mean([one.low <= 0 <= one.high for one in slopes])
    assert WINDOW[0] <= coverage <= WINDOW[1]
    assert 0.03 <= np.mean([one.p < 0.05 for one in slopes]) <= 0.07
    means = [one.mean for one in slopes]
    assert abs(np.mean(means)) < 4 * np.std(means) / np.sqrt(len(slopes))


def curves(rng, n_images, spread, noise, *, complete):
    """Strengths and values of images whose slopes vary. Incomplete: edits that are weakened or dropped."""
    for _ in range(n_images):
        x = np.array([1.3, 1.6, 2.0])
        if not complete:
            x = (1 + (x - 1) * rng.uniform(0.4, 1))[: rng.integers(2, 4)]
        yield x, rng.normal(0.2, 0.1) + rng.normal(0, spread) * x + rng.normal(0, noise, len(x))


@pytest.mark.parametrize(
    ("complete", "n_images", "spread", "noise"),
    [(True, 6, 0.05, 0.02), (False, 8, 0.1, 0.02), (False, 12, 0.05, 0.02), (False, 14, 0.0, 0.02)],
)
def test_slopes_of_images(complete, n_images, spread, noise):
    rng = np.random.default_rng(n_images)
    check([mean_slope(list(curves(rng, n_images, spread, noise, complete=complete))) for _ in range(500)])


def latin(n_participants, n_images, kept, strengths=(0.0, 1.0, 2.0, 3.0)):
    """x, participants and images of trials: four versions that rotate, of which those in `kept` count."""
    participants, images = (a.ravel() for a in np.indices((n_participants, n_images)))
    version = (participants + np.random.default_rng(0).permutation(n_images)[images]) % 4
    shown = np.isin(version, kept) & (np.random.default_rng(1).random(len(version)) > 0.03)  # some trials are lost
    return np.array(strengths)[version[shown]], participants[shown], images[shown]


def trials(rng, x, participants, images, spreads):
    """Values with random intercepts, and with slopes whose SD over participants and images is `spreads`."""

    def effect(spread, groups):
        return rng.normal(0, spread, groups.max() + 1)[groups]

    slopes = effect(spreads[0], participants) + effect(spreads[1], images)
    return effect(0.1, participants) + effect(0.2, images) + slopes * x + rng.normal(0, 0.15, len(x))


CASES = {  # participants, images, versions that count, SD of the slope over participants and over images
    "as in the paper": (8, 50, (0, 3), (0.02, 0.05)),
    "nobody differs": (8, 50, (0, 3), (0.0, 0.0)),
    "participants differ": (8, 50, (1, 2, 3), (0.1, 0.0)),
    "images differ": (20, 50, (1, 2, 3), (0.0, 0.1)),
    "both differ": (20, 50, (0, 3), (0.05, 0.05)),
    "few images": (12, 10, (0, 3), (0.05, 0.05)),
}


@pytest.mark.parametrize("case", CASES)
def test_slopes_of_participants_and_images(case):
    n_participants, n_images, kept, spreads = CASES[case]
    x, *groups = latin(n_participants, n_images, kept)
    design, rng = CrossedDesign(x, *groups), np.random.default_rng(5)
    check([design.slope(trials(rng, x, *groups, spreads)) for _ in range(800)])


def test_everybody_sees_every_version():
    participants, images, x = (a.ravel() for a in np.indices((8, 12, 4)))
    lost = np.random.default_rng(0).random(len(x)) < 0.05
    x, participants, images = 1.0 * x[~lost], participants[~lost], images[~lost]
    design, rng = CrossedDesign(x, participants, images), np.random.default_rng(1)
    pairs = np.unique(participants * 12 + images, return_inverse=True)[1]

    def values():
        return trials(rng, x, participants, images, (0.02, 0.05)) + rng.normal(0, 0.2, pairs.max() + 1)[pairs]

    check([design.slope(values()) for _ in range(600)])


def test_a_test_over_images_alone_finds_what_is_not_there():
    """It takes the participants for granted."""
    x, participants, images = latin(8, 50, (0, 3))
    rng, cells = np.random.default_rng(2), 2 * images + (x > 0)
    sizes = np.bincount(cells)
    values = (trials(rng, x, participants, images, (0.1, 0.0)) for _ in range(300))
    means = np.array([np.bincount(cells, y) / sizes for y in values]).reshape(300, 50, 2)
    assert np.mean(scipy.stats.ttest_rel(means[..., 0], means[..., 1], axis=1).pvalue < 0.05) > 0.3
