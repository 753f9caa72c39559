"""Tables of fixations as eye trackers and other programs write them: separators, decimal commas and column names."""

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from salbench.datasets._common import DatasetProblem
from salbench.datasets._gaze import Gaze

# {column: its names}, without case, spaces, punctuation and units in brackets. The first name in a header counts.
ALIASES = {
    "image": (
        "image", "imagename", "imagefile", "imageid", "img", "filename", "file", "stimulus", "stimulusname",
        "stimulusid", "picture", "picturename",
        "presentedstimulusname", "presentedmedianame", "recordingmedianame",  # Tobii
        "medianame",  # Tobii Studio, Gazepoint
    ),
    "x": (
        "x", "xpx", "xpos", "xposition", "fixx", "xfix", "fixationx", "meanx", "avgx",
        "currentfixx",  # EyeLink Data Viewer
        "fixationpointx",  # Tobii Pro Lab
        "fixationpositionx",  # SMI BeGaze
        "locationx", "pixelx",  # pymovements
        "fpogx",  # Gazepoint
    ),
    "y": (
        "y", "ypx", "ypos", "yposition", "fixy", "yfix", "fixationy", "meany", "avgy",
        "currentfixy", "fixationpointy", "fixationpositiony", "locationy", "pixely", "fpogy",
    ),
    "observer": (
        "observer", "observerid", "subject", "subjectid", "subjects", "subj", "participant", "participantid",
        "participantname", "user", "userid", "viewer",
        "recordingsessionlabel", "recordingname",  # EyeLink Data Viewer, Tobii
    ),
    "duration": (
        "duration", "durationms", "dur", "fixduration", "fixationduration", "fixdur",
        "currentfixduration", "gazeeventduration", "eyemovementeventduration", "eventduration", "fpogd",
    ),
    "index": (
        "index", "fixindex", "fixationindex", "fixationnumber", "fixnum", "fixid", "fixationid",
        "currentfixindex", "eyemovementtypeindex", "fpogid",
    ),
    "event": ("eyemovementtype", "eventtype", "event", "category", "name"),  # Tobii, SMI, pymovements
}  # fmt: skip
_SHARES_OF_SCREEN = ("fpogx", "fpogy")  # Gazepoint counts from 0 to 1
_SECONDS = ("fpogd",)
_LOST = ("", ".", "-", "nan", "na", "n/a", "none", "null")  # how programs write a value they do not have
_SEPARATORS = ",;\t"


@dataclass(frozen=True)
class Table:
    """A table of fixations.

    Attributes:
        images: the image of each fixation as the table names it; empty in a table for one image.
        gaze: all fixations, with their lines in the file.
        is_share: x and y are shares of the width and height, from 0 to 1.
    """

    images: list[str]
    gaze: Gaze
    is_share: bool


def read_table(path: Path, *, of_one_image: bool) -> Table:
    """Read a table of fixations. Rows that an eye tracker marks as saccades or blinks are left out.

    Args:
        path: text in UTF-8 with a header; its cells are separated by commas, semicolons or tabs.
        of_one_image: the table has no column for the image.

    Raises:
        DatasetProblem: a file that is no such table, or a cell that cannot be read. Says the line.
    """
    header, rows = _read_rows(path)
    places = _places(header, path, of_one_image=of_one_image)
    _check_lengths(header, rows, path)
    columns = {name: [cells[place] for _, cells in rows] for name, place in places.items()}
    names = {name: _plain(header[place]) for name, place in places.items()}
    lines = np.array([line for line, _ in rows], dtype=np.int64)
    numbers = {
        name: _numbers(columns[name], lines, name, path) for name in ("x", "y", "duration", "index") if name in columns
    }
    gaze = Gaze(
        np.stack([numbers["x"], numbers["y"]], axis=1),
        observers=np.unique(columns["observer"], return_inverse=True)[1] if "observer" in columns else None,
        durations=numbers["duration"] * (1000 if names["duration"] in _SECONDS else 1)
        if "duration" in numbers
        else None,
        order=numbers.get("index"),
        lines=lines,
    )
    kept = _fixations(columns) & _first_of_each(columns)
    images = [image for image, is_kept in zip(columns.get("image", ()), kept, strict=False) if is_kept]
    return Table(images, gaze.only(kept), names["x"] in _SHARES_OF_SCREEN)


def is_table(path: Path) -> bool:
    """Return whether a text file begins with the header of a table of fixations on several images."""
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            _places(_header(_reader(file)), path, of_one_image=False)
    except (DatasetProblem, UnicodeDecodeError, csv.Error):
        return False
    return True


def read_rows(path: Path, header: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of each row of a table with exactly this header.

    Raises:
        DatasetProblem: another header, a row of another length, or a file that is not CSV in UTF-8.
    """
    found, rows = _read_rows(path)
    if found != list(header):
        raise DatasetProblem(f"{path}: expected the header {','.join(header)}, got {','.join(found)!r}")
    _check_lengths(found, rows, path)
    yield from rows


def _read_rows(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:  # -sig skips the mark that Excel writes
            reader = _reader(file)
            header = _header(reader)
            rows = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if row]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DatasetProblem(f"{path}: not a readable CSV in UTF-8: {error}; save it as UTF-8") from error
    return header, rows


def _reader(file):
    separator = max(_SEPARATORS, key=file.readline().count)
    file.seek(0)
    return csv.reader(file, delimiter=separator, strict=True)


def _header(reader):
    return [cell.strip() for cell in next(reader, [])]


def _check_lengths(header: Sequence[str], rows: Sequence[tuple[int, list[str]]], path: Path) -> None:
    for line, cells in rows:
        if len(cells) != len(header):
            raise DatasetProblem(
                f"{path}: line {line}: expected {len(header)} cells, got {len(cells)}; put cells with commas in double "
                "quotes"
            )


def _places(header: Sequence[str], path: Path, *, of_one_image: bool) -> dict[str, int]:
    """{column: its place in the header}."""
    plain = [_plain(name) for name in header]
    found = {column: [plain.index(name) for name in names if name in plain] for column, names in ALIASES.items()}
    places = {column: found[column][0] for column in found if found[column]}
    needed = ["x", "y"] if of_one_image else ["image", "x", "y"]
    missing = [column for column in needed if column not in places]
    if missing:
        raise DatasetProblem(
            f"{path}: expected a header with the columns {', '.join(needed)}, and if you have them observer, duration, "
            f"index; found no {', '.join(missing)} in {','.join(header)!r}. Rename the columns"
        )
    if of_one_image and "image" in places:
        raise DatasetProblem(
            f"{path}: expected the fixations of one image, got a column {header[places['image']]!r}; put a table of "
            "all images in place of the folder, as fixations.csv"
        )
    return places


def _plain(name: str) -> str:
    """A column's name without units, punctuation and case; empty for Tobii's normalised coordinates."""
    if "norm" in name.lower():
        return ""
    return re.sub(r"[\[(].*?[\])]|[\W_]", "", name).lower()


def _numbers(cells: Sequence[str], lines: np.ndarray, column: str, path: Path) -> np.ndarray:
    """Float (N,); NaN for values that are lost."""
    values = np.empty(len(cells))
    for i, cell in enumerate(cells):
        try:
            values[i] = np.nan if cell.lower() in _LOST else float(cell.replace(",", ".", 1))
        except ValueError:
            values[i] = np.inf
        if np.isinf(values[i]):
            raise DatasetProblem(f"{path}: line {lines[i]}: expected a number as {column}, got {cell!r}")
    return values


def _fixations(columns: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Which rows are fixations: all, unless a column tells them from saccades and blinks."""
    events = [event.lower() for event in columns.get("event", ())]
    is_fixation = np.array([event.startswith("fixation") for event in events])
    return is_fixation if is_fixation.any() else np.ones(len(columns["x"]), bool)


def _first_of_each(columns: Mapping[str, Sequence[str]]) -> np.ndarray:
    """Which rows are not the same fixation once more, as where a table has one row per sample of the eye tracker."""
    if "index" not in columns:
        return np.ones(len(columns["x"]), bool)
    same = [columns[name] for name in ("image", "observer", "index", "x", "y") if name in columns]
    keys = list(zip(*same, strict=True))
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    return np.array([first[key] == row for row, key in enumerate(keys)], dtype=bool)
