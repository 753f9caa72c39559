"""Numbers of one image: the share of attention inside its region, and what an edit did to the picture.

The region is where the mask exceeds half of its peak. A threshold and no weighting by the mask: a fixation is inside or
it is not, the share expected by chance is an area, and both parts of a study count the same thing.
"""

import numpy as np

from salbench.checks import check_aspect, check_points
from salbench.maps import resize, to_density

INSIDE = 0.5  # of the mask's peak: above it is inside
OUTSIDE = 0.1  # of the mask's peak: below it an edit should change nothing; soft masks edit a little in between
SEED = 0  # of every bootstrap of a study
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in the readouts of the paper's model


def fitted(mask, size):
    """A mask at the size of an image, scaled to a peak of one.

    Args:
        mask: (h, w) of any range >= 0 and any size. size: (height, width) of the image.

    Returns:
        float (height, width), 0 to 1.

    Raises:
        ValueError: nothing inside, nothing outside, negative values, or another aspect ratio than the image.
    """
    check_aspect(mask.shape, size, "mask")
    if mask.min() < 0 or not mask.max() > 0:
        raise ValueError(f"mask: expected a region above zero, got values from {mask.min():g} to {mask.max():g}")
    mask = resize(mask, size)
    if (mask > INSIDE * mask.max()).all():
        raise ValueError("mask: expected something outside of the region, got a mask that covers the whole image")
    return np.round(mask / mask.max(), 6)  # exactly half is not above half, whatever the scale and its rounding


def share_of_fixations(fixations, mask):
    """Share of fixations inside the region.

    Args:
        fixations: (N, 2) array of x, y in pixels from 0. mask: (height, width), a peak of one.

    Raises:
        ValueError: no fixations, or one off the image.
    """
    columns, rows = check_points(fixations, mask.shape).astype(np.int64).T
    if not len(rows):
        raise ValueError("fixations: expected at least one, got none")
    return float((mask[rows, columns] > INSIDE).mean())


def share_of_map(saliency, mask):
    """Share of a map's mass inside the region; a negative minimum is shifted to zero, a map of zeros is uniform.

    Args:
        saliency: (height, width), on the scale of a density. mask: of the same shape, a peak of one.
    """
    return float(to_density(saliency)[mask > INSIDE].sum())


def edited_property(type, image, original, mask):
    """What an edit of a type changes, measured inside the region.

    With grey = 0.299 R + 0.587 G + 0.114 B in 0..1: contrast is the standard deviation of grey (section 3.2 of the
    paper), brightness its mean. Color is the mean distance from the original in the a, b plane of CIELAB.

    Args:
        type: a key of `PROPERTIES`. image, original: uint8 (height, width, 3) RGB. mask: a peak of one.
    """
    return float(PROPERTIES[type](image[mask > INSIDE], original[mask > INSIDE]))


def _grey(pixels):
    return pixels @ np.array(_GREY) / 255


def _chroma_distance(pixels, original):
    from skimage.color import rgb2lab  # slow to import

    shift = rgb2lab(pixels)[:, 1:] - rgb2lab(original)[:, 1:]
    return np.hypot(*shift.T).mean()


PROPERTIES = {
    "contrast": lambda pixels, original: _grey(pixels).std(),
    "brightness": lambda pixels, original: _grey(pixels).mean(),
    "color": _chroma_distance,
}


def psnr_outside(image, original, mask):
    """Peak signal-to-noise ratio in dB of an edited image to its original where the mask is below `OUTSIDE`.

    Infinite where nothing changed; NaN where the mask leaves nothing outside.
    """
    outside = mask < OUTSIDE
    if not outside.any():
        return float("nan")
    error = np.mean((image[outside].astype(np.float64) - original[outside]) ** 2)
    return float(10 * np.log10(255**2 / error)) if error else float("inf")
