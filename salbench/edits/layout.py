"""The layout of salbench's own edit sets: reading, and writing one source at a time.

::

    edit_set.json                        {"version", "setup", "finished"}: what it was made with; the number of records
                                         once all are there, null before
    originals/<id>.png                   the source without an edit, as the edits' model reconstructs it
    images/<id>/<type>_<strength>.png    the strength is the one that was asked for
    masks/<id>/<type>.png                8-bit grey, peak 255: the region
    records/<id>.json                    {"caption", "word", "saliency", "thumbnail" (of the source, hexadecimal, or
                                         null), "inputs" (hash), "files" (path: hash), "edits", "dropped"}

A record is written after all of its files, so that a kill loses the source in flight only.
"""

import json
import logging
import math
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from salbench.edits.edit_set import Edit, EditSet, EditSetProblem, read_mask, strongest_last, thumbnail
from salbench.files import atomic_write, hash_bytes, hash_file, read_image

log = logging.getLogger(__name__)

VERSION = 2
MANIFEST = "edit_set.json"


def read(folder):
    """The `EditSet` of a folder. Raises `EditSetProblem`: see `salbench.edits.read`."""
    setup, finished = _manifest(folder)
    paths = sorted((folder / "records").glob("*.json"))
    if finished is None:
        log.warning("%s: an unfinished edit set; the command that makes it goes on from there", folder)
    elif finished != len(paths):
        raise EditSetProblem(
            f"{folder / 'records'}: expected {finished} records, found {len(paths)}; the command that made the set "
            "makes what is missing again"
        )
    edits, originals, thumbnails, hashes, dropped = {}, {}, {}, [], {}
    for path in paths:
        record = _json(path)
        try:
            files = dict(record["files"])
            dropped |= {f"{path.stem}: {d['type']} {d['asked']:g}": d["reason"] for d in record["dropped"]}
            edits[path.stem] = sorted(
                (_edit(folder, path.stem, record, e) for e in record["edits"]), key=strongest_last
            )
            if record["thumbnail"] is not None:
                thumbnails[path.stem] = np.frombuffer(bytes.fromhex(record["thumbnail"]), np.uint8).reshape(8, 8)
        except (KeyError, TypeError, ValueError) as error:
            raise EditSetProblem(f"{path}: no record of edits ({error!r}). {_again(path)}") from error
        for name, expected in files.items():
            _verify(folder / name, expected, path)
        originals[path.stem] = partial(read_image, folder / _original(path.stem))
        hashes += [path.stem, hash_file(path)]
    fingerprint = hash_bytes(json.dumps(setup, sort_keys=True), *hashes)
    return EditSet(
        folder.resolve().name, setup, fingerprint, setup.get("licence"), edits, originals, thumbnails, dropped,
        is_finished=finished is not None,
    )  # fmt: skip


def _manifest(folder):
    """(setup, number of records once it is finished) of a set of this version."""
    content = _json(folder / MANIFEST)
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION or not isinstance(content.get("setup"), dict):
        raise EditSetProblem(
            f"{folder / MANIFEST}: expected an edit set of version {VERSION} with its setup, got version {version!r}; "
            "make it again, or read it with the salbench that made it"
        )
    return content["setup"], content.get("finished")


def _edit(folder, source, record, entry):
    return Edit(
        source, entry["type"], entry["strength"], entry["direction"],
        partial(read_image, folder / _image(source, entry["type"], entry["asked"])),
        partial(read_mask, folder / _mask_name(source, entry["type"])),
        entry["asked"], record["word"], record["caption"], record.get("saliency"), entry["facts"],
    )  # fmt: skip


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


class Writer:
    """Writes an edit set, or goes on with one of the same setup.

    Args:
        folder: new, empty, or of an edit set that was made with the same setup or has no edits yet.
        setup: dict of what JSON can hold; all that decides on the edits but the sources. "licence" is of the images.

    Raises:
        EditSetProblem: no folder, or one that holds something else, or edits of another setup.
    """

    def __init__(self, folder, setup):
        self.folder = Path(folder).expanduser()
        setup = json.loads(json.dumps(setup))
        if self.folder.exists() and not self.folder.is_dir():
            raise EditSetProblem(f"{self.folder}: expected a folder for the edit set, it is a file")
        if (self.folder / MANIFEST).is_file():
            if self._records():
                self._check_same(setup)
        elif self.folder.exists() and any(self.folder.iterdir()):
            raise EditSetProblem(f"{self.folder}: expected a new folder or an edit set, it holds other files")
        self._setup = setup
        self._write_manifest(finished=None)

    def finish(self):
        """Write down that the set holds the edits of all sources; until then `read` warns."""
        self._write_manifest(finished=len(self._records()))

    def _write_manifest(self, finished):
        _write_json(self.folder / MANIFEST, {"version": VERSION, "setup": self._setup, "finished": finished})

    def _records(self):
        return list((self.folder / "records").glob("*.json"))

    def _check_same(self, setup):
        there, _ = _manifest(self.folder)
        other = sorted(name for name in {*there, *setup} if there.get(name) != setup.get(name))
        if other:
            name, old, new = other[0], *(json.dumps(s.get(other[0])) for s in (there, setup))
            raise EditSetProblem(
                f"{self.folder}: holds an edit set of another request, which differs in {', '.join(other)} "
                f"({name}: {old} there, {new} here); choose another folder"
            )

    def done(self, id, inputs=None):
        """True if everything of a source has been written, made from the same inputs (see `add`)."""
        path = self._record(id)
        return path.is_file() and _json(path).get("inputs") == inputs

    def add(
        self,
        id,
        original,
        masks,
        edits,
        *,
        source=None,
        inputs=None,
        caption=None,
        word=None,
        saliency=None,
        dropped=(),
    ):
        """Write all edits of one source; what was there of it before is replaced.

        Args:
            id: of the source, a plain file name.
            original: uint8 (H, W, 3), the source without an edit.
            masks: {type: (h, w) array, >= 0}, the region of each type of edit; stored with a peak of 255.
            edits: list of `NewEdit`, of the size of `original`.
            source: uint8 (H, W, 3), the image that was edited, by which it is told from another one of its id; None:
                it is not told.
            inputs: str, a hash of what this source's edits were made from beside the setup, or None.
            caption, word, saliency: str or None, as for `Edit`.
            dropped: as for `MadeEdits`.

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
        seen = None if source is None else thumbnail(source).tobytes().hex()
        text = {"caption": caption, "word": word, "saliency": saliency, "thumbnail": seen, "inputs": inputs}
        text |= {"files": {}, "edits": entries, "dropped": list(dropped)}
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
