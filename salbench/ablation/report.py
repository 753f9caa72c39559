"""An ablation as tables (Markdown, LaTeX, CSV), from its files."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from salbench import tables
from salbench.ablation import arms
from salbench.ablation.splits import Ablation
from salbench.metrics import METRICS


def table(out: Path | str, ablation: Ablation, style: str = "md") -> str:
    """For each method, the mean of every arm, and what each arm changed against the baseline.

    Args:
        out: folder of the results.
        ablation: as given to `ablate`.
        style: "md", "latex" or "csv"; CSV has the changes alone.

    Raises:
        AblationProblem: no complete ablation in these files.
    """
    return render(arms.read(out, ablation), ablation, style)


def render(by_method: Mapping[str, Mapping[str, arms.Scores]], ablation: Ablation, style: str = "md") -> str:
    """The same from the scores that `arms.read` returns."""
    parts = []
    for method, by_arm in by_method.items():
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
