"""popout: 30 generated images with SIMULATED gaze. Nobody looked at them, and nothing is downloaded.

- 24 visual-search displays: a jittered grid of bars or discs in which exactly one item differs, in colour,
  orientation, size or luminance (Treisman & Gelade 1980, "A feature-integration theory of attention").
- 6 scenes: a few textured objects on colour noise with the 1 / f amplitude spectrum of natural images (Field 1987,
  "Relations between the statistics of natural images and the response properties of cortical cells").

The fixations of an image are independent draws from one known density, `true_density(id)`. No model can have a higher
expected AUC, NSS or log-likelihood than this density. The set is for first steps, tests and demonstrations; its
scores say nothing about people.
"""

from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from salbench.datasets._common import Dataset, DatasetProblem
from salbench.sample import Sample

SIZE = (240, 320)  # height, width of every image
SIGMA = 0.03 * SIZE[1]  # pixels; 3 % of the width, as for the other data sets
N_OBSERVERS = 10
N_FIXATIONS = 6  # per observer and image

# The density is a mixture whose weights sum to one. In a scene the objects share TARGET_WEIGHT + ITEMS_WEIGHT.
TARGET_WEIGHT = 0.62  # a Gaussian on the singleton
ITEMS_WEIGHT = 0.10  # Gaussians on the other items, in equal parts
CENTRE_WEIGHT = 0.22  # a wider Gaussian on the image centre
UNIFORM_WEIGHT = 0.06
ITEM_SPREAD = 8.0  # standard deviation around an item of a display, in pixels
OBJECT_SPREAD = 0.6  # standard deviation around an object of a scene, in mean radii of the object
CENTRE_SPREAD = 0.12  # standard deviation around the centre, in image heights and widths

# Least and largest distance of the target from the centre, in image heights and widths. The least keeps a centre
# bias from scoring well, the largest keeps the target out of the corners.
ECCENTRICITY = (0.2, 0.5)
_SEED = 20240
_LAYOUT, _TEXTURE, _GAZE = range(3)  # independent random streams: gaze can be drawn without drawing the image


class _Look(NamedTuple):
    """How an item looks: sRGB 0..255, half length and half width in pixels, counter-clockwise degrees (0 is flat)."""

    rgb: tuple[int, int, int]
    half_length: float
    half_width: float
    angle: float


class _Design(NamedTuple):
    """A display: (rows, columns) of its grid, grey level 0..255 of its background, common item and odd one out."""

    grid: tuple[int, int]
    background: int
    common: _Look
    odd: _Look


class _Items(NamedTuple):
    """The items of a display: centres in pixels, (n,) arrays, one per grid cell, row by row.

    `target` is the index of the odd one out, the singleton.
    """

    x: np.ndarray
    y: np.ndarray
    target: int


class _Objects(NamedTuple):
    """The objects of a scene, strongest first: centres and mean radii in pixels, strengths 0..1, all (k,) arrays.

    `cell` is the index of each object's cell in `SCENE_GRID`.
    """

    cell: np.ndarray
    x: np.ndarray
    y: np.ndarray
    radius: np.ndarray
    strength: np.ndarray


def _bar(rgb, angle, scale=1.0):
    return _Look(rgb, 12.5 * scale, 3.2 * scale, angle)


def _disc(rgb, radius=8.5):
    return _Look(rgb, radius, radius, 0.0)


def _grey(level):
    return (level, level, level)


_RED, _GREEN, _BLUE, _YELLOW = (214, 62, 54), (58, 150, 74), (62, 108, 214), (206, 176, 52)
_ORANGE, _PURPLE, _CYAN = (226, 126, 42), (150, 84, 190), (60, 170, 184)
_FEW, _MANY = (5, 7), (6, 8)

_DESIGNS = {
    "color": (
        _Design(_MANY, 40, _bar(_GREEN, 90), _bar(_RED, 90)),
        _Design(_FEW, 128, _disc(_BLUE), _disc(_YELLOW)),
        _Design(_MANY, 40, _disc(_RED), _disc(_GREEN)),
        _Design(_FEW, 40, _bar(_CYAN, 45), _bar(_ORANGE, 45)),
        _Design(_MANY, 128, _disc(_PURPLE), _disc(_GREEN)),
        _Design(_FEW, 200, _bar(_ORANGE, 0), _bar(_BLUE, 0)),
    ),
    "orientation": (
        _Design(_MANY, 128, _bar(_grey(245), 90), _bar(_grey(245), 0)),
        _Design(_MANY, 40, _bar(_grey(210), 0), _bar(_grey(210), 50)),
        _Design(_FEW, 200, _bar(_grey(30), 45), _bar(_grey(30), 135)),
        _Design(_FEW, 40, _bar(_YELLOW, 70), _bar(_YELLOW, 0)),
        _Design(_MANY, 215, _bar(_BLUE, 20), _bar(_BLUE, 90)),
        _Design(_MANY, 128, _bar(_grey(20), 120), _bar(_grey(20), 40)),
    ),
    "size": (
        _Design(_MANY, 128, _disc(_grey(240), 6.5), _disc(_grey(240), 13.5)),
        _Design(_FEW, 40, _bar(_grey(220), 90, 0.7), _bar(_grey(220), 90, 1.4)),
        _Design(_FEW, 215, _disc(_grey(40), 7), _disc(_grey(40), 15)),
        _Design(_MANY, 40, _disc(_CYAN, 6), _disc(_CYAN, 12.5)),
        _Design(_FEW, 128, _bar(_grey(20), 30, 0.75), _bar(_grey(20), 30, 1.5)),
        _Design(_MANY, 200, _disc(_RED, 6.5), _disc(_RED, 13)),
    ),
    "luminance": (
        _Design(_MANY, 30, _disc(_grey(85)), _disc(_grey(245))),
        _Design(_FEW, 128, _disc(_grey(160)), _disc(_grey(15))),
        _Design(_MANY, 128, _bar(_grey(95), 90), _bar(_grey(250), 90)),
        _Design(_FEW, 30, _bar(_grey(80), 135), _bar(_grey(235), 135)),
        _Design(_MANY, 220, _disc(_grey(180)), _disc(_grey(30))),
        _Design(_FEW, 200, _bar(_grey(160), 15), _bar(_grey(20), 15)),
    ),
}

SCENE_GRID = (3, 4)
_SIDE = SIZE[0] // SCENE_GRID[0]  # of a cell, which is square: 80 pixels
_SCENE_PALETTES = (  # mean sRGB 0..1 at the top and at the bottom of the image
    ((0.62, 0.68, 0.74), (0.42, 0.44, 0.32)),
    ((0.52, 0.55, 0.42), (0.38, 0.42, 0.28)),
    ((0.70, 0.66, 0.60), (0.50, 0.42, 0.33)),
    ((0.45, 0.53, 0.58), (0.33, 0.40, 0.42)),
    ((0.60, 0.62, 0.64), (0.46, 0.45, 0.43)),
    ((0.66, 0.62, 0.50), (0.46, 0.46, 0.32)),
)
_OBJECT_COLOURS = ((0.80, 0.30, 0.22), (0.88, 0.68, 0.24), (0.24, 0.40, 0.70), (0.86, 0.84, 0.80), (0.52, 0.22, 0.50))
_STRENGTHS = (1.0, 0.7, 0.5, 0.35)

FAMILIES = (*_DESIGNS, "scene")
_PER_FAMILY = len(_SCENE_PALETTES)
IDS = tuple(f"{family}_{number:02d}" for family in FAMILIES for number in range(1, _PER_FAMILY + 1))


def load(split: str = "all", root: Path | None = None) -> Dataset:
    """Open popout: 30 images of 320 x 240 pixels, each with 6 fixations of each of 10 simulated observers.

    Fixations are drawn at once, images on each use. Both are the same in every process. `boxes` holds the singleton
    of a display, or the objects of a scene, strongest first.

    Args:
        split: "all", the only split.
        root: unused, because nothing is on disk; all loaders have it.

    Raises:
        DatasetProblem: another split.
    """
    if split != "all":
        raise DatasetProblem(f"popout: expected split 'all', got {split!r}")
    return Dataset(
        name="popout",
        samples=tuple(_sample(id) for id in IDS),
        gaze="simulated",
        licence="MIT (generated)",
        redistribute=True,
        citation="Generated by salbench (salbench/datasets/popout.py); simulated gaze, no paper to cite",
    )


def true_density(id: str) -> np.ndarray:
    """Return the density that the fixations of an image are drawn from: float64 (240, 320), > 0, sum one.

    Raises:
        ValueError: no image of popout has this id.
    """
    if _family(id) == "scene":
        objects = _objects(id)
        weight = (TARGET_WEIGHT + ITEMS_WEIGHT) * objects.strength / objects.strength.sum()
        x, y, spread = objects.x, objects.y, OBJECT_SPREAD * objects.radius
    else:
        items = _items(id)
        x, y, spread = items.x, items.y, np.full(len(items.x), ITEM_SPREAD)
        weight = np.full(len(x), ITEMS_WEIGHT / (len(x) - 1))
        weight[items.target] = TARGET_WEIGHT
    height, width = SIZE
    x, y, weight = np.append(x, width / 2), np.append(y, height / 2), np.append(weight, CENTRE_WEIGHT)
    columns = _gaussians(x, np.append(spread, CENTRE_SPREAD * width), width)
    rows = _gaussians(y, np.append(spread, CENTRE_SPREAD * height), height)
    # einsum, because the last digits of a BLAS product (`@`) depend on the machine
    return np.einsum("ki,kj->ij", weight[:, None] * rows, columns) + UNIFORM_WEIGHT / (height * width)


def draw(id: str) -> np.ndarray:
    """Draw the image of this id, uint8 (240, 320, 3) sRGB.

    Raises:
        ValueError: no image of popout has this id.
    """
    rgb = _draw_scene(id) if _family(id) == "scene" else _draw_display(id)
    return np.rint(255 * np.clip(rgb, 0, 1)).astype(np.uint8)


def _sample(id):
    return Sample(
        id=id,
        size=SIZE,
        read_image=partial(draw, id),
        fixations=_fixations(id).copy(),
        observers=np.repeat(np.arange(N_OBSERVERS), N_FIXATIONS),
        sigma=SIGMA,
        boxes=_boxes(id),
    )


@cache
def _fixations(id):
    """(60, 2) x, y: pixels drawn from `true_density` by inverting its cumulative sum, then uniform within the pixel.

    Drawn once in a process, as they take most of the time of `load`.
    """
    rng = _rng(id, _GAZE)
    cumulative = np.cumsum(true_density(id))
    pixel = np.searchsorted(cumulative, rng.random(N_OBSERVERS * N_FIXATIONS) * cumulative[-1], side="right")
    row, column = np.divmod(pixel, SIZE[1])
    return np.stack([column, row], axis=1) + rng.random((len(pixel), 2))


def _boxes(id):
    """x, y, width, height of squares: (1, 4) around the singleton, or (k, 4) around the objects, strongest first."""
    if _family(id) == "scene":
        objects = _objects(id)
        x, y, reach = objects.x, objects.y, objects.radius
    else:
        items, look = _items(id), _design(id).odd
        x, y, reach = items.x[[items.target]], items.y[[items.target]], np.array([look.half_length])
    return np.stack([x - reach, y - reach, 2 * reach, 2 * reach], axis=1)


def _family(id):
    if id not in IDS:
        raise ValueError(f"popout: expected an id from {IDS[0]} to {IDS[-1]}, got {id!r}")
    return id.rpartition("_")[0]


def _design(id):
    return _DESIGNS[_family(id)][IDS.index(id) % _PER_FAMILY]


def _rng(id, stream):
    return np.random.default_rng([_SEED, IDS.index(id), stream])


def _gaussians(centers, spreads, length):
    """(k, length) Gaussians at pixel centres, each summing to one over the pixels."""
    pixels = np.arange(length) + 0.5
    weights = np.exp(-0.5 * ((pixels - centers[:, None]) / spreads[:, None]) ** 2)
    return weights / weights.sum(axis=1, keepdims=True)


def _cell_centers(grid):
    """x, y in pixels of the cell centres of a (rows, columns) grid over the image, row by row."""
    row, column = np.divmod(np.arange(grid[0] * grid[1]), grid[1])
    return (column + 0.5) * SIZE[1] / grid[1], (row + 0.5) * SIZE[0] / grid[0]


def _cell_of_pixel(grid):
    """(240, 320) index of the grid cell of each pixel."""
    row = np.arange(SIZE[0]) * grid[0] // SIZE[0]
    column = np.arange(SIZE[1]) * grid[1] // SIZE[1]
    return row[:, None] * grid[1] + column


def _target_cells(x, y):
    """Indices of the cells that may hold the target; `x` and `y` are the centres of all cells."""
    distance = np.hypot(x / SIZE[1] - 0.5, y / SIZE[0] - 0.5)
    return np.flatnonzero((distance >= ECCENTRICITY[0]) & (distance <= ECCENTRICITY[1]))


def _items(id):
    """Lay out a display: a jittered grid, and the choice of the singleton."""
    design, rng = _design(id), _rng(id, _LAYOUT)
    x, y = _cell_centers(design.grid)
    target = rng.choice(_target_cells(x, y))
    # One pixel stays free between an item and the border of its cell, so items never touch.
    half_cell = min(SIZE[0] / design.grid[0], SIZE[1] / design.grid[1]) / 2
    room = half_cell - max(design.common.half_length, design.odd.half_length) - 1
    jitter = rng.uniform(-1, 1, (2, len(x))) * min(room, 8.0)
    return _Items(x + jitter[0], y + jitter[1], int(target))


def _objects(id):
    """Lay out a scene: three or four objects in cells of SCENE_GRID, the strongest off the centre."""
    rng = _rng(id, _LAYOUT)
    x, y = _cell_centers(SCENE_GRID)
    first = rng.choice(_target_cells(x, y))
    others = rng.permutation(np.delete(np.arange(len(x)), first))
    cell = np.append(first, others[: rng.integers(2, 4)])
    # The widest outline stays inside its cell: 8 + 1.31 * 23 < 40.
    jitter = rng.uniform(-8, 8, (2, len(cell)))
    radius = rng.uniform(14, 23, len(cell))
    return _Objects(cell, x[cell] + jitter[0], y[cell] + jitter[1], radius, np.array(_STRENGTHS[: len(cell)]))


def _coverage(inside):
    """The covered part 0..1 of each pixel, from its signed distance to the outline in pixels, > 0 inside."""
    return np.clip(inside + 0.5, 0, 1)


def _offsets(x, y, shape):
    """Distances in x and y of the pixel centres of `shape` from the point `x`, `y`, or from one point per pixel."""
    return np.arange(shape[1]) + 0.5 - x, np.arange(shape[0])[:, None] + 0.5 - y


def _draw_display(id):
    """(240, 320, 3) sRGB 0..1. Every item is a capsule inside its own cell; a disc is a capsule of no length."""
    design, items, rng = _design(id), _items(id), _rng(id, _TEXTURE)
    looks = [design.common] * len(items.x)
    looks[items.target] = design.odd
    cell = _cell_of_pixel(design.grid)
    half_length, half_width = (np.array([getattr(look, name) for look in looks]) for name in _Look._fields[1:3])
    angle = np.deg2rad([look.angle for look in looks] + rng.normal(0, 2, len(looks)))
    dx, dy = _offsets(items.x[cell], items.y[cell], SIZE)
    cosine, sine = np.cos(angle)[cell], np.sin(angle)[cell]
    along, across = dx * cosine - dy * sine, dx * sine + dy * cosine
    straight = (half_length - half_width)[cell]
    inside = half_width[cell] - np.hypot(np.maximum(np.abs(along) - straight, 0), across)
    rgb = np.array([look.rgb for look in looks])[cell]
    return (design.background + _coverage(inside)[..., None] * (rgb - design.background)) / 255


def _noise(rng, exponent):
    """(240, 320) Gaussian noise with amplitude 1 / frequency ** exponent, mean 0 and standard deviation 1."""
    frequency = np.hypot(np.fft.fftfreq(SIZE[0])[:, None], np.fft.rfftfreq(SIZE[1]))
    frequency[0, 0] = np.inf
    noise = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(SIZE)) / frequency**exponent, SIZE)
    return noise / noise.std()


def _draw_scene(id):
    """(240, 320, 3) sRGB 0..1: objects on noise around a colour gradient from top to bottom."""
    rng = _rng(id, _TEXTURE)
    top, bottom = np.array(_SCENE_PALETTES[IDS.index(id) % _PER_FAMILY])
    height = np.linspace(0, 1, SIZE[0])[:, None, None]
    light, red_green, blue_yellow, detail = (_noise(rng, exponent) for exponent in (1.0, 1.2, 1.2, 0.8))
    # Natural images vary far more in luminance than in the opponent colours.
    tint = 0.014 * red_green[..., None] * (1, -1, 0) + 0.022 * blue_yellow[..., None] * (0.5, 0.5, -1)
    rgb = top + height * (bottom - top) + 0.10 * light[..., None] + tint
    objects = _objects(id)
    colours = rng.permutation(np.array(_OBJECT_COLOURS))
    for k, cell in enumerate(objects.cell):
        row, column = divmod(int(cell), SCENE_GRID[1])
        here = np.s_[row * _SIDE : (row + 1) * _SIDE, column * _SIDE : (column + 1) * _SIDE]
        shape, shade = _silhouette(rng, objects.x[k] - column * _SIDE, objects.y[k] - row * _SIDE, objects.radius[k])
        surface = colours[k] + (0.18 * detail[here] + 0.15 * shade)[..., None]
        alpha = shape[..., None] * (0.4 + 0.6 * objects.strength[k])
        rgb[here] += alpha * (surface - rgb[here])
    return rgb


def _silhouette(rng, x, y, radius):
    """Coverage 0..1 and shading -1..1 (lit from above) of a round object with a wavy outline, (80, 80) each.

    `x` and `y` are its centre within a cell of SCENE_GRID, `radius` its mean radius, all in pixels.
    """
    dx, dy = _offsets(x, y, (_SIDE, _SIDE))
    direction = np.arctan2(dy, dx)
    outline = np.full(direction.shape, radius)
    for lobes, depth in ((2, 0.16), (3, 0.10), (5, 0.05)):
        outline += radius * depth * np.cos(lobes * direction + rng.uniform(0, 2 * np.pi))
    return _coverage(outline - np.hypot(dx, dy)), np.clip(-(dx + 2 * dy) / (3 * radius), -1, 1)
