"""OpenCV's bilinear resize (INTER_LINEAR), which does not antialias, and the letterbox that several networks use."""

import numpy as np

UNITS = 2048  # OpenCV's weights for uint8 are whole multiples of 1 / UNITS
Size = tuple[int, int]  # height, width


def resized(image: np.ndarray, size: Size) -> np.ndarray:
    """A picture or map at another size.

    Args:
        image: (h, w) or (h, w, C). uint8 is computed in OpenCV's integer arithmetic, anything else as float32.
        size: (height, width), at least one pixel each.
    """
    rows, row_weights = _taps(image.shape[0], size[0])
    columns, column_weights = _taps(image.shape[1], size[1])
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


def _taps(length: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """(2, new) indices of the pixels before and after each sample, and their float32 weights."""
    at = ((np.arange(new) + 0.5) * (length / new) - 0.5).astype(np.float32).clip(0, length - 1)
    before = at.astype(np.int64)
    after = at - before
    return np.stack([before, np.minimum(before + 1, length - 1)]), np.stack([1 - after, after])
