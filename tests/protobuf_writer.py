"""Writes fields of protocol buffers (protobuf.dev/programming-guides/encoding)."""


def field(number, content):
    """A field of variable length (wire type 2)."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def varint(value):
    """A non-negative integer, seven bits per byte, the lowest first."""
    low, rest = value & 127, value >> 7
    return bytes([low | 128]) + varint(rest) if rest else bytes([low])
