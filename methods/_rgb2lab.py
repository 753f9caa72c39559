"""CIE Lab as FES and CovSal compute it: from RGB that is taken as linear light, without the sRGB curve."""

import numpy as np

TO_XYZ = np.array([[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]])
WHITE = 0.950456, 1.0, 1.088754  # XYZ
LINEAR_BELOW = 0.008856  # the cube root is replaced by a line below this value


def rgb2lab(rgb: np.ndarray) -> np.ndarray:
    """Lab of RGB in 0 to 1. Negative values are on the linear part of the curves.

    Args:
        rgb: float (height, width, 3).

    Returns:
        float64 (height, width, 3): L, a, b.
    """
    xyz = rgb @ (TO_XYZ / np.transpose([WHITE])).T
    root = np.cbrt(xyz)
    is_small = xyz <= LINEAR_BELOW
    x, y, z = np.moveaxis(np.where(is_small, 7.787 * xyz + 16 / 116, root), -1, 0)
    lightness = np.where(is_small[..., 1], 903.3 * xyz[..., 1], 116 * root[..., 1] - 16)
    return np.stack([lightness, 500 * (x - y), 200 * (y - z)], axis=-1)
