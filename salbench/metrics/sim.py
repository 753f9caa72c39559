"""Similarity: the overlap of the prediction and the ground-truth density as histograms."""

from math import nan

import numpy as np
from numba import njit

from salbench.metrics._kernels import SUMS
from salbench.metrics._metric import Metric
from salbench.metrics._pair import Pair


def sim(prediction: np.ndarray, density: np.ndarray, *, floor: str | None = "min") -> float:
    """Sum over pixels of min(p, q), both summing to one. Higher is better.

    Args:
        prediction: (H, W) map of finite values.
        density: (H, W) ground truth, >= 0, of any scale.
        floor: "min" subtracts each map's minimum first (the MIT code's min-max); None leaves non-negative
            maps as they are (pysaliency), which raises the value of maps with a floor.

    Returns:
        In [0, 1]; a constant prediction counts as the uniform density; NaN for a density of zeros.

    Raises:
        ValueError: NaN, different shapes, or a negative density.

    Reference: Judd, Durand, Torralba (2012), MIT-CSAIL-TR-2012-001; similarity.m of the MIT Saliency Benchmark.
    """
    return _sim(Pair.of(prediction, density=density), floor=floor)


def _sim(pair, *, floor="min"):
    p, q = pair.density_map, pair.density
    if q.is_zero:
        return nan
    return _overlap(p.values, q.values, p.as_density(floor), q.as_density(floor))


@njit(nogil=True, cache=True, fastmath=SUMS)
def _overlap(p, q, p_density, q_density):
    """Sum of the smaller density of two 1-D maps; `*_density` are as `Map.as_density` returns them."""
    p_base, p_scale, p_offset = p_density
    q_base, q_scale, q_offset = q_density
    total = 0.0
    for i in range(p.size):
        total += min((p[i] - p_base) * p_scale + p_offset, (q[i] - q_base) * q_scale + q_offset)
    return total


SIM = Metric(
    fn=sim,
    of_pair=_sim,
    needs=("density",),
    higher_is_better=True,
    bounds=(0, 1),
    unit="",
    reference="MIT similarity.m; pysaliency SIM with floor=None",
)
