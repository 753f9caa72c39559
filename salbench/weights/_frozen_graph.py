"""The constants of a frozen TensorFlow graph (tensorflow/core/framework: graph.proto and what it contains)."""

import math

import numpy as np

from salbench.weights._protobuf import integers, numbers, parts, text

_NODE = 1  # field of a graph
_NAME, _OPERATION, _ATTRIBUTE = 1, 2, 5  # fields of a node
_KEY, _VALUE, _TENSOR = 1, 2, 8  # fields of an attribute and of its value
_TYPE, _SHAPE, _CONTENT, _FLOATS = 1, 2, 4, 5  # fields of a tensor
_FLOAT32 = 1  # type of a tensor


def read_frozen_graph(content: bytes) -> dict[str, np.ndarray]:
    """Read all float32 constants in the order of the nodes: {name of the node: array}.

    Raises:
        ValueError: the bytes are no graph.
    """
    constants = {}
    for node in parts(memoryview(content), _NODE):
        if text(node, _OPERATION) == "Const":
            values = [v for a in parts(node, _ATTRIBUTE) if text(a, _KEY) == "value" for v in parts(a, _VALUE)]
            tensors = [tensor for value in values for tensor in parts(value, _TENSOR)]
            if tensors and integers(tensors[-1], _TYPE) == [_FLOAT32]:
                constants[text(node, _NAME)] = _array(tensors[-1])
    return constants


def _array(tensor: memoryview) -> np.ndarray:
    """float32 array. The last number stands for all that are left out; without any numbers, all are zero."""
    shape = [size for s in parts(tensor, _SHAPE) for d in parts(s, 2) for size in integers(d, 1) or [0]]
    content = b"".join(parts(tensor, _CONTENT))
    values = np.frombuffer(content, "<f4") if content else numbers(tensor, _FLOATS, "<f4")
    left_out = math.prod(shape) - len(values)
    if left_out < 0 or (left_out and content):
        raise ValueError(f"expected {math.prod(shape)} numbers in a tensor of shape {tuple(shape)}, got {len(values)}")
    last = values[-1] if len(values) else np.float32(0)
    return np.concatenate([values, np.full(left_out, last)]).reshape(shape)
