"""Leaderboards: the results on one data set by one protocol, as the rows of a page."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from salbench import matrix, results, tables
from salbench.metrics import METRICS
from salbench.report.names import Names
from salbench.results import Result
from salbench.stats import random_effects_difference

STYLES = ("md", "latex", "csv")


class Badge(NamedTuple):
    """A few words beside the name of a method.

    Attributes:
        kind: "ceiling", "seen", "trained", "fitted" or "failed"; decides its colour.
        text: what it says.
    """

    kind: str
    text: str


class Value(NamedTuple):
    """A cell of a leaderboard.

    Attributes:
        mean: unrounded.
        text: the mean as tables print it.
        half: half the width of its interval, or "" for a claimed value.
        low, middle, high: where the interval and the mean are on the scale of the column, in percent of its width.
        is_best: whether no ranked row has a better printed value.
        claimed: what the paper claims for the same method, as printed, or "".
    """

    mean: float
    text: str
    half: str
    low: float
    middle: float
    high: float
    is_best: bool = False
    claimed: str = ""


class Line(NamedTuple):
    """A row of a leaderboard.

    Attributes:
        name: label of the method, or name of the model in the paper.
        badges: what a reader must know of it.
        values: {metric: its cell, or None without a value}.
    """

    name: str
    badges: list[Badge]
    values: dict[str, Value | None]


@dataclass(frozen=True)
class Board:
    """The results on the same images by the same version of a protocol.

    Attributes:
        out: folder of the results.
        slug: name of its files in the site.
        results: those that a table shows, in its order.
        is_alone: whether the folder holds no results of another protocol or version of the data set.
    """

    out: Path
    slug: str
    results: list[Result]
    is_alone: bool

    @property
    def first(self) -> Result:
        """Any of the results, for what all share."""
        return self.results[0]

    @property
    def dataset(self) -> str:
        return self.first.dataset

    @property
    def protocol(self) -> str:
        """Name of the protocol, without its version."""
        return self.first.identity["protocol"]

    @property
    def methods(self) -> list[str]:
        """Labels of the methods, in the order of the table."""
        return [result.method for result in self.results]

    @property
    def metrics(self) -> list[str]:
        """Names of the metrics that have a value for any method."""
        return [name for name in METRICS if any(result.metrics.get(name) for result in self.results)]

    @property
    def best(self) -> Result | None:
        """The first ranked result."""
        return self.results[0] if is_ranked(self.results[0]) else None

    def result(self, label: str) -> Result:
        """The result of a method."""
        return self.results[self.methods.index(label)]

    def texts(self) -> dict[str, str]:
        """{style: the table as text}."""
        chosen = None if self.is_alone else self.methods
        return {style: tables.dataset_table(self.out, self.dataset, style, methods=chosen) for style in STYLES}

    def notes(self) -> list[str]:
        """The lines beneath the table."""
        return notes_of(self.texts()["md"])

    def scores(self) -> dict[str, np.ndarray]:
        """{metric: float (methods, images)}; NaN where an image has no value."""
        found = [results.read_scores(self.out, self.dataset, label) for label in self.methods]
        return {name: np.array([scores[name].to_numpy(dtype=float) for scores in found]) for name in self.metrics}

    def ids(self) -> list[str]:
        """Ids of the images, in the order of the scores."""
        return list(results.read_scores(self.out, self.dataset, self.first.method).index)

    def lines(self) -> dict[str, list[Line]]:
        """{"ranked", "not ranked", "claimed": rows}, top to bottom."""
        scales = {name: self._scale(name) for name in self.metrics}
        best = {name: self._best(name) for name in self.metrics}
        claims = _claims(self.dataset, self.protocol)
        groups: dict[str, list[Line]] = {"ranked": [], "not ranked": [], "claimed": []}
        for result in self.results:
            ranked = is_ranked(result)
            beside = {k: v for model, methods, values in claims if result.method in methods for k, v in values.items()}
            values = {
                name: _value(result.metrics.get(name), scales[name], ranked, best[name], beside.get(name))
                for name in self.metrics
            }
            groups["ranked" if ranked else "not ranked"].append(Line(result.method, badges(result), values))
        for model, methods, claimed in claims:
            if not set(methods) & set(self.methods):
                values = {n: _value({"mean": claimed[n]} if n in claimed else None, scales[n]) for n in self.metrics}
                groups["claimed"].append(Line(model, [], values))
        return groups

    def _scale(self, name: str) -> tuple[float, float]:
        """Lowest and highest end of the intervals of ranked rows, without rows that have the same value on all images.

        From `uniform` to a ceiling the scale would be so long that intervals are dots.
        """
        known = [(is_ranked(result), cell) for result in self.results if (cell := result.metrics.get(name))]
        competing = [cell for ranked, cell in known if ranked and cell["low"] < cell["high"]]
        cells = competing or [cell for _, cell in known]
        return min(cell["low"] for cell in cells), max(cell["high"] for cell in cells)

    def _best(self, name: str) -> float | None:
        """The best printed mean of ranked rows, as in tables."""
        cells = [result.metrics.get(name) for result in self.results if is_ranked(result)]
        means = [round(cell["mean"], tables.DIGITS) for cell in cells if cell]
        choose = max if METRICS[name].higher_is_better else min
        return choose(means) if means else None

    def pairs(self, scores: Mapping[str, np.ndarray]) -> list[dict[str, list[float | int] | None]]:
        """For each pair of methods, first against second: {metric: [mean difference, low, high, p, images]}.

        Pairs are in the order of `itertools.combinations` of the methods. A pair without two common images has None.
        """
        return [
            {name: _difference(of_all[i], of_all[j]) for name, of_all in scores.items()}
            for i, j in combinations(range(len(self.results)), 2)
        ]


def read(out: Path | str, names: Names, datasets: Collection[str] | None = None) -> list[Board]:
    """The leaderboards of a folder of results, by data set and protocol.

    Args:
        out: the folder.
        names: gives each board its slug.
        datasets: names in results of those to read; by default all but ablations.

    Raises:
        ResultProblem: a file is not a result of this version.
    """
    boards = []
    for folder in folders(out):
        if "_ablation" in folder.name if datasets is None else folder.name not in datasets:
            continue
        groups: dict[tuple[str, str, str], list[Result]] = defaultdict(list)
        for result in results.read_all(out, folder.name).values():
            if not result.untrained:
                groups[result.dataset, result.protocol, result.identity["fingerprint"]].append(result)
        for (dataset, protocol, _), found in sorted(groups.items()):
            slug = names.new(f"{dataset}-{protocol.partition(' ')[0]}")
            boards.append(Board(Path(out), slug, sorted(found, key=_rank), len(groups) == 1))
    return boards


def folders(out: Path | str) -> Iterator[Path]:
    """The folders of a folder of results that hold results of runs, sorted."""
    for folder in sorted(path for path in Path(out).iterdir() if path.is_dir()):
        if any(path.with_suffix(".csv").is_file() for path in folder.glob("*.json")):
            yield folder


def is_ranked(result: Result) -> bool:
    """Whether a result competes: no ceiling, not trained on these images, and complete."""
    return not (result.ceiling or result.n_seen or result.n_failed)


def _rank(result: Result) -> tuple[bool, float]:
    """Ranked rows first, the best by the first metric on top, as in tables."""
    cell = result.metrics[next(iter(METRICS))]
    return not is_ranked(result), -cell["mean"] if cell else 1.0


def badges(result: Result) -> list[Badge]:
    """What a reader must know of a method beside its name."""
    found = []
    if result.ceiling:
        found.append(Badge("ceiling", "ceiling"))
    if result.n_failed:
        found.append(Badge("failed", f"incomplete: {result.n_failed} of {result.n_images} failed"))
    if result.n_seen:
        found.append(Badge("seen", f"trained on {result.n_seen} of these images"))
    learned = [name for name in matrix.learned(result) if name]
    if learned:
        found.append(Badge("trained", f"trained on {', '.join(learned)}"))
    if result.identity["fitted_on"] and not result.ceiling:
        found.append(Badge("fitted", f"fitted to {result.identity['fitted_on'].partition(' ')[0]}"))
    return found


def notes_of(markdown: str) -> list[str]:
    """The notes of a table in Markdown."""
    return [line.removeprefix("- ") for line in markdown.splitlines() if line.startswith("- ")]


def _claims(dataset: str, protocol: str) -> list[tuple[str, list[str], dict[str, float]]]:
    """(model, labels of its methods here, {metric: value}) of what the paper claims on these images or their like."""
    found = []
    for name in tables.paper_tables():
        table = tables.paper(name)
        if table["protocol"] == protocol and dataset in (table["dataset"], table.get("measured_on")):
            found += [(row["model"], row["methods"], row["values"]) for row in table["rows"]]
    return found


def _value(
    cell: tables.Cell,
    scale: tuple[float, float],
    ranked: bool = False,
    best: float | None = None,
    claimed: float | None = None,
) -> Value | None:
    if not cell:
        return None
    mean = cell["mean"]
    low, middle, high = (percent(cell.get(part, mean), scale) for part in ("low", "mean", "high"))
    half = number((cell["high"] - cell["low"]) / 2) if "low" in cell else ""
    is_best = ranked and round(mean, tables.DIGITS) == best
    return Value(mean, number(mean), half, low, middle, high, is_best, "" if claimed is None else number(claimed))


def number(value: float) -> str:
    """A number as tables print it, without "-0.000"."""
    return f"{round(value, tables.DIGITS) + 0.0:.{tables.DIGITS}f}"


def signed(value: float) -> str:
    """A change as tables print it, with its sign."""
    return f"{value + 0.0:+.{tables.DIGITS}f}"


def percent(value: float, scale: tuple[float, float]) -> float:
    """Where a value is on a scale from its low to its high end, 0 to 100."""
    low, high = scale
    return round(100 * float(np.clip((value - low) / (high - low), 0, 1)), 1) if high > low else 50.0


def _difference(values: np.ndarray, others: np.ndarray) -> list[float | int] | None:
    found = random_effects_difference(values[None], others[None])
    numbers = [found.mean, found.low, found.high, found.p]
    return [*map(short, numbers), found.n_images] if np.isfinite(numbers).all() else None


def short(value: float, digits: int = 5) -> float:
    """A number rounded to a few significant digits, for the scripts of a page."""
    return float(f"{value:.{digits}g}")


def numbers(values: Sequence[float] | np.ndarray, digits: int = 5) -> list[float | None]:
    """Numbers for the scripts of a page; None for NaN."""
    return [short(value, digits) if np.isfinite(value) else None for value in map(float, values)]


def data(board: Board) -> dict[str, Any]:
    """What the scripts of the pages of a board need to know of it."""
    scores = board.scores()
    return {
        "ids": board.ids(),
        "methods": board.methods,
        "ceilings": [result.method for result in board.results if result.ceiling],
        "metrics": [
            {"name": name, "up": METRICS[name].higher_is_better, "unit": METRICS[name].unit} for name in board.metrics
        ],
        "means": {name: numbers([_mean(result, name) for result in board.results], 8) for name in board.metrics},
        "scores": {name: [numbers(of_one) for of_one in of_all] for name, of_all in scores.items()},
        "pairs": board.pairs(scores),
    }


def _mean(result: Result, name: str) -> float:
    cell = result.metrics.get(name)
    return cell["mean"] if cell else np.nan
