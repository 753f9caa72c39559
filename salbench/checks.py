"""One check per kind of input. Each raises `ValueError` with what it expected and what it got."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

LARGEST = 1e100  # largest accepted magnitude of a map's values; the smallest is 1 / LARGEST
ASPECT = 0.02  # largest relative difference of aspect ratios, where rounding to whole pixels causes no more


def check_map(array: ArrayLike, name: str = "prediction") -> np.ndarray:
    """Return `array` as a non-empty 2-D map of floats. float32 and float64 keep their type; others become float64.

    Raises:
        ValueError: an array that is not 2-D, empty, not numeric or not finite, or with values of a magnitude whose
            squares overflow or underflow.
    """
    array = np.asarray(array)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: expected a non-empty 2-D map (height, width), got shape {array.shape}")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected real numbers, got dtype {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    # Any NaN or infinity shows in min or max, and these are two fast passes.
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(array.size - np.isfinite(array).sum())
        raise ValueError(f"{name}: expected finite values, got NaN or infinity in {bad} of {array.size} pixels")
    if not measurable(low, high):
        raise ValueError(
            f"{name}: expected a largest magnitude within {1 / LARGEST:g} and {LARGEST:g}, so that squares do not "
            f"overflow, got values from {low:g} to {high:g}; rescale the map"
        )
    return array


def measurable(low: float, high: float) -> bool:
    """Return whether sums and squares of values from `low` to `high` neither overflow nor underflow."""
    magnitude = max(-float(low), float(high))  # as Python floats, because LARGEST is beyond float32
    return bool(magnitude == 0 or 1 / LARGEST <= magnitude <= LARGEST)


def check_same_shape(array: np.ndarray, shape: Sequence[int], name: str) -> None:
    """Raise `ValueError` unless `array.shape == shape`."""
    if array.shape != tuple(shape):
        raise ValueError(f"{name}: expected shape {tuple(shape)} as the prediction, got {array.shape}")


def check_aspect(shape: Sequence[int], size: Sequence[int], name: str) -> None:
    """Raise `ValueError` unless a map of `shape` has the aspect ratio of an image of `size`, both (height, width)."""
    if abs(shape[1] * size[0] / (shape[0] * size[1]) - 1) > max(ASPECT, 0.5 / shape[0] + 0.5 / shape[1]):
        raise ValueError(
            f"{name}: expected the aspect ratio of the image, {size[0]} x {size[1]} (height, width), got "
            f"{shape[0]} x {shape[1]}"
        )


def check_density(array: ArrayLike, shape: Sequence[int], name: str = "density") -> np.ndarray:
    """Return `array` as a finite, non-negative map of `shape` (height, width). All zeros means no ground truth.

    Raises:
        ValueError: another shape, or negative or non-finite values.
    """
    array = check_map(array, name)
    check_same_shape(array, shape, name)
    if array.min() < 0:
        raise ValueError(f"{name}: expected values >= 0, got a minimum of {array.min():.6g}")
    return array


def check_points(points: ArrayLike, shape: Sequence[int], name: str = "fixations") -> np.ndarray:
    """Return `points` as a float (N, 2) array of x, y, all on an image of `shape` (height, width).

    Raises:
        ValueError: an array that is not (N, 2), NaN, or points off the image.
    """
    points = np.asarray(points, dtype=np.float64)
    if points.size == 0:
        return np.empty((0, 2))
    if points.ndim != 2 or points.shape[1] != 2:
        raise ValueError(f"{name}: expected an (N, 2) array of (x, y) or a count map, got shape {points.shape}")
    height, width = shape
    inside = (points >= 0).all(1) & (points[:, 0] < width) & (points[:, 1] < height)  # NaN is outside
    if not inside.all():
        first = points[~inside][0]
        raise ValueError(
            f"{name}: expected 0 <= x < {width} and 0 <= y < {height} (pixels from 0, x first), got "
            f"{int((~inside).sum())} of {len(points)} off the image, the first at x={first[0]:g}, y={first[1]:g}"
        )
    return points


def fixated_pixels(
    fixations: ArrayLike, shape: Sequence[int], name: str = "fixations"
) -> tuple[np.ndarray, np.ndarray]:
    """Count the fixations on each fixated pixel.

    Args:
        fixations: (N, 2) array of x, y in pixels from 0; or an array of `shape` with the number of fixations on each
            pixel.
        shape: (height, width) of the image.

    Returns:
        (index, count): int64 arrays; the flat index of each fixated pixel, ascending, and its number of fixations.

    Raises:
        ValueError: points off the image, or a map of anything but whole numbers >= 0. A blurred map in place of
            fixation points is a known mistake: it turned a published NSS of 1.93 into 1.69.
    """
    array = np.asarray(fixations)
    if array.shape == tuple(shape):
        return _pixels_of_counts(check_map(array, name), name)
    return pixels_of_points(array, shape, name)


def pixels_of_points(points: ArrayLike, shape: Sequence[int], name: str = "fixations") -> tuple[np.ndarray, np.ndarray]:
    """Like `fixated_pixels`, but always read an (N, 2) array as points, even if the image itself is (N, 2) pixels."""
    points = check_points(points, shape, name)
    flat = points[:, 1].astype(np.int64) * shape[1] + points[:, 0].astype(np.int64)
    return np.unique(flat, return_counts=True)


def _pixels_of_counts(counts, name):
    index = np.flatnonzero(counts)
    values = counts.ravel()[index]
    bad = (values < 0) | (values != np.floor(values))
    if bad.any():
        raise ValueError(
            f"{name}: expected points or a map of whole counts, got values such as {values[bad][0]:.6g}; "
            "is this a blurred fixation map? Pass the fixation points themselves"
        )
    return index, values.astype(np.int64)


def check_device(device: str) -> str:
    """Return `device` if networks can run on it: "cpu", or torch's name of a device that works.

    Raises:
        ValueError: torch is missing, does not know the device, or cannot use it.
    """
    if device == "cpu":
        return device
    try:
        import torch

        torch.zeros(1, device=device)
    except ImportError as error:
        raise ValueError(f"device: expected cpu, because torch is not installed, got {device!r}") from error
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: expected a device that torch can use here, got {device!r}: {error}") from error
    return device
