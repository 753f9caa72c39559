"""Edit sets on disk: images with a region whose saliency was raised or lowered, and types of edits.

An edit set is a folder. `Writer` writes one (see `layout`). `read` reads it, or the hundred edits that Aydemir et al.
released (see `augsal`).
"""

from pathlib import Path

from salbench.edits import augsal, layout
from salbench.edits.edit_set import (
    SALIENCY,
    Edit,
    EditSet,
    EditSetProblem,
    MadeEdits,
    NewEdit,
    join,
    training_name,
)
from salbench.edits.edit_types import EDIT_TYPES, EditType, check_wanted, wanted
from salbench.edits.layout import Writer

__all__ = [
    "EDIT_TYPES",
    "SALIENCY",
    "Edit",
    "EditSet",
    "EditSetProblem",
    "EditType",
    "MadeEdits",
    "NewEdit",
    "Writer",
    "check_wanted",
    "join",
    "read",
    "training_name",
    "wanted",
]


def read(folder: Path | str) -> EditSet:
    """Open an edit set, made by salbench or released by Aydemir et al.

    Every file is read once to check its hash. Images are decoded when they are used.

    Args:
        folder: in one of the two layouts; ~ is expanded.

    Raises:
        EditSetProblem: no edit set, one of another version, or a file that is missing, damaged or changed.
    """
    folder = Path(folder).expanduser()
    if (folder / layout.MANIFEST).is_file():
        return layout.read(folder)
    if (folder / "selected").is_dir() and (folder / "images").is_dir():
        return augsal.read(folder)
    found = f"one without {layout.MANIFEST} and without images/ and selected/" if folder.is_dir() else "no such folder"
    raise EditSetProblem(
        f"{folder}: expected the folder of an edit set, got {found}. Make an edit set with `salbench edit`, or give "
        "the folder of the hundred contrast edits by Aydemir et al."
    )
