"""The figure of a study: people's attention before and after, or what models predict against the strength."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from salbench import figure
from salbench.edits import EDIT_TYPES
from salbench.stats import PairedChange, Slope
from salbench.study.observed import Observed
from salbench.study.predicted import PEOPLE, Predicted

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


@figure.style()
def observed_figure(study: Observed) -> "Figure":
    """Shares before and after, a line per image; beside it the changes, with their mean and 95 % interval."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(figure.PAGE, 3), layout="constrained")
    left, right = drawing.subplots(1, 2, width_ratios=(3, 2))
    shares = np.array([(of_one.before, of_one.after) for of_one in study.shares.values()])
    left.plot([0, 1], shares.T, "-o", color="0.75", linewidth=0.7, markersize=3, zorder=1)
    left.plot([0, 1], shares.mean(0), "-o", color=figure.COLORS[0], linewidth=2.2, markersize=6, zorder=3, label="mean")
    chance = np.mean([of_one.chance for of_one in study.shares.values()])
    left.axhline(chance, color="0.4", linewidth=0.9, linestyle=":", label="area of the region")
    left.set_xticks([0, 1], ["original", "edited"])
    left.set_xlim(-0.25, 1.25)
    left.set_ylabel(f"share of {study.kind} inside the region")
    left.legend()
    change = study.change
    spread = np.random.default_rng(0).uniform(-0.12, 0.12, len(shares))  # keeps equal changes apart
    right.axhline(0, color="0.4", linewidth=0.8)
    right.plot(spread, shares[:, 1] - shares[:, 0], "o", color="0.75", markersize=3)
    right.plot([0.32, 0.32], [change.low, change.high], color=figure.COLORS[0], linewidth=2)
    right.plot(0.32, change.mean, "o", color=figure.COLORS[0], markersize=6)
    right.set_xlim(-0.3, 0.5)
    right.set_xticks([0, 0.32], ["images", "mean"])
    right.set_ylabel("edited - original")
    return drawing


@figure.style()
def predicted_figure(study: Predicted) -> "Figure":
    """A row per type of edit: the edited property, and each model's share inside the region, against the strength."""
    from matplotlib.figure import Figure

    changes = study.changes()
    of_people = {group: c.slope for group, c in study.participants.changes.items()} if study.participants else {}
    types = list(dict.fromkeys(type for type, _ in changes))
    drawing = Figure(figsize=(figure.PAGE, 0.3 + 2.5 * len(types)), layout="constrained")
    for (left, right), type in zip(drawing.subplots(len(types), 2, squeeze=False), types, strict=True):
        edit_type = EDIT_TYPES[type]
        curves = {strength: by_quantity for (kind, strength), by_quantity in changes.items() if kind == type}
        _curve(left, edit_type.neutral, curves, edit_type.label, "0.25", "o")
        left.set_ylabel(f"change of {type}\n({edit_type.unit})")
        people = {strength: {PEOPLE: slope} for (kind, strength), slope in of_people.items() if kind == type}
        if people:
            _curve(right, edit_type.neutral, people, PEOPLE, "0.25", "o")
        for k, model in enumerate(study.models):
            color, marker = figure.COLORS[k % len(figure.COLORS)], figure.MARKERS[k % len(figure.MARKERS)]
            _curve(right, edit_type.neutral, curves, model, color, marker)
        right.set_ylabel("change of saliency\n(share inside the region)")
        if study.models or people:
            right.legend()
        for panel in (left, right):
            panel.axhline(0, color="0.4", linewidth=0.8, zorder=0)
            ticks = ["\nunedited", *(f"{strength:g}" for strength in curves)]
            panel.set_xticks([edit_type.neutral, *curves], ticks)
            panel.set_xlabel(f"strength of the {type} edit")
        left.set_title(f"n = {_counted(curves, edit_type.label)} images, bands: 95 % intervals", loc="left")
    return drawing


def _counted(curves: Mapping[float, Mapping[str, PairedChange]], quantity: str) -> str:
    """Number of images at each strength, such as "20" or "18 to 20"."""
    numbers = sorted({of_one[quantity].n for of_one in curves.values()})
    return f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"


def _curve(
    panel: "Axes",
    neutral: float,
    curves: Mapping[float, Mapping[str, PairedChange] | Mapping[str, Slope]],
    quantity: str,
    color: str,
    marker: str,
) -> None:
    """Draw the mean change of a quantity against the strength, and its interval as a band; 0 if unedited."""
    points = [(s, c[quantity].mean, c[quantity].low, c[quantity].high) for s, c in curves.items() if quantity in c]
    x, mean, low, high = np.array(sorted([(neutral, 0.0, 0.0, 0.0), *points])).T
    panel.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    measured = [int(i) for i in np.flatnonzero(x != neutral)]
    panel.plot(x, mean, marker=marker, markevery=measured, color=color, markersize=4.5, linewidth=1.6, label=quantity)
