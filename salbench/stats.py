"""Confidence intervals, paired comparisons, and correction for multiple comparisons."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

N_RESAMPLES = 2000
_CHUNK = 100  # resamples per batch; bounds the memory


def bootstrap_means(
    values: np.ndarray, weights: ArrayLike, *, seed: int, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Compute the weighted mean of each column of `values`, with percentile bootstrap intervals over rows (images).

    Args:
        values: (n, k); NaN means no value.
        weights: (n,) >= 0, e.g. ones, or the number of fixations on each image.
        seed: random seed for the resampling.
        level: coverage of the intervals.

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
    """Quantiles of each column over its finite values; NaN, without a warning, if it has none."""
    out = np.full((len(q), samples.shape[1]), np.nan)
    for k, column in enumerate(samples.T):
        column = column[np.isfinite(column)]
        if len(column):
            out[:, k] = np.quantile(column, q)
    return out


def paired_difference(
    values: np.ndarray, baseline: np.ndarray, *, seed: int, level: float = 0.95
) -> tuple[float, float, float, float]:
    """Compare two sets of scores on the same images, each from several trainings.

    Args:
        values: (seeds, images) scores. Images without a finite value are left out.
        baseline: (seeds, images) scores, paired with `values` by image and by training seed.
        seed: random seed for the resampling.
        level: coverage of the interval.

    Returns:
        (mean, low, high, p): the mean of values - baseline, its percentile bootstrap interval over images and seeds,
        and the two-sided p-value of no difference: twice the share of resampled differences on the other side of
        zero, at least 1 / N_RESAMPLES.
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
    """Change of a quantity measured twice on the same images; see `paired_change`.

    Attributes:
        n: number of images.
        before: mean of the first measurement.
        after: mean of the second measurement.
        mean: mean change.
        low: lower end of its 95 % bootstrap interval over images.
        high: upper end of that interval.
        t: statistic of the paired t-test with n - 1 degrees of freedom.
        p_t: its two-sided p-value.
        p_wilcoxon: two-sided p-value of the Wilcoxon signed-rank test.
        d_z: mean change divided by its standard deviation over images (with n - 1).
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


def paired_change(before: ArrayLike, after: ArrayLike, *, seed: int) -> PairedChange:
    """Compare two measurements of the same images.

    If all images change by the same amount, t, p_t and d_z are NaN. If no image changes, p_wilcoxon is NaN as well.

    Args:
        before: (n,) finite, one value per image.
        after: (n,) finite, for the same images in the same order.
        seed: random seed for the bootstrap.

    Raises:
        ValueError: fewer than two images, arrays of different lengths, or non-finite values.

    Reference for d_z: Cohen (1988), Statistical Power Analysis for the Behavioral Sciences, section 2.3.5.
    """
    from scipy.stats import ttest_rel, wilcoxon  # imported here because it takes half a second

    before, after = np.asarray(before, dtype=np.float64), np.asarray(after, dtype=np.float64)
    if before.ndim != 1 or before.shape != after.shape or len(before) < 2:
        raise ValueError(
            f"expected two measurements of the same two or more images, got shapes {before.shape} and {after.shape}"
        )
    difference = after - before
    if not np.isfinite(difference).all():
        raise ValueError(
            f"expected finite values, got NaN or infinity for {int((~np.isfinite(difference)).sum())} images"
        )
    mean, low, high = (float(x[0]) for x in bootstrap_means(difference[:, None], np.ones(len(before)), seed=seed))
    t = p_t = p_wilcoxon = d_z = np.nan
    if np.ptp(difference) > 1e-12 * np.abs(difference).max():  # a smaller spread is rounding
        t, p_t = ttest_rel(after, before)
        d_z = mean / difference.std(ddof=1)
    if difference.any():
        p_wilcoxon = wilcoxon(difference).pvalue
    return PairedChange(
        len(before), float(before.mean()), float(after.mean()), mean, low, high,
        float(t), float(p_t), float(p_wilcoxon), float(d_z),
    )  # fmt: skip


def holm(p_values: ArrayLike) -> np.ndarray:
    """Correct p-values for multiple comparisons by Holm's step-down method; returns them in the given order.

    Reference: Holm (1979), A simple sequentially rejective multiple test procedure, Scand. J. Statist. 6(2).
    """
    p = np.asarray(p_values, dtype=np.float64)
    order = np.argsort(p)
    corrected = np.minimum(1.0, np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1)))
    out = np.empty_like(corrected)
    out[order] = corrected
    return out
