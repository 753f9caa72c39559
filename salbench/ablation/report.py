"""An ablation as tables (Markdown, LaTeX, CSV) and as a figure, from its files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from salbench import figure as figures
from salbench import tables
from salbench.ablation import arms
from salbench.ablation.splits import Ablation
from salbench.metrics import METRICS

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def table(out: Path | str, ablation: Ablation, style: str = "md") -> str:
    """For each method, the mean of every arm, and what each arm changed against the baseline.

    Args:
        out: folder of the results.
        ablation: as given to `ablate`.
        style: "md", "latex" or "csv"; CSV has the changes alone.

    Raises:
        AblationProblem: no complete ablation in these files.
    """
    parts = []
    for method, by_arm in arms.read(out, ablation).items():
        if style != "csv":
            parts.append(_means(method, ablation, by_arm, style))
        parts.append(_changes(method, ablation, by_arm, style))
    return "\n".join(parts)


def _means(method, ablation, by_arm, style):
    rows = [
        tables.Row(arm, {name: _mean(values) for name, values in scores.items()}, ranked=True)
        for arm, scores in by_arm.items()
    ]
    tested_on = ablation.test or ablation.usual_test
    claimed = tables.claimed(tested_on, ablation.protocol) if tested_on else []
    notes = [f"Means over {_counts(by_arm)}; bold is the best of a column. `none` is training without augmentation."]
    notes += tables.fewer_images(rows, _images(by_arm)) + ([tables.CLAIMED] if claimed else [])
    title = f"{method} trained on {ablation.title}, one augmentation at a time"
    return tables.render(title, [*rows, *claimed], METRICS, notes, style)


def _mean(values):
    """Cell for (seeds, images) scores."""
    return {"mean": float(np.nanmean(values)), "n": int(np.isfinite(values).any(0).sum())}


def _changes(method, ablation, by_arm, style):
    changes = arms.changes(by_arm)
    rows = [tables.Row(arm, cells, signed=True) for arm, cells in changes.items()]
    notes = [
        f"Mean over {_counts(by_arm)} of the difference to `none` with the same image and seed; ± is half the width "
        "of the 95 % interval over images and seeds (two-way random effects).",
        f"* p < {tables.SIGNIFICANT} after Holm's correction over the {len(changes)} arms of a column; bold if it is "
        "also a gain.",
    ]
    notes += tables.fewer_images(rows, _images(by_arm))
    if len(next(iter(by_arm[arms.BASELINE].values()))) == 1:
        notes.append("One seed: intervals and stars do not say how much two trainings of the same arm differ.")
    title = f"{method} on {ablation.title}: change against no augmentation"
    return tables.render(title, rows, METRICS, notes, style)


def _counts(by_arm):
    return f"{_images(by_arm)} test images x {len(by_arm[arms.BASELINE]['auc'])} seeds"


def _images(by_arm):
    return next(iter(by_arm[arms.BASELINE].values())).shape[1]


def figure(out: Path | str, ablation: Ablation, path: Path | str) -> None:
    """Draw what each arm changed: a panel per metric, a line per arm, better to the right, filled if significant.

    Args:
        out: folder of the results.
        ablation: as given to `ablate`.
        path: ends in .png, .pdf or .svg.

    Raises:
        AblationProblem: no complete ablation in these files.
        ValueError: a path with another ending.
    """
    figures.check(path)
    by_method = {method: arms.changes(by_arm) for method, by_arm in arms.read(out, ablation).items()}
    figures.save(_draw(by_method, ablation), path)


def _draw(by_method, ablation) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = sorted({arm for changes in by_method.values() for arm in changes}, reverse=True)
    drawing = Figure(figsize=(11, 1.8 + 0.75 * len(names)), layout="constrained")
    panels = drawing.subplots(-(-len(METRICS) // 3), 3, sharey=True).ravel()
    for panel in panels[len(METRICS) :]:
        panel.set_axis_off()
    for panel, (metric, facts) in zip(panels, METRICS.items(), strict=False):
        for k, (method, changes) in enumerate(by_method.items()):
            shift = 0.5 * ((k + 0.5) / len(by_method) - 0.5)
            _bars(panel, [names.index(arm) + shift for arm in changes], changes, metric, f"C{k}", method)
        panel.axvline(0, color="0.3", linewidth=0.8, zorder=0)
        panel.grid(axis="x", color="0.9", zorder=0)
        panel.set_ylim(-0.6, len(names) - 0.4)
        panel.set_title(f"{metric} {'↑' if facts.higher_is_better else '↓'}", fontsize=10)
        panel.set_yticks(range(len(names)), names, fontsize=8)
        panel.xaxis.set_major_locator(MaxNLocator(5))
        panel.tick_params(axis="x", labelsize=8)
        if not facts.higher_is_better:
            panel.invert_xaxis()
    title = f"{', '.join(by_method)} on {ablation.title}: change against no augmentation; better is to the right"
    drawing.suptitle(title, fontsize=11)
    drawing.supxlabel(
        "filled: significant after Holm's correction; lines: 95 % interval over images and seeds", fontsize=9
    )
    if len(by_method) > 1:
        drawing.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right")
    return drawing


def _bars(panel, heights, changes, metric, color, label):
    """One marker with its interval for each arm."""
    for y, cells in zip(heights, changes.values(), strict=True):
        cell = cells[metric]
        panel.plot([cell["low"], cell["high"]], [y, y], color=color, linewidth=1.4)
        face = color if cell["p"] < tables.SIGNIFICANT else "white"
        panel.plot(cell["mean"], y, "o", markersize=5, color=color, markerfacecolor=face, label=label)
        label = None
