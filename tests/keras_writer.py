"""Writes weights as Keras saves them, for tests of networks whose authors publish such files."""

from itertools import groupby

import h5py


def write_keras(path, tensors, group=None):
    """A file of {"<layer>/<weight>": tensor}; `group`: where the layers are if the file holds a whole model."""
    with h5py.File(path, "w") as file:
        root = file.create_group(group) if group else file
        layers = {layer: list(names) for layer, names in groupby(tensors, key=lambda name: name.partition("/")[0])}
        root.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer, names in layers.items():
            folder = root.create_group(layer)
            folder.attrs["weight_names"] = [name.partition("/")[2].encode() for name in names]
            for name in names:
                folder[name.partition("/")[2]] = tensors[name]
