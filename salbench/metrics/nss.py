"""Normalised scanpath saliency: how many standard deviations above the mean fixated pixels lie."""

from math import inf, nan, sqrt

import numpy as np

from salbench.metrics._metric import Metric
from salbench.metrics._pair import Pair


def nss(prediction: np.ndarray, fixations: np.ndarray, *, ddof: int = 0) -> float:
    """Mean over fixations of (prediction - mean) / standard deviation. Higher is better.

    Args:
        prediction: (H, W) map of finite values.
        fixations: (N, 2) array of (x, y), or an (H, W) count map; a pixel fixated twice counts twice.
        ddof: 0 divides the variance by the number of pixels n (NumPy, pysaliency), 1 by n - 1 (MATLAB).

    Returns:
        Unbounded; 0 for a constant map; NaN without fixations.

    Raises:
        ValueError: NaN in the map, fixations off the image, or a blurred map instead of points.

    Reference: Peters, Iyer, Itti, Koch (2005), Vision Research 45(18); NSS.m of the MIT Saliency Benchmark.
    """
    return _nss(Pair.of(prediction, fixations), ddof=ddof)


def _nss(pair, *, ddof=0):
    if not len(pair.index):
        return nan
    if pair.map.is_constant:
        return 0.0
    deviation = sqrt(pair.map.squares / (pair.map.size - ddof))
    return (pair.mean_over_fixations(pair.map.above(pair.index)) - pair.map.mean_above) / deviation


NSS = Metric(
    fn=nss,
    of_pair=_nss,
    needs=("fixations",),
    higher_is_better=True,
    bounds=(-inf, inf),
    unit="sd",
    reference="MIT NSS.m with ddof=1; pysaliency NSS with ddof=0",
)
