"""What an edit is, and a set of them, by their sources."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from PIL import Image

from salbench.files import read_map
from salbench.maps import resize
from salbench.sample import Edited

STRENGTHS = {"contrast": (1.2, 1.5, 2.0), "brightness": (0.1, 0.2, 0.4), "color": (1.0, 2.0, 4.0)}  # by default
NEUTRAL = {"contrast": 1.0, "brightness": 0.0, "color": 0.0}  # strengths that change nothing
# Grey levels by which thumbnails of one picture may differ. Those of forty photographs of OSIE differ by 9 at most
# where one is a JPEG of quality 5, and by 16 where it is reduced to 61 x 45; by 19 at least where it is mirrored, and
# by 80 or more from one another.
SAME = 16
SCALED = ("contrast", "color")  # types whose strength is a factor, 0 or more
SALIENCY = "saliency"  # in place of a mask: the region where saliency is high


class EditSetProblem(ValueError):
    """An edit set that cannot be read or added to; the message says what was expected where and what to do."""


@dataclass(frozen=True)
class Edit:
    """One edited image.

    Attributes:
        source: id of the sample that was edited.
        type: what was changed: "contrast", "brightness", "color" or another word.
        strength: that was used, in the unit of its type.
        direction: +1 where saliency inside the region should rise, -1 where it should fall.
        read_image: returns the edited image, uint8 (H, W, 3) RGB.
        read_mask: returns the region, float32 (h, w), 0 to 1 with a peak of one, of any size that covers the image.
        asked: strength that was asked for, before a constraint lowered it.
        word: of the caption that took part, such as one whose region it is; None where none did.
        caption: of the source, or None.
        saliency: of its original, that decided on the region: "fixations", "density" or "predicted"; None where none
            did.
        facts: what else the maker recorded, such as the trace of the constraint and the readouts.
    """

    source: str
    type: str
    strength: float
    direction: int
    read_image: Callable[[], np.ndarray]
    read_mask: Callable[[], np.ndarray]
    asked: float
    word: str | None = None
    caption: str | None = None
    saliency: str | None = None
    facts: Mapping = field(default_factory=dict)

    @property
    def id(self):
        """<source>_<type>_<strength that was asked for>."""
        return f"{self.source}_{self.type}_{self.asked:g}"


@dataclass(frozen=True)
class NewEdit:
    """An edit to be written: see `Edit`; `image` is uint8 (H, W, 3) and `facts` is what JSON can hold."""

    type: str
    asked: float
    strength: float
    direction: int
    image: np.ndarray
    facts: Mapping = field(default_factory=dict)


@dataclass(frozen=True)
class MadeEdits:
    """What a method has made of one source.

    Attributes:
        original: uint8 (H, W, 3), the source without an edit, as the method reconstructs it.
        mask: (h, w) array, >= 0, the region that all of them edit.
        edits: list of `NewEdit`.
        caption, word, saliency: as for `Edit`.
        dropped: of edits that could not be made, with their reasons: list of dicts that JSON can hold, with "type",
            "asked" and "reason".
        attention: (h, w) array, what the word looks at, or None.
    """

    original: np.ndarray
    mask: np.ndarray
    edits: list[NewEdit]
    caption: str | None = None
    word: str | None = None
    saliency: str | None = None
    dropped: list = field(default_factory=list)
    attention: np.ndarray | None = None


@dataclass(frozen=True)
class EditSet:
    """Edits by their sources.

    Attributes:
        name: of its folder; joined ones have a "+" between.
        setup: what it was made with.
        fingerprint: 16 hex digits that change with every file and record of the set; of joined ones with a "+" between.
        licence: of the images, or None where the setup names none.
        edits: {id of a source: list of `Edit`}, sorted by id; the list is empty where all have been dropped.
        originals: {id of a source: what reads it without an edit}.
        thumbnails: {id of a source: its `thumbnail`}, of those that have one.
        dropped: {source, type and strength of an edit that was asked for and could not be made: the reason}.
        is_finished: whether all sources have been edited that should be.
    """

    name: str
    setup: Mapping
    fingerprint: str
    licence: str | None
    edits: Mapping[str, list[Edit]]
    originals: Mapping[str, Callable[[], np.ndarray]]
    thumbnails: Mapping[str, np.ndarray] = field(default_factory=dict)
    dropped: Mapping[str, str] = field(default_factory=dict)
    is_finished: bool = True

    def summary(self):
        """One line: how many of what."""
        made = [edit for edits in self.edits.values() for edit in edits]
        types = ", ".join(sorted({edit.type for edit in made})) or "none"
        weakened = sum(edit.strength != edit.asked for edit in made)
        counts = f"{len(made)} edits ({types}) of {len(self.edits)} images"
        counts += f", {weakened} weaker than asked for, {len(self.dropped)} dropped"
        predicted = len({edit.source for edit in made if edit.saliency == "predicted"})
        return counts + (f"; regions in {predicted} images where saliency is predicted" if predicted else "")

    @property
    def sources(self):
        """Ids of all sources, sorted."""
        return list(self.edits)

    def of(self, id):
        """Edits of a source, by type and rising strength, the strongest last; an empty list for an unknown id."""
        return list(self.edits.get(id, ()))

    def versions(self, sample):
        """The sample with each of its edits as its image, in the order of `of`; its id is "<id>@<type>_<strength>".

        Images and masks are resized bilinearly to the sample's own size as they are read, so that fixations, density
        and boxes, which stay as they are, keep their places. Reading the original raises `EditSetProblem` where the
        sample is another picture than the one of its id that was edited.
        """
        return [self._version(sample, edit) for edit in self.of(sample.id)]

    def original(self, id):
        """What reads the source without an edit, uint8 (H, W, 3); None for an unknown id."""
        return self.originals.get(id)

    def _version(self, sample, edit):
        edited = Edited(
            edit.type, edit.strength, edit.direction,
            read_mask=partial(_mask_at, edit.read_mask, sample.size), read_original=partial(self._original, sample),
        )  # fmt: skip
        read_image = partial(_image_at, edit.read_image, sample.size)
        return replace(sample, id=f"{sample.id}@{edit.type}_{edit.asked:g}", read_image=read_image, edit=edited)

    def _original(self, sample):
        image, known = sample.image, self.thumbnails.get(sample.id)
        if known is not None and np.abs(thumbnail(image).astype(int) - known).max() > SAME:
            raise EditSetProblem(
                f"{sample.id}: expected the picture that edit set {self.name} has edits of, got another one of the "
                "same id; use edits that were made of this data set"
            )
        return image


def thumbnail(image):
    """What a picture is known by: the mean grey of its 8 x 8 parts, uint8 (8, 8), of one uint8 (H, W, 3)."""
    return np.asarray(Image.fromarray(image).convert("L").resize((8, 8), Image.Resampling.BOX))


def _image_at(read, size):
    image = read()
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _mask_at(read, size):
    return resize(read(), size).astype(np.float32)


def wanted(types, strengths=None):
    """{type: rising strengths} of types with commas between, with the default strengths where none are given.

    Raises:
        ValueError: a type or strength twice, or what `check_wanted` raises.
    """
    names = [name.strip() for name in types.split(",")]
    unknown = [name for name in names if name not in STRENGTHS]
    if unknown or len(set(names)) < len(names):
        raise ValueError(f"type: expected some of {', '.join(STRENGTHS)}, each once, got {types!r}")
    if strengths and len({f"{strength:g}" for strength in strengths}) < len(strengths):
        raise ValueError(f"strength: expected numbers that differ in their first six digits, got {strengths}")
    found = {name: sorted(strengths or STRENGTHS[name]) for name in names}
    check_wanted(found)
    return found


def check_wanted(wanted):
    """Raise `ValueError` unless {type: strengths} has known types and strengths that change something."""
    unknown = [type for type in wanted if type not in NEUTRAL]
    if unknown or not wanted:
        raise ValueError(f"type: expected {', '.join(NEUTRAL)}, got {', '.join(unknown) or 'none'}")
    for type, strengths in wanted.items():
        if not strengths or not all(map(math.isfinite, strengths)):
            raise ValueError(f"strength: expected finite numbers, got {strengths}")
        if NEUTRAL[type] in strengths:
            raise ValueError(
                f"strength: expected numbers other than {NEUTRAL[type]:g}, which changes no {type}, got {strengths}"
            )
        if type in SCALED and min(strengths) < 0:
            raise ValueError(f"strength: expected 0 or more for {type}, which is scaled by it, got {strengths}")


def training_name(edit_set, p, losses=None):
    """How a training with edits is named: "edits-<name>-p<probability of the original>-<loss><weight>..."."""
    weights = "".join(f"-{name}{weight:g}" for name, weight in (losses or {}).items())
    return f"edits-{edit_set.name}-p{p:g}{weights}"


def join(edit_sets):
    """Edit sets as one, to train with: the edits of all, and of a source that several have the first one's original."""
    if len(edit_sets) == 1:
        return edit_sets[0]
    edits, originals, thumbnails, dropped = {}, {}, {}, {}
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


def strongest_last(edit):
    """What edits are sorted by: type; then decreasing before increasing ones, each from the weakest on."""
    return edit.type, edit.direction, edit.direction * edit.asked


def read_mask(path):
    """A region, float32 (h, w), 0 to 1 with a peak of one. Raises `EditSetProblem` where it is empty."""
    mask = read_map(path).astype(np.float32)
    if not mask.max() > 0:
        raise EditSetProblem(f"{path}: expected a region, got an empty mask")
    return mask / mask.max()
