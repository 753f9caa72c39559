"""Small pictures, regions and edits for studies, and what they give by hand."""

from functools import partial

import numpy as np

from salbench import edits
from salbench.runtime import Runtime
from salbench.study.observed import observe
from salbench.study.predicted import predict

SIZE = (12, 16)
INSIDE = np.s_[3:9, 4:10]  # 36 of the 192 pixels
COVERED = 36 / 192
MASK = np.zeros(SIZE, np.uint8)
MASK[INSIDE] = 200


def points(inside, outside):
    """x, y of fixations at the centres of pixels inside and outside of INSIDE."""
    return np.array([(4.5 + k % 6, 3.5 + k // 6) for k in range(inside)] + [(0.5, 0.5 + k) for k in range(outside)])


COUNTS = {
    "a": ((3, 9), (6, 6)),
    "b": ((2, 8), (5, 5)),
    "c": ((4, 4), (4, 4)),
    "d": ((1, 9), (2, 3)),
    "e": ((5, 5), (2, 8)),
}
BEFORE, AFTER = np.array([[i / (i + o) for i, o in pair] for pair in COUNTS.values()]).T


def of(folder, *more):
    return observe(folder / "original", folder / "edited", folder / "masks", *more)


CONTRASTS = (0.5, 1.5, 2.0)  # asked for; 1 is no edit
CONTRAST = "contrast (SD of grey)"
BRIGHT = "def predict(self, sample):\n    return np.abs(sample.image.mean(2) - 128)\n"


def chequers(strength, k):
    """A grey picture with a chequerboard of amplitude 20 x strength (+ k) inside, of 10 outside."""
    sign = np.where(np.indices(SIZE).sum(0) % 2, 1, -1)
    amplitude = np.full(SIZE, 10.0)
    amplitude[INSIDE] = 20 * strength + k
    return (128 + sign * amplitude).astype(np.uint8)[..., None].repeat(3, axis=2)


def bright_share(strength, k):
    """What a method that returns the distance from grey 128 says: mass inside over all mass."""
    inside = 36 * (20 * strength + k)
    return inside / (inside + 156 * 10)


def small_set(n_sources, **strengths):
    """An edit set, not on disk, of pictures s00, s01, ..., each with edits of {type: strengths} in INSIDE."""
    of_each, originals = {}, {}
    for k in range(n_sources):
        id = f"s{k:02d}"
        originals[id] = partial(chequers, 1, k)
        of_each[id] = [
            edits.Edit(id, type, s, 1, partial(chequers, 1 + s / 9, k), partial(np.divide, MASK, 200), asked=s)
            for type, asked in sorted(strengths.items())
            for s in asked
        ]
    return edits.EditSet("small", {}, "0" * 16, "CC0", of_each, originals)


def predicted(edit_set, specs, gaze=None, **runtime):
    here = Runtime(progress=False, **({"workers": 1} | runtime))
    return predict(edits.read(edit_set), specs, edit_set.parent / "out", here, gaze=gaze)
