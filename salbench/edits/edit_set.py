"""What an edit is, and a set of edits."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from salbench.files import read_map
from salbench.maps import resize
from salbench.sample import Edited, Sample

# Largest difference of two thumbnails of one picture, in grey levels. Measured on forty photographs of OSIE: 9 after
# JPEG of quality 5, 16 after shrinking to 61 x 45; at least 19 after mirroring, 80 or more between two photographs.
SAME = 16
SALIENCY = "saliency"  # given instead of a mask: edit where saliency is high

Reader = Callable[[], np.ndarray]


class EditSetProblem(ValueError):
    """An edit set that cannot be read or written. The message says what was expected, where, and what to do."""


@dataclass(frozen=True)
class Edit:
    """One edited image.

    Attributes:
        source: id of the sample that was edited.
        type: what was changed, such as "contrast"; see `salbench.edits.edit_types`.
        strength: the strength that was used, in the unit of its type.
        direction: +1 if saliency inside the region should rise, -1 if it should fall.
        read_image: returns the edited image, uint8 (H, W, 3) RGB.
        read_mask: returns the region, float32 (h, w) of any size, 0 to 1 with a peak of one. It covers the image.
        asked: the strength that was asked for; a method may use a weaker one.
        word: word of the caption that the edit is about, if there is one.
        caption: caption of the source, if it has one.
        saliency: how the salient region was found: "fixations", "density" or "predicted"; None if saliency was not
            used.
        facts: what else the method recorded, such as its readings of the image.
    """

    source: str
    type: str
    strength: float
    direction: int
    read_image: Reader
    read_mask: Reader
    asked: float
    word: str | None = None
    caption: str | None = None
    saliency: str | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """<source>_<type>_<strength that was asked for>."""
        return f"{self.source}_{self.type}_{self.asked:g}"


@dataclass(frozen=True)
class NewEdit:
    """An edit to be written; see `Edit`. `image` is uint8 (H, W, 3), and JSON can hold `facts`."""

    type: str
    asked: float
    strength: float
    direction: int
    image: np.ndarray
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class MadeEdits:
    """What a method made of one source.

    Attributes:
        original: uint8 (H, W, 3), the source as the method reconstructs it without an edit.
        mask: (h, w) array, >= 0, the region of all edits.
        edits: the edits.
        caption, word, saliency: see `Edit`.
        dropped: edits that could not be made, as dicts that JSON can hold, with "type", "asked" and "reason".
        attention: (h, w) array, the attention map of the word, or None.
    """

    original: np.ndarray
    mask: np.ndarray
    edits: list[NewEdit]
    caption: str | None = None
    word: str | None = None
    saliency: str | None = None
    dropped: list[dict[str, Any]] = field(default_factory=list)
    attention: np.ndarray | None = None


@dataclass(frozen=True)
class EditSet:
    """Edits, grouped by the image that was edited.

    Attributes:
        name: name of the folder; names of joined sets are separated by "+".
        setup: what the set was made with.
        fingerprint: 16 hex digits that change with any file of the set; those of joined sets are separated by "+".
        licence: licence of the images, or None if the setup names none.
        edits: {id of a source: its edits}, sorted by id. The list is empty if all edits were dropped.
        originals: {id of a source: returns the source without an edit, uint8 (H, W, 3)}.
        thumbnails: {id of a source: its `thumbnail`}; a source may lack one.
        dropped: {source, type and strength of an edit that could not be made: the reason}.
        is_finished: whether the method has edited all images it was asked to edit.
    """

    name: str
    setup: Mapping[str, Any]
    fingerprint: str
    licence: str | None
    edits: Mapping[str, list[Edit]]
    originals: Mapping[str, Reader]
    thumbnails: Mapping[str, np.ndarray] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    is_finished: bool = True

    def summary(self) -> str:
        """One line that counts images and edits."""
        made = [edit for edits in self.edits.values() for edit in edits]
        types = ", ".join(sorted({edit.type for edit in made})) or "none"
        weakened = sum(edit.strength != edit.asked for edit in made)
        counts = f"{len(made)} edits ({types}) of {len(self.edits)} images"
        counts += f", {weakened} weaker than asked for, {len(self.dropped)} dropped"
        predicted = len({edit.source for edit in made if edit.saliency == "predicted"})
        return counts + (f"; region chosen by predicted saliency in {predicted} images" if predicted else "")

    @property
    def sources(self) -> list[str]:
        """Ids of all sources, sorted."""
        return list(self.edits)

    def of(self, id: str) -> list[Edit]:
        """Edits of a source, by type and rising strength; an empty list if the id is unknown."""
        return list(self.edits.get(id, ()))

    def versions(self, sample: Sample) -> list[Sample]:
        """The edits of a sample, each as a sample with the edited image and the id "<id>@<type>_<strength>".

        Images and masks are resized bilinearly to the size of the sample when they are read, so fixations, density and
        boxes stay in place. Reading the original raises `EditSetProblem` if the sample shows another picture than the
        one that was edited under its id.
        """
        return [self._version(sample, edit) for edit in self.of(sample.id)]

    def _version(self, sample: Sample, edit: Edit) -> Sample:
        edited = Edited(
            edit.type, edit.strength, edit.direction,
            read_mask=partial(_mask_at, edit.read_mask, sample.size), read_original=partial(self._original, sample),
        )  # fmt: skip
        read_image = partial(_image_at, edit.read_image, sample.size)
        return replace(sample, id=f"{sample.id}@{edit.type}_{edit.asked:g}", read_image=read_image, edit=edited)

    def _original(self, sample: Sample) -> np.ndarray:
        image, known = sample.image, self.thumbnails.get(sample.id)
        if known is not None and np.abs(thumbnail(image).astype(int) - known).max() > SAME:
            raise EditSetProblem(
                f"{sample.id}: expected the picture that was edited for edit set {self.name}, got another picture with "
                "the same id; use an edit set that was made from this data set"
            )
        return image


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Mean grey of 8 x 8 parts of an image, uint8 (8, 8), by which a picture is recognised."""
    return np.asarray(Image.fromarray(image).convert("L").resize((8, 8), Image.Resampling.BOX))


def _image_at(read: Reader, size: tuple[int, int]) -> np.ndarray:
    image = read()
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _mask_at(read: Reader, size: tuple[int, int]) -> np.ndarray:
    return resize(read(), size).astype(np.float32)


def training_name(edit_set: EditSet, p: float, losses: Mapping[str, float] | None = None) -> str:
    """Name of a training with edits: "edits-<set>-p<p>-<loss><weight>...".

    Args:
        edit_set: the edits.
        p: probability of the original image.
        losses: {loss of edited images: weight}.
    """
    weights = "".join(f"-{name}{weight:g}" for name, weight in (losses or {}).items())
    return f"edits-{edit_set.name}-p{p:g}{weights}"


def join(edit_sets: Sequence[EditSet]) -> EditSet:
    """Several edit sets as one, to train with. If several have a source, the first one's original is used."""
    if len(edit_sets) == 1:
        return edit_sets[0]
    edits: dict[str, list[Edit]] = {}
    originals: dict[str, Reader] = {}
    thumbnails: dict[str, np.ndarray] = {}
    dropped: dict[str, str] = {}
    for edit_set in edit_sets:
        for id, of_one in edit_set.edits.items():
            edits[id] = sorted([*edits.get(id, ()), *of_one], key=strongest_last)
        originals = {**edit_set.originals, **originals}
        thumbnails = {**edit_set.thumbnails, **thumbnails}
        dropped |= edit_set.dropped
    return EditSet(
        name="+".join(edit_set.name for edit_set in edit_sets),
        setup={edit_set.name: edit_set.setup for edit_set in edit_sets},
        fingerprint="+".join(edit_set.fingerprint for edit_set in edit_sets),
        licence="; ".join(dict.fromkeys(edit_set.licence or "none stated" for edit_set in edit_sets)),
        edits=dict(sorted(edits.items())),
        originals=originals,
        thumbnails=thumbnails,
        dropped=dropped,
        is_finished=all(edit_set.is_finished for edit_set in edit_sets),
    )


def strongest_last(edit: Edit) -> tuple[str, int, float]:
    """Sort key of edits: by type; within a type first those that lower saliency; then from weak to strong."""
    return edit.type, edit.direction, edit.direction * edit.asked


def read_mask(path: Path) -> np.ndarray:
    """Read a region, float32 (h, w), 0 to 1 with a peak of one.

    Raises:
        EditSetProblem: the mask is empty.
    """
    mask = read_map(path).astype(np.float32)
    if not mask.max() > 0:
        raise EditSetProblem(f"{path}: expected a region, got an empty mask")
    return mask / mask.max()
