"""Information gain: how much better than a baseline the prediction says where people look, in bits."""

from math import inf, nan

import numpy as np

from salbench.metrics._metric import Metric
from salbench.metrics._pair import EPS, Pair


def ig(prediction: np.ndarray, fixations: np.ndarray, *, baseline: np.ndarray, floor: str | None = "min") -> float:
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
    return _ig(Pair.of(prediction, fixations, baseline=baseline), floor=floor)


def _ig(pair, *, floor="min"):
    if not len(pair.index) or pair.baseline.is_zero:
        return nan
    p, b = (map_.density_at(pair.index, floor) for map_ in (pair.map, pair.baseline))
    return pair.mean_over_fixations(np.log2(EPS + p) - np.log2(EPS + b))


IG = Metric(
    fn=ig,
    of_pair=_ig,
    needs=("fixations", "baseline"),
    higher_is_better=True,
    bounds=(-inf, inf),
    unit="bit",
    reference="MIT InfoGain.m",
    reads_probabilities=True,
    zero_is_baseline=True,
)
