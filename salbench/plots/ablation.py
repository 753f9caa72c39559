"""An ablation: what each arm changed, with intervals."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from salbench import figure, tables
from salbench.ablation import arms
from salbench.ablation.splits import Ablation
from salbench.metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_COLUMNS = 3
_LONG = 24  # letters; longer names of arms leave little width to the panels


@figure.style()
def ablation(out: Path | str, which: Ablation, metrics: Sequence[str] = tuple(METRICS)) -> "Figure":
    """Draw the change against no augmentation: a panel per metric, a line per arm, better to the right.

    Lines are 95 % intervals over images and seeds. A marker is filled if the change is significant after Holm's
    correction over the arms.

    Args:
        out: folder of the results.
        which: the ablation, as given to `ablate`.
        metrics: names of the panels.

    Raises:
        AblationProblem: no complete ablation in these files.
    """
    from matplotlib.figure import Figure

    by_method = {method: arms.changes(by_arm) for method, by_arm in arms.read(out, which).items()}
    names = sorted({arm for changes in by_method.values() for arm in changes}, reverse=True)
    n_columns = min(len(metrics), _COLUMNS)
    n_rows = -(-len(metrics) // n_columns)
    is_wide = n_columns > 1 or max(map(len, names)) > _LONG
    size = (figure.PAGE if is_wide else figure.COLUMN, 0.5 + n_rows * (0.45 + 0.14 * len(names) * len(by_method)))
    drawing = Figure(figsize=size, layout="constrained")
    panels = drawing.subplots(n_rows, n_columns, sharey=True, squeeze=False).ravel()
    for panel, metric in zip(panels, metrics, strict=False):
        _panel(panel, metric, by_method, names)
    for panel in panels[len(metrics) :]:
        panel.set_axis_off()
    if len(by_method) > 1:
        handles, labels = panels[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside upper center", ncols=len(labels))
    return drawing


def _panel(
    panel: "Axes", metric: str, by_method: Mapping[str, Mapping[str, Mapping[str, arms.Change]]], names: Sequence[str]
) -> None:
    for k, (method, changes) in enumerate(by_method.items()):
        color, marker = figure.COLORS[k % len(figure.COLORS)], figure.MARKERS[k % len(figure.MARKERS)]
        shift = 0.6 * (0.5 - (k + 0.5) / len(by_method))
        panel.plot([], [], marker=marker, color=color, label=method)
        for arm, cells in changes.items():
            cell, y = cells[metric], names.index(arm) + shift
            panel.plot([cell["low"], cell["high"]], [y, y], color=color)
            face = color if cell["p"] < tables.SIGNIFICANT else "white"
            panel.plot(cell["mean"], y, marker, color=color, markerfacecolor=face)
    panel.axvline(0, color="0.3", linewidth=0.8, zorder=0.6)
    panel.grid(axis="x")
    panel.set_ylim(-0.6, len(names) - 0.4)
    panel.set_yticks(range(len(names)), names)
    panel.tick_params(axis="y", length=0)
    panel.spines["left"].set_visible(False)
    panel.locator_params(axis="x", nbins=3 if max(map(len, names)) > _LONG else 5)
    figure.label_axis(panel.xaxis, metric, METRICS[metric], "change of {}")
