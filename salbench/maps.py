"""Map maths: resize, blur, density from fixations, reading a map as a density, 8-bit quantisation."""

import numpy as np
from PIL import Image
from scipy.fft import dctn, idctn

from salbench.checks import check_map, check_points

TRUNCATE = 4.0  # Gaussian kernels end at this many standard deviations, as in scipy.ndimage
FLOAT32_SAFE = (1e-25, 1e25)  # largest magnitudes that are resized as they are; others are scaled there and back
_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


def resize(array, shape, interpolation="bilinear"):
    """Resize a map to `shape` (height, width), antialiased when shrinking (Pillow, in float32).

    The result stays within the range of the input: bicubic overshoot is clipped. A map that already has
    the shape is returned as it is.

    Raises:
        ValueError: NaN, or an interpolation other than "bilinear" and "bicubic".
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


def blur(array, sigma):
    """Gaussian blur with reflecting borders, which keeps the sum.

    What scipy.ndimage.gaussian_filter computes, up to rounding (so that a zero may come out as -1e-17), but
    through the cosine transform, in which a reflecting convolution is a product: the cost grows with
    n log n of the number of pixels and not with sigma.

    Args:
        array: (height, width) map.
        sigma: standard deviation in pixels, one number or one for each axis, > 0.
    """
    spectrum = dctn(np.asarray(array, dtype=np.float64), norm="ortho")
    for axis, (length, width) in enumerate(zip(spectrum.shape, np.broadcast_to(sigma, 2), strict=True)):
        spectrum *= np.expand_dims(_frequency_response(length, width), 1 - axis)
    return idctn(spectrum, norm="ortho", overwrite_x=True)


def _frequency_response(length, sigma):
    """(length,) factors by which the kernel scales the cosines of a signal of `length`."""
    offsets, weights = _kernel(sigma)
    return np.cos(np.outer(np.arange(length) * (np.pi / length), offsets)) @ weights


def _kernel(sigma):
    """Offsets in pixels and weights, summing to one, of a Gaussian cut at TRUNCATE standard deviations."""
    radius = int(TRUNCATE * sigma + 0.5)
    offsets = np.arange(-radius, radius + 1)
    weights = np.exp(-0.5 * (offsets / sigma) ** 2)
    return offsets, weights / weights.sum()


def density_from_fixations(fixations, shape, sigma):
    """Sum of truncated Gaussians around fixations: what `blur` makes of their count map, for few fixations faster.

    The kernel is separable, so the sum is a product of three small matrices: row kernels x counts on the
    distinct fixated rows and columns x column kernels. The cost grows with min(N, height) * height * width,
    not with height * width * sigma. Equal to scipy.ndimage.gaussian_filter of the counts (kernel cut at
    4 sigma, weights summing to one, reflecting borders) up to rounding.

    Args:
        fixations: (N, 2) array of (x, y) in pixels from 0; the pixel of a fixation is its floor.
        shape: (height, width).
        sigma: standard deviation in pixels, > 0.

    Returns:
        float64 (height, width) whose sum is N.

    Raises:
        ValueError: a fixation off the image, or sigma <= 0.
    """
    if not sigma > 0:
        raise ValueError(f"sigma: expected a positive number of pixels, got {sigma}")
    pixels = check_points(fixations, shape).astype(np.int64)
    if not len(pixels):
        return np.zeros(shape)
    columns, column_of = np.unique(pixels[:, 0], return_inverse=True)
    rows, row_of = np.unique(pixels[:, 1], return_inverse=True)
    counts = np.zeros((len(rows), len(columns)))
    np.add.at(counts, (row_of, column_of), 1)
    return _folded_kernels(rows, shape[0], sigma).T @ (counts @ _folded_kernels(columns, shape[1], sigma))


def _folded_kernels(centers, length, sigma):
    """(len(centers), length) Gaussians around pixel `centers`, folded back at the borders of [0, length)."""
    offsets, weights = _kernel(sigma)
    position = np.mod(centers[:, None] + offsets, 2 * length)  # reflection repeats 0..n-1, n-1..0
    position = np.minimum(position, 2 * length - 1 - position)
    flat = position + length * np.arange(len(centers))[:, None]
    size = len(centers) * length
    return np.bincount(flat.ravel(), np.tile(weights, len(centers)), size).reshape(len(centers), length)


def minmax(array):
    """(array - min) / (max - min) as float64; a constant map becomes zeros."""
    array = check_map(array).astype(np.float64)
    low, high = array.min(), array.max()
    return (array - low) / (high - low) if high > low else np.zeros(array.shape)


def to_density(array, *, floor=None):
    """Read a map as a density: float64, non-negative, summing to one.

    Args:
        array: (height, width) map, finite.
        floor: "min" subtracts the minimum first, as the MIT code's min-max does (dividing by the range
            cancels in the sum); None subtracts a negative minimum only.

    Returns:
        (height, width) float64; the uniform density where nothing is left to divide by (a constant map
        with floor="min", a map of zeros without).
    """
    array = check_map(array).astype(np.float64)
    low = array.min()
    array -= low if floor == "min" else min(low, 0.0)
    total = array.sum()
    return array / total if total > 0 else np.full(array.shape, 1 / array.size)


def quantise(array):
    """8-bit grey values as the LSUN 2017 server received them: shifted to >= 0, / max, * 255, truncated.

    Returns uint8 (height, width); a map of zeros stays zero.
    """
    array = check_map(array).astype(np.float64)
    array -= min(array.min(), 0.0)
    high = array.max()
    return (array / high * 255.0 if high > 0 else array).astype(np.uint8)
