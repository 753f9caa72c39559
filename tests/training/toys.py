"""Edits of toy samples."""

import numpy as np
from PIL import Image

from salbench import edits
from salbench.edits import NewEdit, Writer


def write_edits(folder, samples, *, shape=(48, 48)):
    """A set of two edits of each sample: the upper left quarter brighter, to gain; the upper right black, to lose."""
    writer = Writer(folder, {"maker": "test", "shape": shape})
    mask = np.zeros((16, 16))
    mask[:8, :8] = 1
    for sample in samples:
        original = np.asarray(Image.fromarray(sample.image).resize(shape[::-1]))
        bright, dark, (rows, columns) = original.copy(), original.copy(), np.array(shape) // 2
        bright[:rows, :columns] = original[:rows, :columns] // 2 + 70
        dark[:rows, columns:] = 0
        made = [NewEdit("bright", 2.0, 2.0, 1, bright), NewEdit("dark", 0.1, 0.1, -1, dark)]
        writer.add(sample.id, original, {"bright": mask, "dark": np.fliplr(mask)}, made)
    return edits.read(folder)
