"""Result files and the paper's numbers as tables in Markdown, LaTeX or CSV. A table never computes a score."""

import io
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tabulate import tabulate

from salbench import registry, results, weights
from salbench.files import shipped
from salbench.metrics import METRICS, Metric
from salbench.results import Result
from salbench.stats import FEWEST_TO_RESAMPLE
from salbench.suggestions import suggestion

DIGITS = 3
PAPER = shipped("paper", "results/paper")  # the paper's numbers, as data
SIGNIFICANT = 0.05  # p-values below
SEEN = "†"  # after a value on a data set that the method learned from
CLAIMED = "(paper): claimed by the paper, not measured here."  # note on rows of `claimed`
_MANY_ZEROS = 0.01  # share of zero pixels that a note mentions

Cell = Mapping[str, float] | None


class TableProblem(ValueError):
    """A table that cannot be made from the files there are. Says which command makes them."""


@dataclass(frozen=True)
class Row:
    """One line of a table.

    Attributes:
        name: of the method or arm.
        cells: {column: {"mean", "low", "high", "n", "p", "seen"}}, or None instead of a cell. Bounds and "n", the
            number of images in the mean, exist only for measured values. "p" is the p-value of a difference; the cell
            gets a star if p < 0.05. "seen" marks a value on a data set that the method learned from: it gets a dagger
            and competes for nothing.
        ranked: whether it competes for the best value of a column, which is printed bold.
        signed: its values are changes. They are printed with their sign, and bold if they are significant
            improvements.
    """

    name: str
    cells: Mapping[str, Cell]
    ranked: bool = False
    signed: bool = False


def dataset_table(
    out: Path | str,
    dataset: str,
    style: str = "md",
    *,
    methods: Sequence[str] | None = None,
    metrics: Sequence[str] | None = None,
) -> str:
    """All results of one data set: one table for each protocol and each content of the data set found there.

    Networks with random weights are left out.

    Args:
        out: folder of the results.
        dataset: its name.
        style: "md", "latex" or "csv".
        methods: names of the rows, in this order. By default all results, best first, and the paper's rows.
        metrics: names of the columns, in this order. By default all metrics.

    Raises:
        TableProblem: there is no result of this data set, or no such row or column.
        ResultProblem: a file is not a result of this version.
    """
    found = _chosen(results.read_all(out, dataset), methods, metrics)
    groups = defaultdict(list)
    for result in found:
        groups[result.protocol, result.identity["fingerprint"]].append(result)
    tables = [
        _one_table(group, style, in_order=bool(methods))
        for _, group in sorted(groups.items())
        if not all(r.untrained for r in group)
    ]
    if not tables:
        there = {p.parent.name for p in Path(out).glob("*/*.json")} - {PAPER.name, dataset}
        problem = suggestion("folder of results", dataset, sorted(there))
        if found:
            problem = "expected results, found only some with random weights"
        raise TableProblem(
            f"{Path(out) / dataset}: {problem}. A run makes them: salbench run --dataset {dataset} --out {out}"
        )
    return "\n".join(tables)


def _chosen(found: Mapping[str, Result], methods: Sequence[str] | None, metrics: Sequence[str] | None) -> list[Result]:
    """The results of some methods, each reduced to some metrics; by default all."""
    for kind, wanted, known in (("row", methods, found), ("metric", metrics, METRICS)):
        unknown = [name for name in wanted or () if name not in known]
        if found and unknown:
            raise TableProblem(suggestion(kind, unknown[0], known))
    columns = metrics or list(METRICS)
    chosen = [found[name] for name in methods or found if name in found]
    return [replace(result, metrics={name: result.metrics.get(name) for name in columns}) for result in chosen]


def _one_table(group: Sequence[Result], style: str, *, in_order: bool) -> str:
    found, needing_fixations = _measurable([result for result in group if not result.untrained])
    first = found[0]
    rows = list(map(row_of, found))
    if not in_order:
        rows = [*sorted(rows, key=_rank), *claimed(first.dataset, first.identity["protocol"])]
    gaze = "SIMULATED gaze" if first.gaze == "simulated" else first.gaze
    images = f"{first.n_images} of {first.n_whole}" if first.n_whole else str(first.n_images)
    title = f"{first.dataset}, {images} images, {gaze}, protocol {first.protocol}"
    notes = [*_notes(found, rows, first.n_images), *first.dataset_notes]
    if needing_fixations:
        notes.append(f"This data set has densities but no fixations, which these need: {', '.join(needing_fixations)}.")
    if len(found) < len(group):
        untrained = ", ".join(result.method for result in group if result.untrained)
        notes.append(f"Left out because their weights are random: {untrained}.")
    return render(title, rows, {name: METRICS[name] for name in first.metrics}, notes, style)


def _measurable(found: Sequence[Result]) -> tuple[Sequence[Result], list[str]]:
    """Results without the metrics that need fixations if no scored image has any, and the names of these metrics."""
    with_fixations = sum(r.n_images - r.n_failed - r.n_without_fixations for r in found)
    if with_fixations or not any(r.n_without_fixations for r in found):
        return found, []
    needing = [name for name in found[0].metrics if "fixations" in METRICS[name].needs]
    kept = [name for name in found[0].metrics if name not in needing]
    return [replace(r, metrics={name: r.metrics[name] for name in kept or needing}) for r in found], needing


def _rank(row: Row) -> tuple[bool, float]:
    """Ranked rows first, the best by the first metric on top."""
    cell = row.cells[next(iter(row.cells))]
    return not row.ranked, -cell["mean"] if cell else 1.0


def paper_table(name: str, out: Path | str, style: str = "md", folder: Path = PAPER) -> str:
    """One of the paper's tables, with our measured rows beneath the claimed ones if there is a run.

    A network without augmentation is compared with its published weights and with "<method>+plain", one with
    augmentation with "<method>+aug".

    Args:
        name: "table1" or "table2".
        out: folder of the results.
        style: "md", "latex" or "csv".
        folder: of the paper's numbers.

    Raises:
        TableProblem: there is no such table.
    """
    table = paper(name, folder)
    measured_on = table.get("measured_on", table["dataset"])
    measured = results.read_all(out, measured_on)
    rows, notes, by_note = [], [f"(paper): as printed in {table['source']}, not measured here."], _ByNote()
    for row in table["rows"]:
        rows.append(Row(f"{row['model']} (paper)", _bare(row["values"]), ranked=True))
        for result in (measured[method] for method in row["methods"] if method in measured):
            ours = row_of(result)
            where = f"measured on {measured_on}, {result.identity['protocol']}"
            rows.append(Row(f"{ours.name} ({where})", ours.cells))
            by_note.add(result)
    notes += by_note.lines()
    if "note" in table:
        notes.append(table["note"])
    if not any("(measured" in row.name for row in rows):
        notes.append(f"{out} has no run of these methods on {measured_on} yet.")
    notes += [
        f"{row['model']}: {n} {remedy}." for row in table["rows"] for n in _published(row) if (remedy := _missing(n))
    ]
    columns = {name: METRICS[name] for name in table["columns"]}
    return render(f"{table['title']} ({table['dataset']})", rows, columns, notes, style)


def paper_methods(name: str, folder: Path = PAPER) -> list[str]:
    """Names of the methods in one of the paper's tables, without the variants that are trained here.

    Raises:
        TableProblem: there is no such table.
    """
    return list(dict.fromkeys(method for row in paper(name, folder)["rows"] for method in _published(row)))


def _published(row: Mapping[str, Any]) -> list[str]:
    """The methods that a row of the paper is compared with, as their authors trained them."""
    return [method for method in row["methods"] if "+" not in method]


def _missing(name: str) -> str:
    """What a method lacks to run with its published weights, and how to get it; "" if nothing."""
    try:
        return weights.remedy(name, registry.get(name).checkpoints)
    except registry.MethodUnavailable as problem:
        return str(problem)


def paper_tables(folder: Path = PAPER) -> list[str]:
    """Names of the paper's tables."""
    return sorted(p.stem for p in folder.glob("*.json"))


def paper(name: str, folder: Path = PAPER) -> dict[str, Any]:
    """One of the paper's tables as data.

    Raises:
        TableProblem: there is no such table.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        raise TableProblem(f"expected one of the paper's tables, {', '.join(paper_tables(folder))}, got {name!r}")
    return json.loads(path.read_text(encoding="utf-8"))


def _bare(values: Mapping[str, float]) -> dict[str, Cell]:
    return {name: {"mean": value} for name, value in values.items()}


def row_of(result: Result) -> Row:
    """The row of a result. Ceilings, and methods that were trained on the scored images, are not ranked."""
    name = result.method
    if result.ceiling:
        name += " (ceiling)"
    if result.n_failed:
        name += f" (incomplete, {result.n_failed} of {result.n_images} failed)"
    if result.n_seen:
        name += f" (trained on {result.n_seen} of these images)"
    cells: Mapping[str, Cell] = result.metrics if not result.n_failed else dict.fromkeys(result.metrics)
    return Row(name, cells, ranked=not result.ceiling and not result.n_seen)


def claimed(dataset: str, protocol: str) -> list[Row]:
    """The paper's rows for a data set and a protocol, to print beside the measured ones; none if it has no such table.

    Args:
        dataset: name of the scored data set.
        protocol: its name, without the version.
    """
    rows = []
    for name in paper_tables():
        table = paper(name)
        if (table["dataset"], table["protocol"]) == (dataset, protocol):
            rows += [Row(f"{row['model']} (paper, {name})", _bare(row["values"])) for row in table["rows"]]
    return rows


class _ByNote:
    """Notes of methods, a line for all notes that the same methods share."""

    def __init__(self) -> None:
        self._methods: dict[str, list[str]] = {}

    def add(self, result: Result) -> None:
        for note in result.notes:
            self._methods.setdefault(note, []).append(result.method)

    def lines(self) -> list[str]:
        shared = defaultdict(list)
        for note, methods in self._methods.items():
            shared[", ".join(methods)].append(note)
        return [f"{methods}: {'; '.join(note.rstrip('.') for note in notes)}." for methods, notes in shared.items()]


def method_notes(found: Iterable[Result]) -> list[str]:
    """What methods note about themselves, a line for all notes that the same methods share."""
    by_note = _ByNote()
    for result in found:
        by_note.add(result)
    return by_note.lines()


def fewer_images(rows: Sequence[Row], n_images: int) -> list[str]:
    """Notes on means that leave images out, such as images without fixations; one note if it is true of all rows.

    Args:
        rows: with "n" in the cells of measured values.
        n_images: number of images that were scored.
    """
    numbers: dict[str, dict[int, list[str]]] = {}  # {name of a row, or "" for all: {n: metrics}}
    for metric in METRICS:
        for name, n in _images_in_means(rows, metric).items():
            if n < n_images:
                numbers.setdefault(name, {}).setdefault(n, []).append(metric)
    return [
        f"{name + ': ' if name else ''}Means over fewer images: "
        + "; ".join(f"{', '.join(metrics)}: {n} of {n_images}" for n, metrics in by_number.items())
        + "."
        for name, by_number in numbers.items()
    ]


def _images_in_means(rows: Sequence[Row], metric: str) -> dict[str, int]:
    """{name of a row: number of images}, or {"": number} if all rows have the same."""
    cells = {row.name: row.cells.get(metric) for row in rows}
    found = {name: int(cell["n"]) for name, cell in cells.items() if cell and "n" in cell}
    return {"": min(found.values())} if len(set(found.values())) == 1 else found


def _notes(found: Iterable[Result], rows: Sequence[Row], n_images: int) -> list[str]:
    found = list(found)
    interval = "Student's t interval" if n_images < FEWEST_TO_RESAMPLE else "bootstrap interval"
    notes = [f"±: half the width of the 95 % {interval} over images. Bold: best ranked row."]
    if any(r.n_failed for r in found):
        notes.append("(incomplete): images failed. Rerun it, or choose other rows with: salbench table --methods NAMES")
    cut = [name for name in METRICS if any(_is_cut(row, name, METRICS[name]) for row in rows)]
    if cut:
        notes.append(f"{', '.join(cut)}: an interval is cut off at the metric's bound; its ± is the longer side.")
    if any(r.ceiling for r in found):
        notes.append("(ceiling): sees the fixations of other observers on the same image, so not ranked.")
    notes += [note for r in found if r.ceiling for note in _about_ceiling(r, found)]
    if any(r.n_seen for r in found):
        notes.append("(trained on N of these images): not a test, so not ranked.")
    if any("(paper" in row.name for row in rows):
        notes.append(CLAIMED)
    notes += fewer_images(rows, n_images)
    notes += [
        f"{name}: only for methods that predict a density, as this protocol reads no other map as one."
        for name, metric in METRICS.items()
        if metric.reads_probabilities
        and any(r.output == "map" and name in r.metrics and not r.metrics[name] for r in found)
    ]
    for r in found:
        if r.zero_share > _MANY_ZEROS:
            notes += [f"{r.method}: {r.zero_share:.0%} of its pixels are exactly zero, which raises {name}."
                      for name in _hurt_by_zeros(r)]  # fmt: skip
    return notes + method_notes(found)


def _about_ceiling(ceiling: Result, found: Iterable[Result]) -> Iterator[str]:
    """What a ceiling's values mean, and which part of them the methods reach."""
    for name, metric in METRICS.items():
        highest = ceiling.metrics.get(name)
        if not highest:
            continue
        if metric.noise_ceiling:
            yield f"{name} of {ceiling.method}: what a perfect prediction is expected to reach on so few observers."
        parts = {r.method: part for r in found if (part := explained(r, ceiling, name)) is not None}
        if parts:
            ordered = sorted(parts, key=lambda method: -parts[method])
            listed = ", ".join(f"{method} {parts[method]:.0%}" for method in ordered)
            yield f"Explained information, {name} divided by that of {ceiling.method}: {listed}."


def explained(result: Result, ceiling: Result, name: str) -> float | None:
    """Which part of the explainable information a method reaches: its mean divided by the ceiling's.

    Args:
        result: of the method.
        ceiling: on the same data set, under the same protocol.
        name: of the metric.

    Returns:
        1 for the ceiling's mean, 0 for the baseline. None for a ceiling, for a metric that is not zero for the
        baseline, without a value, or if the ceiling is not above the baseline.
    """
    cell, highest = result.metrics[name], ceiling.metrics[name]
    if result.ceiling or not METRICS[name].zero_is_baseline or not cell or not highest or highest["mean"] <= 0:
        return None
    return cell["mean"] / highest["mean"]


def _hurt_by_zeros(result: Result) -> list[str]:
    return [name for name, metric in METRICS.items() if metric.hurt_by_zeros and result.metrics.get(name)]


def render(title: str, rows: Sequence[Row], columns: Mapping[str, Metric], notes: Sequence[str], style: str) -> str:
    """A table as text.

    Args:
        title: printed above the table (Markdown) or as a comment (LaTeX).
        rows: top to bottom.
        columns: {heading, and name of its cells: metric, which says what is better}.
        notes: lines beneath the table.
        style: "md", "latex" or "csv".
    """
    if style == "csv":
        return _csv(rows, list(columns))
    header = ["method"] + [f"{name} {_arrow(metric, style)}" for name, metric in columns.items()]
    best = {name: best_value(rows, name, metric) for name, metric in columns.items()}
    body = [
        [_text(row.name, style)] + [_cell(row, name, columns[name], best[name], style) for name in columns]
        for row in rows
    ]
    if style == "latex":
        table = _booktabs(tabulate(body, [_text(h, style, math=True) for h in header], tablefmt="latex_raw"))
        return "\n".join(f"% {line}" for line in (title, *notes)) + f"\n{table}\n"
    table = tabulate(body, header, tablefmt="github", disable_numparse=True)
    return f"{title}\n\n{table}\n\n" + "\n".join(f"- {note}" for note in notes) + "\n"


def _booktabs(table: str) -> str:
    for rule in (r"\toprule", r"\midrule", r"\bottomrule"):
        table = table.replace(r"\hline", rule, 1)
    return table


def _arrow(metric: Metric, style: str) -> str:
    up = metric.higher_is_better
    if style == "latex":
        return r"$\uparrow$" if up else r"$\downarrow$"
    return "↑" if up else "↓"


def _competes(row: Row, cell: Cell) -> bool:
    return bool(row.ranked and cell and "seen" not in cell)


def best_value(rows: Sequence[Row], name: str, metric: Metric) -> float | None:
    """The best value among ranked rows as printed, so that rows that print the same are all best.

    Args:
        rows: of a table.
        name: of the column.
        metric: says what is better.

    Returns:
        Rounded to `DIGITS`; None if no ranked row has a value.
    """
    cells = [cell for row in rows if (cell := row.cells.get(name)) and _competes(row, cell)]
    values = [round(cell["mean"], DIGITS) for cell in cells]
    if not values:
        return None
    return max(values) if metric.higher_is_better else min(values)


def _cell(row: Row, name: str, metric: Metric, best: float | None, style: str) -> str:
    cell = row.cells.get(name)
    if not cell:
        return "–" if style == "md" else "--"
    value = round(cell["mean"], DIGITS) + 0.0  # no "-0.000"; a change keeps its sign
    text = f"{cell['mean'] + 0.0:+.{DIGITS}f}" if row.signed else f"{value:.{DIGITS}f}"
    if _is_gain(cell, metric) if row.signed else _competes(row, cell) and value == best:
        text = f"**{text}**" if style == "md" else rf"\textbf{{{text}}}"
    if "low" in cell:
        half = f"{_half_width(cell, _is_cut(row, name, metric)):.{DIGITS}f}" + ("*" if _is_significant(cell) else "")
        text += f" ±{half}" if style == "md" else rf" {{\scriptsize $\pm${half}}}"
    if "seen" in cell:
        text += SEEN if style == "md" else r"$^\dagger$"
    return text


def value_text(cell: Mapping[str, float]) -> str:
    """The mean with its star and dagger, without the interval, such as "0.872*" or "0.739†"."""
    mark = ("*" if _is_significant(cell) else "") + (SEEN if "seen" in cell else "")
    return f"{round(cell['mean'], DIGITS) + 0.0:.{DIGITS}f}{mark}"  # no "-0.000"


def _half_width(cell: Mapping[str, float], is_cut: bool) -> float:
    """Half the width of an interval, or its longer side if it is cut off at a bound."""
    return max(cell["mean"] - cell["low"], cell["high"] - cell["mean"]) if is_cut else (cell["high"] - cell["low"]) / 2


def _is_cut(row: Row, name: str, metric: Metric) -> bool:
    """Whether an interval ends at a bound of the metric. Changes have no such bounds."""
    cell = row.cells.get(name)
    if row.signed or not cell or "low" not in cell or cell["low"] == cell["high"]:
        return False
    lowest, highest = metric.bounds
    return cell["low"] <= lowest or cell["high"] >= highest


def _is_significant(cell: Mapping[str, float]) -> bool:
    return cell.get("p", 1) < SIGNIFICANT


def _is_gain(cell: Mapping[str, float], metric: Metric) -> bool:
    return _is_significant(cell) and (cell["mean"] > 0) == metric.higher_is_better


def _text(text: str, style: str, math: bool = False) -> str:
    if style != "latex":
        return text.replace("|", r"\|")
    escaped = text.replace("_", r"\_").replace("&", r"\&").replace("%", r"\%")
    return escaped if math else escaped.replace("#", r"\#")


def _csv(rows: Sequence[Row], columns: Sequence[str]) -> str:
    """One line per row with full precision; empty cells have no value.

    name_low and name_high are the interval. If any cell has them, there are also name_p and name_seen.
    """
    import pandas

    cells = [row.cells.get(name) or {} for row in rows for name in columns]
    parts = ["low", "high", *(part for part in ("p", "seen") if any(part in cell for cell in cells))]
    suffixes = {"mean": "", **{part: f"_{part}" for part in parts}}
    lines = [
        {name + suffix: (row.cells.get(name) or {}).get(part) for name in columns for part, suffix in suffixes.items()}
        for row in rows
    ]
    table = pandas.DataFrame(lines, index=pandas.Index([row.name for row in rows], name="method"))
    file = io.StringIO()
    table.to_csv(file, lineterminator="\n")
    return file.getvalue()
