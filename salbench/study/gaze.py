"""Where people looked on an image and on its edited version, from files of fixations or of attention maps."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from salbench.files import MAP_SUFFIXES, FileProblem, read_fixations, read_map
from salbench.study.regions import INSIDE, fitted, share_of_fixations, share_of_map

SUFFIXES = (".csv", *MAP_SUFFIXES)  # fixations or maps


class Shares(NamedTuple):
    """The share of attention inside the region of one image.

    Attributes:
        kind: "fixations" or "map mass".
        before, after: the share on the original and on the edited image.
        chance: share of the area that the region covers.
        size: (height, width) of the image in whose pixels fixations count, or of the maps.
        reach: (x, y), the largest coordinates of all fixations; None for maps.
    """

    kind: str
    before: float
    after: float
    chance: float
    size: tuple[int, int]
    reach: tuple[float, float] | None


def by_stem(folder: Path | str, suffixes: Sequence[str] = SUFFIXES) -> dict[str, Path]:
    """{stem: path} of the files in a folder.

    Raises:
        FileProblem: no such folder, an empty one, a file with another suffix, or two files with one stem.
    """
    folder = Path(folder)
    found: dict[str, Path] = {}
    if not folder.is_dir():
        raise FileProblem(f"{folder}: expected a folder with one file per image, got no such folder")
    for path in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        if path.suffix.lower() not in suffixes:
            raise FileProblem(
                f"{path}: expected files ending in {', '.join(suffixes)} in this folder; move it elsewhere"
            )
        if path.stem in found:
            raise FileProblem(
                f"{folder}: expected one file per stem, got {found[path.stem].name} and {path.name}; delete one"
            )
        found[path.stem] = path
    if not found:
        raise FileProblem(f"{folder}: expected a folder with one file per image, got an empty one")
    return found


def measure(original: Path, edited: Path, mask: np.ndarray, size: tuple[int, int]) -> Shares:
    """Measure the attention inside the region of one image.

    Args:
        original, edited: files of fixations (.csv with columns x and y, or .npy with an N x 2 or N x 3 array), or of
            maps (.png, .jpg, or .npy of another shape).
        mask: (h, w) array, >= 0, the region, with the aspect ratio of the image.
        size: (height, width) of the image in whose pixels fixations count from 0.

    Raises:
        ValueError: one file holds fixations and the other a map; no fixations, or some off the image; maps of two
            sizes, or of zeros; or a mask without a region (see `regions.fitted`).
    """
    are_fixations = [_holds_fixations(path) for path in (original, edited)]
    if are_fixations[0] != are_fixations[1]:
        raise ValueError(
            f"expected two files of fixations or two maps, got one of each: {original.name} and {edited.name}"
        )
    return (_of_fixations if are_fixations[0] else _of_maps)(original, edited, mask, size)


def _of_fixations(original: Path, edited: Path, mask: np.ndarray, size: tuple[int, int]) -> Shares:
    mask, points = fitted(mask, size), [read_fixations(path, path.name) for path in (original, edited)]
    before, after = (share_of_fixations(p, mask) for p in points)
    x, y = np.concatenate(points).max(0)
    return Shares("fixations", before, after, _chance(mask), size, (x, y))


def _of_maps(original: Path, edited: Path, mask: np.ndarray, _: tuple[int, int]) -> Shares:
    maps = [read_map(path) for path in (original, edited)]
    if maps[1].shape != maps[0].shape:
        raise ValueError(f"expected two maps of one size, got {maps[0].shape} and {maps[1].shape} (height, width)")
    if not all(map(np.any, maps)):
        raise ValueError("expected two maps with values above zero, got one with zeros only")
    mask = fitted(mask, maps[0].shape)
    before, after = (share_of_map(m, mask) for m in maps)
    return Shares("map mass", before, after, _chance(mask), maps[0].shape, None)


def _chance(mask: np.ndarray) -> float:
    return float(np.mean(mask > INSIDE))


def _holds_fixations(path: Path) -> bool:
    if path.suffix.lower() == ".npy":
        return read_map(path).shape[1] in (2, 3)
    return path.suffix.lower() == ".csv"


def kind_of(shares: Mapping[str, Shares]) -> str:
    """The kind of all shares in {id: shares}.

    Raises:
        ValueError: some are of fixations and some of maps.
    """
    kinds = {of_one.kind: id for id, of_one in shares.items()}
    if len(kinds) > 1:
        found = " and ".join(f"{kind} for {id}" for kind, id in kinds.items())
        raise ValueError(f"expected fixations for all images or maps for all images, got {found}")
    return next(iter(kinds))


def counted_in(shares: Sequence[Shares]) -> list[str]:
    """A note on the size of the pictures in whose pixels fixations count; an empty list for maps.

    Fixations recorded in pixels of another size give wrong shares without any error. The note lets a reader see that.
    """
    reaches = [of_one.reach for of_one in shares if of_one.reach is not None]
    if not reaches:
        return []
    sizes = list(dict.fromkeys(f"{of_one.size[1]} x {of_one.size[0]}" for of_one in shares))
    x, y = np.max(reaches, axis=0)
    size = sizes[0] + (f" and {len(sizes) - 1} other sizes" if len(sizes) > 1 else "")
    return [f"Fixations are in pixels of pictures of {size} (width x height); their largest x is {x:g}, y {y:g}."]
