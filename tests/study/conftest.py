"""Gaze and edits on disk."""

import numpy as np
import pytest
from PIL import Image
from studies import CONTRASTS, COUNTS, MASK, chequers, points

from salbench.edits import NewEdit, Writer


@pytest.fixture
def gaze(tmp_path):
    """Folders original, edited and masks of five images, .csv and .npy in turn."""
    for k, (id, pair) in enumerate(COUNTS.items()):
        for name, counts in zip(("original", "edited"), pair, strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            if k % 2:
                np.save(tmp_path / name / f"{id}.npy", points(*counts))
            else:
                rows = "\n".join(f"{x},{y}" for x, y in points(*counts))
                (tmp_path / name / f"{id}.csv").write_text(f"x,y\n{rows}\n")
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(MASK).save(tmp_path / "masks" / f"{id}.png")
    return tmp_path


@pytest.fixture
def edit_set(tmp_path):
    """Four sources with a decreasing and two increasing edits each, and one whose edits have been dropped."""
    writer = Writer(tmp_path / "set", {"licence": "CC0"})
    for k in range(4):
        made = [NewEdit("contrast", s, s, 1 if s > 1 else -1, chequers(s, k)) for s in CONTRASTS]
        made.append(NewEdit("color", 1.0, 0.9, 1, chequers(1, k)))
        writer.add(f"s{k}", chequers(1, k), {"contrast": MASK, "color": MASK}, made)
    writer.add("s9", chequers(1, 0), {}, [], dropped=[{"type": "contrast", "asked": 8.0, "reason": "too strong"}])
    writer.finish()
    return tmp_path / "set"
