"""What models written in MATLAB share: filters with the kernels and borders of its imfilter and fspecial."""

import numpy as np
from scipy.ndimage import correlate1d


def gaussian(size: int, sigma: float) -> np.ndarray:
    """(size,) weights summing to one, centred at (size - 1) / 2. Their outer product is fspecial's 2-D kernel."""
    offsets = np.arange(size) - (size - 1) / 2
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return weights / weights.sum()


def filter_rows_and_columns(array: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """Correlate a map with the outer product of a kernel with itself; zeros lie outside, as for imfilter.

    An even kernel of n taps covers offsets -(n / 2 - 1) to n / 2: it shifts the map by half a pixel.

    Args:
        array: (height, width).
        kernel: (n,).

    Returns:
        float64 (height, width).
    """
    origin = 0 if len(kernel) % 2 else -1
    for axis in (0, 1):
        array = correlate1d(array, kernel, axis, output=np.float64, mode="constant", origin=origin)
    return array
