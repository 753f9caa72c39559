"""Curves as parts of an SVG drawing, which a template puts together in the colours of the page."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

WIDTH, HEIGHT = 360, 230
_LEFT, _RIGHT, _TOP, _BOTTOM = 52, 12, 10, 34
_TICKS = 5  # at most about as many on an axis

Point = tuple[float, float, float, float]  # x, mean, low, high


class Curve(NamedTuple):
    """One curve: its name, the points of its line, those of its band, and (x, y) of its marks."""

    name: str
    line: str
    band: str
    marks: list[tuple[float, float]]


class Chart(NamedTuple):
    """Curves against x.

    Attributes:
        x_label, y_label: texts at the axes.
        x_ticks, y_ticks: (place, text) of the ticks.
        zero: height of y = 0.
        curves: top curve last.
        frame: left, right, top and bottom of the plot.
    """

    x_label: str
    y_label: str
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    zero: float
    curves: list[Curve]
    frame: tuple[float, float, float, float] = (_LEFT, WIDTH - _RIGHT, _TOP, HEIGHT - _BOTTOM)


def chart(
    curves: Mapping[str, Sequence[Point]], x_label: str, y_label: str, unchanged: tuple[float, str] | None = None
) -> Chart:
    """Lay out curves with their intervals as bands.

    Args:
        curves: {name: points by rising x}.
        x_label, y_label: texts at the axes.
        unchanged: x at which nothing changes, where all curves pass through zero without a mark, and its text.
    """
    start = [] if unchanged is None else [(unchanged[0], 0.0, 0.0, 0.0)]
    points = {name: sorted([*start, *of_one]) for name, of_one in curves.items()}
    every = np.array([point for of_one in points.values() for point in of_one])
    (x_low, x_high), (y_low, y_high) = _range(every[:, 0]), _range(np.append(every[:, 2:].ravel(), 0.0))

    def place(x: float, y: float) -> tuple[float, float]:
        across = (x - x_low) / (x_high - x_low)
        up = (y - y_low) / (y_high - y_low)
        return (
            round(_LEFT + across * (WIDTH - _LEFT - _RIGHT), 1),
            round(HEIGHT - _BOTTOM - up * (HEIGHT - _TOP - _BOTTOM), 1),
        )

    drawn = []
    for name, of_one in points.items():
        line = [place(x, mean) for x, mean, _, _ in of_one]
        band = [place(x, high) for x, _, _, high in of_one] + [place(x, low) for x, _, low, _ in of_one[::-1]]
        marks = [place(x, mean) for x, mean, _, _ in curves[name]]
        drawn.append(Curve(name, _text(line), _text(band), marks))
    x_values = sorted({point[0] for of_one in curves.values() for point in of_one})
    x_ticks = [(place(x, 0)[0], f"{x:g}") for x in x_values]
    if unchanged is not None:
        x_ticks.append((place(unchanged[0], 0)[0], unchanged[1]))
    y_ticks = [(place(x_low, y)[1], f"{y:.3g}") for y in _ticks(y_low, y_high)]
    return Chart(x_label, y_label, x_ticks, y_ticks, place(x_low, 0)[1], drawn)


def _range(values: np.ndarray) -> tuple[float, float]:
    """Lowest and highest value, with a margin."""
    low, high = float(values.min()), float(values.max())
    margin = 0.06 * (high - low) or 1.0
    return low - margin, high + margin


def _ticks(low: float, high: float) -> list[float]:
    """Round numbers between two bounds."""
    raw = (high - low) / _TICKS
    unit = 10.0 ** np.floor(np.log10(raw))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= raw)
    return [round(float(k * step), 12) for k in range(int(np.ceil(low / step)), int(np.floor(high / step)) + 1)]


def _text(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x},{y}" for x, y in points)
