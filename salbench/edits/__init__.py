"""Edit sets: images whose saliency was changed in a known direction, with the region it was changed in, on disk.

`read` takes a set that `Writer` has written (its layout: `layout`) and the hundred edits that Aydemir et al. released
(theirs: `augsal`).
"""

from pathlib import Path

from salbench.edits import augsal, layout
from salbench.edits.edit_set import (
    NEUTRAL,
    SALIENCY,
    STRENGTHS,
    Edit,
    EditSet,
    EditSetProblem,
    MadeEdits,
    NewEdit,
    check_wanted,
    join,
    training_name,
    wanted,
)
from salbench.edits.layout import Writer

__all__ = [
    "NEUTRAL",
    "SALIENCY",
    "STRENGTHS",
    "Edit",
    "EditSet",
    "EditSetProblem",
    "MadeEdits",
    "NewEdit",
    "Writer",
    "check_wanted",
    "join",
    "read",
    "training_name",
    "wanted",
]


def read(folder):
    """Open an edit set, of this project or as released by Aydemir et al.

    Every file is read once to check it against its hash; images are decoded when they are used.

    Args:
        folder: in one of the two layouts; ~ is expanded.

    Returns:
        An `EditSet`.

    Raises:
        EditSetProblem: no edit set, one of another version, or a file that is missing, damaged or changed.
    """
    folder = Path(folder).expanduser()
    if (folder / layout.MANIFEST).is_file():
        return layout.read(folder)
    if (folder / "selected").is_dir() and (folder / "images").is_dir():
        return augsal.read(folder)
    lacks = f"neither {layout.MANIFEST} nor images/ and selected/ are in it"
    state = lacks if folder.is_dir() else "no such folder"
    raise EditSetProblem(
        f"{folder}: expected an edit set, {state}. Make one with: python benchmark.py edit, or give the folder of "
        "Aydemir et al.'s hundred contrast edits"
    )
