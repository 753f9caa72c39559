"""Linear correlation of the prediction with the ground-truth density."""

from math import nan, sqrt

import numpy as np
from numba import njit

from salbench.metrics._kernels import SUMS, above
from salbench.metrics._metric import Metric
from salbench.metrics._pair import Pair


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


CC = Metric(
    fn=cc,
    of_pair=_cc,
    needs=("density",),
    higher_is_better=True,
    bounds=(-1, 1),
    unit="",
    reference="MIT CC.m; pysaliency CC",
)
