"""An ablation with one edit set in the layout of the paper's Table 2: without and with edits, beside what it claims."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from salbench import tables
from salbench.ablation import arms
from salbench.ablation.arms import BASELINE, Scores
from salbench.ablation.splits import Ablation
from salbench.metrics import METRICS

PAPER_TABLE = "table2"
WITHOUT, WITH = "w/o", "w/"
AUGMENTED = " + augmentation"  # ending of the paper's rows with edits


def table(out: Path | str, ablation: Ablation, arm: str) -> str:
    """Means without and with edits, beneath the paper's, then what the edits changed.

    Args:
        out: folder of the results.
        ablation: what was trained and scored.
        arm: name of the arm with edits.

    Raises:
        AblationProblem: no complete ablation in these files.
    """
    paper, known = tables.paper(PAPER_TABLE), tables.paper_methods(PAPER_TABLE)
    measured = arms.read(out, ablation, [arm])
    rows = []
    for name, pair in _pairs(paper["rows"]).items():
        rows.append(tables.Row(f"{name} (paper)", pair))
        own = [method for row in paper["rows"] if row["model"] == name for method in row["methods"] if method in known]
        rows += [_measured(m, measured[m], arm, list(paper["columns"])) for m in own if m in measured]
    rows += [_measured(m, measured[m], arm, list(paper["columns"])) for m in measured if m not in known]
    columns = {f"{metric} {end}": METRICS[metric] for metric in paper["columns"] for end in (WITHOUT, WITH)}
    notes = [
        f"(paper): as printed in {paper['source']}, on {paper['dataset']}, protocol {paper['protocol']}.",
        f"(measured): means over {_counts(measured)}; {WITHOUT} and {WITH}: trained without and with edits.",
    ]
    means = tables.render(f"{paper['title']}; measured on {ablation.title}", rows, columns, notes, "md")
    return means + "\n" + _changes(measured, ablation, arm, list(paper["columns"]))


def _pairs(rows) -> dict[str, dict[str, tables.Cell]]:
    """{model: cells of the paper's row without and of the one with augmentation}."""
    pairs: dict[str, dict[str, tables.Cell]] = {}
    for row in rows:
        name, end = (row["model"].removesuffix(AUGMENTED), WITH if row["model"].endswith(AUGMENTED) else WITHOUT)
        pairs.setdefault(name, {}).update({f"{m} {end}": {"mean": value} for m, value in row["values"].items()})
    return pairs


def _measured(method: str, by_arm: Mapping[str, Scores], arm: str, metrics: list[str]) -> tables.Row:
    ends = {WITHOUT: by_arm[BASELINE], WITH: by_arm[arm]}
    cells = {f"{m} {end}": {"mean": float(np.nanmean(scores[m]))} for end, scores in ends.items() for m in metrics}
    return tables.Row(f"{method} (measured)", cells)


def _counts(measured: Mapping[str, Mapping[str, Scores]]) -> str:
    shapes = {next(iter(by_arm[BASELINE].values())).shape for by_arm in measured.values()}
    return " or ".join(f"{images} images x {seeds} seeds" for seeds, images in sorted(shapes))


def _changes(measured, ablation, arm, metrics) -> str:
    each = {
        method: arms.changes({BASELINE: by_arm[BASELINE], arm: by_arm[arm]})[arm] for method, by_arm in measured.items()
    }
    rows = [tables.Row(method, {m: cells[m] for m in metrics}, signed=True) for method, cells in each.items()]
    notes = [
        "Mean difference with edits minus without, for the same image and seed; ± is half the width of the 95 % "
        "interval over images and seeds (two-way random effects).",
        f"* p < {tables.SIGNIFICANT}; bold if it is also a gain.",
    ]
    if any(next(iter(by_arm[BASELINE].values())).shape[0] == 1 for by_arm in measured.values()):
        notes.append("One seed: intervals and stars do not say how much two trainings of the same arm differ.")
    columns = {metric: METRICS[metric] for metric in metrics}
    return tables.render(f"What training with edits changed ({ablation.title}, {arm})", rows, columns, notes, "md")
