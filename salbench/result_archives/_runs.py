"""The results in an archive: everything that can be wrong with one, from its JSON and its CSV."""

import csv
import io
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from salbench import results
from salbench.evaluation import means
from salbench.metrics import METRICS
from salbench.protocol import PROTOCOLS
from salbench.results import Result, ResultProblem, short

_ROUNDING = 1e-9  # relative; machines add up numbers in another order
_FACTS = {"method": str, "dataset": str, "protocol": str, "fingerprint": str, "protocol_version": int, "seed": int}
_SHOWN = 3  # names in a message
_BEFORE = r"(?:^|[\s'\"(=,;])"  # what stands before a path in a sentence
_PRIVATE = re.compile(
    rf"{_BEFORE}(?:file://)?(?:/[\w.@~+-]+){{2,}}|{_BEFORE}~\w*/\S+|\b[A-Za-z]:[\\/]\w\S*|\\\\\w+\\\S+"
)


@dataclass(frozen=True)
class Run:
    """A result in an archive.

    Attributes:
        dataset, label: what its files are named.
        json, csv: content of its files.
        result: what the JSON says.
        ids: ids of the images, in the order of the CSV.
        scores: (images, metrics), in the order of `METRICS`; NaN means no value.
        computed: the field `metrics` of the result, computed again from `scores`. Empty if the protocol is not known
            here, or weights images by fixations, which a CSV does not tell.
    """

    dataset: str
    label: str
    json: bytes
    csv: bytes
    result: Result
    ids: Sequence[str]
    scores: np.ndarray
    computed: Mapping[str, Mapping[str, float] | None]


def read(dataset: str, label: str, json: bytes, csv: bytes) -> tuple[Run | None, list[str]]:
    """Read a result.

    Returns:
        The run, or None if it cannot be read, and its faults, a line each.
    """
    name = f"results/{dataset}/{label}"
    try:
        result = results.parse(json, f"{name}.json")
    except ResultProblem as problem:
        return None, [str(problem)]
    faults = [f"{name}.json: {fault}" for fault in (_wrong_identity(result) or _wrong_facts(result, dataset, label))]
    rows, in_rows = _rows(csv)
    faults += [f"{name}.csv: {fault}" for fault in in_rows]
    if faults:
        return None, faults
    scores = _scores(rows)
    run = Run(dataset, label, json, csv, result, [row["id"] for row in rows], scores, _computed(result, scores))
    faults += [f"{name}.csv: {fault}" for fault in _wrong_rows(run)]
    faults += [f"{name}.json: {fault}" for fault in _wrong_means(run)]
    return run, faults


def _wrong_identity(result: Result) -> list[str]:
    """Facts of the identity that are missing or of another type."""
    facts = result.identity.facts
    return [
        f"identity: {name}: expected {kind.__name__}, got {short(facts.get(name))}"
        for name, kind in _FACTS.items()
        if type(facts.get(name)) is not kind
    ]


def _wrong_facts(result: Result, dataset: str, label: str) -> Iterator[str]:
    """What cannot be true of a finished run, or must not be sent."""
    if (result.dataset, result.method) != (dataset, label):
        yield f"expected the result of {label} on {dataset}, got that of {result.method} on {result.dataset}"
    if result.n_failed or result.failures:
        yield f"expected a complete run, got one in which {result.n_failed} images failed; run the method again"
    if result.untrained:
        yield "expected a method with trained weights, got random ones"
    unknown = [metric for metric in result.metrics if metric not in METRICS]
    if unknown:
        yield f"metrics: expected some of {', '.join(METRICS)}, got {', '.join(unknown)}"
    if result.identity["seed"] < 0:
        yield f"identity: seed: expected 0 or above, got {result.identity['seed']}"
    for text in _texts(vars(result) | {"identity": result.identity.facts}):
        found = _PRIVATE.search(text)
        if found:
            yield f"expected no path of a machine, got {found[0].strip()!r}"


def _texts(value: Any) -> Iterator[str]:
    """All text in a JSON value, however deep it is nested."""
    todo = [value]
    while todo:
        value = todo.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, Mapping):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, list):
            todo += value


def _rows(content: bytes) -> tuple[list[dict[str, str]], list[str]]:
    """The lines of a CSV, and its faults."""
    try:
        reader = csv.DictReader(io.StringIO(content.decode("utf-8"), newline=""), strict=True)
        rows, columns = list(reader), list(reader.fieldnames or ())
    except (ValueError, csv.Error) as error:
        return [], [f"expected a CSV table in UTF-8, got something else ({error})"]
    if columns != ["id", *METRICS]:
        return [], [f"expected the columns id,{','.join(METRICS)}, got {','.join(columns) or 'nothing'}"]
    ragged = [str(k) for k, row in enumerate(rows, 2) if None in row or None in row.values()]
    if ragged:
        return [], [f"expected {len(columns)} cells in every line, not so in line {some(ragged)}"]
    wrong = [
        f"{row['id']} ({metric} {row[metric]!r})" for row in rows for metric in METRICS if not _is_score(row, metric)
    ]
    return rows, [f"expected numbers within the bounds of the metric, or nothing, got {some(wrong)}"] if wrong else []


def _is_score(row: Mapping[str, str], metric: str) -> bool:
    try:
        value = float(row[metric] or 0)
    except ValueError:
        return False
    lowest, highest = METRICS[metric].bounds
    return not row[metric] or lowest - _ROUNDING <= value <= highest + _ROUNDING  # NaN is within no bounds


def _scores(rows: Sequence[Mapping[str, str]]) -> np.ndarray:
    values = [[float(row[metric] or "nan") for metric in METRICS] for row in rows]
    return np.array(values, dtype=np.float64).reshape(len(rows), len(METRICS))


def _computed(result: Result, scores: np.ndarray) -> dict[str, dict[str, float] | None]:
    protocol = PROTOCOLS.get(result.identity["protocol"])
    if protocol is None or protocol.averaging != "image" or not len(scores):
        return {}
    return means(scores, np.ones(len(scores)), result.identity["seed"])


def _wrong_rows(run: Run) -> Iterator[str]:
    if len(run.ids) != run.result.n_images:
        yield f"expected {run.result.n_images} images, as the JSON says, got {len(run.ids)}"
    twice = [id for id, times in Counter(run.ids).items() if times > 1]
    if twice:
        yield f"expected each image once, got several lines of {some(twice)}"
    private = [id for id in run.ids if _PRIVATE.search(id)]
    if private:
        yield f"expected no path of a machine, got {some(private)}"


def _wrong_means(run: Run) -> Iterator[str]:
    """Means that do not follow from the scores."""
    for metric, computed in run.computed.items():
        said = run.result.metrics.get(metric)
        if (said is None) != (computed is None) or (said and computed and _differ(said, computed, ("mean", "n"))):
            yield f"metrics: {metric}: expected {_cell(computed)}, computed from the CSV, got {_cell(said)}"


def other_intervals(run: Run) -> list[str]:
    """Metrics whose intervals are not those that this version of salbench computes from the scores."""
    return [
        metric
        for metric, computed in run.computed.items()
        if computed and (said := run.result.metrics[metric]) and _differ(said, computed, ("low", "high"))
    ]


def _differ(said: Mapping[str, float], computed: Mapping[str, float], parts: Sequence[str]) -> bool:
    return not all(math.isclose(said[p], computed[p], rel_tol=_ROUNDING, abs_tol=_ROUNDING) for p in parts)


def _cell(cell: Mapping[str, float] | None) -> str:
    return "no value" if cell is None else f"{cell['mean']:.6g} [{cell['low']:.6g}, {cell['high']:.6g}], n {cell['n']}"


def some(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
