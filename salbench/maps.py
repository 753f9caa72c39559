"""Map maths: resizing, blurring, densities from fixations or maps, 8-bit quantisation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image
from scipy.fft import dctn, idctn

from salbench.checks import check_map, check_points

TRUNCATE = 4.0  # cut Gaussian kernels at this many standard deviations, as scipy.ndimage does
FLOAT32_SAFE = (1e-25, 1e25)  # maps of a largest magnitude outside this range are rescaled before and after resizing
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def resize(array: ArrayLike, shape: Sequence[int], interpolation: str = "bilinear") -> np.ndarray:
    """Resize a map to `shape` (height, width) with Pillow in float32, antialiased when shrinking.

    Bicubic overshoot is clipped to the range of the input. A map that already has `shape` is returned unchanged.

    Raises:
        ValueError: non-finite values, or an interpolation other than "bilinear" and "bicubic".
    """
    array = check_map(array, "map")
    if array.shape == tuple(shape):
        return array
    if interpolation not in _FILTERS:
        raise ValueError(f"interpolation: expected one of {', '.join(_FILTERS)}, got {interpolation!r}")
    low, high = array.min(), array.max()
    scale = max(-low, high)
    if scale == 0 or FLOAT32_SAFE[0] < scale < FLOAT32_SAFE[1]:
        scale = 1
    image = Image.fromarray(np.ascontiguousarray(array / scale, dtype=np.float32))  # mode F
    resized = np.asarray(image.resize((shape[1], shape[0]), _FILTERS[interpolation])) * scale
    return np.clip(resized, low, high)


def blur(array: ArrayLike, sigma: float | tuple[float, float]) -> np.ndarray:
    """Blur a map with a Gaussian and reflecting borders; the sum stays the same.

    The result is that of scipy.ndimage.gaussian_filter up to rounding; a zero may become -1e-17. The cosine transform
    turns a convolution with reflecting borders into a product, so the cost is n log n in the number of pixels and does
    not depend on sigma.

    Args:
        array: (height, width) map.
        sigma: standard deviation in pixels, > 0: one number, or (vertical, horizontal), in the order of the axes.

    Returns:
        float64 (height, width).
    """
    spectrum = dctn(np.asarray(array, dtype=np.float64), norm="ortho")
    for axis, (length, width) in enumerate(zip(spectrum.shape, np.broadcast_to(sigma, 2), strict=True)):
        spectrum *= np.expand_dims(_frequency_response(length, width), 1 - axis)
    return idctn(spectrum, norm="ortho", overwrite_x=True)


def _frequency_response(length, sigma):
    """(length,) factors by which the kernel scales each cosine of a signal of `length` samples."""
    offsets, weights = _kernel(sigma)
    return np.cos(np.outer(np.arange(length) * (np.pi / length), offsets)) @ weights


def _kernel(sigma):
    """Offsets in pixels and weights, summing to one, of a Gaussian cut at TRUNCATE standard deviations."""
    radius = int(TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return offsets, weights / weights.sum()


def density_from_fixations(
    fixations: ArrayLike, shape: Sequence[int], sigma: float | tuple[float, float]
) -> np.ndarray:
    """Sum a Gaussian around each fixation. Same result as `blur` of the fixation counts, faster for few fixations.

    Up to rounding this equals scipy.ndimage.gaussian_filter of the counts: kernel cut at 4 sigma, weights summing to
    one, reflecting borders. The kernel is separable, so the sum is a product of three small matrices: row kernels x
    counts on the fixated rows and columns x column kernels. The cost grows with min(N, height) * height * width and
    does not depend on sigma.

    Args:
        fixations: (N, 2) array of x, y in pixels from 0; the pixel of a fixation is its floor.
        shape: (height, width).
        sigma: standard deviation in pixels, > 0: one number, or (vertical, horizontal), in the order of `shape`.

    Returns:
        float64 (height, width) with sum N.

    Raises:
        ValueError: fixations off the image, or sigma <= 0.
    """
    vertical, horizontal = np.broadcast_to(sigma, 2)
    if not (vertical > 0 and horizontal > 0):
        raise ValueError(f"sigma: expected a positive number of pixels, got {sigma}")
    pixels = check_points(fixations, shape).astype(np.int64)
    if not len(pixels):
        return np.zeros(shape)
    columns, column_of = np.unique(pixels[:, 0], return_inverse=True)
    rows, row_of = np.unique(pixels[:, 1], return_inverse=True)
    counts = np.zeros((len(rows), len(columns)))
    np.add.at(counts, (row_of, column_of), 1)
    return _folded_kernels(rows, shape[0], vertical).T @ (counts @ _folded_kernels(columns, shape[1], horizontal))


def _folded_kernels(centers, length, sigma):
    """(len(centers), length) Gaussians around the pixels `centers`, reflected at the borders of [0, length)."""
    offsets, weights = _kernel(sigma)
    position = np.mod(centers[:, None] + offsets, 2 * length)  # reflection: 0..n-1, n-1..0, and again
    position = np.minimum(position, 2 * length - 1 - position)
    flat = position + length * np.arange(len(centers))[:, None]
    size = len(centers) * length
    return np.bincount(flat.ravel(), np.tile(weights, len(centers)), size).reshape(len(centers), length)


def minmax(array: ArrayLike) -> np.ndarray:
    """Return (array - min) / (max - min) as float64; zeros for a constant map."""
    array = check_map(array).astype(np.float64)
    low, high = array.min(), array.max()
    return (array - low) / (high - low) if high > low else np.zeros(array.shape)


def to_density(array: ArrayLike, *, floor: str | None = None) -> np.ndarray:
    """Turn a map into a density: float64, non-negative, summing to one.

    Args:
        array: (height, width) map, finite.
        floor: "min" subtracts the minimum, like the min-max scaling of the MIT code (its division by the range has no
            effect on a density); None subtracts the minimum only if it is negative.

    Returns:
        float64 (height, width). If only zeros remain, the uniform density.
    """
    array = check_map(array).astype(np.float64)
    low = array.min()
    array -= low if floor == "min" else min(low, 0.0)
    total = array.sum()
    return array / total if total > 0 else np.full(array.shape, 1 / array.size)


def quantise(array: ArrayLike) -> np.ndarray:
    """Turn a map into the 8-bit grey values that the LSUN 2017 server received.

    A negative minimum is subtracted; then values are divided by the maximum, multiplied by 255 and truncated.

    Returns:
        uint8 (height, width). A map of zeros stays zero.
    """
    array = check_map(array).astype(np.float64)
    array -= min(array.min(), 0.0)
    high = array.max()
    return (array / high * 255.0 if high > 0 else array).astype(np.uint8)
