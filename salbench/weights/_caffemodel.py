"""Caffe's files of weights, of all its versions (BVLC Caffe, src/caffe/proto/caffe.proto), without Caffe."""

import math
from collections.abc import Iterator

import numpy as np

from salbench.weights._protobuf import VARINT, fields, integers, numbers, parts, text

_LAYER, _OLD_LAYER = 100, 2  # fields of a network
_OLDEST = 1  # in an old layer: the oldest kind, which stands inside it
_NAME_AND_BLOBS = {"new": (1, 7), "old": (4, 6), "oldest": (1, 50)}  # fields of a layer
_OLD_SHAPE = 1, 2, 3, 4  # fields of a blob: its size along four axes
_SHAPE, _FLOATS, _DOUBLES = 7, 5, 8  # fields of a blob


def read_caffemodel(content: bytes) -> dict[str, np.ndarray]:
    """Read all blobs: {"<layer>.<index>": float32 or float64 array}.

    Of two layers with one name, the last one counts, as in Caffe. Old files give each blob four axes: the first axes of
    a smaller one have length one.

    Raises:
        ValueError: the bytes are no .caffemodel.
    """
    blobs: dict[str, np.ndarray] = {}
    for kind, layer in _layers(memoryview(content)):
        name, field = _NAME_AND_BLOBS[kind]
        blobs |= {f"{text(layer, name)}.{i}": _blob(blob) for i, blob in enumerate(parts(layer, field))}
    return blobs


def read_binaryproto(content: bytes) -> np.ndarray:
    """Read a file of one blob: a float32 or float64 array.

    Raises:
        ValueError: the bytes are no blob.
    """
    return _blob(memoryview(content))


def _layers(network: memoryview) -> Iterator[tuple[str, memoryview]]:
    for layer in parts(network, _OLD_LAYER):
        oldest = list(parts(layer, _OLDEST))
        yield ("oldest", oldest[-1]) if oldest else ("old", layer)
    for layer in parts(network, _LAYER):
        yield "new", layer


def _blob(blob: memoryview) -> np.ndarray:
    values = numbers(blob, _FLOATS, "<f4")
    if not len(values):
        values = numbers(blob, _DOUBLES, "<f8")
    shapes = list(parts(blob, _SHAPE))
    if shapes:
        shape = integers(shapes[-1], 1)  # none for a single number
    else:
        sizes = {number: value for number, kind, value in fields(blob) if kind == VARINT and number in _OLD_SHAPE}
        shape = [sizes.get(axis, 0) for axis in _OLD_SHAPE]  # type: ignore[misc]
    if math.prod(shape) != len(values):
        raise ValueError(f"expected {math.prod(shape)} numbers in a blob of shape {tuple(shape)}, got {len(values)}")
    return values.reshape(shape)
