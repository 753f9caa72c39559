"""Information gain: how much better than a baseline the prediction says where people look, in bits."""

import numpy as np

from salbench.checks import check_density, check_map, fixated_pixels
from salbench.maps import to_density
from salbench.metrics.kl import EPS


def ig(prediction, fixations, *, baseline, floor="min"):
    """Mean over fixations of log2(eps + p) - log2(eps + b), eps = 2.2204e-16. Higher is better.

    Args:
        prediction: (H, W) map of finite values, read as a density p.
        fixations: (N, 2) array of (x, y), or an (H, W) count map; a pixel fixated twice counts twice.
        baseline: (H, W) density b of what is known without the image, >= 0, of any scale.
        floor: "min" subtracts each map's minimum first (the MIT code's min-max); None leaves
            densities as they are, which makes this the difference of log-likelihoods.

    Returns:
        Bits per fixation, unbounded; a fixation on a zero of the prediction costs about 52 bits; a constant
        prediction counts as the uniform density; NaN without fixations or for a baseline of zeros.

    Raises:
        ValueError: NaN, different shapes, a negative baseline, fixations off the image, or a blurred map
            instead of points.

    Reference: Kümmerer, Wallis, Bethge (2015), PNAS 112(52); InfoGain.m of the MIT Saliency Benchmark.
    """
    prediction = check_map(prediction)
    baseline = check_density(baseline, prediction.shape, "baseline")
    index, count = fixated_pixels(fixations, prediction.shape)
    if not len(index) or not baseline.any():
        return np.nan
    p = to_density(prediction, floor=floor).ravel()[index]
    b = to_density(baseline, floor=floor).ravel()[index]
    return float(np.average(np.log2(EPS + p) - np.log2(EPS + b), weights=count))
