"""The geometric augmentations, which move pixels.

Each function takes the (height, width) of the image, a NumPy random generator and its parameters, and returns a
`Geometry`. x grows to the right and y downwards, so a clockwise quarter turn takes the x axis to the y axis. `canvas`
sets the size of the output:

    same        the size of the image; what leaves it is lost
    loose       as large as needed to hold the whole moved image
    squashed    loose, then scaled in width and height to the size of the image
"""

import numpy as np

from salbench.augment.geometry import Geometry

Size = tuple[int, int]


def flip(size: Size, rng: np.random.Generator, *, axis: str) -> Geometry:
    """Reverse the columns (axis "x") or the rows (axis "y")."""
    height, width = size
    return Geometry(size, np.array([[-1, 0, width], [0, 1, 0]] if axis == "x" else [[1, 0, 0], [0, -1, height]]))


def rotate(
    size: Size, rng: np.random.Generator, *, clockwise_deg: float, canvas: str = "same", fill_grey: int = 0
) -> Geometry:
    """Turn the image about its centre."""
    angle = np.deg2rad(clockwise_deg)
    cos, sin = np.round([np.cos(angle), np.sin(angle)], 15)  # quarter turns then move whole pixels
    return _place(size, np.array([[cos, -sin], [sin, cos]]), np.array(size[::-1]) / 2, canvas, fill_grey)


def shear(
    size: Size,
    rng: np.random.Generator,
    *,
    x_per_y: float = 0.0,
    y_per_x: float = 0.0,
    canvas: str = "same",
    fill_grey: int = 0,
) -> Geometry:
    """Move x to x + x_per_y * y and y to y + y_per_x * x, measured from the upper left corner."""
    return _place(size, np.array([[1.0, x_per_y], [y_per_x, 1.0]]), np.zeros(2), canvas, fill_grey)


def crop_window(size: Size, rng: np.random.Generator, *, side_px: int) -> Geometry:
    """Keep a square window; all its positions in the image are equally likely.

    Raises:
        ValueError: the image is smaller than the window.
    """
    _require(size, side_px, side_px)
    x, y = (int(rng.integers(0, length - side_px, endpoint=True)) for length in size[::-1])
    return Geometry((side_px, side_px), np.array([[1, 0, x], [0, 1, y]]))


def zoom(size: Size, rng: np.random.Generator, *, least_share: float, aspect: float) -> Geometry:
    """Enlarge a window of random size and position to the size of the image.

    The window's height is a random share, `least_share` to 1, of the image's height. Its width is that share of the
    image's width, times a random factor between 1 / `aspect` and `aspect`, but at most the whole width.
    """
    height, width = size
    tall = rng.uniform(least_share, 1.0)
    wide = min(1.0, tall * aspect ** rng.uniform(-1, 1))
    x, y = rng.uniform(0, 1 - wide) * width, rng.uniform(0, 1 - tall) * height
    return Geometry(size, np.array([[wide, 0, x], [0, tall, y]]))


def crop_band(size: Size, rng: np.random.Generator, *, edge: str, band_px: int) -> Geometry:
    """Cut a band off the "left" or the "top" edge and keep the rest.

    Raises:
        ValueError: the image is no larger than the band.
    """
    cut = np.array([band_px, 0] if edge == "left" else [0, band_px])  # x, y
    _require(size, cut[1] + 1, cut[0] + 1)
    height, width = size
    return Geometry((height - int(cut[1]), width - int(cut[0])), np.array([[1, 0, cut[0]], [0, 1, cut[1]]]))


def _require(size, height, width):
    if size[0] < height or size[1] < width:
        raise ValueError(
            f"expected an image of at least {width} x {height} pixels (width x height), got {size[1]} x {size[0]}"
        )


def _place(size, forward, anchor, canvas, fill):
    """The geometry of out = forward @ in + shift. On the "same" canvas the point `anchor` (x, y) stays in place."""
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
