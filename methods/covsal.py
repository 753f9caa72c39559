"""CovSal: a block is salient if the statistics of its colours and edges differ from those of the blocks around it."""

from collections.abc import Callable

import numpy as np

from salbench.maps import resize_matlab
from salbench.registry import register
from salbench.sample import Sample

from ._classical import Classical
from ._matlab import filter_rows_and_columns, gaussian
from ._rgb2lab import rgb2lab

SIDE = 512  # rows and columns that every image is resized to; all lengths below are in pixels of this grid
NOISE = 2.0  # standard deviation, of 255 grey levels: flat regions get covariances that can be inverted
SEED = 0  # the authors draw new noise at every run
BLOCKS = 8, 16, 32, 64, 128  # sides: the scales
SEGMENTS = np.add.outer(np.arange(0, SIDE, BLOCKS[0]), (0, 1)).ravel()  # first lines: a block starts and ends at one
REACH = 3  # blocks are compared with those within this many steps along each axis
NEAREST = 0.1  # share of these blocks, the most similar ones, whose distances count
SIGMA_POINTS_SCALE = 14.2  # about 2 * (number of features + 0.1)
RIDGE = 0.001  # added to the variances before the sigma points are taken
BLUR = 0.02  # sigma, as a fraction of the image's width

Part = tuple[slice, slice]  # rows and columns of the grid of blocks
Distance = Callable[[Part, Part], np.ndarray]  # of each block in a part from its counterpart in another


@register
class CovSal(Classical):
    """Classical, no training: blocks with unusual region covariances (Erdem and Erdem 2013).

    Seven features are described in square blocks of five sizes: L, a, b, the size of the two first derivatives, and the
    two coordinates. As in the authors' code, blocks overlap by a line, the most similar tenth of the neighbours counts,
    and blocks far from the centre weigh less. The authors add new noise to each image; here it is always the same.

    Variants:
        sigma_points: blocks differ by their means and the columns of the covariances' Cholesky factors; the default.
        covariances: blocks differ by the generalised eigenvalues of their covariances.

    The cost is constant up to the final resize, which grows with the number of pixels, and the final blur, which grows
    with the number of pixels times the width.
    """

    output = "map"
    paper = "Erdem, Erdem (2013), Visual saliency estimation by nonlinearly integrating features using region covariances, Journal of Vision 13(4)"  # noqa: E501
    options = "sigma_points", "covariances"

    def predict(self, sample: Sample) -> np.ndarray:
        """float64, as large as the image."""
        maps = block_maps(sample.image, self.option)
        return to_picture(np.prod([resize_matlab(map, (SIDE, SIDE)) for map in maps], axis=0), sample.size)


def block_maps(image: np.ndarray, option: str) -> list[np.ndarray]:
    """Saliency of the blocks, one (512 / side, 512 / side) map for each of BLOCKS.

    Args:
        image: uint8 (height, width, 3).
        option: "sigma_points" or "covariances".
    """
    noise = np.random.RandomState(SEED).standard_normal((SIDE, SIDE, 3))
    sums = segment_sums(features(resize_matlab(image, (SIDE, SIDE)) + NOISE * noise))
    describe = {"sigma_points": sigma_point_distance, "covariances": covariance_distance}[option]
    statistics = (block_statistics(*sums, side) for side in BLOCKS)
    return [
        mean_of_nearest(describe(means, covariances), len(means)) * centre_weights(side)
        for side, (means, covariances) in zip(BLOCKS, statistics, strict=True)
    ]


def features(rgb: np.ndarray) -> np.ndarray:
    """(7, height, width): L, a, b, size of the derivative down and along the rows, row and column counted from 1.

    Args:
        rgb: float (height, width, 3), 0 to 255 and beyond.
    """
    padded = np.pad(rgb.mean(axis=2), 1, mode="symmetric")
    down = np.abs(padded[2:, 1:-1] - padded[:-2, 1:-1])
    right = np.abs(padded[1:-1, 2:] - padded[1:-1, :-2])
    lab = np.moveaxis(rgb2lab(rgb / 255), 2, 0)
    return np.stack([*lab, down, right, *(np.indices(down.shape) + 1.0)])


def segment_sums(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sums of the features and of their products over small rectangles, of which all blocks are made.

    Args:
        planes: (7, 512, 512).

    Returns:
        (7, 128, 128) and (7, 7, 128, 128). The rectangles' sides start at SEGMENTS.
    """
    count = len(planes)
    sums = _over_segments(planes)
    of_products = np.empty((count, *sums.shape))
    for i in range(count):
        of_products[i, : i + 1] = of_products[: i + 1, i] = _over_segments(planes[i] * planes[: i + 1])
    return sums, of_products


def _over_segments(planes: np.ndarray) -> np.ndarray:
    return np.add.reduceat(np.add.reduceat(planes, SEGMENTS, axis=2), SEGMENTS, axis=1)


def block_statistics(sums: np.ndarray, of_products: np.ndarray, side: int) -> tuple[np.ndarray, np.ndarray]:
    """Mean and covariance of the features in each block of a side.

    Args:
        sums, of_products: see `segment_sums`.
        side: in pixels, one of BLOCKS.

    Returns:
        Means (n, n, 7) and covariances (n, n, 7, 7), n = 512 / side.
    """
    inside = block_members(side)
    lines = inside @ np.diff(SEGMENTS, append=SIDE)
    size = np.outer(lines, lines)
    means = inside @ sums @ inside.T / size
    covariances = inside @ of_products @ inside.T / size - means[:, None] * means
    return np.moveaxis(means, 0, 2), np.moveaxis(covariances, (0, 1), (2, 3))


def block_members(side: int) -> np.ndarray:
    """(512 / side, 128) ones where a segment of rows (or columns) is in a block, else zeros.

    A block ends with the first row of the next one. The image's first row is in no block.
    """
    start = np.arange(0, SIDE, side)[:, None]
    return ((np.maximum(start, 1) <= SEGMENTS) & (start + side >= SEGMENTS)).astype(np.float64)


def sigma_point_distance(means: np.ndarray, covariances: np.ndarray) -> Distance:
    """Euclidean distance between the sigma points of blocks: mean m, m + v and m - v for each column v of U.

    U is the upper Cholesky factor. The authors put m before each pair of columns, seven times in all, beside m itself:
    |m|^2 counts 15 times in a squared distance, the entries of U twice.
    """
    count = means.shape[2]
    lower = np.linalg.cholesky(SIGMA_POINTS_SCALE * (covariances + RIDGE * np.eye(count)))
    factors = lower[..., *np.tril_indices(count)]
    points = np.concatenate([np.sqrt(2 * count + 1) * means, np.sqrt(2) * factors], axis=2)
    return lambda here, there: np.linalg.norm(points[here] - points[there], axis=2)


def covariance_distance(_: np.ndarray, covariances: np.ndarray) -> Distance:
    """Root of the sum of ln(eigenvalue)^2, for the generalised eigenvalues of two covariances."""
    whitening = np.linalg.inv(np.linalg.cholesky(covariances))

    def distance(here: Part, there: Part) -> np.ndarray:
        white = whitening[here]
        eigenvalues = np.linalg.eigvalsh(white @ covariances[there] @ white.swapaxes(2, 3))
        return np.sqrt((np.log(eigenvalues) ** 2).sum(axis=2))

    return distance


def mean_of_nearest(distance: Distance, blocks: int) -> np.ndarray:
    """Mean distance of each block to the most similar tenth of its neighbours, near ones counting more.

    Args:
        distance: between blocks, symmetric.
        blocks: number of blocks along a side of the image.

    Returns:
        (blocks, blocks).
    """
    offsets = [(down, right) for down in range(REACH + 1) for right in range(-REACH, REACH + 1)]
    offsets = [(down, right) for down, right in offsets if (down, right) > (0, 0)]
    found = np.full((2 * len(offsets), blocks, blocks), np.inf)
    for i, (down, right) in enumerate(offsets):
        here = slice(0, max(blocks - down, 0)), slice(max(-right, 0), blocks - max(right, 0))
        there = slice(down, blocks), slice(max(right, 0), blocks + min(right, 0))
        pixels = SIDE / blocks * np.hypot(down, right)
        found[(2 * i, *here)] = found[(2 * i + 1, *there)] = distance(here, there) / (1 + pixels)
    counts = np.floor(NEAREST * np.isfinite(found).sum(axis=0)).astype(int)
    most = counts.max()
    found = np.sort(np.partition(found, most - 1, axis=0)[:most], axis=0)
    return np.take_along_axis(found.cumsum(axis=0), counts[None] - 1, axis=0)[0] / counts


def centre_weights(side: int) -> np.ndarray:
    """(512 / side, 512 / side) weights that fall from 1 in the image's centre to 0 in its corners."""
    corners = np.arange(1, SIDE + 1, side)
    off_centre = corners + side / 2 - SIDE / 2
    return 1 - np.hypot(off_centre[:, None], off_centre) / np.hypot(SIDE / 2 - 1, SIDE / 2 - 1)


def to_picture(salient: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize the map to `shape` and blur it; zeros lie outside."""
    sigma = BLUR * shape[1]
    kernel = gaussian(max(1, int(4 * sigma + 0.5)), sigma)
    return filter_rows_and_columns(resize_matlab(salient, shape, "bilinear"), kernel)
