"""Result files and the paper's numbers -> tables in Markdown, LaTeX or CSV. A table never computes a score."""

import csv
import difflib
import io
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from tabulate import tabulate

from salbench import results
from salbench.metrics import METRICS

FORMATS = ("md", "latex", "csv")
DIGITS = 3
PAPER = Path(__file__).resolve().parent.parent / "results" / "paper"  # the paper's numbers, as data
SIGNIFICANT = 0.05  # p-values below
_ZEROS_WORTH_SAYING = 0.01


class TableProblem(ValueError):
    """A table that cannot be made from the files that are there; says which command makes them."""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: of the method or arm.
        cells: {metric: {"mean"[, "low", "high"[, "p"]]}} or {metric: None}; bounds only where measured, p only of
            a change.
        ranked: it competes for the best value of a column, which is printed bold.
        signed: its values are changes: printed with their sign, a star where p < 0.05, bold where that is a gain.
    """

    name: str
    cells: dict
    ranked: bool = False
    signed: bool = False


def dataset_table(out, dataset, style="md"):
    """All results of one data set, one table for each protocol (and content of the data set) found there.

    Networks with random weights are left out.

    Args:
        out: folder of the results. dataset: name. style: one of `FORMATS`.

    Raises:
        TableProblem: no result of this data set. ResultProblem: a file that is not a result of this version.
    """
    found = results.read_all(out, dataset).values()
    groups = defaultdict(list)
    for result in found:
        key = result.key
        groups[key.protocol, key.protocol_version, key.fingerprint].append(result)
    tables = [_one_table(group, style) for _, group in sorted(groups.items()) if not all(r.untrained for r in group)]
    if not tables:
        there = sorted(p.parent.name for p in Path(out).glob("*/*.json") if p.parent.name not in (PAPER.name, dataset))
        near = difflib.get_close_matches(dataset, there, 1)
        hint = f"did you mean {near[0]}? " if near else ""
        state = "only untrained ones" if found else "none"
        raise TableProblem(
            f"{Path(out) / dataset}: expected results of {dataset}, found {state}; {hint}"
            f"A run makes them: python benchmark.py --dataset {dataset} --out {out}"
        )
    return "\n".join(tables)


def _one_table(group, style):
    found = [result for result in group if not result.untrained]
    key = found[0].key
    rows = sorted(map(_measured, found), key=lambda row: (not row.ranked, -(row.cells["auc"] or {"mean": -1})["mean"]))
    rows += _claimed(key.dataset, key.protocol)
    simulated = "SIMULATED gaze" if found[0].gaze == "simulated" else found[0].gaze
    title = f"{key.dataset}, {found[0].n_images} images, {simulated}, protocol {key.protocol} v{key.protocol_version}"
    notes = _notes(found, rows)
    if len(found) < len(group):
        untrained = ", ".join(result.key.method for result in group if result.untrained)
        notes.append(f"Left out, because their weights are random: {untrained}.")
    return render(title, rows, list(METRICS), notes, style)


def paper_table(name, out, style="md", folder=PAPER):
    """One of the paper's tables, with our measured rows beneath the claimed ones where a run exists.

    Beneath a network without augmentation stand its published weights and "<method>+plain", beneath the same with it
    "<method>+aug".

    Args:
        name: "table1" or "table2". out: folder of the results. style: one of `FORMATS`.

    Raises:
        TableProblem: no such table.
    """
    table = _read_paper(name, folder)
    measured = results.read_all(out, table["dataset"])
    rows, notes = [], [f"(paper): as printed in {table['source']}; not measured here."]
    for row in table["rows"]:
        rows.append(Row(f"{row['model']} (paper)", _bare(row["values"]), ranked=True))
        for result in (measured[method] for method in row["methods"] if method in measured):
            ours = _measured(result)
            rows.append(Row(f"{ours.name} (measured, {result.key.protocol})", ours.cells))
            notes += [f"{result.key.method}: {note}" for note in result.notes]
    if "note" in table:
        notes.append(table["note"])
    elif not any("(measured" in row.name for row in rows):
        notes.append(f"No run of these methods on {table['dataset']} in {out} yet, so nothing is beside the claims.")
    return render(f"{table['title']} ({table['dataset']})", rows, list(table["columns"]), notes, style)


def paper_tables(folder=PAPER):
    """Names of the paper's tables."""
    return sorted(p.stem for p in Path(folder).glob("*.json"))


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
    if result.n_seen:
        name += f" (trained on {result.n_seen} of them)"
    return Row(name, _cells(result), ranked=not result.ceiling and not result.n_seen)


def _claimed(dataset, protocol):
    """The paper's rows for this data set and protocol, to stand beside the measured ones."""
    rows = []
    for name in paper_tables():
        table = _read_paper(name, PAPER)
        if (table["dataset"], table["protocol"]) == (dataset, protocol):
            rows += [Row(f"{row['model']} (paper, {name})", _bare(row["values"])) for row in table["rows"]]
    return rows


def _notes(found, rows):
    notes = ["± is half the width of the 95 % bootstrap interval over images; bold is the best of the ranked rows."]
    if any(r.ceiling for r in found):
        notes.append("(ceiling) sees the fixations of other observers on the same image and is not ranked.")
    if any(r.n_seen for r in found):
        notes.append("(trained on ... of them) knows so many of these images from its training: no test, not ranked.")
    if any("(paper" in row.name for row in rows):
        notes.append("(paper) is claimed by the paper, not measured here.")
    for r in found:
        if r.n_without_fixations:
            notes.append(f"{r.key.method}: {r.n_without_fixations} images without fixations are in no mean.")
        if r.metrics["kl"] and r.zero_share > _ZEROS_WORTH_SAYING:
            notes.append(f"{r.key.method}: {r.zero_share:.0%} of its pixels are exactly zero, which raises KL.")
        notes += [f"{r.key.method}: {note}" for note in r.notes]
    resized = [r.key.method for r in found if r.n_resized]
    if resized:
        notes.append(f"Resized to the stimulus by the protocol: {', '.join(resized)}.")
    return notes


def render(title, rows, metrics, notes, style):
    """A table as text.

    Args:
        title: printed above (Markdown) or as a comment (LaTeX). rows: of `Row`. metrics: names, the columns.
        notes: lines beneath. style: one of `FORMATS`.
    """
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
    value = round(cell["mean"], DIGITS) + 0.0  # no "-0.000", unless it is a change, whose sign says which way it went
    text = f"{cell['mean'] + 0.0:+.{DIGITS}f}" if row.signed else f"{value:.{DIGITS}f}"
    if _is_gain(cell, name) if row.signed else row.ranked and value == best:
        text = f"**{text}**" if style == "md" else rf"\textbf{{{text}}}"
    if "low" not in cell:
        return text
    half = f"{(cell['high'] - cell['low']) / 2:.{DIGITS}f}" + ("*" if _is_sure(cell) else "")
    return f"{text} ±{half}" if style == "md" else rf"{text} {{\scriptsize $\pm${half}}}"


def _is_sure(cell):
    return cell.get("p", 1) < SIGNIFICANT


def _is_gain(cell, name):
    return _is_sure(cell) and (cell["mean"] > 0) == METRICS[name].higher_is_better


def _text(text, style, math=False):
    if style != "latex":
        return text.replace("|", r"\|")
    escaped = text.replace("_", r"\_").replace("&", r"\&").replace("%", r"\%")
    return escaped if math else escaped.replace("#", r"\#")


def _csv(rows, metrics):
    """One line per row; name_low and name_high are the interval. Full precision, empty where there is no value.

    Changes have their p-value too, as name_p.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    suffixes = {"mean": "", "low": "_low", "high": "_high"}
    if any(row.signed for row in rows):
        suffixes["p"] = "_p"
    writer.writerow(["method"] + [name + suffix for name in metrics for suffix in suffixes.values()])
    for row in rows:
        cells = [(row.cells.get(name) or {}).get(part, "") for name in metrics for part in suffixes]
        writer.writerow([row.name, *cells])
    return file.getvalue()
