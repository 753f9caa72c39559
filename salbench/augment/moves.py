"""The geometric augmentations: from the size of an image to a `Geometry`.

Every function takes the (height, width) of the image, a NumPy generator and its parameters. x grows to the right and
y downwards, so that turning clockwise takes the x axis to the y axis. `canvas` says what becomes of the frame:

    same        the image's own; what leaves it is lost
    loose       as large as the whole moved image needs
    squashed    loose, then shrunk in width and height to the image's own size
"""

import numpy as np

from salbench.augment.geometry import Geometry


def flip(size, rng, *, axis):
    """Reverse the columns (axis "x") or the rows (axis "y")."""
    height, width = size
    return Geometry(size, [[-1, 0, width], [0, 1, 0]] if axis == "x" else [[1, 0, 0], [0, -1, height]])


def rotate(size, rng, *, clockwise_deg, canvas="same", fill_grey=0):
    """Turn about the centre of the image by degrees, clockwise."""
    angle = np.deg2rad(clockwise_deg)
    cos, sin = np.round([np.cos(angle), np.sin(angle)], 15)  # so that quarter turns move whole pixels
    return _place(size, np.array([[cos, -sin], [sin, cos]]), np.array(size[::-1]) / 2, canvas, fill_grey)


def shear(size, rng, *, x_per_y=0.0, y_per_x=0.0, canvas="same", fill_grey=0):
    """x' = x + x_per_y * y and y' = y + y_per_x * x; pixels per pixel, from the upper left corner."""
    return _place(size, np.array([[1.0, x_per_y], [y_per_x, 1.0]]), np.zeros(2), canvas, fill_grey)


def crop_window(size, rng, *, side_px):
    """Keep a square window at a random place, all places alike.

    Raises:
        ValueError: an image smaller than the window.
    """
    _require(size, side_px, side_px)
    x, y = (int(rng.integers(0, length - side_px, endpoint=True)) for length in size[::-1])
    return Geometry((side_px, side_px), [[1, 0, x], [0, 1, y]])


def zoom(size, rng, *, least_share, aspect):
    """Enlarge a window at a random place to the whole frame.

    The window has `least_share` to all of the image's height, and that share times a random factor up to `aspect`,
    either way, of its width (at most all of it).
    """
    height, width = size
    tall = rng.uniform(least_share, 1.0)
    wide = min(1.0, tall * aspect ** rng.uniform(-1, 1))
    x, y = rng.uniform(0, 1 - wide) * width, rng.uniform(0, 1 - tall) * height
    return Geometry(size, [[wide, 0, x], [0, tall, y]])


def crop_band(size, rng, *, edge, band_px):
    """Cut a band off the left or the top edge and keep the rest.

    Raises:
        ValueError: an image that is no larger than the band.
    """
    cut = np.array([band_px, 0] if edge == "left" else [0, band_px])  # x, y
    _require(size, cut[1] + 1, cut[0] + 1)
    height, width = size
    return Geometry((height - int(cut[1]), width - int(cut[0])), [[1, 0, cut[0]], [0, 1, cut[1]]])


def _require(size, height, width):
    if size[0] < height or size[1] < width:
        raise ValueError(
            f"expected an image of at least {width} x {height} pixels (width x height), got {size[1]} x {size[0]}"
        )


def _place(size, forward, anchor, canvas, fill):
    """The geometry of out = forward @ in; on the same canvas the point `anchor` (x, y) stays in place."""
    old = np.array(size[::-1], dtype=np.float64)
    if canvas == "same":
        shift, new = anchor - forward @ anchor, old
    else:
        corners = np.array([(0, 0), (1, 0), (0, 1), (1, 1)]) * old @ forward.T
        shift, extent = -corners.min(0), np.ptp(corners, axis=0)
        new = np.ceil(np.round(extent, 6))
        if canvas == "squashed":
            squash, new = old / extent, old
            forward, shift = squash[:, None] * forward, squash * shift
    backward = np.linalg.inv(forward)
    return Geometry((int(new[1]), int(new[0])), np.column_stack([backward, -backward @ shift]), fill)
