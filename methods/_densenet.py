"""DenseNet-161 and DenseNet-201 (Huang et al. 2017), with the parameter names of torchvision."""

from collections import OrderedDict
from typing import NamedTuple

import torch
from torch import nn
from torch.nn.functional import relu


class Shape(NamedTuple):
    """The shape of a DenseNet.

    Attributes:
        first: channels of the first convolution.
        growth: channels that each layer adds.
        blocks: layers of each dense block.
    """

    first: int
    growth: int
    blocks: tuple[int, ...]


DENSENET161 = Shape(96, 48, (6, 12, 36, 24))
DENSENET201 = Shape(64, 32, (6, 12, 48, 32))


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1 convolution, norm, ReLU, 3x3 convolution."""

    def __init__(self, inside: int, growth: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, 4 * growth, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(4 * growth)
        self.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The channels to concatenate to `x` (B, C, H, W)."""
        x = self.conv1(relu(self.norm1(x)))
        return self.conv2(relu(self.norm2(x)))


class DenseBlock(nn.Module):
    """Layers that each get the output of all layers before them."""

    def __init__(self, inside: int, layers: int, growth: int) -> None:
        super().__init__()
        for i in range(layers):
            self.add_module(f"denselayer{i + 1}", DenseLayer(inside + i * growth, growth))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Concatenate the output of every layer to `x` (B, C, H, W)."""
        for layer in self.children():
            x = torch.cat([x, layer(x)], 1)
        return x


def transition(inside: int, outside: int) -> nn.Sequential:
    """Fewer channels and half the size (rounded down), between two blocks."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(inside),
            relu=nn.ReLU(),
            conv=nn.Conv2d(inside, outside, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


def dense_features(shape: Shape) -> nn.Sequential:
    """All layers of a DenseNet but its classifier: maps (B, 3, H, W) to (B, C, H / 32, W / 32)."""
    channels = shape.first
    features = nn.Sequential(
        OrderedDict(
            conv0=nn.Conv2d(3, channels, 7, 2, 3, bias=False),
            norm0=nn.BatchNorm2d(channels),
            relu0=nn.ReLU(),
            pool0=nn.MaxPool2d(3, 2, 1),
        )
    )
    for number, layers in enumerate(shape.blocks, 1):
        features.add_module(f"denseblock{number}", DenseBlock(channels, layers, shape.growth))
        channels += layers * shape.growth
        if number < len(shape.blocks):
            features.add_module(f"transition{number}", transition(channels, channels // 2))
            channels //= 2
    features.add_module("norm5", nn.BatchNorm2d(channels))
    return features


class DenseNet201(nn.Module):
    """DenseNet-201 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.features = dense_features(DENSENET201)
        self.classifier = nn.Linear(self.features.norm5.num_features, 1000)  # unused; the checkpoint holds it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map standardised RGB (B, 3, H, W) to features (B, 1920, H / 32, W / 32)."""
        return self.features(x)
