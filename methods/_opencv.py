"""What models share that follow OpenCV: its integer arithmetic for grey levels."""

import numpy as np

GREY = np.array([9798, 19235, 3735], np.int32)  # weights of R, G, B, in units of 2**-15


def grey(image: np.ndarray) -> np.ndarray:
    """int32 (height, width) grey levels, 0 to 255, of a uint8 RGB picture: OpenCV's cvtColor."""
    return (image @ GREY + 2**14) >> 15


def sampled_grey(image: np.ndarray, side: int) -> np.ndarray:
    """(side, side) whole grey levels, 0 to 255, of a uint8 RGB picture: OpenCV's cvtColor, then its exact resize.

    Bilinear without antialiasing: each level depends on four pixels, however large the picture.

    Args:
        side: a power of two, at most 128. OpenCV's weights are then exact, as they are here.
    """
    rows, row_weights = _taps(image.shape[0], side)
    columns, column_weights = _taps(image.shape[1], side)
    level = 0.5  # rounds
    for row, row_weight in zip(rows, row_weights, strict=True):
        left, right = (grey(image[row[:, None], column]) for column in columns)
        level += (left * column_weights[0] + right * column_weights[1]) * row_weight[:, None]
    return np.floor(level)


def _taps(length: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """(2, new) indices of the pixels before and after each sample, and their weights."""
    at = ((np.arange(new) + 0.5) * (length / new) - 0.5).clip(0, length - 1)
    before = at.astype(np.int64)
    return np.stack([before, np.minimum(before + 1, length - 1)]), np.stack([1 - (at - before), at - before])
