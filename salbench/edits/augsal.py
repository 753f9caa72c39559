"""The layout in which Aydemir et al. (ECCV 2024) released a hundred contrast edits, under CC BY-SA 4.0.

::

    images/<name>.jpgedited_image<strength>.jpg    strength 1.0 is the reconstruction without an edit
    selected/<name>.jpg_selected_<strength>.png    8-bit grey: the attention map that selected the region
    saliency_gt/salmap_<name>.jpg.png              see `salbench.datasets.augsal`
"""

import re
from functools import partial

from salbench.edits.edit_set import Edit, EditSet, EditSetProblem, read_mask
from salbench.files import hash_bytes, hash_file, read_image

LICENCE = "CC BY-SA 4.0"
_IMAGE = re.compile(r"(?P<id>.+)\.jpgedited_image(?P<strength>\d+(\.\d+)?)\.jpg")


def read(folder):
    """The `EditSet` of a folder. Raises `EditSetProblem`: files that are missing, or empty masks."""
    found = {}
    for path in sorted((folder / "images").iterdir()):
        if match := _IMAGE.fullmatch(path.name):
            found.setdefault(match["id"], {})[round(float(match["strength"]), 6)] = path, match["strength"]
    edits, originals, files = {}, {}, []
    for id, strengths in found.items():
        if 1.0 not in strengths:
            raise EditSetProblem(f"{folder}: {id}: the image without an edit, of strength 1.0, is missing")
        originals[id] = partial(read_image, strengths.pop(1.0)[0])
        files.append(originals[id].args[0])
        edits[id] = [_edit(folder, id, strength, *at) for strength, at in sorted(strengths.items())]
        files += [reader.args[0] for e in edits[id] for reader in (e.read_image, e.read_mask)]
    if not found:
        raise EditSetProblem(f"{folder / 'images'}: expected <name>.jpgedited_image<strength>.jpg, found none")
    missing = [path for path in files if not path.is_file()]
    if missing:
        raise EditSetProblem(f"{folder}: {len(missing)} files are missing, such as {missing[0].relative_to(folder)}")
    fingerprint = hash_bytes(*(part for path in files for part in (path.name, hash_file(path))))
    for edit in (e for of_one in edits.values() for e in of_one):
        edit.read_mask()  # nothing recorded says that it is not empty
    setup = {"source": "Aydemir et al., ECCV 2024: contrast edits as released", "licence": LICENCE}
    return EditSet(folder.resolve().name, setup, fingerprint, LICENCE, edits, originals)


def _edit(folder, id, strength, path, typed):
    mask = partial(read_mask, folder / "selected" / f"{id}.jpg_selected_{typed}.png")
    return Edit(id, "contrast", strength, 1, partial(read_image, path), mask, strength)
