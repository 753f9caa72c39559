"""Named regions of pictures, read from a file.

A .json file names boxes, in pixels from 0, and masks, as pictures beside the file. They hold for every picture::

    {"face": [120, 40, 260, 200], "sign": "sign_mask.png"}

or for the pictures that it names::

    {"dog.jpg": {"face": [120, 40, 260, 200]}, "holiday/beach": {"boat": [0, 10, 300.5, 90]}}

A .csv file holds boxes only. Its header is ``region,left,top,right,bottom`` for every picture, or
``image,region,left,top,right,bottom``.
"""

import csv
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from salbench.files import FileProblem, hash_file, read_map
from salbench.text_files import parse_json

Box = list[float]
_BOX = ["left", "top", "right", "bottom"]
_FORM = 'expected {"name": [left, top, right, bottom] or "mask.png"}, or {"picture": {"name": ...}} for every picture'


@dataclass(frozen=True)
class NamedRegions:
    """The regions of a file, as it holds them.

    Attributes:
        path: of the file.
        everywhere: {name: box, or path of a mask} for every picture.
        of_picture: {picture: {name: box, or path of a mask}}; {} if the regions hold for every picture.
    """

    path: Path
    everywhere: Mapping[str, Box | Path]
    of_picture: Mapping[str, Mapping[str, Box | Path]]

    def of(self, *names: str) -> dict[str, Box | Path]:
        """The regions of a picture, by any of its names; {} if the file does not name it."""
        own = next((self.of_picture[name] for name in names if name in self.of_picture), {})
        return {**self.everywhere, **own}


def read_regions(path: Path | str) -> NamedRegions:
    """Read a file of regions. Boxes and masks are not compared with a picture here.

    Raises:
        FileProblem: missing or unreadable file, or another form than the module describes.
    """
    path = Path(path)
    if path.suffix.lower() not in (".json", ".csv"):
        raise FileProblem(f"{path}: expected a name ending in .json or .csv for the regions")
    try:
        content = path.read_bytes()
        found = _of_json(content) if path.suffix.lower() == ".json" else _of_csv(content)
    except FileNotFoundError as error:
        raise FileProblem(f"{path}: no such file") from error
    except ValueError as error:
        raise FileProblem(f"{path}: {error}") from error
    if not found:
        raise FileProblem(f"{path}: {_FORM}; got no region")
    if all(isinstance(value, dict) for value in found.values()):
        return NamedRegions(path, {}, {name: _regions(own, path) for name, own in found.items()})
    return NamedRegions(path, _regions(found, path), {})


def read_shapes(regions: Mapping[str, Box | Path]) -> dict[str, np.ndarray]:
    """{name: box (4,), or mask (H, W)} of the regions of one picture; reads the masks.

    Raises:
        FileProblem: a mask that is missing or cannot be read.
    """
    return {name: read_map(value) if isinstance(value, Path) else np.array(value) for name, value in regions.items()}


def facts(regions: Mapping[str, Box | Path]) -> dict[str, Any]:
    """{name: box, or hash of the mask's file}, for an identity.

    Raises:
        OSError: a mask is missing.
    """
    return {name: f"mask {hash_file(v)}" if isinstance(v, Path) else v for name, v in regions.items()}


def _of_json(content: bytes) -> dict[str, Any]:
    found = parse_json(content, object_pairs_hook=_each_name_once)
    if not isinstance(found, dict):
        raise ValueError(f"{_FORM}; got {type(found).__name__}")
    return found


def _each_name_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"expected each name once, got {name!r} twice")
        found[name] = value
    return found


def _of_csv(content: bytes) -> dict[str, Any]:
    try:
        return _of_rows(csv.DictReader(content.decode("utf-8-sig").splitlines(), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise ValueError(f"expected CSV in UTF-8: {error}") from error


def _of_rows(reader: "csv.DictReader[str]") -> dict[str, Any]:
    header = list(reader.fieldnames or ())
    if header not in (["region", *_BOX], ["image", "region", *_BOX]):
        raise ValueError(f"expected the header [image,]region,{','.join(_BOX)}, got {','.join(header)!r}")
    if header[0] == "region":
        return _each_name_once(list(_boxes(reader)))
    rows = list(reader)
    return {image: _each_name_once(list(_boxes(r for r in rows if r["image"] == image))) for image in _images(rows)}


def _images(rows: list[dict[str, str]]) -> list[str]:
    return list(dict.fromkeys(row["image"] for row in rows))


def _boxes(rows: Iterable[Mapping[Any, Any]]) -> Iterator[tuple[str, Box]]:
    for row in rows:
        cells = [row[name] for name in _BOX]
        try:
            if None in row:  # where csv puts surplus cells
                raise ValueError
            yield row["region"], [float(cell) for cell in cells]
        except (TypeError, ValueError) as error:
            got = ", ".join(map(str, [*cells, *row.get(None, [])]))
            raise ValueError(f"region {row['region']!r}: expected four numbers, got {got}") from error


def _regions(found: Mapping[str, Any], path: Path) -> dict[str, Box | Path]:
    return {name: _region(value, f"{path}: region {name!r}", path.parent) for name, value in found.items()}


def _region(value: Any, name: str, folder: Path) -> Box | Path:
    if isinstance(value, str):
        return folder / value
    if isinstance(value, list) and len(value) == 4 and all(type(each) in (int, float) for each in value):
        return value
    raise FileProblem(f"{name}: expected [left, top, right, bottom] or the name of a mask, got {json.dumps(value)}")
