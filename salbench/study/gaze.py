"""Where people looked on an image and on its edited version, from files: fixations, or maps of attention."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from salbench.files import MAP_SUFFIXES, FileProblem, read_fixations, read_map
from salbench.study.regions import INSIDE, fitted, share_of_fixations, share_of_map

SUFFIXES = (".csv", *MAP_SUFFIXES)  # fixations or maps


class Shares(NamedTuple):
    """The share of attention inside the region of one image.

    Attributes:
        kind: what it is a share of: "fixations" or "map mass".
        before, after: on the original and on the edited image.
        chance: share of the area that the region covers.
        size: (height, width) that fixations count in, or of the maps.
        reach: (x, y), the largest of all fixations; None for maps.
    """

    kind: str
    before: float
    after: float
    chance: float
    size: tuple
    reach: tuple | None


def by_stem(folder, suffixes=SUFFIXES):
    """{stem: path} of a folder's files.

    Raises:
        FileProblem: no folder, none or other files in it, or two of one stem.
    """
    folder, found = Path(folder), {}
    if not folder.is_dir():
        raise FileProblem(f"{folder}: expected a folder with one file per image, found none")
    for path in sorted(p for p in folder.iterdir() if p.is_file() and not p.name.startswith(".")):
        if path.suffix.lower() not in suffixes:
            raise FileProblem(f"{path}: expected one of {', '.join(suffixes)} in this folder; move it elsewhere")
        if path.stem in found:
            raise FileProblem(f"{folder}: {found[path.stem].name} and {path.name} share a stem; remove one of them")
        found[path.stem] = path
    if not found:
        raise FileProblem(f"{folder}: expected one file per image, found none")
    return found


def measure(original, edited, mask, size):
    """`Shares` of one image.

    Args:
        original, edited: paths of fixations (.csv with columns x and y, or .npy N x 2 or N x 3), or of maps (.png,
            .jpg, or .npy of another shape).
        mask: (h, w) array >= 0, the region, of the image's aspect ratio.
        size: (height, width) of the image, in whose pixels fixations count from 0.

    Raises:
        ValueError: fixations and a map, fixations off the image or none, maps of two sizes or of zeros, or a mask that
            is no region (see `regions.fitted`).
    """
    are_fixations = [_holds_fixations(path) for path in (original, edited)]
    if are_fixations[0] != are_fixations[1]:
        raise ValueError(f"expected fixations twice or maps twice, got {original.name} and {edited.name}")
    return (_of_fixations if are_fixations[0] else _of_maps)(original, edited, mask, size)


def _of_fixations(original, edited, mask, size):
    mask, points = fitted(mask, size), [read_fixations(path, path.name) for path in (original, edited)]
    before, after = (share_of_fixations(p, mask) for p in points)
    return Shares("fixations", before, after, _chance(mask), size, tuple(np.concatenate(points).max(0)))


def _of_maps(original, edited, mask, _):
    maps = [read_map(path) for path in (original, edited)]
    if maps[1].shape != maps[0].shape:
        raise ValueError(f"expected two maps of one size, got {maps[0].shape} and {maps[1].shape} (height, width)")
    if not all(map(np.any, maps)):
        raise ValueError("expected some attention in both maps, got one of zeros everywhere")
    mask = fitted(mask, maps[0].shape)
    return Shares("map mass", *(share_of_map(m, mask) for m in maps), _chance(mask), maps[0].shape, None)


def _chance(mask):
    return float(np.mean(mask > INSIDE))


def _holds_fixations(path):
    if path.suffix.lower() == ".npy":
        return read_map(path).shape[1] in (2, 3)
    return path.suffix.lower() == ".csv"


def check_one_kind(shares):
    """Raise `ValueError` unless all of {id: `Shares`} are of one kind."""
    kinds = {of_one.kind: id for id, of_one in shares.items()}
    if len(kinds) > 1:
        found = " and ".join(f"{kind} of {id}" for kind, id in kinds.items())
        raise ValueError(f"expected fixations of all images or maps of all images, got {found}")


def counted_in(shares):
    """In which pixels fixations were taken to count, so that one sees where those of another size were given: notes."""
    if shares[0].reach is None:
        return []
    sizes = list(dict.fromkeys(f"{of_one.size[1]} x {of_one.size[0]}" for of_one in shares))
    x, y = np.max([of_one.reach for of_one in shares], axis=0)
    size = sizes[0] + (f" and {len(sizes) - 1} other sizes" if len(sizes) > 1 else "") + " (width x height)"
    return [f"Fixations count pixels of pictures of {size}; they reach to x {x:g}, y {y:g}."]
