"""DenseNet-201 (Huang et al. 2017), with the parameter names of torchvision."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import relu

BLOCKS = 6, 12, 48, 32  # layers of each dense block
GROWTH = 32  # channels that each layer adds
BOTTLENECK = 4 * GROWTH  # channels inside a layer


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1 convolution, norm, ReLU, 3x3 convolution."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, BOTTLENECK, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK)
        self.conv2 = nn.Conv2d(BOTTLENECK, GROWTH, 3, padding=1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The `GROWTH` channels to concatenate to `x` (B, C, H, W)."""
        x = self.conv1(relu(self.norm1(x)))
        return self.conv2(relu(self.norm2(x)))


class DenseBlock(nn.Module):
    """Layers that each get the output of all layers before them."""

    def __init__(self, inside: int, layers: int) -> None:
        super().__init__()
        for i in range(layers):
            self.add_module(f"denselayer{i + 1}", DenseLayer(inside + i * GROWTH))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Concatenate the output of every layer to `x` (B, C, H, W)."""
        for layer in self.children():
            x = torch.cat([x, layer(x)], 1)
        return x


def _transition(inside: int, outside: int) -> nn.Sequential:
    """Fewer channels and half the size (rounded down), between two blocks."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(inside),
            relu=nn.ReLU(),
            conv=nn.Conv2d(inside, outside, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


class DenseNet201(nn.Module):
    """DenseNet-201 without its classifier."""

    def __init__(self) -> None:
        super().__init__()
        channels = 64
        self.features = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(3, channels, 7, 2, 3, bias=False),
                norm0=nn.BatchNorm2d(channels),
                relu0=nn.ReLU(),
                pool0=nn.MaxPool2d(3, 2, 1),
            )
        )
        for number, layers in enumerate(BLOCKS, 1):
            self.features.add_module(f"denseblock{number}", DenseBlock(channels, layers))
            channels += layers * GROWTH
            if number < len(BLOCKS):
                self.features.add_module(f"transition{number}", _transition(channels, channels // 2))
                channels //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(channels))
        self.classifier = nn.Linear(channels, 1000)  # unused; the checkpoint holds it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map standardised RGB (B, 3, H, W) to features (B, 1920, H / 32, W / 32)."""
        return self.features(x)
