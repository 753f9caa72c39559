"""Studies of edits: what changes with the strength, and the edits themselves before and after."""

import csv
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from salbench.edits import EDIT_TYPES, EditSet
from salbench.files import hash_bytes
from salbench.report.ablations import bar
from salbench.report.boards import short
from salbench.report.charts import Chart, chart
from salbench.report.names import Names
from salbench.report.pictures import Pictures
from salbench.stats import PairedChange, paired_change
from salbench.study.regions import SEED

_PICTURE = {"longest": 512, "quality": 70}
_BEFORE, _AFTER = "_before", "_after"  # ends of the columns of a method


class Change(NamedTuple):
    """A row of a study: what was edited, how much, what was measured, and how it changed."""

    type: str
    strength: str
    quantity: str
    change: PairedChange


@dataclass(frozen=True)
class Page:
    """A study.

    Attributes:
        title: name of its folder.
        slug: name of its page.
        rows: lines of images.csv that have numbers.
        changes: rows of its table.
        charts: (title, chart) of the change against the strength.
        text: its tables as Markdown.
        table: images.csv.
    """

    title: str
    slug: str
    rows: list[dict[str, str]]
    changes: list[Change]
    charts: list[tuple[str, Chart]]
    text: str
    table: str


def read(out: Path | str, names: Names) -> list[Page]:
    """The studies in a folder of results: folders with study.md and images.csv."""
    pages = []
    for path in sorted(Path(out).glob("*/images.csv")):
        text = path.with_name("study.md")
        if text.is_file():
            table = path.read_text(encoding="utf-8")
            rows = [row for row in csv.DictReader(table.splitlines()) if row.get("before") and row.get("after")]
            changes = list(_changes(rows))
            folder = path.parent.name
            slug = names.new(f"study-{folder}")
            pages.append(Page(folder, slug, rows, changes, _charts(changes), text.read_text(encoding="utf-8"), table))
    return pages


def _changes(rows: Sequence[Mapping[str, str]]) -> Iterator[Change]:
    """The change of each quantity by type and strength of the edit, as in study.md."""
    groups: dict[tuple[str, float], list[Mapping[str, str]]] = defaultdict(list)
    for row in rows:
        groups[row.get("type", ""), float(row.get("asked") or "nan")].append(row)
    for (type, asked), found in sorted(groups.items()):
        strength = f"{asked:g}" if np.isfinite(asked) else ""
        for quantity, before, after in _columns(found[0]):
            known = [(float(row[before]), float(row[after])) for row in found if row[before] and row[after]]
            if len(known) > 1:
                yield Change(type, strength, quantity, paired_change(*np.array(known).T, seed=SEED))


def _columns(row: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """(quantity, column before, column after): the edited property, or people's attention; then each method's share."""
    type = row.get("type")
    yield (EDIT_TYPES[type].label if type in EDIT_TYPES else type or "share inside the region"), "before", "after"
    for column in row:
        if column.endswith(_BEFORE):
            yield column.removesuffix(_BEFORE), column, column.removesuffix(_BEFORE) + _AFTER


def _charts(changes: Sequence[Change]) -> list[tuple[str, Chart]]:
    """For each type of edit a chart of the edited property, and one of the methods' shares inside the region."""
    found = []
    for type in dict.fromkeys(change.type for change in changes if change.type in EDIT_TYPES):
        curves: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
        for change in (each for each in changes if each.type == type):
            of_one = change.change
            curves[change.quantity].append((float(change.strength), of_one.mean, of_one.low, of_one.high))
        label, unchanged = EDIT_TYPES[type].label, (EDIT_TYPES[type].neutral, "unedited")
        models = {name: points for name, points in curves.items() if name != label}
        x = f"strength of the {type} edit"
        found.append((f"The edited property: {type}", chart({label: curves[label]}, x, "change", unchanged)))
        if models:
            found.append(("Predicted saliency inside the region", chart(models, x, "change of the share", unchanged)))
    return found


def lines(page: Page) -> list[dict[str, Any]]:
    """The rows of the table of a study, each with its bar; bars of one quantity share a scale."""
    reach: dict[str, float] = defaultdict(float)
    for row in page.changes:
        reach[row.quantity] = max(reach[row.quantity], abs(row.change.low), abs(row.change.high))
    return [
        {**row._asdict(), "bar": bar(row.quantity, vars(row.change), reach[row.quantity], is_sure=_is_sure(row.change))}
        for row in page.changes
    ]


def _is_sure(change: PairedChange) -> bool:
    """Whether the interval leaves out zero."""
    return change.low > 0 or change.high < 0


def shows(page: Page, edit_set: EditSet) -> bool:
    """Whether a study is one of an edit set."""
    return bool({row.get("source") for row in page.rows} & set(edit_set.sources))


def edits(page: Page, edit_set: EditSet, pictures: Pictures) -> list[dict[str, Any]]:
    """For the script of a study: each source with its original and its edits, and what was measured on them."""
    values = {(row["source"], row["type"], float(row["asked"])): row for row in page.rows}
    found, write = [], _writer(pictures, page.slug)
    for source in edit_set.sources:
        of_source = []
        for edit in edit_set.of(source):
            row = values.get((edit.source, edit.type, edit.asked))
            measured = {name: [short(float(row[b])), short(float(row[a]))] for name, b, a in _columns(row)
                        if row[b] and row[a]} if row else {}  # fmt: skip
            picture = write(edit.id, edit.read_image)
            of_source.append({"name": f"{edit.type} {edit.asked:g}", "picture": picture, "values": measured})
        if of_source:
            original = write(source, edit_set.originals[source])
            found.append({"source": source, "original": original, "edits": of_source})
    return found


def _writer(pictures: Pictures, folder: str) -> Callable[[str, Callable[[], np.ndarray]], str]:
    def write(name: str, read: Callable[[], np.ndarray]) -> str:
        image = read()
        return pictures.add(folder, name, [hash_bytes(image.tobytes(), repr(image.shape))], lambda: image, **_PICTURE)

    return write
