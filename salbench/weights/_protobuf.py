"""Protocol buffers on disk (protobuf.dev/programming-guides/encoding), as far as files of weights need them."""

from collections.abc import Iterator

import numpy as np

VARINT, EIGHT_BYTES, LENGTH_DELIMITED, FOUR_BYTES = 0, 1, 2, 5  # wire types
Field = tuple[int, int, int | memoryview]  # number, wire type, a varint's value or the bytes of any other


def fields(message: memoryview) -> Iterator[Field]:
    """Yield the fields of a message in their order.

    Raises:
        ValueError: the bytes are no message.
    """
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        number, kind = tag >> 3, tag & 7
        if kind == VARINT:
            value, at = _varint(message, at)
            yield number, kind, value
            continue
        if kind == LENGTH_DELIMITED:
            length, at = _varint(message, at)
        elif kind in (EIGHT_BYTES, FOUR_BYTES):
            length = 8 if kind == EIGHT_BYTES else 4
        else:
            raise ValueError(f"expected a field of a protocol buffer, got wire type {kind}")
        if at + length > len(message):
            raise ValueError("the file ends inside a field")
        yield number, kind, message[at : at + length]
        at += length


def parts(message: memoryview, number: int) -> Iterator[memoryview]:
    """Yield the contents of the messages, texts and packed runs with this field number."""
    for found, kind, value in fields(message):
        if found == number and kind == LENGTH_DELIMITED:
            assert isinstance(value, memoryview)
            yield value


def text(message: memoryview, number: int) -> str:
    """The last text with this field number, or ""."""
    found = list(parts(message, number))
    return bytes(found[-1]).decode() if found else ""


def integers(message: memoryview, number: int) -> list[int]:
    """All integers with this field number, packed or not, with their sign."""
    found = []
    for field, kind, value in fields(message):
        if field == number:
            found += [value] if isinstance(value, int) else list(_packed(value)) if kind == LENGTH_DELIMITED else []
    return [value - (1 << 64) if value >= 1 << 63 else value for value in found]


def numbers(message: memoryview, number: int, dtype: str) -> np.ndarray:
    """All little-endian numbers with this field number, packed in one or more runs or single: a 1-D array.

    Args:
        message: the message.
        number: of the field.
        dtype: "<f4" or "<f8".
    """
    kinds = LENGTH_DELIMITED, FOUR_BYTES if dtype == "<f4" else EIGHT_BYTES
    runs = [value for found, kind, value in fields(message) if found == number and kind in kinds]
    return np.frombuffer(b"".join(runs), dtype)  # type: ignore[arg-type]


def _packed(run: memoryview) -> Iterator[int]:
    at = 0
    while at < len(run):
        value, at = _varint(run, at)
        yield value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    """A varint's value, and where the next byte is."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(message):
            raise ValueError("the file ends inside a number")
        value |= (message[at] & 127) << shift
        at += 1
        if message[at - 1] < 128:
            return value, at
    raise ValueError("expected a number of at most ten bytes")
