"""Peaks of a map, for the operator N of Itti, Koch and Niebur (1998), which favours maps with one high peak."""

import numpy as np


def local_maxima(array: np.ndarray, threshold: float) -> np.ndarray:
    """Values of the local maxima of a map.

    Args:
        array: (height, width).
        threshold: smallest value of a maximum.

    Returns:
        (n,) values that are at least as high as those above, below, left and right. A plateau counts once per pixel.
        Pixels of the first and last row and column are no maxima.
    """
    inner = array[1:-1, 1:-1]
    neighbours = array[:-2, 1:-1], array[2:, 1:-1], array[1:-1, :-2], array[1:-1, 2:]
    return inner[(inner >= np.maximum.reduce(neighbours)) & (inner >= threshold)]
