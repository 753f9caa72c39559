"""Lists of methods, data sets, metrics and so on, as rows for people or for programs."""

import inspect
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from tabulate import tabulate

from salbench import augment, registry, weights
from salbench import datasets as data
from salbench.edit_controls import CONTROLS
from salbench.edits import EDIT_TYPES
from salbench.metrics import METRICS
from salbench.protocol import PROTOCOLS
from salbench.weights import Checkpoint

Row = dict[str, Any]
NOT_FOUND = "not in"  # start of the column "found" if a data set is missing
_NARROW, _WIDE = 20, 60  # characters; a wrapped column is at least as wide as the first and at most as the second


def methods(root: Path | str | None = None) -> list[Row]:
    """One row per method. It says so if a method cannot be imported, or is skipped because something is missing.

    Args:
        root: folder of published weights; see `salbench.weights`.
    """
    return [_method(name, root) for name in registry.available()]


def _method(name: str, root: Path | str | None) -> Row:
    row: Row = {"name": name, **dict.fromkeys(("summary", "output", "kind", "paper", "skipped"))}
    try:
        cls = registry.get(name)
    except registry.MethodProblem as error:
        return row | {"summary": f"BROKEN: {error}"}
    except registry.MethodUnavailable as error:
        return row | {"skipped": str(error)}
    kind = "ceiling" if cls.sees_fixations else "fitted at run" if cls.fits_at_run else "fixed"
    summary = (inspect.getdoc(cls) or "").partition("\n")[0]
    missing = not weights.converted(name, root).is_file() and weights.remedy(name, cls.checkpoints, root)
    skipped = "no weights, see: salbench weights" if missing else None
    return row | {"summary": summary, "output": cls.output, "kind": kind, "paper": cls.paper, "skipped": skipped}


def checkpoints(names: Iterable[str], root: Path | str | None = None) -> list[Row]:
    """One row per published file that the named methods need, or that their trainings can start from, found or not.

    Args:
        names: of methods.
        root: folder with one subfolder per method; see `salbench.weights`.
    """
    return [row for name in names for row in _of_method(name, registry.get(name), root)]


def _of_method(name: str, cls: type[registry.SaliencyMethod], root: Path | str | None) -> Iterator[Row]:
    own, shared = weights.folder(name, root), weights.folder(weights.IMAGENET, root)
    for published in cls.checkpoints:
        yield _checkpoint(name, published, weights.converted(name, root), own / published.file)
    for published in cls.imagenet:
        row = _checkpoint(name, published, shared / published.file)
        yield row | {"trained on": f"{published.trained_on}, for fit --from imagenet"}


def _checkpoint(name: str, published: Checkpoint, *places: Path) -> Row:
    found = [str(place) for place in places if place.is_file()]
    return {
        "method": name,
        "file": published.file,
        "found": found[0] if found else f"not in {places[-1].parent}",
        "licence": published.licence,
        "trained on": published.trained_on,
        "page": published.source,
    }


def datasets() -> list[Row]:
    """One row per data set. It says so if the package that declares it cannot be used."""
    return [_dataset(name) for name in data.names()]


def _dataset(name: str) -> Row:
    try:
        found = data.get(name)
    except data.DatasetProblem as error:
        return {"name": name, "summary": f"BROKEN: {error}", "train": None}
    return {"name": name, "summary": found.summary, "train": found.train}


def data_files(root: Path | str | None = None) -> list[Row]:
    """One row per data set: what it is, whether its files were found, and how to get them.

    Args:
        root: folder with one folder per data set; see `salbench.datasets.data_root`.
    """
    return [_data_files(row, data.data_root(root)) for row in datasets()]


def _data_files(row: Row, root: Path) -> Row:
    row = row | dict.fromkeys(("images", "size", "licence", "found", "how"))
    try:
        found, source = data.get(row["name"]), data.source(row["name"])
    except data.DatasetProblem as error:
        return row | {"summary": f"BROKEN: {error}"}
    row["images"] = found.images
    if source is None:
        return row | {"found": "folder:DIR" if found.takes_folder else "needs no files"}
    first = next((name for name, of in data.DATASETS.items() if of.module == found.module), row["name"])
    get = f" Or: salbench data get {first}" if source.archive else ""  # the splits share one archive
    row |= {"size": source.size, "licence": source.licence}
    return row | {"found": _place(source, root), "how": source.how + get}


def _place(source: data.Source, root: Path) -> str:
    try:
        place = data.locate(root, source)
    except data.DatasetProblem:
        return f"{NOT_FOUND} {root}"
    return str(place) if source.is_in(place) else f"incomplete: {place}"


def images(dataset: str = "popout", root: Path | str | None = None) -> list[Row]:
    """One row per image of a data set.

    Args:
        dataset: its name.
        root: folder with one folder per data set.

    Raises:
        DatasetProblem: unknown name, or the data set is not on disk.
    """
    return [
        {
            "id": sample.id,
            "height": sample.size[0],
            "width": sample.size[1],
            "fixations": None if sample.fixations is None else len(sample.fixations),
            "caption": sample.caption,
        }
        for sample in data.load(dataset, root).samples
    ]


def metrics() -> list[Row]:
    """One row per metric."""
    return [
        {
            "name": name,
            "better": "higher" if metric.higher_is_better else "lower",
            "bounds": [bound if abs(bound) < float("inf") else None for bound in metric.bounds],
            "unit": metric.unit,
            "needs": list(metric.needs),
            "checked against": metric.reference,
        }
        for name, metric in METRICS.items()
    ]


def protocols() -> list[Row]:
    """One row per protocol."""
    return [
        {
            "name": p.name,
            "version": p.version,
            "summary": p.summary,
            "options": {metric: dict(options) for metric, options in p.options.items()},
        }
        for p in PROTOCOLS.values()
    ]


def augmentations() -> list[Row]:
    """One row per augmentation. It says so if the package that declares it cannot be used."""
    return [_augmentation(name) for name in augment.names()]


def _augmentation(name: str) -> Row:
    try:
        found = augment.get(name)
    except augment.AugmentationProblem as error:
        nothing = dict.fromkeys(("kind", "summary", "parameters", "presets", "source"))
        return {"name": name, **nothing, "summary": f"BROKEN: {error}"}
    return {
        "name": name,
        "kind": found.kind,
        "summary": found.summary,
        "parameters": {key: list(v) if isinstance(v, tuple) else v for key, v in found.parameters.items()},
        "presets": [preset for preset, names in augment.PRESETS.items() if name in names],
        "source": found.source,
    }


def edits() -> list[Row]:
    """One row per type of edit."""
    return [
        {
            "name": name,
            "summary": edit_type.summary,
            "strengths": list(edit_type.strengths),
            "neutral": edit_type.neutral,
            "measured as": edit_type.unit,
            "needs": "--color" if edit_type.needs_color else None,
        }
        for name, edit_type in EDIT_TYPES.items()
    ]


def controls() -> list[Row]:
    """One row per control of an edit set."""
    return [{"name": name, "summary": control.summary} for name, control in CONTROLS.items()]


ROWS: dict[str, Callable[..., list[Row]]] = {
    "methods": methods,
    "datasets": datasets,
    "images": images,
    "metrics": metrics,
    "protocols": protocols,
    "augmentations": augmentations,
    "edits": edits,
    "controls": controls,
}


def text(rows: Sequence[Row], width: int | None = None) -> str:
    """Rows as a table.

    Args:
        rows: dicts with the same keys, the columns.
        width: characters, by default those of the terminal. Long columns are wrapped to fit, but not below 20
            characters.
    """
    rows = [{k: _plain(v) for k, v in row.items()} for row in rows]
    columns = [[name, *(str(row[name]) for row in rows)] for name in (rows[0] if rows else ())]
    longest = [max(map(len, column)) for column in columns]
    narrow = [length for length in longest if length <= _NARROW]
    room = (width or shutil.get_terminal_size().columns) - sum(narrow) - 2 * len(longest)
    share = room // max(1, len(longest) - len(narrow))
    widest = min(max(share, _NARROW), _WIDE)
    return tabulate(
        rows,
        headers="keys",
        maxcolwidths=widest,
        break_long_words=False,
        break_on_hyphens=False,
        disable_numparse=True,  # an id such as 0010 is no number
    )


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        words = {None: "none", True: "yes", False: "no"}
        return "; ".join(f"{k}: {words[v] if isinstance(v, bool | None) else _plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join("-" if v is None else str(v) for v in value)
    return {None: "", True: "yes", False: ""}.get(value, value) if isinstance(value, bool | None) else value
