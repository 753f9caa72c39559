"""Shuffled AUC: the negatives are fixations on other images, so that a centre bias earns nothing."""

import numpy as np

from salbench.checks import check_map, fixated_pixels
from salbench.maps import minmax
from salbench.metrics._roc import exact_area, stepped_area


def sauc(prediction, fixations, *, negatives, step=None):
    """ROC area of fixated pixels against pixels fixated on other images. Higher is better.

    With `step`, the exact expectation of the MIT code's average over random draws from the negatives.
    Pass binary maps for the MIT code's reading (each pixel once); counts are used as they are given.

    Args:
        prediction: (H, W) map of finite values.
        fixations: (N, 2) array of (x, y), or an (H, W) count map.
        negatives: the same, of other images' fixations on this image's pixel grid.
        step: None for the exact area; 0.1 for the thresholds of the MIT code on the min-maxed map.

    Returns:
        In [0, 1]; 0.5 for a constant map; NaN without fixations or without negatives.

    Raises:
        ValueError: NaN in the map, fixations or negatives off the image, or blurred maps instead of points.

    Reference: Zhang et al. (2008), SUN, Journal of Vision 8(7); AUC_shuffled.m of the MIT Saliency Benchmark
    for the stepped form; checked against pysaliency's AUC with shuffled nonfixations for the exact one.
    """
    prediction = check_map(prediction)
    index, count = fixated_pixels(fixations, prediction.shape)
    negative_index, negative_count = fixated_pixels(negatives, prediction.shape, "negatives")
    if not len(index) or not len(negative_index):
        return np.nan
    values = (prediction if step is None else minmax(prediction)).ravel()
    arguments = values[index], count, values[negative_index], negative_count
    return exact_area(*arguments) if step is None else stepped_area(*arguments, step)
