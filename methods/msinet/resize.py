"""TensorFlow 1's area and bicubic resize with align_corners: the first and last pixels are where they were.

Positions are computed in float32, as TensorFlow does, because bicubic weights depend on rounded positions.
"""

import numpy as np
from scipy.sparse import csr_array

STEPS = 1024  # bicubic weights are tabulated at this many positions between two pixels
A = -0.75  # slope of the bicubic kernel


def resized(image: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """A picture or map at another size: area averages if a side shrinks, otherwise bicubic; clipped to 0..255.

    Args:
        image: (h, w) or (h, w, C), 0 to 255.
        size: (height, width), at least one pixel each.

    Returns:
        float32.
    """
    shrinks = any(new < old for new, old in zip(size, image.shape, strict=False))
    weights = _area if shrinks else _bicubic
    image = image.astype(np.float32)
    for axis, new in enumerate(size):
        moved = np.moveaxis(image, axis, 0)
        flat = weights(len(moved), new) @ moved.reshape(len(moved), -1)
        image = np.moveaxis(flat.reshape(new, *moved.shape[1:]), 0, axis)
    return np.ascontiguousarray(image).clip(0, 255)


def _scale(length: int, new: int) -> np.float32:
    """Old pixels per new pixel."""
    return np.float32(length - 1) / np.float32(new - 1) if new > 1 else np.float32(length)


def _area(length: int, new: int) -> csr_array:
    """(new, length) weights: new pixel i averages the old ones from i to i + 1 times the scale."""
    scale = _scale(length, new)
    start, stop = (np.arange(new + 1, dtype=np.float32) * scale)[np.array([[0], [1]]) + np.arange(new)]
    cells = np.floor(start)[:, None] + np.arange(np.ceil(scale) + 1)
    covered = np.minimum(cells + 1, stop[:, None]) - np.maximum(cells, start[:, None])
    return _sparse(cells, covered.clip(0) / scale, length)


def _bicubic(length: int, new: int) -> csr_array:
    """(new, length) weights of the four pixels around each new one."""
    at = np.arange(new, dtype=np.float32) * _scale(length, new)
    before = np.floor(at)
    after = np.rint((at - before) * STEPS) / STEPS
    x = np.stack([1 + after, after, 1 - after, 2 - after], 1)  # distances
    near, far = ((A + 2) * x - (A + 3)) * x * x + 1, ((A * x - 5 * A) * x + 8 * A) * x - 4 * A
    return _sparse(before[:, None] + np.arange(-1, 3), np.where(x <= 1, near, far), length)


def _sparse(columns: np.ndarray, weights: np.ndarray, length: int) -> csr_array:
    """Weights (new, n) of the pixels `columns` as a (new, length) matrix; the edge is repeated outside."""
    rows = np.repeat(np.arange(len(columns)), columns.shape[1])
    columns = columns.clip(0, length - 1).astype(int)
    return csr_array((weights.astype(np.float32).ravel(), (rows, columns.ravel())), shape=(len(columns), length))
