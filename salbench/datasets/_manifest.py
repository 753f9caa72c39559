"""dataset.toml, the optional file that describes a folder of your own.

::

    images = "stimuli/{id}.jpg"         where the images are. Also: {split} for a split, **/{id} for an id with folders
    fixations = "fixations/{id}.png"    one file per image, or a table of all: "export.tsv"
    maps = "saliency/{id}.png"          densities
    base = 1                            first pixel of the coordinates, 0 or 1 (default: 0, in .mat files 1)
    off_image = "drop"                  leave out fixations off the image (default: "error")
    pixels_per_degree = 35              sigma of densities made from fixations; or sigma = 24, in pixels
    gaze = "eye tracking, 15 observers, 3 s"
    licence = "CC BY 4.0"
    redistribute = true                 the licence allows to pass on images and fixations (default: false)
    citation = "..."

    [splits]                            ids, a pattern of ids, or a file with an id per line
    train = ["dog", "cat"]
    val = "val_*"
    test = "test.txt"
"""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from salbench.datasets._common import OFF_IMAGE, DatasetProblem
from salbench.datasets._gaze_csv import ALIASES
from salbench.files import IMAGE_SUFFIXES
from salbench.suggestions import suggestion
from salbench.text_files import parse_toml

NAME = "dataset.toml"


@dataclass(frozen=True)
class Manifest:
    """What dataset.toml says, or the defaults; see above.

    Attributes:
        splits: {name: ids, pattern or file}.
    """

    images: str | None = None
    fixations: str | None = None
    maps: str | None = None
    base: int | None = None
    off_image: str = "error"
    sigma: float | None = None
    pixels_per_degree: float | None = None
    gaze: str = "as its owner recorded it"
    licence: str = "as its owner grants it"
    redistribute: bool = False
    citation: str = "none: your own images"
    splits: Mapping[str, list[str] | str] = field(default_factory=dict)

    def to_toml(self) -> str:
        """Return a dataset.toml of what differs from the defaults. A comment names the keys that could be added."""
        given = {name: value for name in _CHECKS if (value := getattr(self, name)) != getattr(Manifest(), name)}
        lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in given.items()]
        return "\n".join([*lines, f"# optional: {', '.join(name for name in _CHECKS if name not in given)}", ""])


_Check = tuple[Callable[[Any], bool], str]
_TEXT: _Check = (lambda value: isinstance(value, str) and bool(value.strip()), "text in double quotes")
_PATTERN: _Check = (
    lambda value: isinstance(value, str) and "{id}" in value,
    'a path with {id}, such as "stimuli/{id}.jpg"',
)
_POSITIVE: _Check = (lambda value: type(value) in (int, float) and 0 < value < float("inf"), "a number above 0")
_CHECKS: dict[str, _Check] = {
    "images": _PATTERN,
    "fixations": _TEXT,
    "maps": _PATTERN,
    "base": (lambda value: type(value) is int and value in (0, 1), "0 or 1"),
    "off_image": (lambda value: value in OFF_IMAGE, " or ".join(f'"{policy}"' for policy in OFF_IMAGE)),
    "sigma": _POSITIVE,
    "pixels_per_degree": _POSITIVE,
    "gaze": _TEXT,
    "licence": _TEXT,
    "redistribute": (lambda value: isinstance(value, bool), "true or false"),
    "citation": _TEXT,
    "splits": (lambda value: isinstance(value, dict) and all(map(_is_split, value.values())), "a table of splits, each "
               'a list of ids ["dog", "cat"], a pattern "val_*" or a file "val.txt"'),
}  # fmt: skip


def _is_split(value: Any) -> bool:
    return isinstance(value, str) or (isinstance(value, list) and all(isinstance(id, str) for id in value))


def read(root: Path) -> Manifest:
    """Read the dataset.toml of a folder, if there is one.

    Raises:
        DatasetProblem: text that is not TOML, an unknown key, or a value of another kind.
    """
    path = root / NAME
    if not path.exists():
        return Manifest()
    try:
        content = parse_toml(path.read_bytes())
    except ValueError as error:
        raise DatasetProblem(f"{path}: {error}") from error
    for key, value in content.items():
        if key not in _CHECKS:
            raise DatasetProblem(f"{path}: {suggestion('key', key, [f.name for f in fields(Manifest)])}")
        is_right, expected = _CHECKS[key]
        if not is_right(value):
            raise DatasetProblem(f"{path}: {key}: expected {expected}, got {value!r}")
    if "sigma" in content and "pixels_per_degree" in content:
        raise DatasetProblem(f"{path}: expected sigma or pixels_per_degree, got both; sigma is in pixels too")
    return Manifest(**content)


def ids_of_split(root: Path, name: str, given: list[str] | str, ids: Collection[str]) -> list[str]:
    """Return the ids of a split of dataset.toml.

    Args:
        root: the folder.
        name: of the split.
        given: ids, a pattern of ids, or the name of a file in the folder.
        ids: of all images.

    Raises:
        DatasetProblem: an id that is not one of `ids`, or a pattern that matches none.
    """
    where = f"{root / NAME}: split {name}"
    if isinstance(given, str) and not (root / given).is_file():
        found = [id for id in ids if fnmatchcase(id, given)]
        if not found:
            raise DatasetProblem(f"{where}: expected a file in the folder or a pattern of ids, got {given!r}")
        return found
    wanted = [without_suffix(id) for id in (_lines(root / given) if isinstance(given, str) else given)]
    unknown = [id for id in wanted if id not in ids]
    if unknown or not wanted:
        got = f"{unknown[0]!r}, which is none" if unknown else "none"
        raise DatasetProblem(f"{where}: expected ids of images, such as {next(iter(ids))!r}, got {got}")
    return wanted


def _lines(path: Path) -> list[str]:
    """The first cells of the lines of a text or CSV file, without its header."""
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        raise DatasetProblem(f"{path}: expected a text in UTF-8, an id per line: {error}") from error
    cells = [line.split(",")[0].strip().strip('"') for line in lines]
    cells = [cell for cell in cells if cell]
    return cells[1:] if cells and cells[0].lower() in ALIASES["image"] else cells


def without_suffix(name: str) -> str:
    """Return the name of an image without the suffix of its file."""
    path = Path(name)
    return str(path.with_suffix("").as_posix()) if path.suffix.lower() in IMAGE_SUFFIXES else name
