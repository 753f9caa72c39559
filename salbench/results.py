"""One finished run on disk: `<out>/<dataset>/<method>.json`, and `.csv` with one row per image.

The JSON says everything needed to repeat and to trust the numbers; the CSV has the column `id` and one per metric.
`load` hands a whole folder of results over as pandas tables. While a run is unfinished, its images are in
`<method>.partial.jsonl` (see `journal`).
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, NamedTuple, get_args, get_origin, get_type_hints

from salbench.identity import Identity
from salbench.text_files import parse_json
from salbench.writing import atomic_write

if TYPE_CHECKING:
    import pandas

SCHEMA = 2
_CELL = {"mean", "low", "high", "n"}
_HUGE = 1e300  # a whole number can be larger than any float
_INDEX = ["dataset", "method", "protocol"]


class ResultProblem(ValueError):
    """A result file that cannot be used: another version, other settings, or not a result. Says what to do."""


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        identity: what two runs must share to be parts of one result; see `evaluation.identity_of`.
        metrics: {name: {"mean", "low", "high" (95 % bootstrap interval), "n" images}}; None for a metric without a
            value on any image, and for every metric if images failed.
        output: kind of map that the method declares.
        ceiling: whether the method saw the fixations.
        gaze: how gaze was recorded.
        n_images, n_failed, n_without_fixations, n_resized: numbers of images.
        zero_share: mean share of pixels that are exactly zero in the scored maps.
        failures: {image id: why it failed}.
        seconds: wall time of the call that finished the run.
        provenance: versions, git commit, date.
        notes: what every table with this row must say; see `SaliencyMethod.notes`.
        untrained: the network had random weights; no table shows this result.
        n_seen: number of images that the weights were trained or validated on.
        dataset_notes: what every table of this data set must say; see `Dataset.notes`.
        left_out: numbers of recorded fixations that were not scored; see `Dataset.left_out`.
        n_whole: number of images of the published split if only a part of it was on disk; otherwise None.
    """

    identity: Identity
    metrics: dict[str, dict[str, float] | None]
    output: str
    ceiling: bool
    gaze: str
    n_images: int
    n_failed: int
    n_without_fixations: int
    n_resized: int
    zero_share: float
    failures: dict[str, str]
    seconds: float
    provenance: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    untrained: bool = False
    n_seen: int = 0
    dataset_notes: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)
    n_whole: int | None = None

    @property
    def method(self) -> str:
        """The method's label."""
        return self.identity["method"]

    @property
    def dataset(self) -> str:
        return self.identity["dataset"]

    @property
    def protocol(self) -> str:
        """Name and version, such as "tuebingen v1"."""
        return f"{self.identity['protocol']} v{self.identity['protocol_version']}"


class Paths(NamedTuple):
    """The files of one run."""

    json: Path
    csv: Path
    journal: Path


def paths(out: Path | str, dataset: str, label: str) -> Paths:
    """Where the files of a run are."""
    folder = Path(out) / dataset
    return Paths(*(folder / f"{label}{suffix}" for suffix in (".json", ".csv", ".partial.jsonl")))


def write(result: Result, rows: Iterable[Mapping[str, Any]], out: Path | str) -> None:
    """Write a result and its rows, each file completely or not at all.

    Args:
        result: of all images.
        rows: {"id": image id, metric: float} for each image.
        out: folder of the results.
    """
    place = paths(out, result.dataset, result.method)
    with atomic_write(place.csv) as file:
        writer = csv.DictWriter(file, ["id", *result.metrics], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()})
    content = {"schema": SCHEMA, "identity": dict(result.identity.facts)}
    content |= {name: value for name, value in asdict(result).items() if name != "identity"}
    with atomic_write(place.json) as file:
        json.dump(content, file, indent=2, allow_nan=False)
        file.write("\n")


def read(path: Path | str) -> Result:
    """Read a result.

    Raises:
        ResultProblem: not a result, or another schema version.
    """
    return parse(Path(path).read_bytes(), path)


def parse(content: bytes, name: Path | str) -> Result:
    """Read a result from the content of its file.

    Args:
        content: of the JSON file.
        name: its path, for errors.

    Raises:
        ResultProblem: not a result, or another schema version.
    """
    try:
        fields = parse_json(content)
        schema = fields.pop("schema")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultProblem(f"{name}: expected a salbench result, got something else ({error})") from error
    if schema != SCHEMA:
        raise ResultProblem(f"{name}: written in format {schema}, this version reads {SCHEMA}; run the method again")
    try:
        result = Result(**fields | {"identity": Identity(fields["identity"])})
        _ = result.method, result.dataset, result.protocol
    except (TypeError, KeyError, ValueError, RecursionError) as error:
        raise ResultProblem(f"{name}: expected the fields of a salbench result: {error}") from error
    wrong = [*_wrong_cells(result)] or [*_wrong_types(result)]
    if wrong:
        raise ResultProblem(f"{name}: {'; '.join(wrong)}. Run the method again")
    return result


def _wrong_types(result: Result) -> Iterator[str]:
    """Fields of another type than `Result` says."""
    for name, hint in get_type_hints(Result).items():
        if not _is_of(value := getattr(result, name), hint):
            expected = hint.__name__ if hint in (int, str, bool) else hint
            yield f"{name}: expected {expected}, got {short(value)}"
    for name in ("method", "dataset", "protocol"):
        if not isinstance(value := result.identity[name], str):
            yield f"identity: {name}: expected str, got {short(value)}"


def _is_of(value: Any, hint: Any) -> bool:
    """Whether a value is of an annotated type, with its parts; numbers are finite."""
    if hint is Any:
        return True
    if isinstance(hint, UnionType):
        return any(_is_of(value, kind) for kind in get_args(hint))
    kind, inside = get_origin(hint) or hint, get_args(hint)
    if kind is float:
        return _is_number(value)
    parts = value.values() if type(value) is dict else value if type(value) is list else ()
    return type(value) is kind and all(_is_of(part, inside[-1]) for part in parts)


def _wrong_cells(result: Result) -> Iterator[str]:
    """Metrics without all the numbers of a mean."""
    cells = result.metrics if isinstance(result.metrics, dict) else {}
    for metric, cell in cells.items():
        if isinstance(cell, dict) and not (cell.keys() == _CELL and all(map(_is_number, cell.values()))):
            yield f"metrics: {metric}: expected mean, low, high and n as finite numbers, got {short(cell)}"


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _HUGE


def short(value: Any) -> str:
    """A value as text, cut off after sixty characters."""
    text = repr(value)
    return text if len(text) < 60 else f"{text[:60]}..."


def read_all(out: Path | str, dataset: str) -> dict[str, Result]:
    """{label: result} of one data set, in alphabetical order."""
    found = (read(path) for path in sorted((Path(out) / dataset).glob("*.json")))
    return {result.method: result for result in found}


def read_scores(out: Path | str, dataset: str, label: str) -> pandas.DataFrame:
    """The per-image scores of one run: a row per image, indexed by id, and a column per metric."""
    import pandas

    return pandas.read_csv(paths(out, dataset, label).csv, dtype={"id": str}).set_index("id")


class Tables(NamedTuple):
    """What `load` returns.

    Attributes:
        scores: a row per data set, method and image, and a column per metric; NaN where an image has no value.
        means: a row per data set and method, and for each metric the columns mean, low, high and n.
    """

    scores: pandas.DataFrame
    means: pandas.DataFrame


def load(folder: Path | str) -> Tables:
    """All results in a folder as two pandas tables.

    Args:
        folder: of results, such as "results" (all data sets in it) or "results/osie_test".

    Raises:
        ResultProblem: there are no results, or a file is not a result of this version.
    """
    import pandas

    folder = Path(folder)
    found = [(path, read(path)) for path in sorted([*folder.glob("*.json"), *folder.glob("*/*.json")]) if _is_run(path)]
    if not found:
        raise ResultProblem(f"{folder}: expected results of runs (.json with a .csv beside it), found none")
    scores, means = [], []
    for path, result in found:
        index = {"dataset": result.dataset, "method": result.method, "protocol": result.protocol}
        rows = pandas.read_csv(path.with_suffix(".csv"), dtype={"id": str}).rename(columns={"id": "image"})
        scores.append(rows.assign(**index).set_index([*_INDEX, "image"]))
        cells = {(metric, part): value for metric, of in result.metrics.items() for part, value in (of or {}).items()}
        means.append(pandas.Series(cells, name=tuple(index.values())))
    table = pandas.DataFrame(means)
    table.index = pandas.MultiIndex.from_tuples(table.index, names=_INDEX)
    return Tables(pandas.concat(scores), table)


def _is_run(path: Path) -> bool:
    """Whether a JSON file is a result: others, such as the paper's tables, have no CSV beside them."""
    return path.with_suffix(".csv").is_file()
