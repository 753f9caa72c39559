"""The ROC arithmetic that the AUC family shares: exact ranks, and stepped thresholds, both with counts."""

import numpy as np


def trapezoid(height, position):
    """Area under `height` over `position` by straight lines."""
    return float((np.diff(position) * (height[1:] + height[:-1])).sum() / 2)


def exact_area(positive, positive_count, negative, negative_count):
    """P(positive > negative) + P(tie) / 2 over all pairs, each value weighted by its count.

    All arguments are 1-D; counts are whole numbers with positive sums. Sorting dominates: O(n log n).
    """
    order = np.argsort(negative)
    below = np.concatenate([[0], np.cumsum(negative_count[order])])
    values = negative[order]
    less = below[np.searchsorted(values, positive, "left")]
    less_or_tied = below[np.searchsorted(values, positive, "right")]
    return float((positive_count * (less + less_or_tied)).sum() / (2.0 * positive_count.sum() * below[-1]))


def steps(step):
    """Falling thresholds ..., 2 step, step, 0 on a map scaled to [0, 1]. Raises `ValueError` outside 0 < step <= 1."""
    if not 0 < step <= 1:
        raise ValueError(f"step: expected a distance of thresholds above 0 and at most 1, got {step}")
    return step * np.arange(int(1 / step + 1e-9), -1, -1)


def stepped_area(positive, positive_count, negative, negative_count, step):
    """ROC area with thresholds at multiples of `step`, on values scaled to [0, 1].

    The area is linear in the false-positive rate, so counting every negative once gives exactly the
    expectation of the MIT code's averages over random draws of negatives.
    """
    thresholds = steps(step)
    return joined_area(
        _share_at_least(positive, positive_count, thresholds), _share_at_least(negative, negative_count, thresholds)
    )


def joined_area(hit_rate, false_positive_rate):
    """Trapezoid area through (0, 0), the given rising rates, and (1, 1)."""
    return trapezoid(np.concatenate([[0], hit_rate, [1]]), np.concatenate([[0], false_positive_rate, [1]]))


def _share_at_least(values, counts, thresholds):
    order = np.argsort(values)
    at_least = np.concatenate([np.cumsum(counts[order][::-1])[::-1], [0]])
    return at_least[np.searchsorted(values[order], thresholds, "left")] / at_least[0]


def judd_area(at_least, n_pixels):
    """Area of AUC_Judd.m from `at_least`: pixels >= each fixated value, in falling order of those values."""
    rank = np.arange(1, len(at_least) + 1)
    return joined_area(rank / len(at_least), (at_least - rank) / (n_pixels - len(at_least)))
