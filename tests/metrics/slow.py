"""The nine metrics as plain loops, written from their definitions; deliberately slow, for small maps.

They share no code with `salbench` and use arrays only to read them. Fixations and negatives are count maps here.
`SLOW` has the names and the call signatures of `METRICS`.
"""

from fractions import Fraction
from itertools import pairwise
from math import fsum, log, log2, nan, sqrt

EPS = 2.0**-52


def _flat(array):
    return [float(value) for row in array for value in row]


def _repeated(values, counts):
    return [value for value, count in zip(values, counts, strict=True) for _ in range(int(count))]


def _once(values, counts):
    return [value for value, count in zip(values, counts, strict=True) if count > 0]


def _differences_from_the_mean(values):
    """Each rounded once, so that a map that varies in its last digits only keeps all of them."""
    exact = [Fraction(value) for value in values]
    mean = sum(exact) / len(exact)
    return [float(value - mean) for value in exact]


def _minmax(values):
    low, high = min(values), max(values)
    return [(value - low) / (high - low) if high > low else 0.0 for value in values]


def _as_density(values, floor):
    low = min(values) if floor == "min" else min(0.0, *values)
    shifted = [value - low for value in values]
    total = fsum(shifted)
    return [value / total if total > 0 else 1 / len(values) for value in shifted]


def _share_of_pairs_won(positives, negatives):
    """P(positive > negative) + P(tie) / 2, over all pairs, in halves and whole numbers."""
    halves = 0
    for positive in positives:
        for negative in negatives:
            halves += 2 if positive > negative else 1 if positive == negative else 0
    return halves / (2 * len(positives) * len(negatives))


def _trapezoids(hit_rates, false_positive_rates):
    corners = list(zip([0.0, *false_positive_rates, 1.0], [0.0, *hit_rates, 1.0], strict=True))
    return fsum((x1 - x0) * (y0 + y1) / 2 for (x0, y0), (x1, y1) in pairwise(corners))


def _area_at_equal_steps(positives, negatives, step):
    """As AUC_Borji.m and AUC_shuffled.m, with every negative in place of a random draw of them."""
    thresholds = []
    while step * len(thresholds) <= 1:
        thresholds.append(step * len(thresholds))
    hits, alarms = [], []
    for threshold in reversed(thresholds):
        hits.append(sum(value >= threshold for value in positives) / len(positives))
        alarms.append(sum(value >= threshold for value in negatives) / len(negatives))
    return _trapezoids(hits, alarms)


def auc(prediction, fixations):
    values, counts = _flat(prediction), _flat(fixations)
    positives = _repeated(values, counts)
    return _share_of_pairs_won(positives, values) if positives else nan


def auc_judd(prediction, fixations, *, jitter=False):
    """As AUC_Judd.m without jitter, or the mean that it has with jitter."""
    if jitter:
        return _auc_judd_over_orders(_flat(prediction), _flat(fixations))
    values, counts = _minmax(_flat(prediction)), _flat(fixations)
    positives = sorted(_once(values, counts), reverse=True)
    if not positives or len(positives) == len(values):
        return nan
    if not any(values):
        return 0.5
    hits, alarms = [], []
    for i, threshold in enumerate(positives, 1):
        above = sum(value >= threshold for value in values)
        hits.append(i / len(positives))
        alarms.append((above - i) / (len(values) - len(positives)))
    return _trapezoids(hits, alarms)


def _auc_judd_over_orders(values, counts):
    """Mean over all orders of tied pixels, summed over the pixels that are not fixated.

    A pixel adds the height of the ROC curve at its place, which depends only on how many fixated pixels are above it.
    Among f fixated pixels of its own value it takes each of f + 1 places equally often.
    """
    positives = _once(values, counts)
    negatives = [value for value, count in zip(values, counts, strict=True) if count == 0]
    if not positives or not negatives:
        return nan
    if min(values) == max(values):
        return 0.5
    heights = [(i + 0.5) / len(positives) for i in range(len(positives))] + [1.0]
    area = 0.0
    for value in negatives:
        above, tied = sum(other > value for other in positives), positives.count(value)
        area += fsum(heights[above : above + tied + 1]) / (tied + 1)
    return area / len(negatives)


def auc_judd_draw(prediction, fixations, rng):
    """As AUC_Judd.m with jitter: one random draw."""
    values = [[float(value) + rng.random() / 10_000_000 for value in row] for row in prediction]
    return auc_judd(values, fixations)


def auc_borji(prediction, fixations, *, step=0.1):
    values, counts = _minmax(_flat(prediction)), _flat(fixations)
    positives = _once(values, counts)
    return _area_at_equal_steps(positives, values, step) if positives else nan


def sauc(prediction, fixations, *, negatives, step=None):
    values = _flat(prediction)
    if step is not None:
        values = _minmax(values)
    positives, others = _repeated(values, _flat(fixations)), _repeated(values, _flat(negatives))
    if not positives or not others:
        return nan
    return _share_of_pairs_won(positives, others) if step is None else _area_at_equal_steps(positives, others, step)


def nss(prediction, fixations, *, ddof=0):
    values, counts = _flat(prediction), _flat(fixations)
    if not any(counts):
        return nan
    if min(values) == max(values):
        return 0.0
    differences = _differences_from_the_mean(values)
    deviation = sqrt(fsum(d**2 for d in differences) / (len(values) - ddof))
    positives = _repeated(differences, counts)
    return fsum(d / deviation for d in positives) / len(positives)


def cc(prediction, density):
    p, q = _flat(prediction), _flat(density)
    if not any(q):
        return nan
    if min(p) == max(p) or min(q) == max(q):
        return 0.0
    p, q = _differences_from_the_mean(p), _differences_from_the_mean(q)
    return fsum(a * b for a, b in zip(p, q, strict=True)) / sqrt(fsum(a**2 for a in p)) / sqrt(fsum(b**2 for b in q))


def kl(prediction, density, *, eps=EPS):
    if not any(_flat(density)):
        return nan
    p, q = _as_density(_flat(prediction), None), _as_density(_flat(density), None)
    return fsum(b * log(eps + b / (a + eps)) for a, b in zip(p, q, strict=True))


def sim(prediction, density, *, floor="min"):
    if not any(_flat(density)):
        return nan
    p, q = _as_density(_flat(prediction), floor), _as_density(_flat(density), floor)
    return fsum(min(a, b) for a, b in zip(p, q, strict=True))


def ig(prediction, fixations, *, baseline, floor="min"):
    counts = _flat(fixations)
    if not any(counts) or not any(_flat(baseline)):
        return nan
    p, b = _as_density(_flat(prediction), floor), _as_density(_flat(baseline), floor)
    gains = [log2(EPS + a) - log2(EPS + c) for a, c in zip(p, b, strict=True)]
    gains = _repeated(gains, counts)
    return fsum(gains) / len(gains)


SLOW = {
    "auc": auc,
    "auc_judd": auc_judd,
    "auc_borji": auc_borji,
    "sauc": sauc,
    "nss": nss,
    "cc": cc,
    "kl": kl,
    "sim": sim,
    "ig": ig,
}
