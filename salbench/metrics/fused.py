"""All nine metrics of one map in two passes over its pixels.

Gives what the plain functions of this package give (a test holds them together) at a fraction of their
cost, because it shares what they share: the moments of the map, one count of pixels and negatives at every
threshold that any of the four AUCs uses, and one pass for CC, KL and SIM. The cost grows with height * width
and, far less, with the number of fixations; it does not depend on the number of images.
"""

from dataclasses import dataclass

import numpy as np

from salbench.checks import check_density, check_map, check_same_shape, measurable
from salbench.metrics._kernels import compare, rank, sum_above, sum_squares, unscale
from salbench.metrics._roc import joined_area, judd_area, steps
from salbench.metrics.kl import EPS


@dataclass(frozen=True)
class _Moments:
    """Minimum, maximum and sum above the minimum of a map."""

    low: float
    high: float
    above: float
    size: int

    @classmethod
    def of(cls, array, name, shape=None):
        """Measure a map, and refuse one with NaN, of another shape than `shape`, or (given `shape`) negative."""
        if shape is not None:
            check_same_shape(array, shape, name)
        low, high = float(array.min()), float(array.max())
        if not measurable(low, high):  # NaN is not
            check_map(array, name)  # says what is wrong
        if shape is not None and low < 0:
            check_density(array, shape, name)
        return cls(low, high, sum_above(array.ravel(), low), array.size)

    @property
    def constant(self):
        return self.low == self.high

    @property
    def mean(self):
        return self.above / self.size  # above the minimum

    def as_density(self, floor):
        """(floor, scale, offset) that read a value v of the map as the density (v - floor) * scale + offset."""
        base = self.low if floor == "min" else min(self.low, 0.0)
        total = self.above + self.size * (self.low - base)
        return (base, 1 / total, 0.0) if total > 0 else (base, 0.0, 1 / self.size)


def score(prediction, *, pixels, negatives, baseline, density, density_prediction=None, options=None):
    """All nine metrics of one prediction.

    Args:
        prediction: (H, W) map, scored against the fixations.
        pixels: (index, count) as `checks.fixated_pixels` returns them.
        negatives: int32 (H, W) count map of other images' fixations.
        baseline: (H, W) density of other images' fixations.
        density: ground-truth density, of the shape of `density_prediction`.
        density_prediction: the map scored against the density, where a protocol prepares it differently;
            `prediction` itself by default.
        options: keyword arguments of the plain functions by metric name, e.g. {"nss": {"ddof": 1}}.

    Returns:
        dict from metric name to float, in the order of `METRICS`; NaN as the plain functions give it.

    Raises:
        ValueError: as the plain functions.
    """
    options = options or {}
    prediction = _as_map(prediction)
    moments = _Moments.of(prediction, "prediction")
    if density_prediction is None or density_prediction is prediction:
        density_prediction, density_moments = prediction, moments
    else:
        density_prediction = _as_map(density_prediction)
        density_moments = _Moments.of(density_prediction, "prediction")
    scores = _area_scores(prediction, moments, pixels, negatives, options)
    map_scores, squares = _map_scores(density_prediction, density_moments, _as_map(density), options)
    if density_prediction is not prediction:
        squares = sum_squares(prediction.ravel(), moments.low, moments.mean)
    scores["nss"] = _nss(prediction, moments, squares, pixels, **options.get("nss", {}))
    scores |= map_scores
    scores["ig"] = _ig(prediction, moments, pixels, _as_map(baseline), **options.get("ig", {}))
    return scores


def _as_map(array):
    array = np.asarray(array)
    if array.ndim != 2 or not array.size or array.dtype not in (np.float32, np.float64):
        array = check_map(array)
    return np.ascontiguousarray(array)


def _nss(prediction, moments, squares, pixels, *, ddof=0):
    index, count = pixels
    if not len(index):
        return np.nan
    if moments.constant:
        return 0.0
    fixated = np.average(prediction.ravel()[index].astype(np.float64) - moments.low, weights=count)
    return float((fixated - moments.mean) / np.sqrt(squares / (moments.size - ddof)))


def _map_scores(prediction, p, density, options):
    q = _Moments.of(density, "density", prediction.shape)
    if q.high == 0:
        return dict.fromkeys(("cc", "kl", "sim"), np.nan), sum_squares(prediction.ravel(), p.low, p.mean)
    eps, floor = options.get("kl", {}).get("eps", EPS), options.get("sim", {}).get("floor", "min")
    readings = p.as_density(None), q.as_density(None), p.as_density(floor), q.as_density(floor)
    pp, qq, pq, kl, sim = compare(prediction.ravel(), density.ravel(), p.low, p.mean, q.low, q.mean, *readings, eps)
    cc = 0.0 if p.constant or q.constant else pq / np.sqrt(pp * qq)
    return {"cc": float(cc), "kl": kl, "sim": sim}, pp


def _ig(prediction, p, pixels, baseline, *, floor="min"):
    b = _Moments.of(baseline, "baseline", prediction.shape)
    index, count = pixels
    if not len(index) or b.high == 0:
        return np.nan
    logs = []
    for array, moments in ((prediction, p), (baseline, b)):
        base, scale, offset = moments.as_density(floor)
        logs.append(np.log2(EPS + (array.ravel()[index].astype(np.float64) - base) * scale + offset))
    return float(np.average(logs[0] - logs[1], weights=count))


def _area_scores(prediction, moments, pixels, negatives, options):
    index, count = pixels
    check_same_shape(negatives, prediction.shape, "negatives")
    if negatives.dtype.kind not in "iu":
        raise ValueError(f"negatives: expected an integer count map, got dtype {negatives.dtype}")
    if not len(index):
        return dict.fromkeys(("auc", "auc_judd", "auc_borji", "sauc"), np.nan)
    everywhere = len(index) == moments.size
    if moments.constant:
        judd, shuffled = (np.nan if everywhere else 0.5), (0.5 if negatives.any() else np.nan)
        return {"auc": 0.5, "auc_judd": judd, "auc_borji": 0.5, "sauc": shuffled}
    ranks = _Ranks(prediction, moments, prediction.ravel()[index], negatives, options)
    return {
        "auc": ranks.exact(count, ranks.pixels),
        "auc_judd": np.nan if everywhere else ranks.judd(),
        "auc_borji": ranks.stepped(np.ones_like(count), ranks.pixels, ranks.borji_levels),
        "sauc": ranks.shuffled(count),
    }


class _Ranks:
    """Pixels and negatives below and at every threshold that the AUC family asks for, counted in one pass."""

    def __init__(self, prediction, moments, fixated, negatives, options):
        low, span = moments.low, moments.high - moments.low
        self.fixated = fixated.astype(np.float64)
        self.scaled = (self.fixated - low) / span
        self.borji_levels = steps(options.get("auc_borji", {}).get("step", 0.1))
        sauc_step = options.get("sauc", {}).get("step")
        self.sauc_levels = None if sauc_step is None else steps(sauc_step)
        used = [self.scaled, self.borji_levels] + ([] if sauc_step is None else [self.sauc_levels])
        self.levels = np.unique(np.concatenate(used))
        self.unscaled = unscale(self.levels, low, span)
        self.thresholds = np.unique(np.concatenate([self.fixated, self.unscaled]))
        weights = np.ascontiguousarray(negatives, dtype=np.int32).ravel()
        below, at, weight_below, weight_at, weight = rank(
            prediction.ravel(), weights, self.thresholds, low, moments.high
        )
        self.pixels = below, at, prediction.size
        self.negatives = weight_below, weight_at, weight

    def exact(self, count, population):
        below, at, total = population
        k = np.searchsorted(self.thresholds, self.fixated)
        return float((count * (2 * below[k] + at[k])).sum() / (2.0 * count.sum() * total))

    def judd(self):
        below, _, total = self.pixels
        return judd_area(total - below[self._of_levels(np.sort(self.scaled)[::-1])], total)

    def shuffled(self, count):
        if not self.negatives[-1]:
            return np.nan
        if self.sauc_levels is None:
            return self.exact(count, self.negatives)
        return self.stepped(count, self.negatives, self.sauc_levels)

    def stepped(self, count, population, levels):
        below, _, total = population
        hits = ((self.scaled >= levels[:, None]) * count).sum(1) / count.sum()
        return joined_area(hits, 1 - below[self._of_levels(levels)] / total)

    def _of_levels(self, levels):
        """Positions among the thresholds of levels on the scale from 0 (the minimum) to 1 (the maximum)."""
        return np.searchsorted(self.thresholds, self.unscaled[np.searchsorted(self.levels, levels)])
