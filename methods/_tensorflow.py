"""What networks share that were written for TensorFlow 1."""

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
