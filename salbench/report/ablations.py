"""Ablations: what each arm changed against training without augmentation, as forest plots."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from salbench import results, tables
from salbench.ablation import arms, report
from salbench.ablation.splits import PROTOCOL, Ablation, AblationProblem
from salbench.metrics import METRICS
from salbench.report.boards import STYLES, folders, notes_of, percent
from salbench.report.names import Names


class Bar(NamedTuple):
    """A line of a forest plot.

    Attributes:
        name: what changed.
        mean, low, high: the change and its interval.
        is_sure: whether it is significant.
        at_low, at_mean, at_high: where they are in the plot, in percent of its width; no change is at 50.
    """

    name: str
    mean: float
    low: float
    high: float
    is_sure: bool
    at_low: float
    at_mean: float
    at_high: float


class Forest(NamedTuple):
    """What the arms of a method changed by one metric."""

    method: str
    metric: str
    bars: list[Bar]


@dataclass(frozen=True)
class Page:
    """An ablation.

    Attributes:
        title: what was trained on, and what else is unusual.
        slug: name of its page.
        counts: numbers of images and seeds, in words.
        forests: for each metric and method.
        texts: {style: its tables as text}.
        notes: lines beneath the tables.
    """

    title: str
    slug: str
    counts: str
    forests: list[Forest]
    texts: dict[str, str]
    notes: list[str]


def read(out: Path | str, names: Names, left_out: list[str]) -> list[Page]:
    """The complete ablations in a folder of results; a line about each other one is added to `left_out`."""
    pages = []
    for folder, ablation in _found(out):
        try:
            by_method = arms.read(out, ablation)
            texts = {style: report.render(by_method, ablation, style) for style in STYLES}
        except AblationProblem as problem:
            left_out.append(str(problem).replace(f"{out}/", ""))
            continue
        changes = {method: arms.changes(by_arm) for method, by_arm in by_method.items()}
        seeds, images = next(iter(next(iter(by_method.values()))[arms.BASELINE].values())).shape
        pages.append(
            Page(
                ablation.title, names.new(f"ablation-{folder.name}"), f"{images} test images · {seeds} seeds",
                [forest(method, metric, of_one) for metric in METRICS for method, of_one in changes.items()],
                texts, list(dict.fromkeys(notes_of(texts["md"]))),
            )
        )  # fmt: skip
    return pages


def _found(out: Path | str) -> Iterator[tuple[Path, Ablation]]:
    """The folders of ablations, and what each was given; see `Ablation.folder`."""
    for folder in folders(out):
        dataset, mark, rest = folder.name.partition("_ablation")
        if mark:
            protocol = next(iter(results.read_all(out, folder.name).values())).identity["protocol"]
            if protocol != PROTOCOL:
                rest = rest.removesuffix(protocol)
            yield folder, Ablation(dataset, rest.strip("-") or None, protocol)


def forest(method: str, metric: str, changes: Mapping[str, Mapping[str, arms.Change]]) -> Forest:
    """A forest plot of {arm: {metric: change}}, the largest gain on top."""
    cells = {arm: of_one[metric] for arm, of_one in changes.items()}
    reach = max((max(abs(cell["low"]), abs(cell["high"])) for cell in cells.values()), default=0.0)
    bars = [bar(arm, cell, reach, is_sure=cell["p"] < tables.SIGNIFICANT) for arm, cell in cells.items()]
    return Forest(method, metric, sorted(bars, key=lambda b: (-1 if METRICS[metric].higher_is_better else 1) * b.mean))


def bar(name: str, cell: Mapping[str, float], reach: float, *, is_sure: bool) -> Bar:
    """A line of a forest plot that reaches from -`reach` to `reach`."""
    mean, low, high = cell["mean"], cell["low"], cell["high"]
    at = [percent(value, (-1.02 * reach, 1.02 * reach)) for value in (low, mean, high)]
    return Bar(name, mean, low, high, is_sure, *at)
