"""Writes .caffemodel files as newer versions of Caffe do (BVLC Caffe, src/caffe/proto/caffe.proto)."""

from itertools import groupby

from protobuf_writer import field, varint

LAYER, NAME, BLOB = 100, 1, 7  # fields of a network and of a layer
DATA, SHAPE, DIM = 5, 7, 1  # fields of a blob and of its shape


def write(path, blobs):
    """Write tensors as float32: {"<layer>.<index of the blob>": tensor}, the blobs of a layer together and in order."""
    layers = groupby(blobs.items(), key=lambda item: item[0].rpartition(".")[0])
    path.write_bytes(b"".join(field(LAYER, layer(name, [blob for _, blob in own])) for name, own in layers))


def layer(name, blobs):
    return field(NAME, name.encode()) + b"".join(field(BLOB, message(blob)) for blob in blobs)


def message(blob):
    sizes = b"".join(map(varint, blob.shape))
    shape = field(DIM, sizes) if sizes else b""  # one number alone has no dimensions
    return field(DATA, blob.numpy().astype("<f4").tobytes()) + field(SHAPE, shape)
