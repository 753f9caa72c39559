"""The conformance kit of the released model: its weights by name, and what the released code made of them."""

import json
import re
from types import SimpleNamespace

import numpy as np
import pytest


def load(shared):
    """`weights(pattern)` of the names that match, `expected` arrays, and the kit's named tensors; or skip."""
    folder = shared / "kits" / "augsal"
    if not (folder / "expected.npz").is_file():
        pytest.skip(f"needs expected.npz, not found in {folder}")
    space = {}
    exec((shared / "kits" / "weights.py").read_text(encoding="utf-8"), space)
    settings = json.loads((folder / "kit.json").read_text())

    def weights(pattern):
        spec = [row for row in space["load_spec"](folder / "state_dict.json") if re.match(pattern, row[0])]
        return space["seeded_state_dict"](spec, settings["gain"], settings["overrides"])

    return SimpleNamespace(
        weights=weights,
        folder=folder,
        settings=settings,
        expected=np.load(folder / "expected.npz"),
        **{name: space[name] for name in ("seeded_tensor", "smooth_tensor", "synthetic_rgb")},
    )
