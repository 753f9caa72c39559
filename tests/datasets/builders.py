"""Writers of the data sets' file formats, for tiny copies on disk."""

import io
from functools import cache

import numpy as np
import scipy.io
from PIL import Image

from salbench.datasets._common import Published


def write_image(path, size, value=90):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(_encoded(path.suffix, size, value))


@cache
def _encoded(suffix, size, value):
    file = io.BytesIO()
    Image.new("RGB", size[::-1], (value, value, value)).save(file, Image.registered_extensions()[suffix.lower()])
    return file.getvalue()


def cell(items):
    array = np.empty((len(items), 1), dtype=object)
    array[:, 0] = items
    return array


def write_gaze(path, lists, resolution=(480, 640)):
    """A .mat as SALICON's, compressed as MATLAB does; `lists` holds the K x 2 stored fixations of each observer."""
    fields = [("location", "O"), ("timestamp", "O"), ("fixations", "O")]
    gaze = np.empty((len(lists), 1), dtype=fields)
    for row, fixations in zip(gaze[:, 0], lists, strict=True):
        row["location"], row["timestamp"] = np.ones((3, 2)), np.arange(3.0)[:, None]
        row["fixations"] = np.asarray(fixations)
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(
        path, {"image": path.stem, "resolution": np.array([resolution]), "gaze": gaze}, do_compression=True
    )


def published(images, points):
    return Published(images, len(points), tuple(np.mean(points, axis=0).tolist()))


def write_nus_vip_fixations(path, images):
    """As OSIE's and EyeCrowd's; `images`: {stem: [K x 2 stored fixations per subject]}."""
    subjects = {
        stem: cell([_subject(np.reshape(points, (-1, 2))) for points in lists]) for stem, lists in images.items()
    }
    items = [{"img": f"{stem}.jpg", "subjects": subjects[stem]} for stem in images]
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"fixations": cell(items)})


def _subject(points):
    x, y, duration = np.c_[points, np.full(len(points), 200.0)].T[:, None]
    return {"fix_x": x, "fix_y": y, "fix_duration": duration}


SCENE_SIZES = [(20, 30), (256, 256), (60, 45), (40, 40)]


def write_scene_fixations(path, cells):
    array = np.empty((len(cells), len(cells[0])), dtype=object)
    for i, row in enumerate(cells):
        for j, points in enumerate(row):
            array[i, j] = points
    scipy.io.savemat(path, {"fixations": array})


def scene_cells():
    """4 x 12 cells of y, x, latency, duration; the second observer saw nothing on the first image."""
    rng = np.random.default_rng(2)
    cells = [[np.hstack([rng.uniform((0, 0), s, (2, 2)), np.ones((2, 2))]) for _ in range(12)] for s in SCENE_SIZES]
    cells[0][1] = np.empty((0, 0))
    return cells


SALICON_LISTS = [
    [np.array([[1, 1], [640, 480]], dtype=np.uint16), np.empty((0, 0)), np.array([[32, 7]], dtype=np.uint8)],
    [np.array([[10, 20]], dtype=np.uint16), np.array([[30.0, 40.0], [50.0, 60.0]])],
]


def fixated(size, seed, number=6):
    """A fixation map of zeros and ones, uint8, and its fixated pixels, (K, 2) of x, y. Opposite corners are fixated."""
    values, rng = np.zeros(size, np.uint8), np.random.default_rng(seed)
    values[rng.integers(size[0], size=number), rng.integers(size[1], size=number)] = 1
    values[0, -1] = values[-1, 0] = 1
    return values, np.argwhere(values)[:, ::-1]


def write_fix_locs(path, values):
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"fixLocs": values}, do_compression=True)
