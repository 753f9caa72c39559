"""What was observed: fixations, or maps of attention, on originals and on edited images."""

from dataclasses import dataclass

from salbench.files import IMAGE_SUFFIXES, FileProblem, image_size, read_map
from salbench.stats import paired_change
from salbench.study.gaze import by_stem, check_one_kind, measure
from salbench.study.regions import SEED


@dataclass(frozen=True)
class Observed:
    """A study of fixations or of maps.

    Attributes:
        kind: "fixations" or "map mass": what the shares are of.
        shares: {id: `gaze.Shares`}, by id.
        left_out: {id: why it could not be measured}.
        change: the `PairedChange` of the shares.
    """

    kind: str
    shares: dict
    left_out: dict
    change: object


def observe(original, edited, masks, images=None):
    """Measure the share of attention inside each region on the original and on the edited image.

    Args:
        original, edited: folders with one file per image, the stem its id; see `gaze.measure`.
        masks: folder of grey pictures of the same stems; the region is above half of the peak.
        images: folder of the pictures that were shown; their sizes are those that fixations count in. None: the
            masks have these sizes.

    Raises:
        ValueError: a folder that is missing, empty or of both kinds, or fewer than two images that can be measured.
    """
    gaze = [by_stem(folder) for folder in (original, edited)]
    masks = by_stem(masks, IMAGE_SUFFIXES)
    pictures = masks if images is None else by_stem(images, IMAGE_SUFFIXES)
    places = {f"{original} (original)": gaze[0], f"{edited} (edited)": gaze[1], "the masks": masks}
    places |= {} if images is None else {"the images": pictures}
    shares, left_out = {}, {}
    for id in sorted(gaze[0].keys() | gaze[1].keys() | masks.keys()):
        absent = [name for name, files in places.items() if id not in files]
        try:
            if absent:
                raise FileProblem(f"expected a file of this stem in each folder, found none in {', '.join(absent)}")
            shares[id] = measure(gaze[0][id], gaze[1][id], read_map(masks[id]), image_size(pictures[id]))
        except ValueError as error:
            left_out[id] = str(error)
    if len(shares) < 2:
        reasons = "; ".join(f"{id}: {why}" for id, why in list(left_out.items())[:3])
        raise ValueError(f"expected two or more images that can be measured, got {len(shares)} ({reasons})")
    check_one_kind(shares)
    before, after = zip(*((of_one.before, of_one.after) for of_one in shares.values()), strict=True)
    kind = next(iter(shares.values())).kind
    return Observed(kind, shares, left_out, paired_change(before, after, seed=SEED))
