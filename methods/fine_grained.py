"""Fine-grained saliency: how much each pixel differs from the average of windows around it, at full resolution."""

import numpy as np
from numba import njit
from scipy.ndimage import correlate1d

from salbench.registry import register
from salbench.sample import Sample

from ._classical import Classical
from ._opencv import grey

REACHES = np.array([12, 24, 48, 28, 56, 112])  # pixels: a window covers n - 1 pixels before and n after its centre
BINOMIAL = np.array([1, 2, 1])
HIGHEST = 255  # grey level


@register
class FineGrained(Classical):
    """Classical, no training: centre-surround differences of grey levels (Montabone and Soto 2010).

    The levels are those of StaticSaliencyFineGrained in OpenCV 5, in units of 1 / 255. Windows have fixed sizes in
    pixels, so the map depends on the resolution of the image. A level above 255 is kept; in OpenCV it
    would wrap around to 0. The cost grows with the number of pixels.
    """

    paper = "Montabone, Soto (2010), Human Detection Using a Mobile Platform and Novel Features, IVC 28(3)"

    def predict(self, sample: Sample) -> np.ndarray:
        """Saliency, >= 0, at the size of the image."""
        levels = blur(grey(sample.image))
        table = levels.cumsum(axis=1).astype(np.float32).cumsum(axis=0, dtype=np.float32)
        table = np.pad(table, ((1, 0), (1, 0)))
        on, off = (stretch(array, array.max()) for array in differences(levels, table, REACHES))
        return stretch(on + off, max(on.max(), off.max())) / HIGHEST


def blur(levels: np.ndarray) -> np.ndarray:
    """Blur grey levels twice with (1, 2, 1) / 4 along both axes. They are rounded after each time, not each axis."""
    for _ in range(2):
        rows = correlate1d(levels, BINOMIAL, 0, mode="mirror")
        levels = (correlate1d(rows, BINOMIAL, 1, mode="mirror") + 8) >> 4
    return levels


@njit(nogil=True, cache=True)
def differences(levels: np.ndarray, table: np.ndarray, reaches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far each pixel is above the mean of its windows without the pixel itself, and how far below.

    Args:
        levels: int32 (height, width) grey levels.
        table: float32 (height + 1, width + 1), the sum of all levels above and left of each corner of a pixel. It is
            rounded as OpenCV rounds it, which moves some pixels of images larger than about 256 x 256 by a level.
        reaches: (windows,) reach of each window, in pixels. A window is cut at the border of the image.

    Returns:
        Two int32 (height, width). The difference from each window is truncated; then all windows are added.
    """
    height, width = levels.shape
    above, below = np.zeros_like(levels), np.zeros_like(levels)
    for y in range(height):
        for reach in reaches:
            top, bottom = max(y - reach + 1, 0), min(y + reach + 1, height)
            for x in range(width):
                left, right = max(x - reach + 1, 0), min(x + reach + 1, width)
                # Single precision rounds, so the order of the terms is OpenCV's.
                total = table[bottom, right] + table[top, left] - table[bottom, left] - table[top, right]
                others = max((bottom - top) * (right - left) - 1, 1)
                mean = (total - np.float32(levels[y, x])) / np.float32(others)
                difference = int(np.float32(levels[y, x]) - mean)
                if difference > 0:
                    above[y, x] += difference
                else:
                    below[y, x] -= difference
    return above, below


def stretch(array: np.ndarray, high: int) -> np.ndarray:
    """Grey levels of whole numbers >= 0, truncated, with `high` as the highest level; all 0 if `high` is 0."""
    return HIGHEST * array // max(high, 1)
