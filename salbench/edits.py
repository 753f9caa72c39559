"""Edit sets: images whose saliency was changed in a known direction, with the region it was changed in, on disk.

Layout of a set that `Writer` has written::

    edit_set.json                        {"version", "setup", "finished"}: what it was made with, whether all is there
    originals/<id>.png                   the source without an edit, as the edits' model reconstructs it
    images/<id>/<type>_<strength>.png    the strength is the one that was asked for
    masks/<id>/<type>.png                8-bit grey, peak 255: the region
    records/<id>.json                    {"caption", "word", "files" (path: hash), "edits", "dropped"}

A record is written after all of its files, so that a kill loses the source in flight only. `read` also takes the
layout in which Aydemir et al. (ECCV 2024) released a hundred contrast edits, under CC BY-SA 4.0::

    images/<name>.jpgedited_image<strength>.jpg    strength 1.0 is the reconstruction without an edit
    selected/<name>.jpg_selected_<strength>.png    8-bit grey: the attention map that selected the region
    saliency_gt/salmap_<name>.jpg.png              see `salbench.datasets.augsal`
"""

import json
import logging
import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from salbench.files import atomic_write, hash_bytes, hash_file, read_image, read_map
from salbench.maps import resize
from salbench.sample import Edited

log = logging.getLogger(__name__)

VERSION = 1
MANIFEST = "edit_set.json"
STRENGTHS = {"contrast": (1.2, 1.5, 2.0), "brightness": (0.1, 0.2, 0.4), "color": (1.0, 2.0, 4.0)}  # by default
NEUTRAL = {"contrast": 1.0, "brightness": 0.0, "color": 0.0}  # strengths that change nothing
SALIENCY = "saliency"  # in place of a mask: the region where saliency is high
AUGSAL_LICENCE = "CC BY-SA 4.0"
_AUGSAL_IMAGE = re.compile(r"(?P<id>.+)\.jpgedited_image(?P<strength>\d+(\.\d+)?)\.jpg")


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
        word: of the caption, whose region it is; None where there was none.
        caption: of the source, or None.
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
    facts: Mapping = field(default_factory=dict)


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
        caption, word: of the source, and whose region it is; or None.
        dropped: of edits that could not be made, with their reasons: list of dicts that JSON can hold, with "type",
            "asked" and "reason".
        attention: (h, w) array, what the word looks at, or None.
    """

    original: np.ndarray
    mask: np.ndarray
    edits: list[NewEdit]
    caption: str | None = None
    word: str | None = None
    dropped: list = field(default_factory=list)
    attention: np.ndarray | None = None


def wanted(types, strengths=None):
    """{type: strengths} of types with commas between, with the default strengths where none are given.

    Raises:
        ValueError: an unknown type, or one twice.
    """
    names = [name.strip() for name in types.split(",")]
    unknown = [name for name in names if name not in STRENGTHS]
    if unknown or len(set(names)) < len(names):
        raise ValueError(f"type: expected some of {', '.join(STRENGTHS)}, each once, got {types!r}")
    return {name: list(strengths or STRENGTHS[name]) for name in names}


def training_name(edit_set, p, losses=None):
    """How a training with edits is named: "edits-<folder>-p<probability of the original>-<loss><weight>..."."""
    weights = "".join(f"-{name}{weight:g}" for name, weight in (losses or {}).items())
    return f"edits-{edit_set.folder.resolve().name}-p{p:g}{weights}"


@dataclass(frozen=True)
class EditSet:
    """Edits by their sources.

    Attributes:
        folder: where it was read.
        setup: what it was made with.
        fingerprint: 16 hex digits that change with every file and record of the set.
        licence: of the images, or None where the setup names none.
        edits: {id of a source: list of `Edit`}, sorted by id; the list is empty where all have been dropped.
        originals: {id of a source: what reads it without an edit}.
        dropped: number of edits that were asked for and could not be made.
        is_finished: whether all sources have been edited that should be.
    """

    folder: Path
    setup: Mapping
    fingerprint: str
    licence: str | None
    edits: Mapping[str, list[Edit]]
    originals: Mapping[str, Callable[[], np.ndarray]]
    dropped: int = 0
    is_finished: bool = True

    def summary(self):
        """One line: how many of what."""
        number = sum(map(len, self.edits.values()))
        types = sorted({edit.type for edits in self.edits.values() for edit in edits})
        return f"{number} edits ({', '.join(types) or 'none'}) of {len(self.edits)} images, {self.dropped} dropped"

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
        and boxes, which stay as they are, keep their places.
        """
        return [_version(sample, edit) for edit in self.of(sample.id)]

    def original(self, id):
        """What reads the source without an edit, uint8 (H, W, 3); None for an unknown id."""
        return self.originals.get(id)


def _version(sample, edit):
    edited = Edited(
        edit.type, edit.strength, edit.direction,
        read_mask=partial(_mask_at, edit.read_mask, sample.size), read_original=partial(getattr, sample, "image"),
    )  # fmt: skip
    read_image = partial(_image_at, edit.read_image, sample.size)
    return replace(sample, id=f"{sample.id}@{edit.type}_{edit.asked:g}", read_image=read_image, edit=edited)


def _image_at(read, size):
    image = read()
    if image.shape[:2] == tuple(size):
        return image
    return np.asarray(Image.fromarray(image).resize((size[1], size[0]), Image.Resampling.BILINEAR))


def _mask_at(read, size):
    return resize(read(), size).astype(np.float32)


def read(folder):
    """Open an edit set, of this project or as released by Aydemir et al.

    Every file is read once to check it against its hash; images are decoded when they are used.

    Args:
        folder: as the module's docstring shows; ~ is expanded.

    Returns:
        An `EditSet`.

    Raises:
        EditSetProblem: no edit set, one of another version, or a file that is missing, damaged or changed.
    """
    folder = Path(folder).expanduser()
    if (folder / MANIFEST).is_file():
        return _read_own(folder)
    if (folder / "selected").is_dir() and (folder / "images").is_dir():
        return _read_augsal(folder)
    state = "no such folder" if not folder.is_dir() else f"neither {MANIFEST} nor images/ and selected/ are in it"
    raise EditSetProblem(
        f"{folder}: expected an edit set, {state}. Make one with: python benchmark.py edit, or give the folder of "
        "Aydemir et al.'s hundred contrast edits"
    )


def _read_own(folder):
    setup, is_finished = _manifest(folder)
    if not is_finished:
        log.warning("%s: an unfinished edit set; the command that makes it goes on from there", folder)
    edits, originals, hashes, dropped = {}, {}, [], 0
    for path in sorted((folder / "records").glob("*.json")):
        record = _json(path)
        try:
            files = dict(record["files"])
            dropped += len(record["dropped"])
            edits[path.stem] = sorted((_edit(folder, path.stem, record, e) for e in record["edits"]), key=_order)
        except (KeyError, TypeError, ValueError) as error:
            raise EditSetProblem(f"{path}: no record of edits ({error!r}). {_again(path)}") from error
        for name, expected in files.items():
            _verify(folder / name, expected, path)
        originals[path.stem] = partial(read_image, folder / _original(path.stem))
        hashes += [path.stem, hash_file(path)]
    fingerprint = hash_bytes(json.dumps(setup, sort_keys=True), *hashes)
    return EditSet(folder, setup, fingerprint, setup.get("licence"), edits, originals, dropped, is_finished)


def _manifest(folder):
    """(setup, whether it is finished) of a set of this version."""
    content = _json(folder / MANIFEST)
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION or not isinstance(content.get("setup"), dict):
        raise EditSetProblem(
            f"{folder / MANIFEST}: expected an edit set of version {VERSION} with its setup, got version {version!r}; "
            "make it again, or read it with the salbench that made it"
        )
    return content["setup"], content.get("finished", False)


def _edit(folder, source, record, entry):
    return Edit(
        source, entry["type"], entry["strength"], entry["direction"],
        partial(read_image, folder / _image(source, entry["type"], entry["asked"])),
        partial(_mask, folder / _mask_name(source, entry["type"])),
        entry["asked"], record["word"], record["caption"], entry["facts"],
    )  # fmt: skip


def _order(edit):
    """By type; then decreasing edits before increasing ones, each from the weakest to the strongest."""
    return edit.type, edit.direction, edit.direction * edit.asked


def _original(source):
    return f"originals/{source}.png"


def _image(source, type, asked):
    return f"images/{source}/{type}_{asked:g}.png"


def _mask_name(source, type):
    return f"masks/{source}/{type}.png"


def _json(path):
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise EditSetProblem(f"{path}: damaged, not JSON ({error}). {_again(path)}") from error


def _verify(path, expected, record):
    """Raise `EditSetProblem` unless a file is there with the content it was written with."""
    if not path.is_file():
        raise EditSetProblem(f"{path}: missing from its edit set. {_again(record)}")
    if hash_file(path) != expected:
        raise EditSetProblem(f"{path}: damaged, or changed since it was made. {_again(record)}")


def _again(record):
    return f"Remove {record}, and make its edits again"


def _mask(path):
    mask = read_map(path).astype(np.float32)
    if not mask.max() > 0:
        raise EditSetProblem(f"{path}: expected a region, got an empty mask")
    return mask / mask.max()


def _read_augsal(folder):
    found = {}
    for path in sorted((folder / "images").iterdir()):
        if match := _AUGSAL_IMAGE.fullmatch(path.name):
            found.setdefault(match["id"], {})[round(float(match["strength"]), 6)] = path, match["strength"]
    edits, originals, files = {}, {}, []
    for id, strengths in found.items():
        if 1.0 not in strengths:
            raise EditSetProblem(f"{folder}: {id}: the image without an edit, of strength 1.0, is missing")
        originals[id] = partial(read_image, strengths.pop(1.0)[0])
        files.append(originals[id].args[0])
        edits[id] = [_augsal_edit(folder, id, strength, *at) for strength, at in sorted(strengths.items())]
        files += [reader.args[0] for e in edits[id] for reader in (e.read_image, e.read_mask)]
    if not found:
        raise EditSetProblem(f"{folder / 'images'}: expected <name>.jpgedited_image<strength>.jpg, found none")
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise EditSetProblem(f"{folder}: {len(missing)} files are missing, such as {missing[0].relative_to(folder)}")
    fingerprint = hash_bytes(*(part for path in files for part in (path.name, hash_file(path))))
    for edit in (e for of_one in edits.values() for e in of_one):
        edit.read_mask()  # nothing recorded says that it is not empty
    setup = {"source": "Aydemir et al., ECCV 2024: contrast edits as released", "licence": AUGSAL_LICENCE}
    return EditSet(folder, setup, fingerprint, AUGSAL_LICENCE, edits, originals)


def _augsal_edit(folder, id, strength, path, typed):
    mask = partial(_mask, folder / "selected" / f"{id}.jpg_selected_{typed}.png")
    return Edit(id, "contrast", strength, 1, partial(read_image, path), mask, strength)


class Writer:
    """Writes an edit set, or goes on with one of the same setup.

    Args:
        folder: new, empty, or of an edit set that was made with the same setup.
        setup: dict of what JSON can hold; all that decides on the edits but the sources. "licence" is of the images.

    Raises:
        EditSetProblem: the folder holds something else, or edits of another setup.
    """

    def __init__(self, folder, setup):
        self.folder = Path(folder).expanduser()
        setup = json.loads(json.dumps(setup))
        if (self.folder / MANIFEST).is_file():
            self._check_same(setup)
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise EditSetProblem(f"{self.folder}: expected a new folder or an edit set, it holds other files")
        self._setup = setup
        self._write_manifest(finished=False)

    def finish(self):
        """Write down that the set holds the edits of all sources; until then `read` warns."""
        self._write_manifest(finished=True)

    def _write_manifest(self, finished):
        _write_json(self.folder / MANIFEST, {"version": VERSION, "setup": self._setup, "finished": finished})

    def _check_same(self, setup):
        there, _ = _manifest(self.folder)
        other = sorted(name for name in {*there, *setup} if there.get(name) != setup.get(name))
        if other:
            name, old, new = other[0], *(json.dumps(s.get(other[0])) for s in (there, setup))
            raise EditSetProblem(
                f"{self.folder}: holds an edit set of another request, which differs in {', '.join(other)} "
                f"({name}: {old} there, {new} here); choose another folder"
            )

    def done(self, id):
        """True if everything of a source has been written."""
        return self._record(id).is_file()

    def add(self, id, original, masks, edits, *, caption=None, word=None, dropped=()):
        """Write all edits of one source; what was there of it before is replaced.

        Args:
            id: of the source, a plain file name.
            original: uint8 (H, W, 3), the source without an edit.
            masks: {type: (h, w) array, >= 0}, the region of each type of edit; stored with a peak of 255.
            edits: list of `NewEdit`, of the size of `original`.
            caption, word: str or None.
            dropped: edits that could not be made, with their reasons, as JSON can hold them.

        Raises:
            EditSetProblem: an empty mask, an edit without a mask, another size, two edits of one type and strength,
                or a name that is none of a file. Nothing is written then.
        """
        record = self._record(id)
        pictures = {_original(id): _checked_image(original, original.shape, f"{id}: original")}
        for type, mask in masks.items():
            pictures[_mask_name(id, _plain(type, "type of edit"))] = _eight_bit(mask, f"{id}: mask of {type}")
        for edit in edits:
            name, what = _image(id, _plain(edit.type, "type of edit"), edit.asked), f"{id}: {edit.type} {edit.asked:g}"
            _check_edit(edit, masks, name in pictures, what)
            pictures[name] = _checked_image(edit.image, original.shape, what)
        entries = [{k: v for k, v in vars(edit).items() if k != "image"} for edit in edits]
        text = {"caption": caption, "word": word, "files": {}, "edits": entries, "dropped": list(dropped)}
        json.dumps(text)  # what it cannot hold is told before anything is written
        for name, picture in pictures.items():
            with atomic_write(self.folder / name, "wb") as file:
                Image.fromarray(picture).save(file, format="PNG")
            text["files"][name] = hash_file(self.folder / name)
        _write_json(record, text)

    def _record(self, id):
        return self.folder / "records" / f"{_plain(id, 'id')}.json"


def _plain(name, what):
    if not name or name != Path(name).name or name in (".", ".."):
        raise EditSetProblem(f"{what}: expected a name that a file can have, got {name!r}")
    return name


def _checked_image(image, shape, name):
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.shape != shape:
        raise EditSetProblem(f"{name}: expected a uint8 image of {shape}, got {image.dtype} {image.shape}")
    return image


def _eight_bit(mask, name):
    mask = np.asarray(mask, dtype=np.float64)
    if mask.ndim != 2 or not np.isfinite(mask).all() or mask.min(initial=0) < 0 or not mask.max(initial=0) > 0:
        raise EditSetProblem(f"{name}: expected a finite (height, width) map >= 0 with a region, got none or another")
    return np.rint(255 * mask / mask.max()).astype(np.uint8)


def _check_edit(edit, masks, is_second, name):
    if edit.type not in masks:
        raise EditSetProblem(f"{name}: expected a mask of its type, got masks of {', '.join(masks) or 'none'}")
    if edit.direction not in (-1, 1):
        raise EditSetProblem(f"{name}: expected a direction of +1 or -1, got {edit.direction!r}")
    if not (math.isfinite(edit.strength) and math.isfinite(edit.asked)):
        raise EditSetProblem(f"{name}: expected a finite strength, got {edit.strength}")
    if is_second:
        raise EditSetProblem(f"{name}: given twice")


def _write_json(path, content):
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=2) + "\n")
