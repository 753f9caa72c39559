"""BMS: a region is salient if thresholds of the colours cut it out and it does not touch the image's border."""

from collections.abc import Sequence

import numpy as np
from numba import njit
from scipy.ndimage import correlate1d, maximum_filter, median_filter

from salbench.maps import minmax
from salbench.registry import register
from salbench.sample import Sample

from ._classical import Classical
from ._matlab import gaussian

LONG_SIDE = 400  # of the working size; all lengths below are in its pixels
STEP = 8  # grey levels between thresholds
REGION_WIDTH, MAP_WIDTH = 5, 7  # sides of the squares that dilate the regions and the final map
SIGMA = 9.0  # of the final blur
BLUR_SIZE = int(min(4 * SIGMA + 1, 51))
REGULARISATION = 50.0  # added to the variances of the colours before they are whitened
FLAT = 1e-9  # a whitened plane with a smaller range holds only rounding errors


@register
class Bms(Classical):
    """Classical, no training: regions off the border at many thresholds (Zhang and Sclaroff 2016).

    The settings are those of the authors' evaluation: whitened RGB, without Lab. Three details differ from their code.
    The sign of a singular vector is arbitrary but changes the map, because thresholds start at a plane's minimum; here
    the component of the largest magnitude is positive. A plane that is constant except for rounding errors has no
    regions; their code stretches the errors to the whole range. The final blur is not rounded to 8 bits.

    Every image is resized to a long side of 400 pixels. Time grows with the area at that size, and the time of the
    resize with the number of pixels.
    """

    output = "map"
    paper = "Zhang, Sclaroff (2016), Exploiting Surroundedness for Saliency Detection: A Boolean Map Approach, IEEE TPAMI 38(5)"  # noqa: E501

    def predict(self, sample: Sample) -> np.ndarray:
        """float64, long side 400, 0 to 255."""
        image = resize_area(sample.image, working_size(sample.size))
        return smooth(attention(whitened_planes(image, *principal_axes(image))))


def working_size(size: tuple[int, int]) -> tuple[int, int]:
    """(height, width) at a long side of 400 pixels, rounded down."""
    return max(1, size[0] * LONG_SIDE // max(size)), max(1, size[1] * LONG_SIDE // max(size))


def resize_area(image: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize a uint8 image as OpenCV's INTER_AREA does: each new pixel is the mean over the area that it covers."""
    rows, columns = (_shared_lengths(old, new) for old, new in zip(image.shape, shape, strict=False))
    sums = rows @ np.moveaxis(image.astype(np.float64), 2, 0) @ columns.T  # whole numbers, so that halves are exact
    return _to_8_bit(np.moveaxis(sums / (image.shape[0] * image.shape[1]), 0, 2))


def _shared_lengths(old: int, new: int) -> np.ndarray:
    """(new, old) lengths that new and old samples share. An old one is `new` long, a new one `old`."""
    start, old_start = np.arange(new)[:, None] * old, np.arange(old) * new
    shared = np.minimum(start + old, old_start + new) - np.maximum(start, old_start)
    return np.maximum(shared, 0).astype(np.float64)


def principal_axes(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Singular vectors (3, 3), in columns, and values (3,) of the regularised covariance of the colours.

    Args:
        image: (height, width, 3), in the order blue, green, red or any other.
    """
    colours = image.reshape(-1, 3).astype(np.float64)
    values, vectors = np.linalg.eigh(np.cov(colours.T, bias=True) + REGULARISATION * np.eye(3))
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=0)[None], axis=0)
    return vectors * np.sign(largest), values


def whitened_planes(image: np.ndarray, vectors: np.ndarray, values: np.ndarray) -> list[np.ndarray]:
    """Colours along each axis in units of its standard deviation, as 8-bit planes.

    Args:
        image: (height, width, 3).
        vectors: (3, 3), in columns, in the colour order of the image.
        values: (3,) variances along the vectors.
    """
    planes = np.moveaxis(image @ (vectors / np.sqrt(values)), 2, 0)
    return [feature_plane(plane) for plane in planes]


def feature_plane(plane: np.ndarray) -> np.ndarray:
    """uint8 plane from 0 to 255, after a 3 x 3 median; zeros if the plane is flat."""
    if np.ptp(plane) <= FLAT:
        return np.zeros(plane.shape, np.uint8)
    return median_filter(_to_8_bit(255 * minmax(plane)), size=3, mode="nearest")


def attention(planes: Sequence[np.ndarray]) -> np.ndarray:
    """Sum over planes and thresholds of the regions that do not touch the border, as uint8 from 0 to 255.

    Args:
        planes: uint8, (height, width) each.
    """
    return _to_8_bit(255 * minmax(sum(_surrounded(plane) for plane in planes)))


def _surrounded(plane: np.ndarray) -> np.ndarray:
    """Sum over thresholds of the surrounded regions above and below, dilated and divided by their L2 norms."""
    above, below = border_level(plane), 255 - border_level(255 - plane)
    total = np.zeros(plane.shape)
    for threshold in range(plane.min(), plane.max(), STEP):
        is_above = plane > threshold
        for region in (is_above & (above <= threshold), ~is_above & (below > threshold)):
            dilated = _dilated(region)
            total += dilated / np.sqrt(max(np.count_nonzero(dilated), 1))
    return total


@njit(nogil=True, cache=True)
def border_level(plane: np.ndarray) -> np.ndarray:
    """The highest level at which each pixel is connected to the border.

    It is the largest, over all 8-connected paths to the border, of the smallest value on the path. At any lower
    threshold, the region that holds the pixel touches the border; so one map serves all thresholds. Passes over the
    image, down and up, find it; usually fewer than 10 until nothing changes.

    Args:
        plane: uint8 (height, width).
    """
    height, width = plane.shape
    level = plane.copy()
    level[1:-1, 1:-1] = 0
    step, settled = 1, 0
    while settled < 2:
        changed = False
        for i in range(height - 2):
            y = 1 + i if step == 1 else height - 2 - i
            for j in range(width - 2):
                x = 1 + j if step == 1 else width - 2 - j
                behind = y - step
                best = max(level[behind, x - 1], level[behind, x], level[behind, x + 1], level[y, x - step])
                best = min(best, plane[y, x])
                if best > level[y, x]:
                    level[y, x] = best
                    changed = True
        settled = 0 if changed else settled + 1
        step = -step
    return level


def _dilated(region: np.ndarray) -> np.ndarray:
    """A boolean mask, dilated by a square of side REGION_WIDTH."""
    height, width = region.shape
    reach = REGION_WIDTH // 2
    padded = np.zeros((height + 2 * reach, width + 2 * reach), bool)
    padded[reach : reach + height, reach : reach + width] = region
    down, right = np.zeros((height, width + 2 * reach), bool), np.zeros(region.shape, bool)
    for i in range(REGION_WIDTH):
        down |= padded[i : i + height]
    for i in range(REGION_WIDTH):
        right |= down[:, i : i + width]
    return right


def smooth(salient: np.ndarray) -> np.ndarray:
    """Dilate the uint8 map by a square of side MAP_WIDTH and blur it; borders are mirrored, the edge not repeated."""
    blurred = maximum_filter(salient, size=MAP_WIDTH).astype(np.float64)
    for axis in (0, 1):
        blurred = correlate1d(blurred, gaussian(BLUR_SIZE, SIGMA), axis, mode="mirror")
    return blurred


def _to_8_bit(values: np.ndarray) -> np.ndarray:
    return np.floor(values + 0.5).astype(np.uint8)
