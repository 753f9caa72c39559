"""Make the weights of attention_center from the file that its authors publish.

    python methods/attention_center/convert.py center.tflite

The file is a FlatBuffer of TensorFlow Lite's schema. This script reads the few tables that it needs, and runs nothing.
The weights in it have 16 bits and are kept as they are. They are written beside this script: safetensors, and a JSON
that says what they were made from.
"""

import argparse
import hashlib
import struct
from pathlib import Path

import numpy as np
import torch
from torch import nn

from salbench import registry, weights
from salbench.identity import Identity
from salbench.training.checkpoint import Record, save
from salbench.weights import WeightsProblem

PUBLISHED = {
    "file": "center.tflite",
    "source": "https://github.com/google/attention-center, commit 91f6d6ea46, model/center.tflite",
    "licence": "Apache-2.0",
    "trained_on": "SALICON, on COCO images",
    "sha256": "8968fe8266a305c356334a1dcd5c58541b58be916decd32c55c6f51fe65273de",
}
CONV_2D, DEPTHWISE_CONV_2D, DEQUANTIZE = 3, 4, 6  # codes of operators in the schema
NORM_WEIGHT, NORM_BIAS = "/GroupNorm/Reshape_1", "/GroupNorm/Reshape"  # how the names of these tensors end


class Table:
    """A table of a FlatBuffer. Fields have the numbers of the schema; one that is left out is 0 or empty."""

    def __init__(self, data: bytes, at: int) -> None:
        self.data, self.at = data, at

    def number(self, field: int) -> int:
        """An integer of 32 bits."""
        at = self._find(field)
        return self._read("<i", at) if at else 0

    def array(self, field: int, kind: str) -> np.ndarray:
        """A vector of numbers, or the bytes of a string."""
        at = self._find(field)
        at += self._read("<i", at) if at else 0
        return np.frombuffer(self.data, kind, self._read("<i", at), at + 4) if at else np.empty(0, kind)

    def tables(self, field: int) -> list["Table"]:
        """A vector of tables, each stored as its distance from its place in the vector."""
        at, distances = self._find(field), self.array(field, "<i4").tolist()
        at += self._read("<i", at) + 4 if at else 0
        return [Table(self.data, at + 4 * i + distance) for i, distance in enumerate(distances)]

    def _find(self, field: int) -> int:
        """Where a field is; 0 if it is left out."""
        places = self.at - self._read("<i", self.at)
        entry = 4 + 2 * field
        distance = self._read("<H", places + entry) if entry < self._read("<H", places) else 0
        return self.at + distance if distance else 0

    def _read(self, kind: str, at: int) -> int:
        return struct.unpack_from(kind, self.data, at)[0]


class Graph:
    """What is needed of a TensorFlow Lite model: its operators, and its weights of 16 bits."""

    def __init__(self, data: bytes) -> None:
        model = Table(data, struct.unpack_from("<i", data)[0])
        codes = [code.number(3) for code in model.tables(1)]
        (graph,) = model.tables(2)
        self.tensors, self.buffers = graph.tables(0), model.tables(4)
        self.operators = [
            (codes[o.number(0)], o.array(1, "<i4").tolist(), o.array(2, "<i4").tolist()) for o in graph.tables(3)
        ]
        self.stored = {outputs[0]: inputs[0] for code, inputs, outputs in self.operators if code == DEQUANTIZE}

    def name(self, tensor: int) -> str:
        """Name of a tensor."""
        return self.tensors[tensor].array(3, "u1").tobytes().decode()

    def weights(self, tensor: int) -> torch.Tensor:
        """Weights, float16, of the shape that the file states; `tensor` is what a dequantise operator makes of them."""
        described = self.tensors[self.stored[tensor]]
        values = self.buffers[described.number(2)].array(0, "u1").view("<f2")
        return torch.from_numpy(values.reshape(described.array(0, "<i4")).copy())

    def convolutions(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weight (out, in, height, width) and bias of every convolution, in the order of computation."""
        # TensorFlow's order is (out, height, width, in), and (1, height, width, channels) for one filter per channel.
        axes = {CONV_2D: (0, 3, 1, 2), DEPTHWISE_CONV_2D: (3, 0, 1, 2)}
        return [
            (self.weights(inputs[1]).permute(axes[code]).contiguous(), self.weights(inputs[2]))
            for code, inputs, _ in self.operators
            if code in axes
        ]

    def norms(self) -> list[tuple[torch.Tensor, torch.Tensor]]:
        """Weight and bias of every group norm, in the order of computation."""
        by_end = [
            [self.weights(made).flatten() for made, stored in self.stored.items() if self.name(stored).endswith(end)]
            for end in (NORM_WEIGHT, NORM_BIAS)
        ]
        return list(zip(*by_end, strict=True))


def converted(data: bytes) -> dict[str, torch.Tensor]:
    """The network's state dict, float16, from the content of the published file."""
    graph, network = Graph(data), registry.create("attention_center").build_network()
    state = {}
    for kind, found in ((nn.Conv2d, graph.convolutions()), (nn.GroupNorm, graph.norms())):
        modules = [(name, module) for name, module in network.named_modules() if isinstance(module, kind)]
        for (name, module), (weight, bias) in zip(modules, found, strict=True):
            state[f"{name}.weight"] = weight
            if module.bias is not None:
                state[f"{name}.bias"] = bias
            elif bias.any():
                raise WeightsProblem(f"{name}: expected a bias of zeros, got {bias.tolist()}")
    return state


def main() -> None:
    """Check the published file and write its weights."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="center.tflite")
    data = parser.parse_args().file.read_bytes()
    found = hashlib.sha256(data).hexdigest()
    if found != PUBLISHED["sha256"]:
        raise SystemExit(f"expected the file with SHA-256 {PUBLISHED['sha256']}, got {found}; get it from its source")
    tensors = converted(data)
    identity = Identity({"method": "attention_center", "files": [PUBLISHED], "weights": weights.hash_tensors(tensors)})
    notes = (f"published weights ({PUBLISHED['file']}), trained on {PUBLISHED['trained_on']}.",)
    save(Path(__file__).with_name("center.safetensors"), tensors, Record(identity=identity, notes=notes))


if __name__ == "__main__":
    main()
