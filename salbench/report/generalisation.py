"""The matrix of all methods on all data sets, from the CSV that `salbench.matrix` makes."""

import csv
import io
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from salbench import matrix, tables
from salbench.metrics import METRICS
from salbench.report.boards import STYLES, Board, Value, notes_of, number, percent

EXPLAINED = " explained"  # after the name of a data set, in the columns of the CSV


class Cell(NamedTuple):
    """A value of the matrix.

    Attributes:
        value: as in a leaderboard.
        is_seen: whether the method has learned from this data set.
        differs: whether it differs from the best of the column after Holm's correction.
        explained: share of the explainable information, such as "82 %", or "".
    """

    value: Value
    is_seen: bool
    differs: bool
    explained: str


class Line(NamedTuple):
    """A row of the matrix: the method, {data set: cell or None}, and whether it is ranked."""

    name: str
    cells: dict[str, Cell | None]
    is_ranked: bool


@dataclass(frozen=True)
class Matrix:
    """All methods on several data sets by one metric.

    Attributes:
        metric: its name.
        protocol: its name.
        datasets: columns, left to right.
        lines: rows, top to bottom.
        texts: {style: the table as text}.
        notes: lines beneath the table.
    """

    metric: str
    protocol: str
    datasets: list[str]
    lines: list[Line]
    texts: dict[str, str]
    notes: list[str]


def read(out: Path | str, boards: Sequence[Board]) -> list[Matrix]:
    """A matrix for each protocol with results on several data sets, and each metric that has values there."""
    found = []
    for protocol, columns in _comparable(boards).items():
        names = [board.dataset for board in columns]
        if len(names) > 1:
            metrics = [name for name in METRICS if any(name in board.metrics for board in columns)]
            found += [_matrix(out, names, metric, protocol) for metric in metrics]
    return found


def _comparable(boards: Sequence[Board]) -> dict[str, list[Board]]:
    """{protocol: the boards of data sets with results of one kind by it, that are not of ceilings alone}."""
    kinds = defaultdict(list)
    for board in boards:
        kinds[board.protocol, board.dataset].append(board)
    by_protocol = defaultdict(list)
    for (protocol, _), same in kinds.items():
        if len(same) == 1 and not all(result.ceiling for result in same[0].results):
            by_protocol[protocol].append(same[0])
    return by_protocol


def _matrix(out: Path | str, datasets: Sequence[str], metric: str, protocol: str) -> Matrix:
    texts = {style: matrix.table(out, datasets, metric, protocol, style=style) for style in STYLES}
    rows = list(csv.DictReader(io.StringIO(texts["csv"])))
    lines = [
        Line(row["method"], {name: None for name in datasets}, not row["method"].endswith(matrix.CEILING))
        for row in rows
    ]
    for name in datasets:
        for line, cell in zip(lines, _column(rows, lines, name, metric), strict=True):
            line.cells[name] = cell
    return Matrix(metric, protocol, list(datasets), lines, texts, list(dict.fromkeys(notes_of(texts["md"]))))


def _column(rows: Sequence[dict[str, str]], lines: Sequence[Line], name: str, metric: str) -> list[Cell | None]:
    known = [row for row in rows if row[name]]
    scale = min(_bound(row, name, "low") for row in known), max(_bound(row, name, "high") for row in known)
    printed = [
        round(float(row[name]), tables.DIGITS)
        for row, line in zip(rows, lines, strict=True)
        if row[name] and line.is_ranked and not _is_seen(row, name)
    ]
    best = (max if METRICS[metric].higher_is_better else min)(printed, default=None)
    cells: list[Cell | None] = []
    for row, line in zip(rows, lines, strict=True):
        if not row[name]:
            cells.append(None)
            continue
        mean, low, high = float(row[name]), _bound(row, name, "low"), _bound(row, name, "high")
        left, middle, right = (percent(value, scale) for value in (low, mean, high))
        competes = line.is_ranked and not _is_seen(row, name)
        is_best = competes and round(mean, tables.DIGITS) == best
        share = row.get(name + EXPLAINED)
        cells.append(
            Cell(
                Value(mean, number(mean), number((high - low) / 2), left, middle, right, is_best),
                _is_seen(row, name),
                float(row.get(f"{name}_p") or 1) < tables.SIGNIFICANT,
                f"{float(share):.0%}" if share else "",
            )
        )
    return cells


def _bound(row: dict[str, str], name: str, part: str) -> float:
    return float(row[f"{name}_{part}"])


def _is_seen(row: dict[str, str], name: str) -> bool:
    return bool(row.get(f"{name}_seen"))
