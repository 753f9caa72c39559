"""Figures in files: whole or not at all, and the same bytes for the same drawing."""

import io
from pathlib import Path
from typing import TYPE_CHECKING

from salbench.files import atomic_write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".pdf", ".svg")
DPI = 200
_UNDATED: dict[str, dict[str, None]] = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}


def check(path: Path | str) -> None:
    """Check that a figure can be written, before the work for it starts.

    Raises:
        ValueError: `path` does not end in .png, .pdf or .svg.
    """
    if Path(path).suffix.lower() not in SUFFIXES:
        raise ValueError(f"{path}: expected a name ending in {', '.join(SUFFIXES)} for the figure")
    import matplotlib  # noqa: F401 - slow to import


def save(drawing: "Figure", path: Path | str) -> None:
    """Write a figure to a .png, .pdf or .svg file.

    Raises:
        ValueError: `path` has another ending.
    """
    check(path)
    from matplotlib import rc_context

    suffix, picture = Path(path).suffix.lower(), io.BytesIO()
    with rc_context({"svg.hashsalt": "salbench", "pdf.fonttype": 42}):  # fixed identifiers; text that can be edited
        drawing.savefig(picture, format=suffix[1:], dpi=DPI, metadata=_UNDATED.get(suffix))
    with atomic_write(path, "wb") as file:
        file.write(picture.getvalue())
