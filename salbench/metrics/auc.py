"""Area under the ROC curve with the image's own pixels as negatives, in the three forms in use.

They differ only in where the thresholds lie, and so give different numbers for the same map: `auc` is the exact
area; `auc_judd` puts thresholds at fixated values only, which adds area under the first segment;
`auc_borji` puts eleven at equal steps, which loses area on peaked maps.
"""

import numpy as np

from salbench.checks import check_map, fixated_pixels
from salbench.maps import minmax
from salbench.metrics._roc import exact_area, judd_area, stepped_area


def auc(prediction, fixations):
    """Exact area under the ROC curve: P(fixated > any pixel) + P(tie) / 2. Higher is better.

    Args:
        prediction: (H, W) map of finite values; only their order matters.
        fixations: (N, 2) array of (x, y), or an (H, W) count map; a pixel fixated twice counts twice.

    Returns:
        In [0, 1]; 0.5 for a constant map; NaN without fixations.

    Raises:
        ValueError: NaN in the map, fixations off the image, or a blurred map instead of points.

    Reference: Kümmerer, Wallis, Bethge (2018), Saliency Benchmarking Made Easy, ECCV; checked against
    pysaliency's AUC (uniform nonfixations) and scikit-learn's roc_auc_score.
    """
    prediction = check_map(prediction)
    index, count = fixated_pixels(fixations, prediction.shape)
    if not len(index):
        return np.nan
    values = prediction.ravel()
    return exact_area(values[index], count, values, np.ones(values.size, np.int64))


def auc_judd(prediction, fixations):
    """ROC area with thresholds at the fixated values only: the MIT code without jitter. Higher is better.

    The published definition reads a binary map (a pixel fixated twice counts once), gives each of several
    tied fixated values a step of its own, and min-maxes the map first, which can tie values that differ in
    the last bit.

    Args:
        prediction: (H, W) map of finite values.
        fixations: (N, 2) array of (x, y), or an (H, W) count map.

    Returns:
        At most 1, and at least 0 unless many fixations tie on a plateau of the map, where the MIT code's steps
        run backwards; 0.5 for a constant map; NaN without fixations or with a fixation on every pixel.

    Raises:
        ValueError: NaN in the map, fixations off the image, or a blurred map instead of points.

    Reference: Judd, Durand, Torralba (2012), MIT-CSAIL-TR-2012-001; AUC_Judd.m of the MIT Saliency Benchmark.
    """
    scaled = minmax(prediction).ravel()
    index, _ = fixated_pixels(fixations, np.shape(prediction))
    if len(index) in (0, scaled.size):
        return np.nan
    if not scaled.any():
        return 0.5
    thresholds = np.sort(scaled[index])[::-1]
    return judd_area(scaled.size - np.searchsorted(np.sort(scaled), thresholds, "left"), scaled.size)


def auc_borji(prediction, fixations, *, step=0.1):
    """ROC area of the min-maxed map with thresholds at multiples of `step`. Higher is better.

    The MIT code draws as many random pixels as there are fixations and averages 100 such draws; this is
    the exact expectation over the draws, without sampling or seed. A pixel fixated twice counts once.

    Args:
        prediction: (H, W) map of finite values.
        fixations: (N, 2) array of (x, y), or an (H, W) count map.
        step: distance of the thresholds on the [0, 1] scale; 0.1 in the MIT code.

    Returns:
        In [0, 1]; 0.5 for a constant map; NaN without fixations.

    Raises:
        ValueError: NaN in the map, fixations off the image, or a blurred map instead of points.

    Reference: Borji, Sihite, Itti (2013), IEEE TIP 22(1); AUC_Borji.m of the MIT Saliency Benchmark.
    """
    scaled = minmax(prediction).ravel()
    index, _ = fixated_pixels(fixations, np.shape(prediction))
    if not len(index):
        return np.nan
    once = np.ones(scaled.size, np.int64)
    return stepped_area(scaled[index], once[index], scaled, once, step)
