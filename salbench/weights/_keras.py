"""Weights that Keras 1 and 2 save as HDF5, whatever the file's ending is."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np


def read_keras(path: Path) -> dict[str, np.ndarray]:
    """Read all weights in the order of the layers: {"<layer>/<weight>": array}.

    The file holds the weights alone, or a whole model, whose weights are in the group `model_weights`.

    Raises:
        ValueError: the file was not saved by Keras.
    """
    import h5py

    with h5py.File(path, "r") as file:
        root = file.get("model_weights", file)
        return {
            f"{layer}/{name}": np.asarray(root[layer][name])
            for layer in _names(root, "layer_names")
            for name in _names(root[layer], "weight_names")
        }


def _names(group: Any, attribute: str) -> Iterator[str]:
    """The names in an attribute, which Keras 2 cuts into numbered parts if it is long."""
    attributes = group.attrs
    if attribute in attributes:
        keys = [attribute]
    else:
        keys = [f"{attribute}{i}" for i in range(len(attributes)) if f"{attribute}{i}" in attributes]
        if not keys:
            raise ValueError(f"without {attribute}, which Keras writes")
    for key in keys:
        for name in attributes[key]:
            yield name.decode() if isinstance(name, bytes) else str(name)
