"""One gate per kind of input. Every gate raises `ValueError` saying what was expected and what came."""

import numpy as np

LARGEST = 1e100  # of the magnitude of a map's values; 1 / LARGEST the smallest
ASPECT = 0.02  # relative difference of two aspect ratios that rounding of sizes may cause


def check_map(array, name="prediction"):
    """Return `array` as a 2-D, non-empty float map (float32 and float64 stay as they are).

    Raises:
        ValueError: not 2-D, empty, not numeric, holding NaN or infinity, or beyond any sensible magnitude.
    """
    array = np.asarray(array)
    if array.ndim != 2 or array.size == 0:
        raise ValueError(f"{name}: expected a non-empty 2-D map (height, width), got shape {array.shape}")
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{name}: expected real numbers, got dtype {array.dtype}")
    if array.dtype not in (np.float32, np.float64):
        array = array.astype(np.float64)
    # min and max carry any NaN or infinity out of the array in two fast passes.
    low, high = array.min(), array.max()
    if not (np.isfinite(low) and np.isfinite(high)):
        bad = int(array.size - np.isfinite(array).sum())
        raise ValueError(f"{name}: expected finite values, got NaN or infinity in {bad} of {array.size} pixels")
    if not measurable(low, high):
        raise ValueError(
            f"{name}: expected a largest magnitude within {1 / LARGEST:g} and {LARGEST:g}, whose squares are still "
            f"numbers, got values from {low:g} to {high:g}; rescale the map"
        )
    return array


def measurable(low, high):
    """Whether sums and squares of values from `low` to `high` stay clear of overflow and underflow."""
    magnitude = max(-float(low), float(high))  # LARGEST is beyond float32
    return bool(magnitude == 0 or 1 / LARGEST <= magnitude <= LARGEST)


def check_same_shape(array, shape, name):
    """Raise `ValueError` unless `array.shape == shape`."""
    if array.shape != tuple(shape):
        raise ValueError(f"{name}: expected shape {tuple(shape)} as the prediction, got {array.shape}")


def check_aspect(shape, size, name):
    """Raise `ValueError` unless a map of `shape` has the aspect ratio of an image of `size`, both (height, width)."""
    if abs(shape[1] * size[0] / (shape[0] * size[1]) - 1) > ASPECT:
        raise ValueError(
            f"{name}: expected the aspect ratio of the image, {size[0]} x {size[1]} (height, width), got "
            f"{shape[0]} x {shape[1]}"
        )


def check_density(array, shape, name="density"):
    """Return `array` as a finite, non-negative map of the given shape (all zeros means: no ground truth).

    Raises:
        ValueError: wrong shape, NaN or negative values.
    """
    array = check_map(array, name)
    check_same_shape(array, shape, name)
    if array.min() < 0:
        raise ValueError(f"{name}: expected values >= 0, got a minimum of {array.min():.6g}")
    return array


def check_points(points, shape, name="fixations"):
    """Return `points` as a float (N, 2) array of (x, y) that all lie on an image of `shape` (height, width).

    Raises:
        ValueError: not (N, 2), NaN, or a point off the image.
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


def fixated_pixels(fixations, shape, name="fixations"):
    """Reduce fixations to the pixels they hit.

    Args:
        fixations: (N, 2) array of (x, y) in pixels from 0, or a map of whole, non-negative counts of `shape`.
        shape: (height, width) of the image.

    Returns:
        (index, count): int64 arrays; flat index of each distinct fixated pixel in rising order, and how
        many fixations fell on it.

    Raises:
        ValueError: points off the image, or a map that is not counts (a blurred map where points are due
        is the mistake that turned a published NSS of 1.93 into 1.69).
    """
    array = np.asarray(fixations)
    if array.shape == tuple(shape):
        return _pixels_of_counts(check_map(array, name), name)
    return pixels_of_points(array, shape, name)


def pixels_of_points(points, shape, name="fixations"):
    """`fixated_pixels` of an (N, 2) array of points, even where N points look like a map 2 pixels wide."""
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


def check_device(device):
    """Return `device` if networks can run there: "cpu", or what torch calls a device that works.

    Raises:
        ValueError: torch is missing, does not know the device, or cannot use it.
    """
    if device == "cpu":
        return device
    try:
        import torch

        torch.zeros(1, device=device)
    except ImportError as error:
        raise ValueError(f"device: expected cpu, as torch is not installed, got {device!r}") from error
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"device: expected one that torch can use here, got {device!r}: {error}") from error
    return device
