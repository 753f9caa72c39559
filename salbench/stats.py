"""Confidence intervals, paired differences, and correction for many comparisons."""

from dataclasses import dataclass

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


@dataclass(frozen=True)
class PairedChange:
    """How a quantity changed on the same images; see `paired_change`.

    Attributes:
        n: number of images. before, after: means.
        mean, low, high: mean change and its 95 % bootstrap interval over images.
        t, p_t: of the paired t-test, two-sided, with n - 1 degrees of freedom.
        p_wilcoxon: of the Wilcoxon signed-rank test, two-sided.
        d_z: mean change in units of its standard deviation over images (n - 1).
    """

    n: int
    before: float
    after: float
    mean: float
    low: float
    high: float
    t: float
    p_t: float
    p_wilcoxon: float
    d_z: float


def paired_change(before, after, *, seed):
    """Compare two measurements of the same images.

    Where all images change alike, t, its p-value and d_z are NaN; where none changes, Wilcoxon's p-value is NaN too.

    Args:
        before, after: (n,) finite; entry i is of the same image in both.
        seed: of the bootstrap.

    Returns:
        A `PairedChange`.

    Raises:
        ValueError: fewer than two images, arrays of different lengths, or values that are not finite.

    Reference for d_z: Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, section 2.3.5.
    """
    from scipy.stats import ttest_rel, wilcoxon  # half a second that no other use of this module has to pay

    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if before.ndim != 1 or before.shape != after.shape or len(before) < 2:
        raise ValueError(f"expected the same two or more images twice, got shapes {before.shape} and {after.shape}")
    difference = after - before
    if not np.isfinite(difference).all():
        raise ValueError(f"expected finite values, got others for {int((~np.isfinite(difference)).sum())} images")
    mean, low, high = (float(x[0]) for x in bootstrap_means(difference[:, None], np.ones(len(before)), seed=seed))
    t = p_t = p_wilcoxon = d_z = np.nan
    if np.ptp(difference) > 1e-12 * np.abs(difference).max():  # else the spread is rounding
        t, p_t = ttest_rel(after, before)
        d_z = mean / difference.std(ddof=1)
    if difference.any():
        p_wilcoxon = wilcoxon(difference).pvalue
    return PairedChange(
        len(before), float(before.mean()), float(after.mean()), mean, low, high,
        float(t), float(p_t), float(p_wilcoxon), float(d_z),
    )  # fmt: skip


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
