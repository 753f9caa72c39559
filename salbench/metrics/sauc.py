"""Shuffled AUC: the negatives are fixations on other images, which makes a centre bias earn nothing."""

from math import nan

import numpy as np

from salbench.metrics._metric import Metric
from salbench.metrics._pair import Pair
from salbench.metrics._ranks import steps


def sauc(prediction: np.ndarray, fixations: np.ndarray, *, negatives: np.ndarray, step: float | None = None) -> float:
    """ROC area of fixated pixels against pixels fixated on other images. Higher is better.

    With `step`, the exact expectation of the MIT code's average over random draws from the negatives.
    Pass binary maps to count each pixel once, as the MIT code does; counts are used as they are given.

    Args:
        prediction: (H, W) map of finite values.
        fixations: (N, 2) array of (x, y), or an (H, W) count map.
        negatives: fixations of other images on this image's pixel grid, in the same form.
        step: None for the exact area; 0.1 for the thresholds of the MIT code on the min-maxed map.

    Returns:
        In [0, 1]; 0.5 for a constant map; NaN without fixations or without negatives.

    Raises:
        ValueError: NaN in the map, fixations or negatives off the image, more than 2^31 - 1 negatives, blurred maps
            instead of points, or a step outside (0, 1].

    Reference: Zhang et al. (2008), SUN, Journal of Vision 8(7); AUC_shuffled.m of the MIT Saliency Benchmark
    for the stepped form; checked against pysaliency's AUC with shuffled nonfixations for the exact one.
    """
    return _sauc(Pair.of(prediction, fixations, negatives=negatives), step=step)


def _sauc(pair, *, step=None):
    levels = _levels(step=step)
    if not len(pair.index):
        return nan
    if pair.map.is_constant:
        return 0.5 if pair.negatives.any() else nan
    ranks = pair.ranks(levels)
    if not ranks.negatives.total:
        return nan
    if step is None:
        return ranks.exact_area(pair.count, ranks.negatives)
    return ranks.stepped_area(pair.count, ranks.negatives, levels)


def _levels(*, step=None):
    return () if step is None else steps(step)


SAUC = Metric(
    fn=sauc,
    of_pair=_sauc,
    needs=("fixations", "negatives"),
    higher_is_better=True,
    bounds=(0, 1),
    unit="",
    reference="pysaliency AUC shuffled; MIT AUC_shuffled.m with step",
    levels=_levels,
)
