"""Area under the ROC curve with the image's own pixels as negatives, in the three forms in use.

They differ only in where the thresholds lie, and so give different numbers for the same map: `auc` is the exact
area; `auc_judd` puts thresholds at fixated values only, which adds area under the first segment;
`auc_borji` puts eleven at equal steps, which loses area on peaked maps.
"""

from math import inf, nan

import numpy as np

from salbench.metrics._metric import Metric
from salbench.metrics._pair import Pair
from salbench.metrics._ranks import joined_area, steps


def auc(prediction: np.ndarray, fixations: np.ndarray) -> float:
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
    return _auc(Pair.of(prediction, fixations))


def auc_judd(prediction: np.ndarray, fixations: np.ndarray, *, jitter: bool = False) -> float:
    """ROC area with thresholds at the fixated values only. Higher is better.

    A pixel fixated twice counts once. Fixated values that tie with other pixels, as on any 8-bit map, need a rule.
    The MIT code has two:

    - With jitter, its default, it breaks ties at random by adding up to 1e-7 to each pixel. `jitter=True` is the
      exact expectation over this noise, without sampling or seed. It breaks ties between equal values only, whereas
      the noise can also reorder distinct values less than 1e-7 apart.
    - Without jitter, each of several tied fixated values is a threshold, and every pixel of that value is above it.
      The map is min-maxed first, which can tie values that differ in the last bit.

    Args:
        prediction: (H, W) map of finite values.
        fixations: (N, 2) array of (x, y), or an (H, W) count map.
        jitter: break ties at random, as the MIT code does by default.

    Returns:
        With jitter in [0, 1]. Without, at most 1, and below 0 only if many fixations tie on a plateau of the map,
        where the MIT code's steps run backwards. 0.5 for a constant map; NaN without fixations or with a fixation on
        every pixel.

    Raises:
        ValueError: NaN in the map, fixations off the image, or a blurred map instead of points.

    Reference: Judd, Durand, Torralba (2012), MIT-CSAIL-TR-2012-001; AUC_Judd.m of the MIT Saliency Benchmark.
    """
    return _auc_judd(Pair.of(prediction, fixations), jitter=jitter)


def auc_borji(prediction: np.ndarray, fixations: np.ndarray, *, step: float = 0.1) -> float:
    """ROC area of the min-maxed map with thresholds at multiples of `step`. Higher is better.

    The MIT code draws as many random pixels as there are fixations and averages 100 such draws; this is
    the exact expectation over the draws, without sampling or seed. A pixel fixated twice counts once.

    Args:
        prediction: (H, W) map of finite values.
        fixations: (N, 2) array of (x, y), or an (H, W) count map.
        step: distance between thresholds on the [0, 1] scale; 0.1 in the MIT code.

    Returns:
        In [0, 1]; 0.5 for a constant map; NaN without fixations.

    Raises:
        ValueError: NaN in the map, fixations off the image, a blurred map instead of points, or a step outside (0, 1].

    Reference: Borji, Sihite, Itti (2013), IEEE TIP 22(1); AUC_Borji.m of the MIT Saliency Benchmark.
    """
    return _auc_borji(Pair.of(prediction, fixations), step=step)


def _auc(pair):
    if not len(pair.index):
        return nan
    if pair.map.is_constant:
        return 0.5
    ranks = pair.ranks()
    return ranks.exact_area(pair.count, ranks.pixels)


def _auc_judd(pair, *, jitter=False):
    n, n_pixels = len(pair.index), pair.map.size
    if n in (0, n_pixels):
        return nan
    if pair.map.is_constant:
        return 0.5
    ranks = pair.ranks()
    hits = np.arange(1, n + 1)
    above = ranks.unfixated_above() if jitter else ranks.at_least(np.sort(ranks.scaled)[::-1], ranks.pixels) - hits
    return joined_area(hits / n, above / (n_pixels - n))


def _auc_borji(pair, *, step=0.1):
    levels = steps(step)
    if not len(pair.index):
        return nan
    if pair.map.is_constant:
        return 0.5
    ranks = pair.ranks(levels)
    return ranks.stepped_area(np.ones_like(pair.count), ranks.pixels, levels)


def _borji_levels(*, step=0.1):
    return steps(step)


AUC = Metric(
    fn=auc,
    of_pair=_auc,
    needs=("fixations",),
    higher_is_better=True,
    bounds=(0, 1),
    unit="",
    reference="pysaliency AUC, scikit-learn roc_auc_score",
)
AUC_JUDD = Metric(
    fn=auc_judd,
    of_pair=_auc_judd,
    needs=("fixations",),
    higher_is_better=True,
    bounds=(-inf, 1),
    unit="",
    reference="MIT AUC_Judd.m without jitter, pysaliency AUC_Judd with jitter",
)
AUC_BORJI = Metric(
    fn=auc_borji,
    of_pair=_auc_borji,
    needs=("fixations",),
    higher_is_better=True,
    bounds=(0, 1),
    unit="",
    reference="MIT AUC_Borji.m, expectation over draws",
    levels=_borji_levels,
)
