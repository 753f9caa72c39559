"""DenseNet-201 (Huang et al. 2017), with the parameter names of torchvision."""

from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import relu

BLOCKS = 6, 12, 48, 32  # layers of each dense block
GROWTH = 32  # channels that each layer adds
BOTTLENECK = 4 * GROWTH


class DenseLayer(nn.Module):
    """Norm, ReLU, 1x1, norm, ReLU, 3x3: (B, C, H, W) -> the `GROWTH` channels to add to it."""

    def __init__(self, inside):
        super().__init__()
        self.norm1 = nn.BatchNorm2d(inside)
        self.conv1 = nn.Conv2d(inside, BOTTLENECK, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(BOTTLENECK)
        self.conv2 = nn.Conv2d(BOTTLENECK, GROWTH, 3, padding=1, bias=False)

    def forward(self, x):
        x = self.conv1(relu(self.norm1(x)))
        return self.conv2(relu(self.norm2(x)))


class DenseBlock(nn.Module):
    """Layers that each see the output of all before them."""

    def __init__(self, inside, layers):
        super().__init__()
        for i in range(layers):
            self.add_module(f"denselayer{i + 1}", DenseLayer(inside + i * GROWTH))

    def forward(self, x):
        for layer in self.children():
            x = torch.cat([x, layer(x)], 1)
        return x


def _transition(inside, outside):
    """Between two blocks: fewer channels, half the size (rounded down)."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(inside),
            relu=nn.ReLU(),
            conv=nn.Conv2d(inside, outside, 1, bias=False),
            pool=nn.AvgPool2d(2),
        )
    )


class DenseNet201(nn.Module):
    """(B, 3, H, W) standardised RGB -> (B, 1920, H / 32, W / 32)."""

    def __init__(self):
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
        self.classifier = nn.Linear(channels, 1000)  # in the checkpoint only

    def forward(self, x):
        return self.features(x)
