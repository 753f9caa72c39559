"""Confidence intervals, paired differences, and correction for many comparisons."""

import numpy as np

N_RESAMPLES = 2000
_CHUNK = 100  # resamples at a time, so that memory grows with the number of images only


def bootstrap_means(values, weights, *, seed, level=0.95):
    """Weighted means of the columns of `values` with percentile bootstrap intervals over its rows (images).

    Args:
        values: (n, k); NaN means that a row says nothing about that column.
        weights: (n,) >= 0, e.g. ones, or the number of fixations of each image.
        seed: of the resampling; the same seed gives the same intervals.
        level: coverage.

    Returns:
        (mean, low, high), each (k,); NaN for a column without values.

    Reference: Efron, Tibshirani (1993), An Introduction to the Bootstrap, ch. 13.
    """
    known = np.isfinite(values)
    mass = known * np.asarray(weights, dtype=np.float64)[:, None]
    total = np.where(known, values, 0.0) * mass
    rng = np.random.default_rng(seed)
    n = len(values)
    means = []
    with np.errstate(invalid="ignore"):
        for _ in range(0, N_RESAMPLES, _CHUNK):
            picks = rng.integers(n, size=(_CHUNK, n)) + n * np.arange(_CHUNK)[:, None]
            counts = np.bincount(picks.ravel(), minlength=_CHUNK * n).reshape(_CHUNK, n)
            means.append((counts @ total) / (counts @ mass))
        mean = total.sum(0) / mass.sum(0)
    tail = (1 - level) / 2
    with np.errstate(all="ignore"):
        low, high = _nanquantile(np.concatenate(means), (tail, 1 - tail))
    return mean, low, high


def _nanquantile(samples, q):
    """Quantiles per column over the resamples that have a value; NaN (and no warning) for a column without."""
    out = np.full((len(q), samples.shape[1]), np.nan)
    for k, column in enumerate(samples.T):
        column = column[np.isfinite(column)]
        if len(column):
            out[:, k] = np.quantile(column, q)
    return out


def paired_difference(values, baseline, *, seed, level=0.95):
    """How much `values` differ from `baseline` on the same images, over repeated trainings of both.

    Args:
        values, baseline: (seeds, images) scores; image i is the same in both, the seeds are paired too.
        seed: of the resampling.
        level: coverage of the interval.

    Returns:
        (mean, low, high, p): the mean difference, its percentile bootstrap interval over images and seeds, and
        the two-sided p-value of no difference, twice the share of resampled differences on the other side of
        zero (at least 1 / N_RESAMPLES). Images without a value are left out.
    """
    difference = values - baseline
    difference = difference[:, np.isfinite(difference).all(0)]
    rng = np.random.default_rng(seed)
    n_seeds, n_images = difference.shape
    means = np.empty(N_RESAMPLES)
    for k in range(N_RESAMPLES):
        rows, columns = rng.integers(n_seeds, size=n_seeds), rng.integers(n_images, size=n_images)
        means[k] = difference[np.ix_(rows, columns)].mean()
    tail = (1 - level) / 2
    low, high = np.quantile(means, (tail, 1 - tail))
    p = 2 * min((means <= 0).mean(), (means >= 0).mean())
    return float(difference.mean()), float(low), float(high), float(min(1.0, max(p, 1 / N_RESAMPLES)))


def holm(p_values):
    """p-values corrected for their number by Holm's step-down method, in the given order.

    Reference: Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6(2).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    corrected = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    out = np.empty_like(corrected)
    out[order] = corrected
    return out
