"""What networks share that were written for TensorFlow 1."""

from collections.abc import Sequence

import torch


def enlarged(x: torch.Tensor, factor: int) -> torch.Tensor:
    """Bilinear upsampling of (B, C, h, w) by a factor, as TensorFlow 1 does it.

    Output pixel i is at i / factor of the input: PyTorch has half a pixel more, or aligns the corners. The last row and
    column are repeated.
    """
    for axis in (2, 3):
        at = torch.arange(x.shape[axis] * factor, device=x.device) / factor
        before = at.long()
        after = (before + 1).clamp(max=x.shape[axis] - 1)
        weights = (at - before).to(x.dtype).view(-1, *[1] * (3 - axis))
        first, second = x.index_select(axis, before), x.index_select(axis, after)
        x = first + (second - first) * weights
    return x


def kernel_shape(shape: Sequence[int]) -> tuple[int, ...]:
    """TensorFlow's shape of one of our parameters: (rows, columns, in, out) for a kernel (out, in, rows, columns)."""
    return (*shape[2:], shape[1], shape[0]) if len(shape) == 4 else tuple(shape)


def from_tensorflow(tensor: torch.Tensor) -> torch.Tensor:
    """A kernel (rows, columns, in, out) as PyTorch has it, (out, in, rows, columns), or any other tensor as it is."""
    return tensor.permute(3, 2, 0, 1).contiguous() if tensor.ndim == 4 else tensor
