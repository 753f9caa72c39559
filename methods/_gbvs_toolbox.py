"""Steps that GBVS and the Itti-Koch model of the GBVS toolbox (Harel 2006 to 2010) share."""

from collections.abc import Sequence

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.sparse import csr_array

from salbench.maps import minmax

from ._gabor import gabor_bank, orientation_energy

SHORTEST = 10  # pixels; an image with a side no longer than this is not halved
HALVING = np.array([1, 5, 10, 10, 5, 1])  # weights of the old samples 2k - 2 to 2k + 3 in the new sample k
GABOR_RADIUS = 13  # pixels
GABORS = gabor_bank(GABOR_RADIUS, period=np.pi, sigmas=(2, 4))
FADE = 4  # nodes of the lattice, at each border of the saliency map
ROUNDING = 1e-6  # a map with a smaller range holds only rounding errors and counts as constant


def pyramid(image: np.ndarray, depth: int) -> dict[int, np.ndarray]:
    """Halve an image `depth` times.

    Args:
        image: uint8 (height, width, 3) RGB.
        depth: number of halvings.

    Returns:
        {number of halvings: (height, width, 4) intensity, red, green and blue, 0 to 1}. Intensity is the largest of the
        three colours in the image. Levels are float32: double precision can show a flat area at the next level of the
        monitor (see `_dkl`).
    """
    planes = [_halved(plane / 255, depth) for plane in (image.max(axis=2), *np.moveaxis(image, 2, 0))]
    return {number: np.stack(level, axis=2) for number, level in enumerate(zip(*planes, strict=True), 1)}


def _halved(plane: np.ndarray, depth: int) -> list[np.ndarray]:
    """`depth` levels of a plane, without the plane itself."""
    levels = [plane]
    for _ in range(depth):
        level = levels[-1]
        if min(level.shape) > SHORTEST:
            level = _halve_rows(_halve_rows(level.T).T)
        levels.append(level.astype(np.float32))
    return levels[1:]


def _halve_rows(plane: np.ndarray) -> np.ndarray:
    return (_halving_weights(len(plane)) @ plane.astype(np.float64)).astype(np.float32)


def _halving_weights(length: int) -> csr_array:
    """(length // 2, length) weights of the old samples in each new one."""
    half = length // 2
    taps = 2 * np.arange(half)[:, None] + np.arange(-2, 4)
    weights = np.where((taps >= 0) & (taps < length), HALVING, 0.0)
    weights /= weights.sum(axis=1, keepdims=True)
    rows = np.repeat(np.arange(half), len(HALVING))
    return csr_array((weights.ravel(), (rows, taps.clip(0, length - 1).ravel())), shape=(half, length))


def orientation_maps(intensity: np.ndarray) -> np.ndarray:
    """(4, height, width) Gabor energy of a level's intensity; it fades at the borders."""
    padded = np.pad(intensity.astype(np.float64), GABOR_RADIUS, mode="edge")
    return fade_borders(orientation_energy(padded, GABORS), GABOR_RADIUS)


def fade_borders(maps: np.ndarray, width: int) -> np.ndarray:
    """Multiply the k-th line from each border by k / (width + 1), for k up to width.

    Args:
        maps: (..., height, width).
        width: in pixels; at most half of the smaller side is used.
    """
    rows, columns = maps.shape[-2:]
    width = min(width, rows // 2, columns // 2)
    return maps * np.outer(_ramp(rows, width), _ramp(columns, width))


def _ramp(length: int, width: int) -> np.ndarray:
    line = np.arange(1, length + 1)
    return np.minimum(np.minimum(line, line[::-1]) / (width + 1), 1)


def lattice_shape(shape: Sequence[int], long_side: int) -> tuple[int, int]:
    """(rows, columns) of the lattice that an image of this (height, width) is reduced to, at least one of each."""
    rows, columns = (max(1, int(side * (long_side / max(shape)) + 0.5)) for side in shape)
    return rows, columns


def saliency_map(activity: np.ndarray, blur: float) -> np.ndarray:
    """Fade the borders of the summed channels, blur them, and rescale them to 0 to 1.

    Args:
        activity: (rows, columns) sum of the channels.
        blur: standard deviation of the Gaussian, as a share of the longer side of the lattice.
    """
    sigma = blur * max(activity.shape)
    faded = minmax(fade_borders(activity, FADE))
    return minmax(gaussian_filter(faded, sigma, mode="nearest", radius=int(2 * sigma + 0.5)))
