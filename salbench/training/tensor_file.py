"""Write tensors as safetensors, whole or not at all, and without a copy of them in memory.

The package safetensors writes a temporary file of its own, which stays behind if the process is killed. The format: the
length of the header as 8 bytes, the header as JSON, then the tensors one after the other
(https://github.com/huggingface/safetensors#format).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from salbench.writing import atomic_write

if TYPE_CHECKING:
    from torch import Tensor

# In the package's order. Larger numbers come first, so that each tensor begins where its type may begin.
_NAMES = {
    torch.int64: "I64", torch.float64: "F64", torch.float32: "F32", torch.int32: "I32", torch.bfloat16: "BF16",
    torch.float16: "F16", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip


def write(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a file.

    Args:
        path: ends in .safetensors.
        tensors: {name: tensor}, on any device.
        metadata: text for the header, by name.

    Raises:
        OSError: the disk failed. It names `path`.
    """
    ordered = sorted(tensors.items(), key=lambda item: (list(_NAMES).index(item[1].dtype), item[0]))
    header: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    end = 0
    for name, tensor in ordered:
        start, end = end, end + tensor.nbytes
        header[name] = {"dtype": _NAMES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [start, end]}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    with atomic_write(path, "wb") as file:
        file.write(len(text).to_bytes(8, "little"))
        file.write(text)
        for _, tensor in ordered:
            file.write(tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy())
