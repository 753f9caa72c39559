"""Result files and the paper's numbers -> tables in Markdown, LaTeX or CSV. A table never computes a score."""

import csv
import difflib
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from tabulate import tabulate

from salbench import results
from salbench.metrics import METRICS
from salbench.stats import holm, paired_difference

FORMATS = ("md", "latex", "csv")
DIGITS = 3
PAPER = Path(__file__).resolve().parent.parent / "results" / "paper"  # the paper's numbers, as data
_ZEROS_WORTH_SAYING = 0.01


class TableProblem(ValueError):
    """A table that cannot be made from the files that are there; says which command makes them."""


@dataclass(frozen=True)
class _Row:
    """One line of a table: its name, {metric: {"mean", "low", "high"}} (bounds only where measured), its standing."""

    name: str
    cells: dict
    ranked: bool = False


def dataset_table(out, dataset, style="md"):
    """All results of one data set, one table for each protocol (and content of the data set) found there.

    Args:
        out: folder of the results. dataset: name. style: one of `FORMATS`.

    Raises:
        TableProblem: no result of this data set. ResultProblem: a file that is not a result of this version.
    """
    found = results.read_all(out, dataset).values()
    if not found:
        there = sorted(p.parent.name for p in Path(out).glob("*/*.json") if p.parent.name != PAPER.name)
        near = difflib.get_close_matches(dataset, there, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise TableProblem(
            f"{Path(out) / dataset}: expected results of {dataset}, found none; {hint}"
            f"A run makes them: python benchmark.py --dataset {dataset} --out {out}"
        )
    groups = defaultdict(list)
    for result in found:
        key = result.key
        groups[key.protocol, key.protocol_version, key.fingerprint].append(result)
    return "\n".join(_one_table(groups[key], style) for key in sorted(groups))


def _one_table(found, style):
    key = found[0].key
    rows = [_measured(r) for r in found if not r.ceiling]
    rows.sort(key=lambda row: -(row.cells["auc"] or {"mean": -1})["mean"])
    rows += [_measured(r) for r in found if r.ceiling]
    rows += _claimed(key.dataset, key.protocol)
    simulated = "SIMULATED gaze" if found[0].gaze == "simulated" else found[0].gaze
    title = f"{key.dataset}, {found[0].n_images} images, {simulated}, protocol {key.protocol} v{key.protocol_version}"
    return _render(title, rows, list(METRICS), _notes(found, rows), style)


def paper_table(name, out, style="md", folder=PAPER):
    """One of the paper's tables, with our measured rows beneath the claimed ones where a run exists.

    Args:
        name: "table1" or "table2". out: folder of the results. style: one of `FORMATS`.

    Raises:
        TableProblem: no such table.
    """
    table = _read_paper(name, folder)
    measured = results.read_all(out, table["dataset"])
    rows = []
    for row in table["rows"]:
        rows.append(_Row(f"{row['model']} (paper)", _bare(row["values"]), ranked=True))
        if row["method"] in measured:
            result = measured[row["method"]]
            rows.append(_Row(f"{row['method']} (measured, {result.key.protocol})", _cells(result)))
    notes = [f"(paper): as printed in {table['source']}; not measured here."]
    if "note" in table:
        notes.append(table["note"])
    elif not any("(measured" in row.name for row in rows):
        notes.append(f"No run of these methods on {table['dataset']} in {out} yet, so nothing is beside the claims.")
    return _render(f"{table['title']} ({table['dataset']})", rows, list(table["columns"]), notes, style)


def paper_tables(folder=PAPER):
    """Names of the paper's tables."""
    return sorted(p.stem for p in Path(folder).glob("*.json"))


def ablation_table(out, dataset, style="md"):
    """Change of every metric by each augmentation against none, from the per-image scores of an ablation.

    Args:
        out: folder of the results. dataset: as given to `ablate`. style: one of `FORMATS`.

    Raises:
        TableProblem: no complete arm without augmentation, or none with.
    """
    arms = _ablation_arms(out, f"{dataset}_ablation")
    changes = ablation_changes(arms)
    rows = [_Row("none (mean)", {name: {"mean": float(np.nanmean(v))} for name, v in arms["none"].items()})]
    rows += [_Row(arm, cells, ranked=True) for arm, cells in changes.items()]
    seeds, images = next(iter(arms["none"].values())).shape
    notes = [
        f"Rows below the first: change against no augmentation, {images} test images x {seeds} seeds; ± is half the "
        "width of the paired 95 % bootstrap interval over images and seeds; bold is the largest gain of a column.",
        f"* p < 0.05 after Holm's correction over the {len(changes)} augmentations of a column.",
    ]
    title = f"{dataset}: one classical augmentation at a time"
    return _render(title, rows, list(METRICS), notes, style)


def ablation_changes(arms):
    """{arm: {metric: {"mean", "low", "high", "p"}}} against the arm "none", p-values corrected over the arms."""
    names = [arm for arm in arms if arm != "none"]
    changes = {arm: {} for arm in names}
    for metric in METRICS:
        found = [paired_difference(arms[arm][metric], arms["none"][metric], seed=0) for arm in names]
        corrected = holm([p for *_, p in found])
        for arm, (mean, low, high, _), p in zip(names, found, corrected, strict=True):
            changes[arm][metric] = {"mean": mean, "low": low, "high": high, "p": float(p)}
    return changes


def _ablation_arms(out, dataset):
    """{arm: {metric: (seeds, images)}} of the seeds that every arm has, "none" first."""
    scores = defaultdict(dict)
    for result in results.read_all(out, dataset).values():
        arm, _, seed = result.key.method.partition("+")[2].rpartition("-seed")
        if not result.n_failed:
            _, path, _ = results.paths(out, dataset, result.key.method)
            scores[arm][int(seed)] = _columns(path)
    if len(scores) < 2 or "none" not in scores:
        raise TableProblem(
            f"{Path(out) / dataset}: expected complete arms without and with augmentation, found "
            f"{', '.join(scores) or 'none'}; make them with: python benchmark.py ablate"
        )
    seeds = sorted(set.intersection(*(set(by_seed) for by_seed in scores.values())))
    if not seeds:
        raise TableProblem(f"{Path(out) / dataset}: expected a seed that all arms have finished, found none")
    order = sorted(scores, key=lambda arm: (arm != "none", arm))
    return {arm: {m: np.array([scores[arm][s][m] for s in seeds]) for m in METRICS} for arm in order}


def _columns(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in METRICS}


def _read_paper(name, folder):
    path = Path(folder) / f"{name}.json"
    if not path.exists():
        raise TableProblem(f"expected one of the paper's tables, {', '.join(paper_tables(folder))}, got {name!r}")
    return json.loads(path.read_text(encoding="utf-8"))


def _bare(values):
    return {name: {"mean": value} for name, value in values.items()}


def _cells(result):
    return result.metrics if not result.n_failed else dict.fromkeys(result.metrics)


def _measured(result):
    name = result.key.method
    if result.ceiling:
        name += " (ceiling)"
    if result.n_failed:
        name += f" (incomplete, {result.n_failed} of {result.n_images} failed)"
    return _Row(name, _cells(result), ranked=not result.ceiling)


def _claimed(dataset, protocol):
    """The paper's rows for this data set and protocol, to stand beside the measured ones."""
    rows = []
    for name in paper_tables():
        table = _read_paper(name, PAPER)
        if (table["dataset"], table["protocol"]) == (dataset, protocol):
            rows += [_Row(f"{row['model']} (paper, {name})", _bare(row["values"])) for row in table["rows"]]
    return rows


def _notes(found, rows):
    notes = ["± is half the width of the 95 % bootstrap interval over images; bold is the best of the ranked rows."]
    if any(r.ceiling for r in found):
        notes.append("(ceiling) sees the fixations of other observers on the same image and is not ranked.")
    if any("(paper" in row.name for row in rows):
        notes.append("(paper) is claimed by the paper, not measured here.")
    for r in found:
        if r.n_without_fixations:
            notes.append(f"{r.key.method}: {r.n_without_fixations} images without fixations are in no mean.")
        if r.metrics["kl"] and r.zero_share > _ZEROS_WORTH_SAYING:
            notes.append(f"{r.key.method}: {r.zero_share:.0%} of its pixels are exactly zero, which raises KL.")
    resized = [r.key.method for r in found if r.n_resized]
    if resized:
        notes.append(f"Resized to the stimulus by the protocol: {', '.join(resized)}.")
    return notes


def _render(title, rows, metrics, notes, style):
    if style == "csv":
        return _csv(rows, metrics)
    header = ["method"] + [f"{name} {_arrow(name, style)}" for name in metrics]
    best = {name: _best(rows, name) for name in metrics}
    body = [[_text(row.name, style)] + [_cell(row, name, best[name], style) for name in metrics] for row in rows]
    if style == "latex":
        table = _booktabs(tabulate(body, [_text(h, style, math=True) for h in header], tablefmt="latex_raw"))
        return "\n".join(f"% {line}" for line in (title, *notes)) + f"\n{table}\n"
    table = tabulate(body, header, tablefmt="github", disable_numparse=True)
    return f"{title}\n\n{table}\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def _booktabs(table):
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        table = table.replace(r"\hline", rule, 1)
    return table


def _arrow(name, style):
    up = METRICS[name].higher_is_better
    if style == "latex":
        return r"$\uparrow$" if up else r"$\downarrow$"
    return "↑" if up else "↓"


def _best(rows, name):
    """The best printed value among ranked rows; ties are all best."""
    values = [round(row.cells[name]["mean"], DIGITS) for row in rows if row.ranked and row.cells.get(name)]
    if not values:
        return None
    return max(values) if METRICS[name].higher_is_better else min(values)


def _cell(row, name, best, style):
    cell = row.cells.get(name)
    if not cell:
        return "–" if style == "md" else "--"
    mean = f"{round(cell['mean'], DIGITS) + 0.0:.{DIGITS}f}"  # + 0.0: no "-0.000"
    if row.ranked and round(cell["mean"], DIGITS) == best:
        mean = f"**{mean}**" if style == "md" else rf"\textbf{{{mean}}}"
    if "low" not in cell:
        return mean
    half = f"{(cell['high'] - cell['low']) / 2:.{DIGITS}f}" + ("*" if cell.get("p", 1) < 0.05 else "")
    return f"{mean} ±{half}" if style == "md" else rf"{mean} {{\scriptsize $\pm${half}}}"


def _text(text, style, math=False):
    if style != "latex":
        return text.replace("|", r"\|")
    escaped = text.replace("_", r"\_").replace("&", r"\&").replace("%", r"\%")
    return escaped if math else escaped.replace("#", r"\#")


def _csv(rows, metrics):
    """One line per row; name_low and name_high are the interval. Full precision, empty where there is no value."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    parts = ("mean", "low", "high")
    writer.writerow(["method"] + [name + suffix for name in metrics for suffix in ("", "_low", "_high")])
    for row in rows:
        cells = [(row.cells.get(name) or {}).get(part, "") for name in metrics for part in parts]
        writer.writerow([row.name, *cells])
    return file.getvalue()
