"""Where the attention is: the most salient points of a density, and its shares in a grid and in named regions.

Pixel i covers [i, i + 1). A grid line or an edge of a box may cut a pixel; each side gets its part of the pixel.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.ndimage import label
from skimage.morphology import local_maxima

from salbench.maps import to_density

POINTS = 5
RADIUS = 0.04  # of the longer side: the disc around a salient point
INSIDE = 0.5  # of a mask's peak: above it is inside


class SalientPoint(NamedTuple):
    """A local maximum of a density.

    Attributes:
        x, y: its pixel, counted from 0.
        share: share of the attention on the pixels within `radius_of` the picture.
    """

    x: int
    y: int
    share: float


class RegionShare(NamedTuple):
    """A named region.

    Attributes:
        share: share of the attention inside.
        area: share of the picture that it covers, which is its share of a uniform density.
    """

    share: float
    area: float


def radius_of(size: tuple[int, int]) -> float:
    """The radius, in pixels, of the disc around a salient point in a picture of `size` (height, width)."""
    return RADIUS * max(size)


def salient_points(density: ArrayLike, count: int = POINTS) -> list[SalientPoint]:
    """The highest local maxima, highest first. Their discs do not overlap, so their shares add up to at most one.

    A maximum is left out if it is within two radii of a higher one. A flat top counts as one maximum, at its pixel
    nearest to its centre. A flat density has none.

    Args:
        density: (H, W), of any scale; see `salbench.maps.to_density`.
        count: number of points at most.
    """
    density = to_density(density)
    radius = radius_of(density.shape)
    left = _peaks(density)
    found: list[SalientPoint] = []
    while len(left) and len(found) < count:
        y, x = (int(each) for each in left[0])
        found.append(SalientPoint(x, y, _share_of_disc(density, y, x, radius)))
        left = left[np.hypot(*(left - left[0]).T) > 2 * radius]
    return found


def _peaks(density: np.ndarray) -> np.ndarray:
    """(N, 2) rows and columns of the local maxima, one pixel for each, by falling density."""
    maxima = local_maxima(density, connectivity=2)
    top, _ = label(maxima, np.ones((3, 3)))
    pixels = np.argwhere(maxima)
    top = top[maxima] - 1
    centres = np.stack([np.bincount(top, axis) for axis in pixels.T], 1) / np.bincount(top)[:, None]
    from_centre = np.hypot(*(pixels - centres[top]).T)
    nearest_first = np.lexsort((from_centre, top))
    _, first = np.unique(top[nearest_first], return_index=True)
    peaks = pixels[nearest_first[first]]
    return peaks[np.argsort(-density[tuple(peaks.T)], kind="stable")]


def _share_of_disc(density: np.ndarray, y: int, x: int, radius: float) -> float:
    whole = int(radius)
    top, left = max(0, y - whole), max(0, x - whole)
    window = density[top : y + whole + 1, left : x + whole + 1]
    rows, columns = np.ogrid[: window.shape[0], : window.shape[1]]
    return float(window[(rows + top - y) ** 2 + (columns + left - x) ** 2 <= radius**2].sum())


def grid_shares(density: ArrayLike, grid: tuple[int, int] = (3, 3)) -> np.ndarray:
    """Shares of the attention in the cells of a grid.

    Args:
        density: (H, W), of any scale; see `salbench.maps.to_density`.
        grid: (rows, columns) of cells of one size.

    Returns:
        float64 (rows, columns), top row first, summing to one.
    """
    density = to_density(density)
    rows, columns = (np.linspace(0, side, number + 1) for side, number in zip(density.shape, grid, strict=True))
    return _covered(rows, density.shape[0]) @ density @ _covered(columns, density.shape[1]).T


def _covered(edges: np.ndarray, length: int) -> np.ndarray:
    """(len(edges) - 1, length): the part of each pixel that lies between two neighbouring edges."""
    pixels = np.arange(length)
    starts, ends = edges[:-1, None], edges[1:, None]
    return np.clip(np.minimum(ends, pixels + 1) - np.maximum(starts, pixels), 0, 1)


def region_shares(density: ArrayLike, regions: Mapping[str, ArrayLike]) -> dict[str, RegionShare]:
    """Shares of the attention in named regions.

    Args:
        density: (H, W), of any scale; see `salbench.maps.to_density`.
        regions: {name: box or mask}. A box is (left, top, right, bottom) in pixels, right and bottom excluded. A mask
            is an (H, W) array; inside is where it exceeds half of its peak.

    Raises:
        ValueError: a box that is empty or not inside the picture; a mask that is empty or has another size.
    """
    density = to_density(density)
    parts = {name: _parts(region, density.shape, f"region {name!r}") for name, region in regions.items()}
    return {
        name: RegionShare(_sum_inside(density, inside), _sum_inside(np.ones(density.shape), inside) / density.size)
        for name, inside in parts.items()
    }


def check_regions(regions: Mapping[str, ArrayLike], size: tuple[int, int]) -> None:
    """Raise `ValueError` unless `region_shares` can measure the regions in a picture of `size` (height, width)."""
    for name, region in regions.items():
        _parts(region, size, f"region {name!r}")


def _parts(region: ArrayLike, size: tuple[int, ...], name: str) -> tuple[np.ndarray, np.ndarray] | np.ndarray:
    """What is inside: the covered parts of rows and of columns, (1, H) and (1, W), or a bool mask (H, W)."""
    region = np.asarray(region, np.float64)
    if region.ndim == 1:
        left, top, right, bottom = _check_box(region, size, name)
        return _covered(np.array([top, bottom]), size[0]), _covered(np.array([left, right]), size[1])
    if region.shape != tuple(size):
        expected = f"a mask with the picture's size, {size[0]} x {size[1]} (height, width)"
        raise ValueError(f"{name}: expected {expected}, got {' x '.join(map(str, region.shape))}")
    if not region.max() > 0:
        raise ValueError(f"{name}: expected a mask with a part above zero, got a largest value of {region.max():g}")
    return region > INSIDE * region.max()


def _check_box(box: np.ndarray, size: tuple[int, ...], name: str) -> np.ndarray:
    height, width = size
    expected = f"left < right <= {width} and top < bottom <= {height}, in pixels of the picture from 0"
    if box.shape != (4,) or not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        raise ValueError(f"{name}: expected a box [left, top, right, bottom] with {expected}, got {box.tolist()}")
    return box


def _sum_inside(values: np.ndarray, inside: tuple[np.ndarray, np.ndarray] | np.ndarray) -> float:
    if isinstance(inside, tuple):
        rows, columns = inside
        return (rows @ values @ columns.T).item()
    return float(values[inside].sum())


def summarise(
    density: ArrayLike, *, grid: tuple[int, int] = (3, 3), regions: Mapping[str, ArrayLike] | None = None
) -> dict[str, Any]:
    """Everything above as one dict that JSON can hold.

    Args:
        density: (H, W), of any scale; see `salbench.maps.to_density`.
        grid: see `grid_shares`.
        regions: see `region_shares`.

    Returns:
        {"points": list of {"x", "y", "share"}, "radius": pixels, "grid": rows of shares, "regions": {name: {"share",
        "area"}}}.
    """
    density = to_density(density)
    shares = region_shares(density, regions or {})
    return {
        "points": [point._asdict() for point in salient_points(density)],
        "radius": radius_of(density.shape),
        "grid": grid_shares(density, grid).tolist(),
        "regions": {name: share._asdict() for name, share in shares.items()},
    }
