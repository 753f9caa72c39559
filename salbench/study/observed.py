"""Where people looked on originals and on edited images, or any other attention maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from salbench.files import IMAGE_SUFFIXES, FileProblem, image_size, read_map
from salbench.stats import PairedChange, paired_change
from salbench.study.gaze import Shares, by_stem, kind_of, measure
from salbench.study.regions import SEED


@dataclass(frozen=True)
class Observed:
    """A study of fixations or of maps.

    Attributes:
        kind: "fixations" or "map mass".
        shares: {id: its shares}, sorted by id.
        left_out: {id: why it could not be measured}.
        change: change of the shares over images.
    """

    kind: str
    shares: Mapping[str, Shares]
    left_out: Mapping[str, str]
    change: PairedChange


def observe(original: Path | str, edited: Path | str, masks: Path | str, images: Path | str | None = None) -> Observed:
    """Measure the share of attention inside each region, on the original and on the edited image.

    Args:
        original, edited: folders with one file per image, named after its id; see `gaze.measure`.
        masks: folder of grey pictures with the same stems; inside is above half of the peak.
        images: folder of the pictures that people saw, in whose pixels fixations count. By default they have the sizes
            of the masks.

    Raises:
        ValueError: a folder is missing or empty, or holds both kinds; or fewer than two images can be measured.
    """
    before, after = by_stem(original), by_stem(edited)
    regions = by_stem(masks, IMAGE_SUFFIXES)
    pictures = regions if images is None else by_stem(images, IMAGE_SUFFIXES)
    places = {f"{original} (original)": before, f"{edited} (edited)": after, "the masks": regions}
    places |= {} if images is None else {"the images": pictures}
    shares: dict[str, Shares] = {}
    left_out: dict[str, str] = {}
    for id in sorted(before.keys() | after.keys() | regions.keys()):
        absent = [name for name, files in places.items() if id not in files]
        try:
            if absent:
                raise FileProblem(f"expected a file with this stem in each folder, found none in {', '.join(absent)}")
            shares[id] = measure(before[id], after[id], read_map(regions[id]), image_size(pictures[id]))
        except ValueError as error:
            left_out[id] = str(error)
    if len(shares) < 2:
        reasons = "; ".join(f"{id}: {why}" for id, why in list(left_out.items())[:3])
        raise ValueError(f"expected two or more images that can be measured, got {len(shares)} ({reasons})")
    kind = kind_of(shares)
    before_after = np.array([(of_one.before, of_one.after) for of_one in shares.values()])
    return Observed(kind, shares, left_out, paired_change(*before_after.T, seed=SEED))
