"""OpenCV's resize and the letterbox that several networks use.

`resized` (INTER_LINEAR) and `cubic` (INTER_CUBIC) do not antialias; `area` (INTER_AREA) does.
"""

import numpy as np
import torch
from scipy.sparse import csr_array
from torch.nn.functional import interpolate

UNITS = 2048  # OpenCV's weights for uint8 are whole multiples of 1 / UNITS
Size = tuple[int, int]  # height, width
Taps = tuple[np.ndarray, np.ndarray]  # (2, new) indices of the pixels that each sample blends, and their weights


def resized(image: np.ndarray, size: Size, step: float | None = None) -> np.ndarray:
    """A picture or map at another size.

    Args:
        image: (h, w) or (h, w, C). uint8 is computed in OpenCV's integer arithmetic, anything else as float32.
        size: (height, width), at least one pixel each.
        step: distance of two samples in pixels of the image. By default the ratio of the old and the new size, as in
            OpenCV if it is given a size; if it is given a scale, the step is one over the scale.
    """
    rows, columns = (_taps(old, new, step or old / new) for old, new in zip(image.shape, size, strict=False))
    return _blended(image, rows, columns)


def area(image: np.ndarray, size: Size) -> np.ndarray:
    """A picture at another size, each pixel the mean of the area that it covers, as uint8.

    If a side grows, OpenCV blends two neighbours along both sides: each new pixel is that of the picture in which it
    starts, except for the part of it that lies in the next one.

    Args:
        image: uint8 (h, w, C).
        size: (height, width), at least one pixel each.
    """
    sides = list(zip(image.shape, size, strict=False))
    if any(old < new for old, new in sides):
        rows, columns = (_area_taps(*side) for side in sides)
        return _blended(image, rows, columns)
    mean = _area_mean(_area_mean(image.swapaxes(0, 1), size[1]).swapaxes(0, 1), size[0])  # the order of OpenCV
    is_half = all(old == 2 * new for old, new in sides)  # OpenCV rounds up from 0.5 here, otherwise to even
    return (np.floor(mean + 0.5) if is_half else np.rint(mean)).astype(np.uint8)


def cubic(saliency: np.ndarray, size: Size) -> np.ndarray:
    """A map (h, w) at another (height, width), float32. It can exceed the range of the values, as OpenCV's can.

    PyTorch's bicubic filter is that of OpenCV: a = -0.75, the border repeated.
    """
    values = torch.as_tensor(saliency, dtype=torch.float32)[None, None]
    return interpolate(values, size=size, mode="bicubic", align_corners=False)[0, 0].numpy()


def _blended(image: np.ndarray, row_taps: Taps, column_taps: Taps) -> np.ndarray:
    (rows, row_weights), (columns, column_weights) = row_taps, column_taps
    row_weights, column_weights = (w.reshape(2, -1, *[1] * (image.ndim - 2)) for w in (row_weights, column_weights))
    if image.dtype != np.uint8:
        wide = image[:, columns[0]] * column_weights[0] + image[:, columns[1]] * column_weights[1]
        return (wide[rows[0]] * row_weights[0][:, None] + wide[rows[1]] * row_weights[1][:, None]).astype(np.float32)
    row_weights, column_weights = (np.rint(w * UNITS).astype(np.int32) for w in (row_weights, column_weights))
    wide = image[:, columns[0]] * column_weights[0] + image[:, columns[1]] * column_weights[1]
    parts = [((wide[row] >> 4) * weights[:, None]) >> 16 for row, weights in zip(rows, row_weights, strict=True)]
    return ((parts[0] + parts[1] + 2) >> 2).astype(np.uint8)


def letterboxed(image: np.ndarray, size: Size, colour: int) -> np.ndarray:
    """The picture resized to fit into a canvas of another shape, in its middle.

    Args:
        image: uint8 (H, W, 3).
        size: (height, width) of the canvas.
        colour: of the bars, 0 to 255.

    Returns:
        uint8 (height, width, 3).
    """
    (height, width), (rows, columns) = image.shape[:2], size
    canvas = np.full((rows, columns, image.shape[2]), colour, np.uint8)
    if height * columns > width * rows:  # bars left and right
        inner = max(width * rows // height, 1)
        start = (columns - inner) // 2
        canvas[:, start : start + inner] = resized(image, (rows, inner))
    else:
        inner = max(height * columns // width, 1)
        start = (rows - inner) // 2
        canvas[start : start + inner] = resized(image, (inner, columns))
    return canvas


def unletterboxed(saliency: np.ndarray, size: Size) -> np.ndarray:
    """The part of a letterboxed map that shows the picture, at the picture's size.

    Args:
        saliency: (h, w), of a canvas that `letterboxed` made, or in proportion to it.
        size: (height, width) of the picture.
    """
    (height, width), (rows, columns) = size, saliency.shape
    if height * columns > width * rows:
        whole = columns * height // rows
        start = (whole - width) // 2
        return resized(saliency, (height, whole))[:, start : start + width]
    whole = rows * width // columns
    start = (whole - height) // 2
    return resized(saliency, (whole, width))[start : start + height]


def _taps(length: int, new: int, step: float) -> Taps:
    """The pixels before and after each sample, and their float32 weights."""
    at = ((np.arange(new) + 0.5) * step - 0.5).astype(np.float32).clip(0, length - 1)
    return _pairs(at.astype(np.int64), at - at.astype(np.int64), length)


def _area_taps(length: int, new: int) -> Taps:
    """The pixel in which each sample starts, the next one, and their float32 weights."""
    step = length / new
    first = np.floor(np.arange(new) * step).astype(np.int64)
    beyond = (np.arange(1, new + 1) - (first + 1) / step).astype(np.float32).clip(0)
    return _pairs(first, np.where(first < length - 1, beyond % 1, 0), length)


def _pairs(first: np.ndarray, second_weights: np.ndarray, length: int) -> Taps:
    indices = np.stack([first, np.minimum(first + 1, length - 1)])
    return indices, np.stack([1 - second_weights, second_weights])


def _area_mean(image: np.ndarray, new: int) -> np.ndarray:
    """Means of `new` equal parts of the first axis, float32, which decides as in OpenCV what is above 0.5."""
    edges, pixels = np.arange(new + 1) * (len(image) / new), np.arange(len(image))
    shared = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    weights = csr_array((shared.clip(0) / (len(image) / new)).astype(np.float32))
    return (weights @ image.reshape(len(image), -1).astype(np.float32)).reshape(new, *image.shape[1:])
