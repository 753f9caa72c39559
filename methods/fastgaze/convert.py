"""Make the weights of fastgaze from the file that its authors publish.

    python methods/fastgaze/convert.py fastgaze.vxm

The file has eight bytes of header, then entries until its end: the length of a key, the key, the length of a value, the
value. Lengths have 32 bits, all numbers are little-endian, and keys end in a zero byte. A key begins with the number of
its layer: "0w" holds the weights of layer 0, "0w.shape" their shape. This script reads them and runs nothing. The
weights are kept as they are, with 32 bits, and written beside this script: safetensors, and a JSON that says what they
were made from.
"""

import argparse
import hashlib
import re
import struct
from pathlib import Path

import numpy as np
import torch
from torch import nn

from salbench import registry, weights
from salbench.identity import Identity
from salbench.training.checkpoint import Record, save

PUBLISHED = {
    "file": "fastgaze.vxm",
    "source": "https://github.com/twitter-research/image-crop-analysis, commit d66ad3bb38, bin/fastgaze.vxm",
    "licence": "Apache-2.0",
    "trained_on": "not stated there",
    "sha256": "b76cefc218ec8969cc62b26ad0f41111800421287e7f2725d808da1d90afbdf7",
}
HEADER = 8  # bytes


def entries(data: bytes) -> dict[str, bytes]:
    """The entries of a published file by their keys."""
    found, at = {}, HEADER
    while at < len(data):
        parts = []
        for _ in range(2):
            (length,) = struct.unpack_from("<I", data, at)
            parts.append(data[at + 4 : at + 4 + length])
            at += 4 + length
        key, value = parts
        found[key.rstrip(b"\0").decode()] = value
    return found


def converted(data: bytes) -> dict[str, torch.Tensor]:
    """The network's state dict, float32, from the content of the published file."""
    found, network = entries(data), registry.create("fastgaze").build_network()

    def floats(key: str, shape: tuple[int, ...]) -> torch.Tensor:
        return torch.from_numpy(np.frombuffer(found[key], "<f4").reshape(shape).copy())

    layers = sorted(int(key[:-1]) for key in found if re.fullmatch(r"\d+w", key))  # those with weights
    convolutions = [name for name, module in network.named_modules() if isinstance(module, nn.Conv2d)]
    state = {}
    for layer, name in zip(layers, convolutions, strict=True):
        shape = tuple(np.frombuffer(found[f"{layer}w.shape"], "<i4"))
        state[f"{name}.weight"] = floats(f"{layer}w", shape)
        state[f"{name}.bias"] = floats(f"{layer}b", shape[:1])
    slopes = sorted(int(key.removesuffix("alpha")) for key in found if re.fullmatch(r"\d+alpha", key))
    rectifiers = [name for name, module in network.named_modules() if isinstance(module, nn.PReLU)]
    for layer, name in zip(slopes, rectifiers, strict=True):
        state[f"{name}.weight"] = floats(f"{layer}alpha", (1,))
    return state


def main() -> None:
    """Check the published file and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="fastgaze.vxm")
    data = parser.parse_args().file.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != PUBLISHED["sha256"]:
        raise SystemExit(f"expected the file with SHA-256 {PUBLISHED['sha256']}, got {found}; get it from its source")
    tensors = converted(data)
    identity = Identity({"method": "fastgaze", "files": [PUBLISHED], "weights": weights.hash_tensors(tensors)})
    notes = (f"published weights ({PUBLISHED['file']}), trained on data that their authors do not state.",)
    save(Path(__file__).with_name("fastgaze.safetensors"), tensors, Record(identity=identity, notes=notes))


if __name__ == "__main__":
    main()
