"""The figure of a study: paired dots of what was observed, or change against strength of what models predict."""

import io
from pathlib import Path

import numpy as np

from salbench.edits import NEUTRAL
from salbench.files import atomic_write

FIGURES = (".png", ".pdf", ".svg")
UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}}  # metadata: same study, same bytes
AXES = {
    "contrast": "contrast (SD of grey)", "brightness": "brightness (mean grey)", "color": "color (distance in a, b)",
}  # fmt: skip
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")  # Okabe, Ito: told apart by everybody
_MARKERS = "osD^vP"


def check(path):
    """Raise `ValueError` unless the path ends as a figure can."""
    if Path(path).suffix.lower() not in FIGURES:
        raise ValueError(f"{path}: expected a name ending in {', '.join(FIGURES)} for the figure")


def save(drawing, path):
    """Write a figure whole or not at all; the same study gives the same bytes."""
    import matplotlib

    check(path)
    picture, ending = io.BytesIO(), Path(path).suffix[1:].lower()
    with matplotlib.rc_context({"svg.hashsalt": "salbench", "pdf.fonttype": 42}):
        drawing.savefig(picture, format=ending, dpi=200, metadata=UNDATED.get(ending))
    with atomic_write(path, "wb") as file:
        file.write(picture.getvalue())


def observed_figure(study):
    """Shares before and after, a line per image; beside it the changes with their mean and 95 % interval."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(6, 3.4), layout="constrained")
    left, right = drawing.subplots(1, 2, width_ratios=(3, 2))
    shares = np.array([(of_one.before, of_one.after) for of_one in study.shares.values()])
    left.plot([0, 1], shares.T, "-o", color="0.75", linewidth=0.7, markersize=3, zorder=1)
    left.plot([0, 1], shares.mean(0), "-o", color=_COLORS[0], linewidth=2.2, markersize=6, zorder=3, label="mean")
    chance = np.mean([of_one.chance for of_one in study.shares.values()])
    left.axhline(chance, color="0.4", linewidth=0.9, linestyle=":", label="area of the region")
    left.set_xticks([0, 1], ["original", "edited"])
    left.set_xlim(-0.25, 1.25)
    left.set_ylabel(f"share of {study.kind} inside the region")
    left.legend(frameon=False, fontsize=8)
    change = study.change
    spread = np.random.default_rng(0).uniform(-0.12, 0.12, len(shares))  # so that equal changes are all seen
    right.axhline(0, color="0.4", linewidth=0.8)
    right.plot(spread, shares[:, 1] - shares[:, 0], "o", color="0.75", markersize=3)
    right.plot([0.32, 0.32], [change.low, change.high], color=_COLORS[0], linewidth=2)
    right.plot(0.32, change.mean, "o", color=_COLORS[0], markersize=6)
    right.set_xlim(-0.3, 0.5)
    right.set_xticks([0, 0.32], ["images", "mean"])
    right.set_ylabel("edited - original")
    _plain(left, right)
    return drawing


def predicted_figure(study):
    """A row per type of edit: the edited property, and each model's share inside the region, against the strength."""
    from matplotlib.figure import Figure

    changes = study.changes()
    types = list(dict.fromkeys(type for type, _ in changes))
    drawing = Figure(figsize=(7.2, 0.4 + 2.8 * len(types)), layout="constrained")
    for (left, right), type in zip(drawing.subplots(len(types), 2, squeeze=False), types, strict=True):
        curves = {strength: by_quantity for (kind, strength), by_quantity in changes.items() if kind == type}
        _curve(left, type, curves, type, "0.25", "o")
        left.set_ylabel(f"change of {AXES[type]}")
        for k, model in enumerate(study.models):
            _curve(right, type, curves, model, _COLORS[k % len(_COLORS)], _MARKERS[k % len(_MARKERS)])
        right.set_ylabel("change of saliency\n(share inside the region)")
        if study.models:
            right.legend(frameon=False, fontsize=8)
        for panel in (left, right):
            panel.axhline(0, color="0.4", linewidth=0.8, zorder=0)
            panel.set_xticks([NEUTRAL[type], *curves], ["\nunedited", *(f"{strength:g}" for strength in curves)])
            panel.set_xlabel(f"strength of the {type} edit")
        numbers = sorted({c[type].n for c in curves.values()})
        n = f"{numbers[0]} to {numbers[-1]}" if len(numbers) > 1 else f"{numbers[0]}"
        left.set_title(f"n = {n} images, bands: 95 % intervals", fontsize=8, loc="left")
        _plain(left, right)
    return drawing


def _curve(panel, type, curves, quantity, color, marker):
    """Mean change of a quantity against the strength, its interval as a band; no change at the unedited strength."""
    points = [(s, c[quantity].mean, c[quantity].low, c[quantity].high) for s, c in curves.items() if quantity in c]
    x, mean, low, high = np.array(sorted([(NEUTRAL[type], 0.0, 0.0, 0.0), *points])).T
    panel.fill_between(x, low, high, color=color, alpha=0.2, linewidth=0)
    measured = [int(i) for i in np.flatnonzero(x != NEUTRAL[type])]
    panel.plot(x, mean, marker=marker, markevery=measured, color=color, markersize=4.5, linewidth=1.6, label=quantity)


def _plain(*panels):
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
        panel.tick_params(labelsize=8)
        panel.yaxis.label.set_size(9)
        panel.xaxis.label.set_size(9)
