"""Fixation maps as pictures: black, with a white pixel where somebody looked.

A map of two values, such as 0 and 255 or 0 and 1, is read as it is. JPEG adds grey noise: at any quality from 50 up,
single white pixels stay above three quarters of white, and the noise around them stays below 0.4. So a pixel above half
counts as a fixation, and many pixels in between show that the map is blurred.
"""

from pathlib import Path

import numpy as np

from salbench.datasets._common import DatasetProblem
from salbench.files import FileProblem, read_map

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp")
_BETWEEN = (0.4, 0.75)  # share of white; no pixel of a fixation map has such a value, not even in a JPEG
_MOST_BETWEEN = 0.1  # pixels in between for each pixel above half; a blurred map has about one
_MOST_FIXATED = 0.5  # share of the pixels; more in a map that is inverted or blank
_WHITE = (1, 255, 65535)  # possible values of white


def read_fixation_map(path: Path, size: tuple[int, int]) -> tuple[np.ndarray, bool]:
    """Read the fixated pixels of a picture.

    Args:
        path: a grey picture.
        size: (height, width) of the image.

    Returns:
        (points, noisy): float (N, 2) of x, y, counted from 0, row by row; and whether grey pixels were rounded to black
        or white.

    Raises:
        DatasetProblem: an unreadable picture, another size than the image, or a picture that is no fixation map.
    """
    try:
        values = read_map(path)
    except FileProblem as error:
        raise DatasetProblem(str(error)) from error
    if values.shape != size:
        raise DatasetProblem(f"{path}: expected the (height, width) of its image, {size}, got {values.shape}")
    top = values.max()
    fixated = (values == top) & (top > 0)
    noisy = bool(np.count_nonzero(values) != np.count_nonzero(fixated))
    if noisy:
        fixated = _above_half(values / next(white for white in _WHITE if white >= top), path)
    if fixated.mean() > _MOST_FIXATED:
        raise DatasetProblem(
            f"{path}: expected white pixels on black, got {fixated.mean():.0%} white pixels; invert it if it is a "
            "fixation map"
        )
    rows, columns = np.nonzero(fixated)
    return np.stack([columns, rows], axis=1).astype(np.float64), noisy


def _above_half(shares, path):
    fixated = shares > 0.5
    between = np.count_nonzero((shares > _BETWEEN[0]) & (shares < _BETWEEN[1]))
    if shares.max() < _BETWEEN[1] or between > _MOST_BETWEEN * np.count_nonzero(fixated):
        raise DatasetProblem(
            f"{path}: expected a fixation map, black with one white pixel per fixation, got "
            f"{np.count_nonzero((shares > 0) & (shares < _BETWEEN[1]))} grey pixels; is this a blurred density? Then "
            "put it in the folder of maps. If grey means several fixations, save the counts as .npy"
        )
    return fixated
