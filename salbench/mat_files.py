"""MATLAB files up to version 7, read by SciPy after checks that it lacks.

SciPy crashes at an unknown type of data, and makes room for as many elements as a damaged matrix claims to have.

The layout is that of "MAT-File Format", The MathWorks: elements with a tag of type and length; matrices hold elements.
"""

import io
import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import scipy.io

_HEADER = 128  # bytes: text, version, byte order
_NUMBERS = {1, 2, 3, 4, 5, 6, 7, 9, 12, 13, 16, 17, 18}  # types of elements that hold numbers or text
_MATRIX, _COMPRESSED = 14, 15
_SPARSE, _OPAQUE = 5, 17  # classes of matrices; those of numbers are 5 (sparse) to 15
_LEAVES = {1: 0, 2: 2, 3: 3, _SPARSE: 3, 16: 0, _OPAQUE: 1}  # class -> elements of numbers or text after its name
_COMPLEX = 0x800  # in the flags of a matrix: it has an imaginary part


def read_variables(content: bytes, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Read the variables of a MATLAB file up to version 7: those in `names`, or all if it is None.

    Raises:
        NotImplementedError: a file of version 7.3.
        Exception: a damaged file, for which SciPy raises almost anything.
    """
    if _is_version_5(content):
        content = _checked(content)
    found = scipy.io.loadmat(io.BytesIO(content), variable_names=names, appendmat=False)
    return {name: value for name, value in found.items() if not name.startswith("__")}


def _is_version_5(content: bytes) -> bool:
    """Tell as SciPy does, from any header. Versions 5 to 7 have one layout, version 4 another."""
    version = 125 if content[126:127] == b"I" else 124
    return 0 not in content[:4] and content[version : version + 1] == b"\1"


def _checked(content: bytes) -> bytes:
    """Return the file with its matrices decompressed, after a look at the type of every element."""
    order = "<" if content[126:128] == b"IM" else ">"
    parts = [content[:_HEADER]]
    for kind, data in _elements(content[_HEADER:], order, padded=False):
        data = zlib.decompress(data) if kind == _COMPRESSED else struct.pack(order + "II", kind, len(data)) + data
        for inner, matrix in _elements(data, order):
            _check(inner, matrix, order)
        parts.append(data)
    return b"".join(parts)


def _check(kind: int, data: bytes, order: str) -> None:
    """Check one element and all inside it."""
    if kind == _MATRIX and data:
        _check_matrix(data, order)
    elif kind != _MATRIX and kind not in _NUMBERS:
        raise ValueError(f"expected a known type of data, got type {kind}")


def _check_matrix(content: bytes, order: str) -> None:
    """Check a matrix: its flags, which hold its class, its dimensions, and all elements that it must hold."""
    elements = list(_elements(content, order))
    kinds = [kind for kind, _ in elements]
    if kinds[:1] != [6] or len(elements[0][1]) != 8:
        raise ValueError("a matrix does not begin with its class")
    (flags,) = struct.unpack(order + "I", elements[0][1][:4])
    leaves = _LEAVES.get(flags & 255, 1) + bool(flags & _COMPLEX and flags & 255 >= _SPARSE)
    if len(kinds) < 3 + leaves or _MATRIX in kinds[: 3 + leaves]:
        raise ValueError(f"expected {leaves} elements of numbers in a matrix of class {flags & 255}")
    if flags & 255 != _OPAQUE:
        _check_dimensions(elements[1][1], math.inf if flags & 255 == _SPARSE else len(content), order)
    for kind, data in elements:
        _check(kind, data, order)


def _check_dimensions(data: bytes, most: float, order: str) -> None:
    """Check that there are two or more, of at most `most` elements; none takes less than a byte of a full matrix."""
    if len(data) < 8:
        raise ValueError("expected a matrix of at least two dimensions")
    dimensions = struct.unpack_from(f"{order}{len(data) // 4}i", data)
    if math.prod(dimensions) > most:
        raise ValueError(f"expected at most {most} elements in a matrix of {most} bytes, got dimensions {dimensions}")


def _elements(data: bytes, order: str, padded: bool = True) -> Iterator[tuple[int, bytes]]:
    """Yield the type and content of each element; `padded`: it ends at a multiple of eight bytes."""
    position = 0
    while position < len(data):
        kind, length = struct.unpack_from(order + "II", data, position)
        start = position + 8
        if kind >> 16:  # four bytes or fewer stand in the tag
            kind, length, start = kind & 0xFFFF, kind >> 16, position + 4
        end = start + length
        if end > len(data):
            raise ValueError("the file ends inside an element")
        yield kind, data[start:end]
        position = max(position + 8, end + (-end % 8 if padded else 0))
