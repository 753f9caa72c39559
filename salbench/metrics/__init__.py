"""The metrics: plain functions of arrays, prediction first, ground truth second, options by keyword.

To add a metric, write one file beside this one and add one row to `METRICS`; listing, tables, bounds and
direction follow from the row. The evaluator scores through `fused.score`, so it learns the metric there too.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf

from salbench.metrics.auc import auc, auc_borji, auc_judd
from salbench.metrics.cc import cc
from salbench.metrics.ig import ig
from salbench.metrics.kl import kl
from salbench.metrics.nss import nss
from salbench.metrics.sauc import sauc
from salbench.metrics.sim import sim

__all__ = ["METRICS", "Metric", "auc", "auc_borji", "auc_judd", "cc", "ig", "kl", "nss", "sauc", "sim"]


@dataclass(frozen=True)
class Metric:
    """One metric: the function, the ground truth it needs, and how to read its value.

    Attributes:
        fn: `fn(prediction, <first need>, **<further needs and options>)`.
        needs: of "fixations", "density", "negatives", "baseline"; the first is passed by position.
        higher_is_better: direction.
        bounds: (lowest, highest) possible value.
        unit: "" for a pure number.
        reference: whose values the tests hold it to.
    """

    fn: Callable[..., float]
    needs: tuple[str, ...]
    higher_is_better: bool
    bounds: tuple[float, float]
    unit: str
    reference: str


METRICS = {
    "auc": Metric(auc, ("fixations",), True, (0, 1), "", "pysaliency AUC, scikit-learn roc_auc_score"),
    "auc_judd": Metric(auc_judd, ("fixations",), True, (-inf, 1), "", "MIT AUC_Judd.m without jitter"),
    "auc_borji": Metric(auc_borji, ("fixations",), True, (0, 1), "", "MIT AUC_Borji.m, expectation over draws"),
    "sauc": Metric(
        sauc, ("fixations", "negatives"), True, (0, 1), "", "pysaliency AUC shuffled; MIT AUC_shuffled.m with step"
    ),
    "nss": Metric(nss, ("fixations",), True, (-inf, inf), "sd", "MIT NSS.m with ddof=1; pysaliency NSS with ddof=0"),
    "cc": Metric(cc, ("density",), True, (-1, 1), "", "MIT CC.m; pysaliency CC"),
    "kl": Metric(kl, ("density",), False, (0, inf), "nat", "MIT KLdiv.m; pysaliency MIT_KLDiv"),
    "sim": Metric(sim, ("density",), True, (0, 1), "", "MIT similarity.m; pysaliency SIM with floor=None"),
    "ig": Metric(ig, ("fixations", "baseline"), True, (-inf, inf), "bit", "MIT InfoGain.m"),
}
