"""What was observed: fixations, or maps of attention, on originals and on edited images."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from salbench.files import IMAGE_SUFFIXES, MAP_SUFFIXES, FileProblem, image_size, read_map
from salbench.sheet import sample_of_files
from salbench.stats import paired_change
from salbench.study.regions import INSIDE, SEED, fitted, share_of_fixations, share_of_map

GAZE_SUFFIXES = (".csv", *MAP_SUFFIXES)  # fixations or maps


@dataclass(frozen=True)
class Pair:
    """One image: the share of fixations, or of map mass, in its region before and after, and the area it covers.

    Attributes:
        size: (height, width) that fixations count in, or of the maps.
        reach: (x, y), the largest of all fixations; None for maps.
    """

    id: str
    of: str
    before: float
    after: float
    chance: float
    size: tuple
    reach: tuple | None = None


@dataclass(frozen=True)
class Observed:
    """A study of fixations or of maps.

    Attributes:
        kind: "fixations" or "map mass": what the shares are of.
        pairs: of `Pair`, by id.
        left_out: {id: why it could not be measured}.
        change: the `PairedChange` of the shares.
    """

    kind: str
    pairs: list
    left_out: dict
    change: object


def observe(original, edited, masks, images=None):
    """Measure the share of attention inside each region on the original and on the edited image.

    Args:
        original, edited: folders with one file per image, the stem its id: fixations (.csv with columns x and y, or
            .npy N x 2 or N x 3; pixels from 0), or maps (.png, .jpg, or .npy of another shape).
        masks: folder of grey pictures of the same stems; the region is above half of the peak.
        images: folder of the pictures that were shown; their sizes are those that fixations count in. None: the
            masks have these sizes.

    Raises:
        ValueError: a folder that is missing, empty or of both kinds, or fewer than two images that can be measured.
    """
    gaze = [_by_stem(folder, GAZE_SUFFIXES) for folder in (original, edited)]
    masks = _by_stem(masks, IMAGE_SUFFIXES)
    pictures = masks if images is None else _by_stem(images, IMAGE_SUFFIXES)
    places = {f"{original} (original)": gaze[0], f"{edited} (edited)": gaze[1], "the masks": masks}
    places |= {} if images is None else {"the images": pictures}
    pairs, left_out = [], {}
    for id in sorted(gaze[0].keys() | gaze[1].keys() | masks.keys()):
        absent = [name for name, files in places.items() if id not in files]
        try:
            if absent:
                raise FileProblem(f"expected a file of this stem in each folder, found none in {', '.join(absent)}")
            pairs.append(_measured(id, gaze[0][id], gaze[1][id], masks[id], pictures[id]))
        except ValueError as error:
            left_out[id] = str(error)
    if len(pairs) < 2:
        reasons = "; ".join(f"{id}: {why}" for id, why in list(left_out.items())[:3])
        raise ValueError(f"expected two or more images that can be measured, got {len(pairs)} ({reasons})")
    kinds = {pair.of: pair.id for pair in pairs}
    if len(kinds) > 1:
        found = " and ".join(f"{kind} of {id}" for kind, id in kinds.items())
        raise ValueError(f"expected fixations of all images or maps of all images, got {found}")
    change = paired_change([p.before for p in pairs], [p.after for p in pairs], seed=SEED)
    return Observed(pairs[0].of, pairs, left_out, change)


def _by_stem(folder, suffixes):
    """{stem: path} of a folder's files."""
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


def _measured(id, original, edited, mask, picture):
    """The `Pair` of an image from its files."""
    are_fixations = [_holds_fixations(path) for path in (original, edited)]
    if are_fixations[0] != are_fixations[1]:
        raise ValueError(f"expected fixations twice or maps twice, got {original.name} and {edited.name}")
    if are_fixations[0]:
        kind, share = "fixations", share_of_fixations
        attention = [sample_of_files(picture, path).fixations for path in (original, edited)]
        size = image_size(picture)
        points = np.concatenate(attention)
        reach = tuple(points.max(0)) if len(points) else None
    else:
        kind, share = "map mass", share_of_map
        attention = [read_map(path) for path in (original, edited)]
        size, reach = attention[0].shape, None
        if attention[1].shape != size:
            raise ValueError(f"expected two maps of one size, got {size} and {attention[1].shape} (height, width)")
        if not all(map(np.any, attention)):
            raise ValueError("expected some attention in both maps, got one of zeros everywhere")
    mask = fitted(read_map(mask), size)
    return Pair(id, kind, *(share(a, mask) for a in attention), float(np.mean(mask > INSIDE)), size, reach)


def _holds_fixations(path):
    if path.suffix.lower() == ".npy":
        return read_map(path).shape[1] in (2, 3)
    return path.suffix.lower() == ".csv"
