"""Figures: one style for all of them, and files that are whole or not there, the same bytes for the same drawing."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salbench.writing import atomic_write

if TYPE_CHECKING:
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

    from salbench.metrics import Metric

SUFFIXES = (".png", ".pdf", ".svg", ".jpg")
DPI = 300
COLUMN, PAGE = 3.35, 6.9  # inches; width of one column and of the text of a paper in two columns
COLORS = (  # Okabe and Ito: safe for colour-blind readers
    "#0072b2",
    "#d55e00",
    "#009e73",
    "#cc79a7",
    "#e69f00",
    "#56b4e9",
    "#999999",
)
MARKERS = "osD^vPX"  # one per colour, for prints in grey
GREY, LIGHT = "0.45", "0.88"  # what does not compete; lines of a grid
_TITLES = {"auc_judd": "AUC-Judd", "auc_borji": "AUC-Borji", "sauc": "sAUC"}  # others are in capitals
_STYLE: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so a figure is the same everywhere
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.labelsize": 7,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "legend.fontsize": 6.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.major.size": 2.5,
    "ytick.major.size": 2.5,
    "grid.color": LIGHT,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.2,
    "lines.markersize": 3.2,
    "pdf.fonttype": 42,  # fonts are embedded whole, so text can be edited and searched
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "salbench",  # fixed identifiers
}
_UNDATED: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


@contextmanager
def style() -> Iterator[None]:
    """The style of salbench's figures, whatever the user's matplotlibrc says.

    Use it as a decorator of a function that draws: `@figure.style()`.
    """
    from matplotlib.style import context  # slow to import

    with context(_STYLE, after_reset=True):
        yield


def check(path: Path | str) -> None:
    """Check that a figure can be written, before the work for it starts.

    Raises:
        ValueError: `path` has none of the endings in `SUFFIXES`.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: expected a name ending in {', '.join(SUFFIXES)} for the figure")
    import matplotlib  # noqa: F401 - slow to import


def save(drawing: "Figure", path: Path | str) -> None:
    """Write a figure to a .png, .pdf, .svg or .jpg file.

    Raises:
        ValueError: `path` has another ending.
    """
    check(path)
    suffix, picture = Path(path).suffix.lower(), io.BytesIO()
    with style():
        drawing.savefig(picture, format=suffix[1:], dpi=DPI, metadata=_UNDATED.get(suffix))
    with atomic_write(path, "wb") as file:
        file.write(picture.getvalue())


def metric_title(name: str) -> str:
    """The name of a metric as papers write it, such as "sAUC"."""
    return _TITLES.get(name, name.upper())


def label_axis(axis: "Axis", name: str, metric: "Metric", text: str = "{}") -> None:
    """Label the axis of a metric, and turn it so that better is to the right, or up.

    Args:
        axis: x or y axis of a panel.
        name: the metric's name.
        metric: says what is better.
        text: the label, with {} in place of the metric, such as "change of {}".
    """
    unit = f" ({metric.unit})" if metric.unit else ""
    axis.set_label_text(text.format(f"{metric_title(name)}{unit} {'↑' if metric.higher_is_better else '↓'}"))
    axis.set_inverted(not metric.higher_is_better)
