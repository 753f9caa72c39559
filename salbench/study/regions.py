"""Numbers of one image: the share of attention inside a region, and what an edit did to the picture.

Inside means where the mask exceeds half of its peak. A threshold, because a fixation is either inside or outside, and
the share expected by chance is then an area.
"""

import numpy as np

from salbench.checks import check_aspect, check_points
from salbench.edits import EDIT_TYPES
from salbench.maps import resize, to_density

INSIDE = 0.5  # of the mask's peak: above it is inside
OUTSIDE = 0.1  # of the mask's peak: below it nothing should change; in between, soft masks edit a little
SEED = 0  # random seed for the bootstrap intervals of a study


def fitted(mask: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize a mask to the size of an image and scale it to a peak of one.

    Args:
        mask: (h, w) array, >= 0, of any range and size.
        size: (height, width) of the image.

    Returns:
        float (height, width), 0 to 1.

    Raises:
        ValueError: nothing is inside, nothing is outside, values are negative, or the aspect ratio is not the image's.
    """
    check_aspect(mask.shape, size, "mask")
    if mask.min() < 0 or not mask.max() > 0:
        raise ValueError(f"mask: expected a region above zero, got values from {mask.min():g} to {mask.max():g}")
    mask = resize(mask, size)
    if (mask > INSIDE * mask.max()).all():
        raise ValueError("mask: expected a part of the image outside the region, got a mask that covers all of it")
    return np.round(mask / mask.max(), 6)  # exactly half must not end above half by rounding


def share_of_fixations(fixations: np.ndarray, mask: np.ndarray) -> float:
    """Share of fixations inside the region.

    Args:
        fixations: (N, 2) array of x, y in pixels from 0.
        mask: (height, width) with a peak of one, as from `fitted`.

    Raises:
        ValueError: there are no fixations, or one is off the image.
    """
    columns, rows = check_points(fixations, mask.shape).astype(np.int64).T
    if not len(rows):
        raise ValueError("fixations: expected at least one, got none")
    return float((mask[rows, columns] > INSIDE).mean())


def share_of_map(saliency: np.ndarray, mask: np.ndarray) -> float:
    """Share of the sum of a map that is inside the region.

    Args:
        saliency: (height, width). If its minimum is negative, it is shifted to zero; a map of zeros counts as uniform.
        mask: (height, width) with a peak of one, as from `fitted`.
    """
    return float(to_density(saliency)[mask > INSIDE].sum())


def edited_property(type: str, image: np.ndarray, original: np.ndarray, mask: np.ndarray) -> float:
    """The property that edits of a type should change, measured inside the region; see `salbench.edits.edit_types`.

    Args:
        type: a key of `EDIT_TYPES`.
        image, original: uint8 (height, width, 3) RGB.
        mask: (height, width) with a peak of one, as from `fitted`.
    """
    inside = mask > INSIDE
    return EDIT_TYPES[type].measure(image[inside], original[inside])


def psnr_outside(image: np.ndarray, original: np.ndarray, mask: np.ndarray) -> float:
    """Peak signal-to-noise ratio of an edited image to its original, where the mask is below `OUTSIDE`.

    Args:
        image, original: uint8 (height, width, 3) RGB.
        mask: (height, width) with a peak of one, as from `fitted`.

    Returns:
        dB; infinity if nothing changed, NaN if nothing is outside.
    """
    outside = mask < OUTSIDE
    if not outside.any():
        return float("nan")
    error = np.mean((image[outside].astype(np.float64) - original[outside]) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")
