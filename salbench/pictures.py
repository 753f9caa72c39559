"""Pictures that a user names: files, and folders with all pictures below them; or arrays and PIL images."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from salbench.files import IMAGE_SUFFIXES, FileProblem, read_image


@dataclass(frozen=True)
class Picture:
    """A picture file.

    Attributes:
        name: what its outputs are called: its path without suffix, relative to the folder that was given, or the
            stem of a file that was given by itself. If two pictures would share a name, they keep their suffixes.
        path: the file. It may be missing or no picture.
    """

    name: str
    path: Path


def find_pictures(places: Iterable[Path | str], leave_out: Path | str | None = None) -> list[Picture]:
    """The pictures at `places`, each file once.

    Args:
        places: files, taken as they are; and folders, searched for pictures with their subfolders. Hidden files and
            folders are left out.
        leave_out: a folder below one of `places` that is not searched, such as that of the outputs.

    Raises:
        FileProblem: a folder without pictures, two pictures of one name, or `leave_out` is a folder in `places`.
    """
    found: dict[Path, Picture] = {}
    for place in map(Path, places):
        for picture in _in_folder(place, leave_out) if place.is_dir() else [Picture(place.name, place)]:
            found.setdefault(_real(picture.path), picture)
    return _named(list(found.values()))


def _in_folder(folder: Path, leave_out: Path | str | None) -> list[Picture]:
    """The pictures below a folder, sorted; their names still have suffixes."""
    skipped = None if leave_out is None else _real(leave_out)
    if skipped == _real(folder):
        raise FileProblem(f"{folder}: expected another folder for the outputs than for the pictures")
    names = [path.relative_to(folder) for path in sorted(_files(folder, skipped))]
    if not names:
        raise FileProblem(f"{folder}: expected pictures ({', '.join(IMAGE_SUFFIXES)}) in this folder, found none")
    return [Picture(name.as_posix(), folder / name) for name in names]


def _files(folder: Path, skipped: Path | None) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.name.startswith(".") or _real(path) == skipped:
            continue
        if path.is_dir():
            yield from _files(path, skipped)
        elif path.suffix.lower() in IMAGE_SUFFIXES:
            yield path


def _real(path: Path | str) -> Path:
    """The path without links. A link that refers to itself stays as it is; `Path.resolve` would raise an error."""
    return Path(os.path.realpath(path))


def _named(pictures: list[Picture]) -> list[Picture]:
    """The pictures without suffixes in their names, where these still differ."""
    short = [picture.name.removesuffix(picture.path.suffix) for picture in pictures]
    times = Counter(short)
    named = [p if times[name] > 1 else replace(p, name=name) for p, name in zip(pictures, short, strict=True)]
    seen: dict[str, Path] = {}
    for picture in named:
        if picture.name in seen:
            raise FileProblem(
                f"{seen[picture.name]} and {picture.path}: expected pictures of different names, because the outputs "
                "are named after them; rename one, or give the folder above both"
            )
        seen[picture.name] = picture.path
    return named


def rgb_of(image: Path | str | Image.Image | np.ndarray) -> np.ndarray:
    """A picture in any form as uint8 (H, W, 3) RGB, as `salbench.files.read_image` reads it from a file.

    Args:
        image: path of a picture; a PIL image, which is turned upright by its EXIF orientation; or an array, 8 or 16
            bits, (H, W) grey or (H, W, 3) RGB.

    Raises:
        FileProblem: missing or unreadable file.
        ValueError: an array of another type or shape.
    """
    if isinstance(image, Path | str):
        return read_image(image)
    if isinstance(image, Image.Image):
        upright = ImageOps.exif_transpose(image)
        image = np.asarray(upright if upright.mode.startswith(("I", "F")) else upright.convert("RGB"))
    array = np.asarray(image)
    shape = array.shape[:2] if array.shape[2:] == (3,) else array.shape
    if array.dtype not in (np.uint8, np.uint16) or len(shape) != 2 or not array.size:
        raise ValueError(
            f"image: expected a uint8 or uint16 array of shape (H, W) or (H, W, 3), got {array.dtype} {array.shape}"
        )
    if array.dtype == np.uint16:
        array = np.round(array / 257).astype(np.uint8)
    return array if array.ndim == 3 else array[..., None].repeat(3, axis=2)
