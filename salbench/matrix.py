"""Generalisation as one table: every method on several data sets, from their result files.

A method generalises to a data set that it has learned nothing from. Values on other data sets are marked, and compete
for nothing.
"""

import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from salbench import results, tables
from salbench.datasets import results_name
from salbench.metrics import METRICS
from salbench.results import Result
from salbench.stats import FEWEST_TO_RESAMPLE, holm, random_effects_difference, ratio_of_means
from salbench.suggestions import suggestion
from salbench.tables import Row, TableProblem

CEILING = " (ceiling)"  # after the name of a row
EXPLAINED = "ig"  # the metric whose ratio to the ceiling is the explained information
_PUBLISHED = re.compile(r"^published weights .*, trained on (.+?)\.?$")
_TRAINED = re.compile(r"\bon (?:\d+ images of )?([^().]+)")  # several if the training started from another one


def table(
    out: Path | str,
    datasets: Sequence[str],
    metric: str = "auc",
    protocol: str = "tuebingen",
    *,
    methods: Collection[str] | None = None,
    style: str = "md",
) -> str:
    """All methods on all data sets by one metric, and the part of the explainable information that they reach.

    Args:
        out: folder of the results.
        datasets: names as on the command line, from left to right.
        metric: its name.
        protocol: its name.
        methods: labels of the methods to show; a ceiling is always shown. By default all that have results.
        style: "md", "latex" or "csv". CSV has all columns in one table.

    Raises:
        TableProblem: no such metric; or a data set without results, or with results of several versions.
        ResultProblem: a file is not a result of this version.
    """
    if metric not in METRICS:
        raise TableProblem(f"--metric: expected one of {', '.join(METRICS)}, got {metric!r}")
    names = list(dict.fromkeys(map(results_name, datasets)))
    columns = [read(out, name, protocol, methods) for name in names]
    values = {column.dataset: column.cells(metric) for column in columns}
    shares = {f"{column.dataset} explained": column.shares() for column in columns}
    shares = {name: cells for name, cells in shares.items() if cells}
    rows = rows_of(values, METRICS[metric].higher_is_better)
    if style == "csv":
        merged = [replace(row, cells={**row.cells, **_cells(shares, row.name)}) for row in rows]
        return tables.render("", merged, dict.fromkeys([*values, *shares], METRICS[metric]), [], style)
    title = f"Generalisation: {metric}, protocol {columns[0].results[0].protocol}"
    heads = dict.fromkeys(values, METRICS[metric])
    parts = [tables.render(title, rows, heads, list(_notes(columns, metric, values)), style)]
    if shares:
        parts.append(_explained(shares, columns, style))
    return "\n".join(parts)


@dataclass(frozen=True)
class Column:
    """The results on one data set, all on the same images under the same protocol."""

    out: Path
    results: Sequence[Result]

    @property
    def dataset(self) -> str:
        return self.results[0].dataset

    @cached_property
    def seen(self) -> dict[str, float]:
        """{label: number of these images that it was trained on} for methods that learned from this data set."""
        return {r.method: float(r.n_seen) for r in self.results if not r.ceiling and _learned_from(r)}

    @property
    def ceilings(self) -> dict[str, Result]:
        return {r.method: r for r in self.results if r.ceiling}

    @property
    def ceiling(self) -> Result | None:
        """The ceiling that explained information refers to."""
        return next((r for r in self.ceilings.values() if not r.n_failed), None)

    def scores(self, result: Result, metric: str) -> np.ndarray:
        """(n,) scores of the images, in the order of the data set."""
        return results.read_scores(self.out, self.dataset, result.method)[metric].to_numpy()

    def cells(self, metric: str) -> dict[str, tables.Cell]:
        """{name of a row: cell}.

        Cells of methods that learned from this data set have "seen". If a method is compared with the best one, its
        cell has the p-value of the difference.
        """
        p_values = self._p_values(metric)
        found = [r for r in self.results if not r.n_failed]
        cells = {r.method: self._cell(r, r.metrics[metric], p_values.get(r.method, {})) for r in found}
        return {name + CEILING * (name in self.ceilings): cell for name, cell in cells.items()}

    def _cell(self, result: Result, cell: tables.Cell, more: Mapping[str, float]) -> tables.Cell:
        seen = {"seen": self.seen[result.method]} if result.method in self.seen else {}
        return cell and {**cell, **seen, **more}

    def _p_values(self, metric: str) -> dict[str, dict[str, float]]:
        """{label: {"p"}} of the paired difference to the best, for all that compete with it."""
        ranked = [
            r for r in self.results if not (r.ceiling or r.n_failed or r.method in self.seen) and r.metrics[metric]
        ]
        if len(ranked) < 2:
            return {}
        sign = 1 if METRICS[metric].higher_is_better else -1
        ordered = sorted(ranked, key=lambda r: -sign * _mean(r, metric))
        best, *others = (self.scores(r, metric)[None] for r in ordered)
        corrected = holm([random_effects_difference(other, best).p for other in others])
        return {r.method: {"p": float(p)} for r, p in zip(ordered[1:], corrected, strict=True)}

    def shares(self) -> dict[str, tables.Cell]:
        """{label: cell} of the explained information; empty without a ceiling."""
        if self.ceiling is None:
            return {}
        found = {}
        highest = self.scores(self.ceiling, EXPLAINED)
        for result in (r for r in self.results if not r.n_failed):
            part = tables.explained(result, self.ceiling, EXPLAINED)
            if part is not None:
                _, low, high = ratio_of_means(self.scores(result, EXPLAINED), highest, seed=result.identity["seed"])
                found[result.method] = self._cell(result, {"mean": part, "low": low, "high": high}, {})
        return found


def _mean(result: Result, metric: str) -> float:
    cell = result.metrics[metric]
    return cell["mean"] if cell else np.nan


def read(out: Path | str, dataset: str, protocol: str, methods: Collection[str] | None = None) -> Column:
    """The results on one data set by one protocol. Networks with random weights are left out.

    Args:
        out: folder of the results.
        dataset: its name in results.
        protocol: its name.
        methods: labels of the methods to read; ceilings are always read. By default all that have results.

    Raises:
        TableProblem: no results, or results of several versions.
        ResultProblem: a file is not a result of this version.
    """
    out = Path(out)
    scored = [r for r in results.read_all(out, dataset).values() if r.identity["protocol"] == protocol]
    if scored and methods:
        known = [r.method for r in scored]
        for unknown in (label for label in methods if label not in known):
            raise TableProblem(f"{out / dataset}: {suggestion('method', unknown, known)}")
    found = [r for r in scored if not r.untrained and (methods is None or r.method in methods or r.ceiling)]
    command = f"salbench run --dataset {dataset} --protocol {protocol} --out {out}"
    if all(r.ceiling for r in found):
        raise TableProblem(
            f"{out / dataset}: expected results by protocol {protocol}, found none. Make them: {command}"
        )
    versions = defaultdict(list)
    for result in found:
        versions[result.protocol, result.identity["fingerprint"]].append(result.method)
    if len(versions) > 1:
        groups = "; ".join(", ".join(group) for group in versions.values())
        raise TableProblem(
            f"{out / dataset}: expected results on the same images by the same version of the protocol, found several "
            f"kinds ({groups}). Make them anew: {command} --overwrite"
        )
    return Column(out, found)


def learned(result: Result) -> list[str]:
    """Names of what the weights of a method were trained on, as its notes say, such as "osie_train" or "SALICON"."""
    said = [match[1] for note in result.notes if (match := _PUBLISHED.match(note))]
    said += [names for note in result.notes if note.startswith("trained ") for names in _TRAINED.findall(note)]
    return [name for names in said for name in re.split(r", |\+", names)]


def _learned_from(result: Result) -> bool:
    """Whether the method was fitted to gaze of this data set, or trained on any part of it."""
    if result.n_seen or result.identity["fitted_on"]:
        return True
    own = _first_word(result.dataset)
    # "salicon2015_examples" are images of SALICON. But MIT300 is not MIT1003, so digits count if both have some.
    return any(own.startswith(_first_word(name)) for name in learned(result) if _first_word(name))


def _first_word(name: str) -> str:
    found = re.match(r"[a-z0-9]*", name.lower())
    return found[0] if found else ""


def rows_of(cells: Mapping[str, Mapping[str, tables.Cell]], higher: bool, *, ranked: bool = True) -> list[Row]:
    """A row per method, the best mean over data sets on top; ceilings last.

    Args:
        cells: {column: {name of a row: cell}}.
        higher: whether higher values are better.
        ranked: whether rows compete; a ceiling never does.
    """
    names = list(dict.fromkeys(name for of_one in cells.values() for name in of_one))
    rows = [Row(name, _cells(cells, name), ranked=ranked and not name.endswith(CEILING)) for name in names]

    def place(row: Row) -> tuple[bool, float]:
        means = [cell["mean"] for cell in row.cells.values() if cell]
        return row.name.endswith(CEILING), (-1 if higher else 1) * float(np.mean(means)) if means else np.inf

    return sorted(rows, key=place)


def _cells(by_column: Mapping[str, Mapping[str, tables.Cell]], name: str) -> dict[str, tables.Cell]:
    return {column: cells.get(name) for column, cells in by_column.items()}


def _explained(shares: Mapping[str, Mapping[str, tables.Cell]], columns: Sequence[Column], style: str) -> str:
    names = sorted({column.ceiling.method for column in columns if column.ceiling})
    without = [column.dataset for column in columns if column.ceiling is None]
    notes = [
        f"{EXPLAINED} divided by that of {', '.join(names)}: 1 is the ceiling, 0 is the baseline, the density of the "
        "fixations on other images.",
        "±: half the width of the 95 % interval of this ratio over images.",
    ]
    if without:
        notes.append(f"Without a ceiling: {', '.join(without)}.")
    shown = {name.removesuffix(" explained"): cells for name, cells in shares.items()}
    heads = dict.fromkeys(shown, METRICS[EXPLAINED])
    return tables.render("Explained information", rows_of(shown, higher=True, ranked=False), heads, notes, style)


def _notes(columns: Sequence[Column], metric: str, values: Mapping[str, Mapping[str, tables.Cell]]) -> Iterator[str]:
    fewest = min(column.results[0].n_images for column in columns)
    interval = "bootstrap interval" if fewest >= FEWEST_TO_RESAMPLE else "interval"
    yield f"±: half the width of the 95 % {interval} over images. Bold: best ranked value of a column."
    if any("p" in (cell or {}) for cells in values.values() for cell in cells.values()):
        yield (
            f"*: differs from the best of its column, p < {tables.SIGNIFICANT} (paired t-test over images, Holm's "
            "correction over the column)."
        )
    yield from _about_seen(columns)
    if any(column.ceilings for column in columns):
        yield f"{CEILING.strip()}: sees the fixations of other observers on the same image, so not ranked."
    if METRICS[metric].reads_probabilities:
        yield f"{metric}: – for methods that predict no density, unless the protocol reads every map as one."
    for column in columns:
        yield from _about(column, metric)
    yield from tables.method_notes(_once(column.results for column in columns))


def _about_seen(columns: Sequence[Column]) -> Iterator[str]:
    seen = {(r.method, column.dataset): r for column in columns for r in column.results if r.method in column.seen}
    if not seen:
        return
    yield (
        f"{tables.SEEN}: the method has learned from this data set, so the value does not show generalisation and is "
        "not ranked."
    )
    fitted = sorted({method for (method, _), r in seen.items() if r.identity["fitted_on"]})
    if fitted:
        yield f"{', '.join(fitted)}: fitted to other images of each data set."
    for (method, dataset), result in seen.items():
        if result.n_seen:
            yield f"{method} on {dataset}: trained on {result.n_seen} of these images."


def _about(column: Column, metric: str) -> Iterator[str]:
    first = column.results[0]
    gaze = "SIMULATED gaze" if first.gaze == "simulated" else first.gaze
    counts = {int(cell["n"]) for r in column.results if (cell := r.metrics[metric])}
    fewer = "" if not counts or min(counts) == first.n_images else f"; at least {min(counts)} of them in each mean"
    yield f"{column.dataset}: {first.n_images} images, {gaze}{fewer}."
    for result in column.results:
        if result.n_failed:
            failed = f"{result.n_failed} of {result.n_images} images failed"
            yield f"{result.method} on {column.dataset}: incomplete, {failed}."


def _once(groups: Iterable[Sequence[Result]]) -> list[Result]:
    """The first result of each method."""
    found: dict[str, Result] = {}
    for result in (r for group in groups for r in group):
        found.setdefault(result.method, result)
    return list(found.values())
