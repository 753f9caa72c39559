"""The network of attention_center, as in the published graph.

The backbone is the small MobileNetV3 (Howard et al. 2019, table 2) with five blocks of 5 x 5 filters after its fourth
block, without its last two blocks, and with group norms of eight groups in place of batch norms. Four heads turn the
features after blocks 2, 4, 6 and 8 into coarse logits, which are enlarged and added.
"""

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d, interpolate, max_pool2d, pad, relu, relu6

# Blocks of the backbone: side of the filters, channels inside, channels of the output, channels that the gate squeezes
# to (0: no gate), activation, stride.
BLOCKS = (
    (3, 16, 16, 8, nn.ReLU, 2),
    (3, 72, 24, 0, nn.ReLU, 2),
    (3, 88, 24, 0, nn.ReLU, 1),
    (5, 96, 40, 24, nn.Hardswish, 2),
    (5, 240, 40, 64, nn.Hardswish, 1),
    (5, 240, 40, 64, nn.Hardswish, 1),
    (5, 120, 48, 32, nn.Hardswish, 1),
    (5, 144, 48, 40, nn.Hardswish, 1),
    (5, 288, 96, 72, nn.Hardswish, 2),
)
STEM = 16  # channels
HEADS = (2, 4, 6, 8)  # blocks whose output is read
HEAD = 3  # channels inside a head
GROUPS = 8  # of every group norm
STRIDE = 32  # input pixels per cell of the last features, along each side
EPSILON, SIXTH = 1.0132789611816406e-06, 0.1666259765625  # 1e-6 and 1/6, rounded to 16 bits as in the file


class AttentionCenterNetwork(nn.Module):
    """Maps RGB images in [0, 1] to logits; a sigmoid of them is the published map."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = Convolution(3, STEM, 3, nn.Hardswish, stride=2)
        blocks, inside = [], STEM
        for side, hidden, outside, gate, activation, stride in BLOCKS:
            blocks.append(Block(inside, hidden, outside, side, gate, activation, stride))
            inside = outside
        self.blocks = nn.ModuleList(blocks)
        self.heads = nn.ModuleList(Head(BLOCKS[i][2]) for i in HEADS)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits (B, H, W) of pictures (B, 3, H, W).

        Raises:
            ValueError: a side of the pictures is not a multiple of 32.
        """
        height, width = pictures.shape[-2:]
        if height % STRIDE or width % STRIDE:
            raise ValueError(
                f"expected images with sides that are multiples of {STRIDE}, got {(height, width)}; resize them"
            )
        # With colours last in memory, torch's group norm computes a variance as a mean of squares minus a squared mean.
        # Where features are almost constant, as for flat displays, that has no digits left.
        x, features = self.stem(pictures.contiguous()), []
        for block in self.blocks:
            x = block(x)
            features.append(x)
        logits = [head(features[i]) for head, i in zip(self.heads, HEADS, strict=True)]
        return sum(enlarged(each, height // each.shape[-2]) for each in logits)[:, 0]


class Convolution(nn.Module):
    """A convolution without bias, a group norm and an activation."""

    def __init__(
        self,
        inside: int,
        outside: int,
        side: int,
        activation: type[nn.Module] = nn.Identity,
        *,
        stride: int = 1,
        groups: int = 1,
    ) -> None:
        super().__init__()
        # TensorFlow's "same" padding of an even number of pixels: at stride two, one pixel less at the top and the left
        before, after = (side - stride) // 2, (side - 1) // 2
        self.margins = (before, after, before, after)
        self.conv = nn.Conv2d(inside, outside, side, stride, groups=groups, bias=False)
        self.norm = nn.GroupNorm(GROUPS, outside, EPSILON)
        self.activation = activation()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activation(self.norm(self.conv(pad(x, self.margins))))


class Block(nn.Module):
    """Expand channels, filter each, gate them, project back; with a shortcut if the shape stays the same."""

    def __init__(
        self, inside: int, hidden: int, outside: int, side: int, gate: int, activation: type[nn.Module], stride: int
    ) -> None:
        super().__init__()
        self.expand = Convolution(inside, hidden, 1, activation) if hidden > inside else nn.Identity()
        self.filter = Convolution(hidden, hidden, side, activation, stride=stride, groups=hidden)
        self.gate = Gate(hidden, gate) if gate else nn.Identity()
        self.project = Convolution(hidden, outside, 1)
        self.shortcut = stride == 1 and inside == outside

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        projected = self.project(self.gate(self.filter(self.expand(x))))
        return x + projected if self.shortcut else projected


class Gate(nn.Module):
    """Squeeze and excitation: weighs each channel by what the means of all channels say."""

    def __init__(self, channels: int, squeezed: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(channels, squeezed, 1)
        self.excite = nn.Conv2d(squeezed, channels, 1)  # its bias includes the 3 of a hard sigmoid

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (SIXTH * relu6(self.excite(relu(self.squeeze(adaptive_avg_pool2d(x, 1))))))


class Head(nn.Module):
    """Coarse logits from features: a convolution to three channels, their largest values nearby, and a sum."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.filter = nn.Conv2d(channels, HEAD, 3, padding=1)
        self.sum = nn.Conv2d(HEAD, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.sum(max_pool2d(self.filter(relu(x)), 3, stride=1, padding=1))


def enlarged(x: torch.Tensor, factor: int) -> torch.Tensor:
    """Map (B, 1, h, w) to (B, 1, factor h, factor w), bilinear as in TensorFlow 1.

    Pixel `factor` i has the value of cell i, and the last cell is repeated beyond it. Repeating the last row and column
    first makes this torch's way with aligned corners.
    """
    height, width = (factor * length for length in x.shape[-2:])
    x = pad(x, (0, 1, 0, 1), mode="replicate")
    return interpolate(x, size=(height + 1, width + 1), mode="bilinear", align_corners=True)[..., :-1, :-1]
