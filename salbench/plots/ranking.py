"""A ranking: methods with their intervals on one metric."""

import logging
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from salbench import figure, tables
from salbench.datasets import results_name
from salbench.matrix import Column, read
from salbench.metrics import METRICS
from salbench.tables import Row

if TYPE_CHECKING:
    from matplotlib.figure import Figure

log = logging.getLogger(__name__)


@figure.style()
def ranking(
    out: Path | str,
    dataset: str,
    metric: str = "auc",
    protocol: str = "tuebingen",
    *,
    methods: Collection[str] | None = None,
) -> "Figure":
    """Draw the methods on one data set, the best on top, with 95 % intervals over images.

    A ceiling, and a method that was trained on some of the images, is a hollow marker: it is not ranked.

    Args:
        out: folder of the results.
        dataset: its name as on the command line.
        metric: its name.
        protocol: its name.
        methods: labels of the methods to show; a ceiling is always shown. By default all that have results.

    Raises:
        TableProblem: no results, or results of several versions.
        ResultProblem: a file is not a result of this version.
    """
    from matplotlib.figure import Figure

    column = read(out, results_name(dataset), protocol, methods)
    rows = _best_last(column, metric)
    drawing = Figure(figsize=(figure.COLUMN, 0.55 + 0.165 * len(rows)), layout="constrained")
    panel = drawing.subplots()
    for y, row in enumerate(rows):
        cell = row.cells[metric]
        assert cell is not None
        color, face = (figure.COLORS[0],) * 2 if row.ranked else (figure.GREY, "white")
        panel.plot([cell["low"], cell["high"]], [y, y], color=color)
        panel.plot(cell["mean"], y, "o", color=color, markerfacecolor=face)
    panel.set_yticks(range(len(rows)), [row.name for row in rows])
    panel.set_ylim(-0.7, len(rows) - 0.3)
    panel.tick_params(axis="y", length=0)
    panel.grid(axis="x")
    panel.spines["left"].set_visible(False)
    first = column.results[0]
    figure.label_axis(panel.xaxis, metric, METRICS[metric], f"{{}} on {first.dataset}, {first.n_images} images")
    return drawing


def _best_last(column: Column, metric: str) -> Sequence[Row]:
    """Rows that have a value, the best one last."""
    rows = [tables.row_of(result) for result in column.results]
    bare = [row.name for row in rows if not row.cells.get(metric)]
    if bare:
        log.warning("left out, because they have no %s: %s", metric, ", ".join(bare))
    sign = 1 if METRICS[metric].higher_is_better else -1
    shown = [(sign * cell["mean"], row) for row in rows if (cell := row.cells.get(metric))]
    return [row for _, row in sorted(shown, key=lambda pair: pair[0])]
