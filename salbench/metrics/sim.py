"""Similarity: the overlap of the prediction and the ground-truth density as histograms."""

import numpy as np

from salbench.checks import check_density, check_map
from salbench.maps import to_density


def sim(prediction, density, *, floor="min"):
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
    prediction = check_map(prediction)
    density = check_density(density, prediction.shape)
    if not density.any():
        return np.nan
    return float(np.minimum(to_density(prediction, floor=floor), to_density(density, floor=floor)).sum())
