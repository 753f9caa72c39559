"""A map over its picture: as an overlay with colour and two lines, or as heat over the picture in grey."""

import numpy as np
from PIL import Image

from salbench.maps import blur, resize, to_density

LONGEST = 1600  # pixels; a larger picture is drawn smaller
LINES = {0.9: 0.6, 0.5: 1.0}  # share of the attention inside a line: opacity of the line
_COLOURS = (0.2, 0.95)  # the part of the colour map that is used: its dark end would look like a shadow
_OPACITY = 0.6  # at most, so that the picture stays visible
_SMOOTHING = 0.006  # of the longer side; standard deviation that turns jagged lines into curves
_LINE_WIDTH = 1 / 400  # of the longer side
_HEAT_OPACITY = 0.85  # at most
_DETAIL = 400  # pixels; longer side of the map that colours and lines are made from, which is smooth


def draw_overlay(image: np.ndarray, density: np.ndarray) -> np.ndarray:
    """Draw a density over its picture.

    The inner white line encloses the most salient half of the attention and the fainter outer one 90 %. Colour rises
    from purple at the outer line to yellow at the peak. The picture beyond the outer line stays as it is.

    Args:
        image: uint8 (H, W, 3) RGB.
        density: (H, W), of any scale; see `salbench.maps.to_density`.

    Returns:
        uint8 (h, w, 3), the size of the picture; if its longer side exceeds `LONGEST`, that side is `LONGEST`.

    Raises:
        ValueError: the density has another size than the image, or values that are not finite.
    """
    if density.shape != image.shape[:2]:
        raise ValueError(f"density: expected the image's size, {image.shape[:2]}, got {density.shape}")
    picture = np.asarray(Image.fromarray(image).resize(_within(LONGEST, image)[::-1], Image.Resampling.LANCZOS))
    small = blur(resize(to_density(density), _within(_DETAIL, image)), _SMOOTHING * min(_DETAIL, max(image.shape)))
    enclosed = resize(_share_enclosed(small), picture.shape[:2], "bicubic").astype(np.float32)
    drawn = _with_colour(picture.astype(np.float32), enclosed)
    width = max(1.5, _LINE_WIDTH * max(picture.shape))
    for share, opacity in LINES.items():
        line = _line(enclosed, share, width)
        drawn *= 1 - 0.45 * opacity * _line(enclosed, share, 2.2 * width)  # a dark rim, to be seen on white
        drawn += opacity * line * (255 - drawn)
    return np.round(drawn).astype(np.uint8)


def draw_heat(image: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Draw a map as heat over its picture in grey. Pixels of value 0 stay grey.

    Args:
        image: uint8 (H, W, 3) RGB.
        values: (h, w) of any size and scale; what is below 0 counts as 0.

    Returns:
        uint8 (H, W, 3).
    """
    from matplotlib import colormaps  # slow to import

    weight = resize(np.asarray(values, np.float64), image.shape[:2])
    weight = np.clip(weight / max(weight.max(), 1e-300), 0, 1)
    heat = 255 * colormaps["inferno"](weight)[..., :3]
    grey = 40 + 0.6 * image.mean(2, keepdims=True)
    opacity = np.clip(1.5 * weight[..., None], 0, _HEAT_OPACITY)
    return np.round(opacity * heat + (1 - opacity) * grey).astype(np.uint8)


def _within(longest: int, image: np.ndarray) -> tuple[int, int]:
    """(height, width) of an image that is shrunk, if need be, to a longer side of `longest` pixels."""
    height, width = image.shape[:2]
    scale = min(1, longest / max(height, width))
    return max(1, round(scale * height)), max(1, round(scale * width))


def _share_enclosed(density: np.ndarray) -> np.ndarray:
    """(h, w): for each pixel, the share of the attention on the pixels that are at least as salient."""
    values, index = np.unique(density.round(15), return_inverse=True)  # rounding makes a flat map flat after the blur
    mass = np.bincount(index.ravel(), density.ravel(), len(values))
    enclosed = mass[::-1].cumsum()[::-1] / mass.sum()
    return enclosed[index.reshape(density.shape)]


def _with_colour(picture: np.ndarray, enclosed: np.ndarray) -> np.ndarray:
    from matplotlib import colormaps  # slow to import

    weight = np.clip(1 - enclosed / max(LINES), 0, 1)
    low, high = _COLOURS
    colour = colormaps["inferno"](low + (high - low) * weight, bytes=True)[..., :3]
    return picture + np.minimum(1.4 * weight, _OPACITY)[..., None] * (colour - picture)


def _line(enclosed: np.ndarray, share: float, width: float) -> np.ndarray:
    """Opacity (h, w, 1) of a smooth line of `width` pixels where `enclosed` crosses `share`.

    The distance to the line is the difference from `share` divided by the slope, which is exact for a plane.
    """
    slope = np.hypot(*np.gradient(np.pad(enclosed, 1, "edge")))[1:-1, 1:-1]
    distance = np.divide(np.abs(enclosed - share), slope, out=np.full_like(slope, np.inf), where=slope > 1e-6)
    return np.clip(width / 2 + 0.5 - distance, 0, 1)[..., None]
