"""Augmenting a sample: image, fixations, density and boxes together."""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from salbench.augment.augmentation import Augmentation
from salbench.augment.catalog import get
from salbench.augment.geometry import Geometry
from salbench.files import hash_bytes
from salbench.sample import PER_FIXATION, Sample

LABELS = ("moved", "as_released")


@dataclass(frozen=True)
class Augmented:
    """An augmented sample.

    Attributes:
        sample: the new sample; its id is "<id>@<name of the augmentation>".
        dropped: number of fixations that left the canvas.
    """

    sample: Sample
    dropped: int = 0

    @property
    def empty(self) -> bool:
        """True if no fixation remains; such a sample is useless for training."""
        return self.sample.fixations is not None and not len(self.sample.fixations)


def augment(sample: Sample, augmentation: Augmentation | str, *, seed: int = 0, labels: str = "moved") -> Augmented:
    """Augment a sample. Images and densities are read and changed on each use, not here.

    A photometric augmentation changes the image only. A geometric one also moves

    - the fixations; those that leave the canvas are dropped with their observers, durations and places,
    - the distributed density,
    - the boxes, cut at the border of the canvas; those with no more than a quarter left are dropped with their
      categories.

    `sigma` (in pixels) and the caption stay. If the image is edited, its original is changed in the same way, with the
    same noise, and its mask moves with the pixels.

    Args:
        augmentation: a name (see `names`) or an `Augmentation`.
        seed: random seed, >= 0. Random numbers depend only on the seed, the sample's id and the augmentation's name;
            they are the same in every process and on every read.
        labels: "moved", or "as_released" to pair images and labels as the released script of Aydemir et al. 2024
            would if it ran to its end: crops move the labels; after all other augmentations fixations, density and
            boxes keep their places, and are cropped (the density also padded with zeros) to the size of the canvas.
            The images are the same for both.

    Raises:
        ValueError: unknown name or `labels`, or an image that the augmentation cannot be applied to.
    """
    if labels not in LABELS:
        raise ValueError(f"labels: expected {' or '.join(LABELS)}, got {labels!r}")
    augmentation = get(augmentation) if isinstance(augmentation, str) else augmentation
    renamed = replace(sample, id=f"{sample.id}@{augmentation.name}")
    if augmentation.kind == "photometric":
        return Augmented(_with_pictures(renamed, sample, partial(_filtered, augmentation, sample.id, seed)))
    geometry = _geometry(sample, augmentation, seed)
    unlabelled: dict[str, Any] = dict.fromkeys(("fixations", *PER_FIXATION))
    renamed = replace(renamed, size=geometry.size, **unlabelled)
    renamed = _with_pictures(renamed, sample, geometry.image, geometry)
    if labels == "as_released" and not augmentation.crops:
        geometry = Geometry(geometry.size, np.eye(2, 3))
    return _with_labels(renamed, sample, geometry)


def _rng(id, augmentation, seed):
    return np.random.default_rng([seed, *(int(hash_bytes(text), 16) for text in (id, augmentation.name))])


def _geometry(sample, augmentation, seed):
    try:
        geometry = augmentation.function(sample.size, _rng(sample.id, augmentation, seed), **augmentation.parameters)
    except ValueError as error:
        raise ValueError(f"{sample.id}: {augmentation.name}: {error}") from error
    if not isinstance(geometry, Geometry):
        raise ValueError(
            f"{augmentation.name}: expected its function to return a Geometry, got {type(geometry).__name__}"
        )
    return geometry


def _with_pictures(renamed, sample, change, geometry=None):
    """`renamed`, with `change` applied to the image and the original of an edited one, and the mask moved."""
    changes = {"read_image": partial(_changed, change, partial(getattr, sample, "image"))}
    if sample.edit is not None:
        edit = replace(sample.edit, read_original=partial(_changed, change, sample.edit.read_original))
        if geometry is not None:
            edit = replace(edit, read_mask=partial(_changed, geometry.density, sample.edit.read_mask))
        changes["edit"] = edit
    return replace(renamed, **changes)


def _changed(change, read):
    return change(read())


def _filtered(augmentation, id, seed, image):
    return augmentation.function(image, _rng(id, augmentation, seed), **augmentation.parameters)


def _with_labels(renamed, sample, geometry):
    """`renamed` with the labels of `sample`, moved by `geometry`."""
    changes, dropped = {}, 0
    if sample.fixations is not None:
        moved, kept = geometry.points(sample.fixations)
        dropped = int((~kept).sum())
        remaining = sample.only(kept)
        changes |= {name: getattr(remaining, name) for name in PER_FIXATION}
        changes["fixations"] = moved[kept]
    if sample.read_density is not None:
        changes["read_density"] = partial(_changed, geometry.density, sample.read_density)
    if sample.boxes is not None:
        moved, kept = geometry.boxes(sample.boxes)
        changes["boxes"] = moved[kept]
        changes["categories"] = None if sample.categories is None else sample.categories[kept]
    return Augmented(replace(renamed, **changes), dropped)
