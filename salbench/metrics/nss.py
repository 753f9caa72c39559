"""Normalised scanpath saliency: how many standard deviations above the mean fixated pixels lie."""

import numpy as np

from salbench.checks import check_map, fixated_pixels


def nss(prediction, fixations, *, ddof=0):
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
    prediction = check_map(prediction).astype(np.float64)
    index, count = fixated_pixels(fixations, prediction.shape)
    if not len(index):
        return np.nan
    if prediction.min() == prediction.max():
        return 0.0
    prediction -= prediction.min()  # keeps the digits of a map that varies little around a large value
    fixated = np.average(prediction.ravel()[index], weights=count)
    return float((fixated - prediction.mean()) / prediction.std(ddof=ddof))
