"""Writes frozen TensorFlow graphs of float32 constants (tensorflow/core/framework/graph.proto)."""

from protobuf_writer import field, varint

NODE = 1  # field of a graph
NAME, OPERATION, ATTRIBUTE = 1, 2, 5  # fields of a node
KEY, VALUE, TENSOR = 1, 2, 8  # fields of an attribute and of its value
TYPE, SHAPE, CONTENT = 1, 2, 4  # fields of a tensor
FLOAT32 = 1


def write(path, constants):
    """Write {name of the node: tensor} and a node of another kind."""
    other = field(NODE, field(NAME, b"input") + field(OPERATION, b"Placeholder"))
    path.write_bytes(other + b"".join(field(NODE, node(name, tensor)) for name, tensor in constants.items()))


def node(name, tensor):
    value = field(KEY, b"value") + field(VALUE, field(TENSOR, message(tensor)))
    return field(NAME, name.encode()) + field(OPERATION, b"Const") + field(ATTRIBUTE, value)


def message(tensor):
    shape = b"".join(field(2, varint(1 << 3) + varint(size)) for size in tensor.shape)
    kind = varint(TYPE << 3) + varint(FLOAT32)
    return kind + field(SHAPE, shape) + field(CONTENT, tensor.numpy().astype("<f4").tobytes())
