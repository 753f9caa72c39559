"""The layout of salbench's own edit sets: how they are read, and how they are written, one source at a time.

::

    edit_set.json                        {"version", "setup" (what the set was made with), "finished" (number of
                                         records; null until the set is complete)}
    originals/<id>.png                   the source as the method reconstructs it without an edit
    images/<id>/<type>_<strength>.png    an edited image; the strength is the one that was asked for
    masks/<id>/<type>.png                the region, 8-bit grey with a peak of 255
    records/<id>.json                    {"caption", "word", "saliency", "thumbnail" (of the source, hexadecimal, or
                                         null), "inputs" (hash), "files" (path: hash), "edits", "dropped"}

The record of a source is written after its files. So if the process is killed, only the source being written is lost.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from salbench.edits.edit_set import Edit, EditSet, EditSetProblem, NewEdit, read_mask, strongest_last, thumbnail
from salbench.files import hash_bytes, hash_file, read_image
from salbench.identity import Identity
from salbench.text_files import parse_json
from salbench.writing import atomic_write, has_files

log = logging.getLogger(__name__)

VERSION = 2
MANIFEST = "edit_set.json"


def read(folder: Path) -> EditSet:
    """Read the edit set in a folder.

    Raises:
        EditSetProblem: see `salbench.edits.read`.
    """
    setup, finished = _manifest(folder)
    paths = sorted((folder / "records").glob("*.json"))
    if finished is None:
        log.warning("%s: this edit set is unfinished; rerun the command that makes it to finish it", folder)
    elif finished != len(paths):
        raise EditSetProblem(
            f"{folder / 'records'}: expected {finished} records, found {len(paths)}; rerun the command that made the "
            "edit set to make the missing ones"
        )
    edits, originals, thumbnails, hashes = {}, {}, {}, []
    dropped: dict[str, str] = {}
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
            raise EditSetProblem(
                f"{path}: expected a record of edits, got other content ({error!r}). {_remedy(path)}"
            ) from error
        for name, expected in files.items():
            _verify(folder / name, expected, path)
        originals[path.stem] = partial(read_image, folder / _original(path.stem))
        hashes += [path.stem, hash_file(path)]
    fingerprint = hash_bytes(json.dumps(setup, sort_keys=True), *hashes)
    return EditSet(
        folder.resolve().name, setup, fingerprint, setup.get("licence"), edits, originals, thumbnails, dropped,
        is_finished=finished is not None,
    )  # fmt: skip


def _manifest(folder: Path) -> tuple[dict[str, Any], int | None]:
    """Setup of an edit set, and its number of records, which is None until the set is complete."""
    content = _json(folder / MANIFEST)
    version = content.get("version") if isinstance(content, dict) else None
    if version != VERSION or not isinstance(content.get("setup"), dict):
        raise EditSetProblem(
            f"{folder / MANIFEST}: expected version {VERSION} of the format, with a setup, got version {version!r}; "
            "make the edit set again, or read it with the version of salbench that made it"
        )
    return content["setup"], content.get("finished")


def _edit(folder: Path, source: str, record: Mapping[str, Any], entry: Mapping[str, Any]) -> Edit:
    return Edit(
        source, entry["type"], entry["strength"], entry["direction"],
        partial(read_image, folder / _image(source, entry["type"], entry["asked"])),
        partial(read_mask, folder / _mask_name(source, entry["type"])),
        entry["asked"], record["word"], record["caption"], record.get("saliency"), entry["facts"],
    )  # fmt: skip


def _original(source: str) -> str:
    return f"originals/{source}.png"


def _image(source: str, type: str, asked: float) -> str:
    return f"images/{source}/{type}_{asked:g}.png"


def _mask_name(source: str, type: str) -> str:
    return f"masks/{source}/{type}.png"


def _json(path: Path) -> Any:
    try:
        return parse_json(path.read_bytes())
    except ValueError as error:
        raise EditSetProblem(f"{path}: damaged: {error}. {_remedy(path)}") from error


def _verify(path: Path, expected: str, record: Path) -> None:
    """Raise `EditSetProblem` unless a file exists and has the expected hash."""
    if not path.is_file():
        raise EditSetProblem(f"{path}: this file of the edit set is missing. {_remedy(record)}")
    if hash_file(path) != expected:
        raise EditSetProblem(f"{path}: damaged, or changed since it was made. {_remedy(record)}")


def _remedy(record: Path) -> str:
    return f"Delete {record} and rerun the command that made the edit set"


class Writer:
    """Writes an edit set, or continues one that has the same setup.

    Args:
        folder: a new or empty folder, or an edit set that has the same setup or no edits yet.
        setup: everything that decides what the edits look like, except the sources; JSON can hold it. "licence" is the
            licence of the images.

    Raises:
        EditSetProblem: `folder` is a file, or holds other files or edits with another setup.
    """

    def __init__(self, folder: Path | str, setup: Mapping[str, Any]) -> None:
        self.folder = Path(folder).expanduser()
        identity = Identity(setup)
        if self.folder.exists() and not self.folder.is_dir():
            raise EditSetProblem(f"{self.folder}: expected a folder for the edit set, got a file")
        if (self.folder / MANIFEST).is_file():
            if self._records():
                there, _ = _manifest(self.folder)
                identity.require_same(Identity(there), self.folder, "Choose another folder", EditSetProblem)
        elif has_files(self.folder):
            raise EditSetProblem(f"{self.folder}: expected a new folder or an edit set, got a folder with other files")
        self._setup = identity.facts
        self._write_manifest(finished=None)

    def finish(self) -> None:
        """Mark the edit set as complete. Until then, `read` logs a warning."""
        self._write_manifest(finished=len(self._records()))

    def _write_manifest(self, finished: int | None) -> None:
        _write_json(self.folder / MANIFEST, {"version": VERSION, "setup": self._setup, "finished": finished})

    def _records(self) -> list[Path]:
        return list((self.folder / "records").glob("*.json"))

    def done(self, id: str, inputs: str | None = None) -> bool:
        """Whether everything of a source has been written, made from the same inputs; see `add`."""
        path = self._record(id)
        return path.is_file() and _json(path).get("inputs") == inputs

    def add(
        self,
        id: str,
        original: np.ndarray,
        masks: Mapping[str, np.ndarray],
        edits: Sequence[NewEdit],
        *,
        source: np.ndarray | None = None,
        inputs: str | None = None,
        caption: str | None = None,
        word: str | None = None,
        saliency: str | None = None,
        dropped: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        """Write all edits of one source, replacing earlier ones.

        Args:
            id: id of the source, a plain file name.
            original: uint8 (H, W, 3), the source without an edit.
            masks: {type: (h, w) array, >= 0}, the region of each type of edit, stored with a peak of 255.
            edits: new edits; their images have the size of `original`.
            source: uint8 (H, W, 3), the image that was edited, stored as a thumbnail to recognise it by.
            inputs: hash of what the edits of this source depend on beside the setup.
            caption, word, saliency: see `Edit`.
            dropped: see `MadeEdits`.

        Raises:
            EditSetProblem: an empty mask, an edit without a mask or of another size, two edits of one type and
                strength, or a name that a file cannot have. Nothing is written then.
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
        content: dict[str, Any] = {"caption": caption, "word": word, "saliency": saliency}
        content |= {"thumbnail": seen, "inputs": inputs, "files": {}, "edits": entries, "dropped": list(dropped)}
        json.dumps(content)  # raises before anything is written
        for name, picture in pictures.items():
            with atomic_write(self.folder / name, "wb") as file:
                Image.fromarray(picture).save(file, format="PNG")
            content["files"][name] = hash_file(self.folder / name)
        _write_json(record, content)

    def _record(self, id: str) -> Path:
        return self.folder / "records" / f"{_plain(id, 'id')}.json"


def _plain(name: str, what: str) -> str:
    if not name or name != Path(name).name or name in (".", ".."):
        raise EditSetProblem(f"{what}: expected a name that a file can have, got {name!r}")
    return name


def _checked_image(image: np.ndarray, shape: tuple[int, ...], name: str) -> np.ndarray:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or image.shape != shape:
        raise EditSetProblem(f"{name}: expected a uint8 image of {shape}, got {image.dtype} {image.shape}")
    return image


def _eight_bit(mask: np.ndarray, name: str) -> np.ndarray:
    mask = np.asarray(mask, dtype=np.float64)
    if mask.ndim != 2 or not np.isfinite(mask).all() or mask.min(initial=0) < 0 or not mask.max(initial=0) > 0:
        raise EditSetProblem(
            f"{name}: expected a (height, width) array of finite values >= 0 with a region above 0, got shape "
            f"{mask.shape} with values from {mask.min(initial=0):g} to {mask.max(initial=0):g}"
        )
    return np.rint(255 * mask / mask.max()).astype(np.uint8)


def _check_edit(edit: NewEdit, masks: Mapping[str, np.ndarray], is_second: bool, name: str) -> None:
    if edit.type not in masks:
        raise EditSetProblem(f"{name}: expected a mask for its type, got masks for {', '.join(masks) or 'no type'}")
    if edit.direction not in (-1, 1):
        raise EditSetProblem(f"{name}: expected a direction of +1 or -1, got {edit.direction!r}")
    if not (math.isfinite(edit.strength) and math.isfinite(edit.asked)):
        raise EditSetProblem(f"{name}: expected a finite strength, got {edit.strength}")
    if is_second:
        raise EditSetProblem(f"{name}: expected one edit of this type and strength, got two")


def _write_json(path: Path, content: Any) -> None:
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=2) + "\n")
