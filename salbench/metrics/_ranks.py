"""Counts of pixels and of negatives at thresholds: what the AUC family is made of, and its arithmetic."""

from dataclasses import dataclass

import numpy as np
from numba import njit

from salbench.metrics._kernels import LARGEST_SUM, distinct, rank, unscale


@dataclass(frozen=True)
class Population:
    """Counts of one kind of negatives (all pixels, or other images' fixations) at rising thresholds.

    Attributes:
        below, at: int64, one entry per threshold.
        total: count of all.
    """

    below: np.ndarray
    at: np.ndarray
    total: int


class Ranks:
    """Pixels and other images' fixations below and at the fixated values and at some levels, counted in one pass.

    Args:
        values: 1-D map with minimum `low` and maximum `high` > `low`.
        fixated: float64, the values of the fixated pixels.
        weights: int32, other images' fixations on each pixel.
        levels: thresholds on the scale from 0 (minimum) to 1 (maximum).

    Attributes:
        scaled: `fixated` on the scale from 0 to 1.
        pixels, negatives: `Population` of all pixels and of other images' fixations.
    """

    def __init__(
        self,
        values: np.ndarray,
        low: float,
        high: float,
        fixated: np.ndarray,
        weights: np.ndarray,
        levels: np.ndarray,
    ) -> None:
        span = high - low
        self.fixated, self.scaled = fixated, (fixated - low) / span
        used = distinct(np.sort(np.concatenate([self.scaled, levels, [1.0]])))
        # Level 0 is passed by all, and comparing with it takes long if many pixels share the minimum.
        self._levels = used[1:] if used[0] == 0 else used
        self._unscaled = unscale(self._levels, low, span)
        self._thresholds = distinct(np.sort(np.concatenate([fixated, self._unscaled])))
        below, at, weight_below, weight_at, weight = rank(values, weights, self._thresholds, low, high)
        if weight > LARGEST_SUM:
            raise ValueError(f"negatives: expected at most {LARGEST_SUM} fixations in total, got {weight}")
        self.pixels = Population(below, at, values.size)
        self.negatives = Population(weight_below, weight_at, weight)

    def exact_area(self, count: np.ndarray, population: Population) -> float:
        """P(fixated > other) + P(tie) / 2 over all pairs, each fixated pixel weighted by its count."""
        return _exact_area(self._thresholds, self.fixated, count, population.below, population.at, population.total)

    def stepped_area(self, count: np.ndarray, population: Population, levels: np.ndarray) -> float:
        """ROC area with thresholds at falling `levels`.

        The area is linear in the false-positive rate, so counting every negative once gives exactly the expectation
        of the MIT code's averages over random draws of negatives.
        """
        hits = _hit_rate(self.scaled, count, levels)
        return joined_area(hits, self.at_least(levels, population) / population.total)

    def unfixated_above(self) -> np.ndarray:
        """Expected number of unfixated pixels above each fixated one, highest first, if ties are broken at random.

        Of f fixated and n unfixated pixels of one value, every order is equally likely. So each unfixated pixel falls
        into any of the f + 1 gaps between the fixated ones with equal probability, and k n / (f + 1) of them are
        expected above the k-th. The ROC area is linear in these numbers, so theirs is the expectation of the area.
        """
        values, f = np.unique(self.fixated, return_counts=True)
        values, f = values[::-1], f[::-1]
        at = np.searchsorted(self._thresholds, values)
        n = self.pixels.at[at] - f
        fixated_above = np.cumsum(f) - f
        above = self.pixels.total - self.pixels.below[at] - self.pixels.at[at] - fixated_above
        k = np.arange(1, self.fixated.size + 1) - np.repeat(fixated_above, f)
        return np.repeat(above, f) + k * np.repeat(n / (f + 1), f)

    def at_least(self, levels: np.ndarray, population: Population) -> np.ndarray:
        """How many of a population are at or above each level; `levels` are of those that were counted at."""
        return _at_least(levels, self._levels, self._unscaled, self._thresholds, population.below, population.total)


def steps(step: float) -> np.ndarray:
    """Falling levels ..., 2 step, step, 0 within [0, 1].

    Raises:
        ValueError: `step` is outside 0 < step <= 1.
    """
    if not 0 < step <= 1:
        raise ValueError(f"step: expected a distance of thresholds above 0 and at most 1, got {step}")
    return step * np.arange(int(1 / step + 1e-9), -1, -1)


@njit(nogil=True, cache=True)
def joined_area(hit_rate: np.ndarray, false_positive_rate: np.ndarray) -> float:
    """Trapezoid area through (0, 0), the given rising rates, and (1, 1)."""
    area = height = position = 0.0
    for i in range(hit_rate.size):
        area += (false_positive_rate[i] - position) * (hit_rate[i] + height)
        height, position = hit_rate[i], false_positive_rate[i]
    return (area + (1 - position) * (1 + height)) / 2


@njit(nogil=True, cache=True)
def _at_least(levels, used, unscaled, thresholds, below, total):
    k = np.searchsorted(thresholds, unscaled[np.searchsorted(used, levels)])
    out = np.empty(levels.size, np.int64)
    for i in range(levels.size):
        out[i] = total - below[k[i]] if levels[i] > 0 else total
    return out


@njit(nogil=True, cache=True)
def _exact_area(thresholds, fixated, count, below, at, total):
    k = np.searchsorted(thresholds, fixated)
    halves = (count * (2 * below[k] + at[k])).sum()
    return halves / (2.0 * count.sum() * total)


@njit(nogil=True, cache=True)
def _hit_rate(scaled, count, levels):
    """Share of fixations at or above each level."""
    hits = np.zeros(levels.size)
    for i in range(levels.size):
        for j in range(scaled.size):
            hits[i] += count[j] * (scaled[j] >= levels[i])
    return hits / count.sum()
