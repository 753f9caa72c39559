"""Map maths: resizing, blurring, densities from fixations or maps, 8-bit quantisation."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image
from scipy.fft import dctn, idctn
from scipy.sparse import csr_array

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


def resize_matlab(array: ArrayLike, to: Sequence[int] | float, interpolation: str = "bicubic") -> np.ndarray:
    """Resize a map or picture as MATLAB's imresize does, for models whose authors wrote MATLAB.

    Antialiased when shrinking; borders are mirrored, the edge repeated. Bicubic (Keys, a = -0.5) overshoots and is not
    clipped. `resize` differs at the borders, where Pillow leaves out what lies outside, and in precision.

    Args:
        array: (height, width) or (height, width, channels).
        to: (height, width), or a factor for both sides, whose products are rounded up.
        interpolation: "bicubic" or "bilinear".

    Returns:
        float64. The cost grows with the larger of the two sizes.
    """
    array = np.asarray(array, dtype=np.float64)
    if isinstance(to, int | float):
        shape, scales = [int(np.ceil(to * side)) for side in array.shape[:2]], [float(to)] * 2
    else:
        shape, scales = list(to), [new / old for new, old in zip(to, array.shape[:2], strict=True)]
    for axis in sorted((0, 1), key=scales.__getitem__):  # the side that shrinks most goes first
        weights = _matlab_weights(array.shape[axis], shape[axis], scales[axis], interpolation)
        moved = np.moveaxis(array, axis, 0)
        resized = weights @ moved.reshape(len(moved), -1)
        array = np.moveaxis(resized.reshape(shape[axis], *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(array)


def _matlab_weights(length: int, new: int, scale: float, interpolation: str) -> csr_array:
    """(new, length) weights of the old samples in each new one."""
    kernel, support = {"bicubic": (_keys, 4.0), "bilinear": (_triangle, 2.0)}[interpolation]
    shrink = min(scale, 1.0)
    width = support / shrink
    at = np.arange(1, new + 1) / scale + 0.5 * (1 - 1 / scale)  # positions in the old samples, from 1
    taps = np.floor(at - width / 2)[:, None] + np.arange(np.ceil(width) + 2)
    weights = kernel(shrink * (at[:, None] - taps))
    weights /= weights.sum(axis=1, keepdims=True)
    position = np.mod(taps.astype(int) - 1, 2 * length)
    position = np.minimum(position, 2 * length - 1 - position)
    rows = np.repeat(np.arange(new), taps.shape[1])
    return csr_array((weights.ravel(), (rows, position.ravel())), shape=(new, length))


def _keys(x: np.ndarray) -> np.ndarray:
    x = np.abs(x)
    near, far = (1.5 * x - 2.5) * x * x + 1, ((-0.5 * x + 2.5) * x - 4) * x + 2
    return np.where(x <= 1, near, np.where(x <= 2, far, 0.0))


def _triangle(x: np.ndarray) -> np.ndarray:
    return np.maximum(1 - np.abs(x), 0.0)


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
