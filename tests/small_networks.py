"""The largest networks with fewer parameters, for tests of what surrounds them. Their own tests run them whole."""

import sys
from collections import OrderedDict
from contextlib import contextmanager

import pytest
from torch import nn
from torch.nn.functional import avg_pool2d

from salbench import registry


class SmallEncoder(nn.Module):
    """Features of the shapes that PNASNet5Large returns, from 24 thousand parameters instead of 86 million."""

    LEVELS = 96, 270, 1080, 2160, 4320

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, channels, 1, bias=False) for channels in self.LEVELS)

    def forward(self, x):
        return [conv(avg_pool2d(x, 2 ** (i + 1))) for i, conv in enumerate(self.convs)]


class SmallResNet(SmallEncoder):
    """Features of the shapes of ResNet50's levels, from 12 thousand parameters instead of 24 million."""

    LEVELS = 64, 256, 512, 1024, 2048

    def levels(self, x):
        return self(x)


def _upsampling(inside, outside):
    """A stage of the decoders with a ninth of the weights."""
    return nn.Sequential(nn.Conv2d(inside, outside, 1), nn.ReLU(), nn.Upsample(scale_factor=2))


def _backbones():
    """In place of the four backbones of DeepGaze IIE, which have 104 million parameters."""
    backbone = nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 6, 16, stride=16)))
    return [(backbone, ["conv"], 6)]


def _module(method, network):
    """The module in which a network that a method uses is written."""
    own = sys.modules[registry.get(method).__module__]
    return sys.modules[getattr(own, network).__module__]


@contextmanager
def small_networks():
    """Within it, the largest networks have few weights, and deepgaze_iie has one backbone with two readouts."""
    with pytest.MonkeyPatch.context() as patch:
        shared = _module("simplenet", "PNASSaliency")
        patch.setattr(shared, "PNASNet5Large", SmallEncoder)
        for module in shared, _module("tempsal", "TempSALNetwork"):
            patch.setattr(module, "upsampling", _upsampling)
        patch.setattr(_module("emlnet", "EMLNetwork"), "ResNet50", SmallResNet)
        rinet = _module("rinet", "RINetwork")
        patch.setattr(rinet, "DENSENET161", rinet.DENSENET161._replace(first=8, growth=2, blocks=(1, 1, 1, 1)))
        patch.setattr(rinet, "_fusion", _upsampling)
        deepgaze = _module("deepgaze_iie", "DeepGazeIIE")
        patch.setattr(deepgaze, "COMPONENTS", 2)
        patch.setattr(deepgaze, "_backbones", _backbones)
        yield patch
