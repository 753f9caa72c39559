"""Linear correlation of the prediction with the ground-truth density."""

from collections.abc import Sequence
from math import nan, sqrt

import numpy as np
from numba import njit

from salbench.metrics._kernels import SUMS, above
from salbench.metrics._metric import Metric
from salbench.metrics._pair import Pair

FEWEST_OBSERVERS = 6  # with fewer, the noise ceiling is so low that good predictions pass it


def cc(prediction: np.ndarray, density: np.ndarray) -> float:
    """Pearson's correlation coefficient over pixels. Higher is better.

    Args:
        prediction: (H, W) map of finite values.
        density: (H, W) ground truth, >= 0, of any scale.

    Returns:
        In [-1, 1]; 0 if either map is constant; NaN for a density of zeros (no ground truth).

    Raises:
        ValueError: NaN, different shapes, or a negative density.

    Reference: Jost et al. (2005), CVIU 100; CC.m of the MIT Saliency Benchmark.
    """
    return _cc(Pair.of(prediction, density=density))


def _cc(pair):
    p, q = pair.density_map, pair.density
    if q.is_zero:
        return nan
    if p.is_constant or q.is_constant:
        return 0.0
    return _products(p.values, q.values, p.low, q.low, p.mean_above, q.mean_above) / sqrt(p.squares) / sqrt(q.squares)


@njit(nogil=True, cache=True, fastmath=SUMS)
def _products(p, q, p_low, q_low, p_mean, q_mean):
    """Sum of products of the differences from the means; `*_mean` are means above `*_low`."""
    total = 0.0
    for i in range(p.size):
        total += (above(p[i], p_low) - p_mean) * (above(q[i], q_low) - q_mean)
    return total


def noise_ceiling(densities: Sequence[np.ndarray]) -> float:
    """CC that the best possible prediction is expected to have against the density of all these observers.

    Their density is the true one plus noise, because they are few. Its reliability r is its expected correlation with
    the density of as many other observers. The true density correlates with it by sqrt(r), and nothing by more.

    r is estimated as Cronbach's alpha: n / (n - 1) * (1 - sum of the observers' variances / variance of their sum),
    over pixels. That is the mean of the split-half reliabilities, corrected to all n observers, over all ways to split
    the observers into halves. The result is a little low: on simulated observers by 0.005 where it is 0.9, and by up
    to 0.05 where it is 0.7.

    Args:
        densities: (n, H, W), of each observer; sums to the number of the observer's fixations.

    Returns:
        In [0, 1]; NaN for fewer than 6 observers or densities that are constant.

    Reference: Cronbach (1951), Psychometrika 16; Spearman (1904), American Journal of Psychology 15.
    """
    n = len(densities)
    if n < FEWEST_OBSERVERS or not (varying := float(np.var(sum(densities)))):
        return nan
    reliability = n / (n - 1) * (1 - sum(float(np.var(density)) for density in densities) / varying)
    return sqrt(max(reliability, 0.0))


CC = Metric(
    fn=cc,
    of_pair=_cc,
    needs=("density",),
    higher_is_better=True,
    bounds=(-1, 1),
    unit="",
    reference="MIT CC.m; pysaliency CC",
    noise_ceiling=noise_ceiling,
)
