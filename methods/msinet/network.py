"""The network of msinet: VGG-16, atrous spatial pyramid pooling and a small decoder, named as published."""

import torch
from torch import nn
from torch.nn.functional import relu

from .._tensorflow import enlarged
from .._vgg16 import VGG16

STRIDE = 8  # input pixels per cell of the features
DILATIONS = None, 4, 8, 12  # of the branches; the first one is a 1x1 convolution
WIDTH = 256  # channels of a branch
EPS = 1e-7


class MSINetwork(nn.Module):
    """Maps RGB images (B, 3, H, W), values less Caffe's means, to maps (B, H, W) of range 0 to 1.

    H and W must be multiples of 8.
    """

    def __init__(self) -> None:
        super().__init__()
        halving, keeping = nn.MaxPool2d(2), nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), nn.MaxPool2d(2, 1))
        self.vgg16 = VGG16([halving, halving, halving, keeping, keeping], dilation=2)
        self.aspp = ASPP(256 + 512 + 512)
        self.decoder = Decoder()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The map of each image, stretched to 0 to 1.

        Raises:
            ValueError: H or W is not a multiple of 8.
        """
        size = tuple(x.shape[-2:])
        if any(length % STRIDE for length in size):
            raise ValueError(f"expected images with sides that are multiples of {STRIDE}, got {size}; resize them")
        levels = torch.cat(self.vgg16.levels(x)[2:], 1)
        return stretched(self.decoder(self.aspp(levels))[:, 0].float())


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: dilated convolutions side by side, and one of the spatial mean."""

    def __init__(self, inside: int) -> None:
        super().__init__()
        for i, dilation in enumerate(DILATIONS, 1):
            conv = nn.Conv2d(inside, WIDTH, 1) if dilation is None else _dilated(inside, dilation)
            self.add_module(f"conv1_{i}", conv)
        self.conv1_5 = nn.Conv2d(inside, WIDTH, 1)
        self.conv2 = nn.Conv2d((len(DILATIONS) + 1) * WIDTH, WIDTH, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inside, h, w) to (B, 256, h, w)."""
        branches = [relu(self.get_submodule(f"conv1_{i}")(x)) for i in range(1, len(DILATIONS) + 1)]
        mean = relu(self.conv1_5(x.mean((2, 3), keepdim=True)))
        return relu(self.conv2(torch.cat([*branches, mean.expand_as(branches[0])], 1)))


class Decoder(nn.Module):
    """Three times bilinear upsampling by two and a convolution, then a linear one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(WIDTH, 128, 3, padding=1)
        self.conv2 = nn.Conv2d(128, 64, 3, padding=1)
        self.conv3 = nn.Conv2d(64, 32, 3, padding=1)
        self.conv4 = nn.Conv2d(32, 1, 3, padding=1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, 256, h, w) to (B, 1, 8 h, 8 w)."""
        for conv in (self.conv1, self.conv2, self.conv3):
            x = relu(conv(enlarged(x, 2)))
        return self.conv4(x)


def stretched(maps: torch.Tensor) -> torch.Tensor:
    """Maps (B, H, W) less their minimum, divided by their maximum."""
    maps = maps - maps.amin((1, 2), keepdim=True)
    return maps / (EPS + maps.amax((1, 2), keepdim=True))


def _dilated(inside: int, dilation: int) -> nn.Conv2d:
    return nn.Conv2d(inside, WIDTH, 3, padding=dilation, dilation=dilation)
