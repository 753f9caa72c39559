"""A scatter plot: each method on two metrics, or on two data sets."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from salbench import figure
from salbench.datasets import results_name
from salbench.matrix import CEILING, read
from salbench.metrics import METRICS
from salbench.tables import TableProblem

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MANY = 10  # points whose names find room in one column of a paper
_ANGLES = np.radians(  # the first free one is taken
    [45, 315, 135, 225, 0, 90, 270, 180, 20, 340, 160, 200, 65, 295, 115, 245]
)
_OFFSETS = [(r * np.cos(a), r * np.sin(a)) for r in (4.5, 8, 12, 17, 23, 30, 38, 48) for a in _ANGLES]  # points
_LEADER = 7.0  # points; a name farther off gets a line to its marker


@dataclass(frozen=True)
class _Point:
    """A method: its means and intervals on the two axes, and whether it competes."""

    x: Mapping[str, float]
    y: Mapping[str, float]
    ranked: bool


@figure.style()
def scatter(
    out: Path | str,
    x: tuple[str, str],
    y: tuple[str, str],
    protocol: str = "tuebingen",
    *,
    methods: Collection[str] | None = None,
) -> "Figure":
    """Draw the methods by two scores, with 95 % intervals over images. Better is to the right and up.

    A ceiling, and a method that learned from a shown data set, is a hollow marker.

    Args:
        out: folder of the results.
        x, y: (data set, metric) of each axis.
        protocol: its name.
        methods: labels of the methods to show; a ceiling is always shown. By default all that have both scores.

    Raises:
        TableProblem: no results, results of several versions, or no method that has both scores.
        ResultProblem: a file is not a result of this version.
    """
    from matplotlib.figure import Figure

    points = _points(out, x, y, protocol, methods)
    width, height = (figure.COLUMN, 3.0) if len(points) <= _MANY else (figure.PAGE, 4.2)
    drawing = Figure(figsize=(width, height), layout="constrained")
    panel = drawing.subplots()
    panel.grid()
    for point in points.values():
        color, face = (figure.COLORS[0],) * 2 if point.ranked else (figure.GREY, "white")
        panel.plot([point.x["low"], point.x["high"]], [point.y["mean"]] * 2, color=color, linewidth=0.7, alpha=0.6)
        panel.plot([point.x["mean"]] * 2, [point.y["low"], point.y["high"]], color=color, linewidth=0.7, alpha=0.6)
        panel.plot(point.x["mean"], point.y["mean"], "o", color=color, markerfacecolor=face)
    panel.margins(0.12)
    for axis, (dataset, metric) in ((panel.xaxis, x), (panel.yaxis, y)):
        figure.label_axis(axis, metric, METRICS[metric], f"{{}} on {results_name(dataset)}")
    if x[1] == y[1]:
        limits = {"xlim": panel.get_xlim(), "ylim": panel.get_ylim()}
        panel.axline((0, 0), slope=1, color="0.7", linewidth=0.8, dashes=(3, 3), zorder=0.6)
        panel.set(**limits)
    _name(drawing, panel, {name: (point.x["mean"], point.y["mean"]) for name, point in points.items()})
    return drawing


def _points(out, x, y, protocol, methods) -> dict[str, _Point]:
    columns = [read(out, results_name(dataset), protocol, methods) for dataset, _ in (x, y)]
    of_x, of_y = (column.cells(metric) for column, (_, metric) in zip(columns, (x, y), strict=True))
    both = {name: (cell, other) for name, cell in of_x.items() if cell and (other := of_y.get(name))}
    if not both:
        raise TableProblem(f"expected a method with {x[1]} on {x[0]} and {y[1]} on {y[0]}, found none in {out}")
    same = columns[0].dataset == columns[1].dataset  # then only the scored images themselves must be new to a method
    seen = {r.method for r in columns[0].results if r.n_seen} if same else {*columns[0].seen, *columns[1].seen}
    return {
        name.removesuffix(CEILING): _Point(*cells, not name.endswith(CEILING) and name not in seen)
        for name, cells in both.items()
    }


def _name(drawing: "Figure", panel: "Axes", places: Mapping[str, tuple[float, float]]) -> None:
    """Write the name of each point near it, where it covers no marker and no other name if there is such a place."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawing.draw_without_rendering()  # fixes the scale and the size of the panel
    renderer = FigureCanvasAgg(drawing).get_renderer()
    room, point = panel.get_window_extent(renderer).extents, drawing.dpi / 72
    markers = panel.transData.transform(list(places.values()))
    taken = [(*(place - 2 * point), *(place + 2 * point)) for place in markers]
    for (name, place), marker in zip(places.items(), markers, strict=True):
        text = panel.annotate(name, place, (0, 0), textcoords="offset points", fontsize=6, in_layout=False)
        size = np.array(text.get_window_extent(renderer).size)
        boxes = [_box(marker + np.multiply(offset, point), offset, size) for offset in _OFFSETS]
        costs = [
            sum(_overlap(box, other) for other in taken) + _outside(box, room) + _crossing(marker, box, markers, point)
            for box in boxes
        ]
        best = int(np.argmin(np.round(costs, 3)))  # the nearest of equally good places
        taken.append(boxes[best])
        corner = np.array(boxes[best][:2])
        text.set(position=(corner - marker) / point, va="bottom")
        if np.hypot(*_OFFSETS[best]) > _LEADER:
            end = np.clip(marker, corner, boxes[best][2:])
            panel.plot(*panel.transData.inverted().transform([marker, end]).T, color="0.6", linewidth=0.4, zorder=1)


def _box(at: np.ndarray, offset: tuple[float, float], size: np.ndarray) -> tuple[float, float, float, float]:
    """Left, bottom, right and top in pixels of a name that grows from `at` in the direction of its offset."""
    corner = at - size * [0.5 - 0.5 * np.sign(round(step, 6)) for step in offset]
    return (*corner, *(corner + size))


def _crossing(marker: np.ndarray, box: Sequence[float], markers: np.ndarray, point: float) -> float:
    """Area in pixels of the markers that the line from a marker to its name runs over.

    Args:
        marker, markers: (2,) and (n, 2) in pixels; the first is one of the others.
        box: left, bottom, right and top of the name.
        point: pixels per point.
    """
    line = np.clip(marker, box[:2], box[2:]) - marker
    others = markers[np.abs(markers - marker).sum(1) > 0] - marker
    along = np.clip(others @ line / max(line @ line, 1e-9), 0, 1)
    near = np.hypot(*(others - along[:, None] * line).T) < 2.5 * point
    return float(near.sum() * (4 * point) ** 2)


def _overlap(box: Sequence[float], other: Sequence[float]) -> float:
    """Area in pixels that two boxes (left, bottom, right, top) share."""
    width = min(box[2], other[2]) - max(box[0], other[0])
    height = min(box[3], other[3]) - max(box[1], other[1])
    return max(width, 0.0) * max(height, 0.0)


def _outside(box: Sequence[float], room: Sequence[float]) -> float:
    """Area in pixels of a box that is outside another."""
    return (box[2] - box[0]) * (box[3] - box[1]) - _overlap(box, room)
