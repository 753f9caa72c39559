"""The layout in which Aydemir et al. (ECCV 2024) released a hundred contrast edits, under CC BY-SA 4.0.

::

    images/<name>.jpgedited_image<strength>.jpg    strength 1.0 is the reconstruction without an edit
    selected/<name>.jpg_selected_<strength>.png    8-bit grey: the attention map that selected the region
    saliency_gt/salmap_<name>.jpg.png              see `salbench.datasets.augsal`
"""

import re
from functools import partial
from pathlib import Path

from salbench.edits.edit_set import Edit, EditSet, EditSetProblem, read_mask
from salbench.files import hash_bytes, hash_file, read_image

LICENCE = "CC BY-SA 4.0"
_IMAGE = re.compile(r"(?P<id>.+)\.jpgedited_image(?P<strength>\d+(\.\d+)?)\.jpg")
_UNEDITED = 1.0


def read(folder: Path) -> EditSet:
    """Read the edit set in a folder.

    Raises:
        EditSetProblem: a file is missing, or a mask is empty.
    """
    edits: dict[str, list[Edit]] = {}
    originals, files = {}, []
    for id, versions in _versions(folder).items():
        if _UNEDITED not in versions:
            raise EditSetProblem(f"{folder}: {id}: expected an image of strength 1.0, the one without an edit")
        original, _ = versions.pop(_UNEDITED)
        originals[id], edits[id] = partial(read_image, original), []
        files.append(original)
        for strength, (image, mask) in sorted(versions.items()):
            readers = partial(read_image, image), partial(read_mask, mask)
            edits[id].append(Edit(id, "contrast", strength, 1, *readers, strength))
            files += [image, mask]
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise EditSetProblem(f"{folder}: {len(missing)} files are missing, such as {missing[0].relative_to(folder)}")
    fingerprint = hash_bytes(*(part for path in files for part in (path.name, hash_file(path))))
    for edit in (e for of_one in edits.values() for e in of_one):
        edit.read_mask()  # raises if it is empty
    setup = {"source": "Aydemir et al., ECCV 2024: contrast edits as released", "licence": LICENCE}
    return EditSet(folder.resolve().name, setup, fingerprint, LICENCE, edits, originals)


def _versions(folder: Path) -> dict[str, dict[float, tuple[Path, Path]]]:
    """{source: {strength: (image, mask)}}, sorted by source. The mask of the image without an edit is not used."""
    found: dict[str, dict[float, tuple[Path, Path]]] = {}
    for path in sorted((folder / "images").iterdir()):
        if match := _IMAGE.fullmatch(path.name):
            mask = folder / "selected" / f"{match['id']}.jpg_selected_{match['strength']}.png"
            found.setdefault(match["id"], {})[round(float(match["strength"]), 6)] = path, mask
    if not found:
        raise EditSetProblem(f"{folder / 'images'}: expected <name>.jpgedited_image<strength>.jpg, found none")
    return found
