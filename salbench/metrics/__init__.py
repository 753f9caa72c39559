"""The metrics: plain functions of arrays, prediction first, ground truth second, options by keyword.

Each metric is one file: the function, its implementation over a `Pair`, and its row. To add a metric, write such a
file and put its row into `METRICS`: scoring, training, listing and tables follow from the row.
"""

from collections.abc import Mapping
from math import nan

from salbench.metrics._map import Map
from salbench.metrics._metric import Metric
from salbench.metrics._pair import Pair
from salbench.metrics.auc import AUC, AUC_BORJI, AUC_JUDD, auc, auc_borji, auc_judd
from salbench.metrics.cc import CC, cc
from salbench.metrics.ig import IG, ig
from salbench.metrics.kl import KL, kl
from salbench.metrics.nss import NSS, nss
from salbench.metrics.sauc import SAUC, sauc
from salbench.metrics.sim import SIM, sim

__all__ = [
    "METRICS", "Map", "Metric", "Pair", "auc", "auc_borji", "auc_judd", "cc", "ig", "kl", "measure", "nss", "sauc",
    "sim",
]  # fmt: skip

METRICS = {
    "auc": AUC,
    "auc_judd": AUC_JUDD,
    "auc_borji": AUC_BORJI,
    "sauc": SAUC,
    "nss": NSS,
    "cc": CC,
    "kl": KL,
    "sim": SIM,
    "ig": IG,
}


def measure(
    pair: Pair, options: Mapping[str, Mapping[str, object]] | None = None, *, is_density: bool = True
) -> dict[str, float]:
    """All metrics of a pair.

    Args:
        pair: prediction and ground truth.
        options: keyword arguments of the metrics by name, such as {"nss": {"ddof": 1}}.
        is_density: whether the prediction may be read as a probability density; if not, metrics that read
            probabilities are NaN.

    Returns:
        Values by name, in the order of `METRICS`; NaN if the pair lacks ground truth that a metric needs.

    Raises:
        TypeError: an option that the metric does not have. ValueError: an option of an impossible value.
    """
    options = options or {}
    scores = dict.fromkeys(METRICS, nan)
    rows = {
        name: (row, options.get(name, {}))
        for name, row in METRICS.items()
        if pair.has(row.needs) and (is_density or not row.reads_probabilities)
    }
    pair.expect(level for row, chosen in rows.values() for level in row.levels(**chosen))
    for name, (row, chosen) in rows.items():
        scores[name] = row.of_pair(pair, **chosen)
    return scores
