"""Confidence intervals."""

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
