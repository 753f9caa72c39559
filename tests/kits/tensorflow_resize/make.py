"""How expected.npz was made: TensorFlow's resizes with align_corners, and its bilinear one without.

    python -m pip install tensorflow-cpu==2.21.0 && python make.py

<kind>_<old height>x<old width>_<new height>x<new width>: float32, not clipped, of that picture of noise (`picture`).
"""
from pathlib import Path

import numpy as np
import tensorflow as tf

SHRUNK = [((21, 17), (12, 9)), ((60, 3), (24, 1)), ((9, 9), (9, 8)), ((24, 32), (1, 1)), ((2, 2), (1, 1)), ((5, 1), (3, 1))]
ENLARGED = [((9, 15), (20, 32)), ((24, 32), (24, 32)), ((1, 30), (1, 32)), ((1, 1), (24, 24)), ((24, 32), (25, 33)), ((2, 2), (7, 5))]
FACTORS = [((5, 7), 2), ((1, 3), 2), ((6, 4), 4)]


def picture(size):
    """Noise, uint8 (*size, 2)."""
    return np.random.RandomState(size[0] * 100 + size[1]).randint(0, 256, (*size, 2), dtype=np.uint8)


image, expected = tf.compat.v1.image, {}
for kind, function, cases in (("area", image.resize_area, SHRUNK), ("bicubic", image.resize_bicubic, ENLARGED)):
    for old, new in cases:
        resized = function(picture(old)[None].astype(np.float32), new, align_corners=True)
        expected[f"{kind}_{old[0]}x{old[1]}_{new[0]}x{new[1]}"] = resized.numpy()[0]
for old, factor in FACTORS:
    new = old[0] * factor, old[1] * factor
    resized = image.resize_bilinear(picture(old)[None].astype(np.float32), new)
    expected[f"bilinear_{old[0]}x{old[1]}_{new[0]}x{new[1]}"] = resized.numpy()[0]
np.savez_compressed(Path(__file__).resolve().parent / "expected.npz", **expected)
