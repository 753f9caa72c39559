"""EfficientNet-B5 (Tan and Le 2019), with the parameter names of the PyTorch port by lukemelas."""

from torch import nn
from torch.nn.functional import pad, silu

# Channels, blocks, stride of the first, kernel, expansion: B0's, scaled by 1.6 in width and 2.2 in depth.
STAGES = (
    (24, 3, 1, 3, 1), (40, 5, 2, 3, 6), (64, 5, 2, 5, 6), (128, 7, 2, 3, 6),
    (176, 7, 1, 5, 6), (304, 9, 2, 5, 6), (512, 3, 1, 3, 6),
)  # fmt: skip
STEM, HEAD = 48, 2048
EPS = 1e-3  # of the batch norms


class SameConv2d(nn.Conv2d):
    """Padded by kernel - stride in all, the odd one after.

    That is TensorFlow's "same" for even sizes. The port fixes it at the size that B5 was trained at, whatever the
    input is, so that it does not depend on the input here either.
    """

    def __init__(self, inside, outside, kernel, stride=1, groups=1):
        super().__init__(inside, outside, kernel, stride, groups=groups, bias=False)
        before = (kernel - stride) // 2
        after = kernel - stride - before
        self.around = before, after, before, after

    def forward(self, x):
        return super().forward(pad(x, self.around))


class MBConv(nn.Module):
    """Expand, filter each channel, weigh the channels by what the whole image says, project; with a shortcut."""

    def __init__(self, inside, outside, kernel, stride, expansion):
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

    def forward(self, x):
        y = x if self._expand_conv is None else silu(self._bn0(self._expand_conv(x)))
        y = silu(self._bn1(self._depthwise_conv(y)))
        weights = self._se_expand(silu(self._se_reduce(y.mean((2, 3), keepdim=True)))).sigmoid()
        y = self._bn2(self._project_conv(y * weights))
        return x + y if self.shortcut else y


class EfficientNetB5(nn.Module):
    """(B, 3, H, W) standardised RGB -> (B, 512, H / 32, W / 32): the last block's output, without the head."""

    def __init__(self):
        super().__init__()
        self._conv_stem = SameConv2d(3, STEM, 3, 2)
        self._bn0 = nn.BatchNorm2d(STEM, EPS)
        self._blocks = nn.ModuleList()
        inside = STEM
        for outside, blocks, stride, kernel, expansion in STAGES:
            for block in range(blocks):
                self._blocks.append(MBConv(inside, outside, kernel, stride if block == 0 else 1, expansion))
                inside = outside
        self._conv_head = nn.Conv2d(inside, HEAD, 1, bias=False)  # from here on in the checkpoint only
        self._bn1 = nn.BatchNorm2d(HEAD, EPS)
        self._fc = nn.Linear(HEAD, 1000)

    def forward(self, x):
        x = silu(self._bn0(self._conv_stem(x)))
        for block in self._blocks:
            x = block(x)
        return x
