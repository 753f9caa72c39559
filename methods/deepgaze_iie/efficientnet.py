"""EfficientNet-B5 (Tan and Le 2019), with the parameter names of the PyTorch port by lukemelas."""

import torch
from torch import nn
from torch.nn.functional import pad, silu

# Channels, blocks, stride of the first block, kernel, expansion: those of B0, 1.6 times as wide and 2.2 times as deep.
STAGES = (
    (24, 3, 1, 3, 1), (40, 5, 2, 3, 6), (64, 5, 2, 5, 6), (128, 7, 2, 3, 6),
    (176, 7, 1, 5, 6), (304, 9, 2, 5, 6), (512, 3, 1, 3, 6),
)  # fmt: skip
STEM, HEAD = 48, 2048
EPS = 1e-3  # of the batch norms


class SameConv2d(nn.Conv2d):
    """Convolution with TensorFlow's "same" padding for inputs of even size.

    The padding is kernel - stride pixels in all, an odd pixel going to the right and bottom. The port computes it for
    the size that B5 was trained at, whatever the input; so this padding does not depend on the input either.
    """

    def __init__(self, inside: int, outside: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        super().__init__(inside, outside, kernel, stride, groups=groups, bias=False)
        before = (kernel - stride) // 2
        after = kernel - stride - before
        self.around = before, after, before, after

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(pad(x, self.around))


class MBConv(nn.Module):
    """Expand channels, filter each, weight them by global context (squeeze and excitation), project back."""

    def __init__(self, inside: int, outside: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden, squeezed = inside * expansion, inside // 4
        self._expand_conv = None
        if expansion > 1:
            self._expand_conv = nn.Conv2d(inside, hidden, 1, bias=False)
            self._bn0 = nn.BatchNorm2d(hidden, EPS)
        self._depthwise_conv = SameConv2d(hidden, hidden, kernel, stride, groups=hidden)
        self._bn1 = nn.BatchNorm2d(hidden, EPS)
        self._se_reduce = nn.Conv2d(hidden, squeezed, 1)
        self._se_expand = nn.Conv2d(squeezed, hidden, 1)
        self._project_conv = nn.Conv2d(hidden, outside, 1, bias=False)
        self._bn2 = nn.BatchNorm2d(outside, EPS)
        self.shortcut = inside == outside and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inside, h, w) to (B, outside, h / stride, w / stride)."""
        y = x if self._expand_conv is None else silu(self._bn0(self._expand_conv(x)))
        y = silu(self._bn1(self._depthwise_conv(y)))
        weights = self._se_expand(silu(self._se_reduce(y.mean((2, 3), keepdim=True)))).sigmoid()
        y = self._bn2(self._project_conv(y * weights))
        return x + y if self.shortcut else y


class EfficientNetB5(nn.Module):
    """EfficientNet-B5 without its head."""

    def __init__(self) -> None:
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM, 3, 2)
        self._bn0 = nn.BatchNorm2d(STEM, EPS)
        self._blocks = nn.ModuleList()
        inside = STEM
        for outside, blocks, stride, kernel, expansion in STAGES:
            for block in range(blocks):
                self._blocks.append(MBConv(inside, outside, kernel, stride if block == 0 else 1, expansion))
                inside = outside
        self._conv_head = nn.Conv2d(inside, HEAD, 1, bias=False)  # unused, like the next two; the checkpoint holds them
        self._bn1 = nn.BatchNorm2d(HEAD, EPS)
        self._fc = nn.Linear(HEAD, 1000)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map standardised RGB (B, 3, H, W) to features (B, 512, H / 32, W / 32) of the last block."""
        x = silu(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return x
