"""SSR, self-resemblance: a pixel is salient if the local structure around it resembles that of few others."""

import numpy as np

from salbench.maps import minmax, resize_matlab
from salbench.registry import register
from salbench.sample import Sample

from ._classical import Classical

SIDE = 64  # rows and columns of the map; all lengths below are in pixels of this grid
# Sides of the patch that describes a pixel, and of the square of pixels that it is compared with
NEIGHBOURHOOD = {"local": (9, 7), "global": (7, None)}

# Lab: inverse BT.709 curve, then XYZ from the inverse of this matrix.
FROM_XYZ = np.array([[3.240479, -1.53715, -0.498535], [-0.969256, 1.875992, 0.041556], [0.055648, -0.204043, 1.057311]])
WHITE = 0.950456, 1.0, 1.088754  # XYZ

# Steering kernel
SIDES, CORNERS = 0.1453440 / 0.3183099, 0.0250785 / 0.3183099  # areas under a disk of radius 1, over the centre's
DISK = np.array([[CORNERS, SIDES, CORNERS], [SIDES, 1, SIDES], [CORNERS, SIDES, CORNERS]])  # weights of a window
REGULARISATION = 1.0  # of the elongation
SENSITIVITY = 0.42  # exponent of the gradients' energy
FLOOR = 1e-7  # energy of a flat window
BANDWIDTH = 0.2
SIMILARITY_SIGMA = 0.07  # fall-off of resemblance with 1 - cosine
FLAT = 1e-9  # a channel of Lab with a smaller range holds only rounding errors


@register
class Ssr(Classical):
    """Classical, no training: local structure that resembles few others (Seo and Milanfar 2009).

    Each pixel of the 64 x 64 image has a steering kernel per Lab channel, nine weights that follow the gradients
    around it. The kernels in a patch describe its centre, and saliency is high where few patches have a similar
    direction. As in the authors' code, the kernel's two axes are swapped. One detail differs from it: a channel that
    holds only rounding errors counts as flat.

    Variants:
        local: 9 x 9 patches, compared with the 7 x 7 pixels around; the default.
        global: 7 x 7 patches, compared with all pixels.

    After the colour conversion and resizing, which grow with the number of pixels, the cost is constant.
    """

    output = "map"
    paper = "Seo, Milanfar (2009), Static and Space-Time Visual Saliency Detection by Self-Resemblance, Journal of Vision 9(12)"  # noqa: E501
    options = "local", "global"

    def predict(self, sample: Sample) -> np.ndarray:
        """float64 (64, 64)."""
        lab = resize_matlab(rgb2lab(sample.image), (SIDE, SIDE), "bilinear")
        kernels = np.concatenate([steering_kernels(_scaled(channel)) for channel in np.moveaxis(lab, 2, 0)], axis=2)
        return self_resemblance(kernels, *NEIGHBOURHOOD[self.option])


def rgb2lab(image: np.ndarray) -> np.ndarray:
    """Lab, float64 (height, width, 3), of an uint8 RGB image, with the curve of BT.709 and its primaries."""
    levels = np.arange(256) / 255
    linear = ((levels + 0.099) / 1.099) ** (1 / 0.45)
    linear = np.where(linear < 0.018, levels / 4.5138, linear)
    xyz = linear[image] @ (np.linalg.inv(FROM_XYZ) / np.transpose([WHITE])).T
    x, y, z = np.moveaxis(np.where(xyz > 0.008856, np.cbrt(xyz), 841 / 108 * xyz + 4 / 29), 2, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)


def _scaled(channel: np.ndarray) -> np.ndarray:
    return minmax(channel) if np.ptp(channel) > FLAT else np.zeros(channel.shape)


def steering_kernels(channel: np.ndarray) -> np.ndarray:
    """The 3 x 3 steering kernel (LARK) of each pixel.

    Args:
        channel: (height, width), at least 2 x 2, in 0 to 1.

    Returns:
        (height, width, 9).
    """
    matrices = _mirrored(_steering_matrices(channel), 1)
    height, width = channel.shape
    weights = []
    for row, column in np.ndindex(3, 3):
        offset = np.array([row - 1, column - 1])  # the order of a matrix is column, row: the authors swap the axes
        shifted = matrices[row : row + height, column : column + width]
        weights.append(np.exp(-(shifted @ offset @ offset) / (2 * BANDWIDTH**2)))
    return np.stack(weights, axis=2)


def _steering_matrices(channel: np.ndarray) -> np.ndarray:
    """(height, width, 2, 2) covariances of the gradients (column, row) in the 3 x 3 window, of limited elongation."""
    gradients = np.stack([np.gradient(channel, axis=1), np.gradient(channel, axis=0)], axis=-1)
    padded = _mirrored(gradients, 1)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))  # (height, width, 2, 3, 3)
    weighted = (windows * DISK).reshape(*channel.shape, 2, 9)
    directions, sizes, _ = np.linalg.svd(weighted, full_matrices=False)
    elongation = (sizes + REGULARISATION) / (sizes[..., ::-1] + REGULARISATION)
    energy = ((sizes.prod(axis=2) + FLOOR) / DISK.sum()) ** SENSITIVITY
    return energy[..., None, None] * (directions * elongation[..., None, :]) @ directions.swapaxes(2, 3)


def self_resemblance(features: np.ndarray, patch: int, surround: int | None) -> np.ndarray:
    """One over the sum, over the neighbours of each pixel, of how much their patches resemble its own.

    Args:
        features: (side, side, channels), > 0.
        patch: side of the patches, odd.
        surround: side of the square of neighbours, odd; None for all pixels. Neighbours outside the image lie in its
            mirror image.

    Returns:
        (side, side).
    """
    beyond = 0 if surround is None else surround // 2
    reach = len(features) if surround is None else beyond
    padded = _mirrored(_mirrored(features, patch // 2), beyond)
    norms = np.sqrt(_window_sums(_window_sums((padded**2).sum(axis=2), patch, (0,)), patch, (1,)))
    side = len(norms)
    position = np.arange(side)
    is_near = np.abs(position[:, None] - position) <= reach
    total = np.zeros((side, side))
    for down in range(min(reach + 1, side)):  # all pairs of rows (y, y + down) at once
        cosine = _patch_products(padded, patch, down) / (norms[: side - down, :, None] * norms[down:, None, :])
        resemblance = np.exp((cosine - 1) / SIMILARITY_SIGMA**2) * is_near
        total[: side - down] += resemblance.sum(axis=2)
        if down:
            total[down:] += resemblance.sum(axis=1)
    inside = slice(beyond, side - beyond)
    return 1 / total[inside, inside]


def _patch_products(padded: np.ndarray, patch: int, down: int) -> np.ndarray:
    """(side - down, side, side) inner products of the patches at (y, x) and (y + down, x'), by y, x, x'."""
    of_pixels = padded[: len(padded) - down] @ padded[down:].swapaxes(1, 2)
    of_rows = _window_sums(of_pixels, patch, (0,))
    return _window_sums(of_rows, patch, (1, 2))


def _mirrored(array: np.ndarray, width: int) -> np.ndarray:
    """Extend the two first axes by their mirror image, without repeating the edge."""
    return np.pad(array, [(width, width)] * 2 + [(0, 0)] * (array.ndim - 2), mode="reflect")


def _window_sums(array: np.ndarray, window: int, axes: tuple[int, ...]) -> np.ndarray:
    """Sums of `window` values one after another along an axis, or along the diagonal of two axes."""
    kept = [side - (window - 1) * (axis in axes) for axis, side in enumerate(array.shape)]
    total = np.zeros(kept)
    for start in range(window):
        total += array[tuple(slice(start * (axis in axes), start * (axis in axes) + n) for axis, n in enumerate(kept))]
    return total
