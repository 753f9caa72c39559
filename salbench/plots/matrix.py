"""A matrix: methods by data sets."""

from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from salbench import figure, tables
from salbench.datasets import results_name
from salbench.matrix import CEILING, read, rows_of
from salbench.metrics import METRICS, Metric
from salbench.tables import Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LONG = 12  # letters
_DARKEST = 0.62  # of the colour map, so that black text is readable everywhere


@figure.style()
def matrix(
    out: Path | str,
    datasets: Sequence[str],
    metric: str = "auc",
    protocol: str = "tuebingen",
    *,
    methods: Collection[str] | None = None,
) -> "Figure":
    """Draw the table of `salbench.matrix` with colours: the darker, the better within a column.

    A white cell does not compete: a ceiling, or (†) a method that has learned from the data set. Bold: best ranked
    value of a column. *: differs from it.

    Args:
        out: folder of the results.
        datasets: names as on the command line, from left to right.
        metric: its name.
        protocol: its name.
        methods: labels of the methods to show; a ceiling is always shown. By default all that have results.

    Raises:
        TableProblem: a data set without results, or with results of several versions.
        ResultProblem: a file is not a result of this version.
    """
    from matplotlib.figure import Figure

    names = list(dict.fromkeys(map(results_name, datasets)))
    values = {name: read(out, name, protocol, methods).cells(metric) for name in names}
    rows = rows_of(values, METRICS[metric].higher_is_better)
    width = min(figure.PAGE, 1.3 + 0.75 * len(names))
    drawing = Figure(figsize=(width, 0.75 + 0.17 * len(rows)), layout="constrained")
    panel = drawing.subplots()
    for x, name in enumerate(names):
        _column(panel, x, name, rows, METRICS[metric])
    panel.set_xticks(range(len(names)), [_on_two_lines(name) for name in names])
    panel.set_yticks(range(len(rows)), [row.name for row in rows])
    panel.set(xlim=(-0.5, len(names) - 0.5), ylim=(len(rows) - 0.5, -0.5))
    panel.tick_params(length=0, top=False, labeltop=True, labelbottom=False)
    panel.spines[["left", "bottom"]].set_visible(False)
    n_ceilings = sum(row.name.endswith(CEILING) for row in rows)
    if n_ceilings:
        panel.axhline(len(rows) - n_ceilings - 0.5, color="black", linewidth=0.6)
    panel.set_xlabel(f"{figure.metric_title(metric)} {'↑' if METRICS[metric].higher_is_better else '↓'}")
    return drawing


def _on_two_lines(name: str) -> str:
    """The name of a data set, broken at the underscore that is nearest to its middle if it is long."""
    places = [k + 1 for k, letter in enumerate(name) if letter == "_"]
    if len(name) < _LONG or not places:
        return name
    at = min(places, key=lambda k: abs(k - len(name) / 2))
    return f"{name[:at]}\n{name[at:]}"


def _column(panel: "Axes", x: int, name: str, rows: Sequence[Row], metric: Metric) -> None:
    from matplotlib import colormaps
    from matplotlib.patches import Rectangle

    best = tables.best_value(rows, name, metric)
    ranked = [cell["mean"] for row in rows if (cell := row.cells.get(name)) and row.ranked and "seen" not in cell]
    worst = (min if metric.higher_is_better else max)(ranked, default=0.0)
    for y, row in enumerate(rows):
        cell = row.cells.get(name)
        if not cell:
            panel.text(x, y, "–", ha="center", va="center_baseline", color=figure.GREY)
            continue
        competes = row.ranked and "seen" not in cell
        if competes and best is not None:
            share = (cell["mean"] - worst) / ((best - worst) or 1.0)
            color = colormaps["Blues"](_DARKEST * min(max(share, 0.05), 1.0))
            panel.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor=color, edgecolor="white", linewidth=0.8))
        is_best = competes and round(cell["mean"], tables.DIGITS) == best
        panel.text(
            x, y, tables.value_text(cell), ha="center", va="center_baseline", fontsize=6.5,
            fontweight="bold" if is_best else "normal", color="black" if competes else figure.GREY,
        )  # fmt: skip
