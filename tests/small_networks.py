"""The largest networks with fewer parameters, for tests of what surrounds them. Their own tests run them whole."""

import sys
from collections import OrderedDict
from contextlib import contextmanager
from functools import partial

import pytest
from torch import nn
from torch.nn.functional import avg_pool2d

from salbench import registry


class SmallEncoder(nn.Module):
    """Features of the shapes that PNASNet5Large returns, from 24 thousand parameters instead of 86 million."""

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, channels, 1, bias=False) for channels in (96, 270, 1080, 2160, 4320))

    def forward(self, x):
        return [conv(avg_pool2d(x, 2 ** (i + 1))) for i, conv in enumerate(self.convs)]


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


THIN = (4, 2), (4, 2), (4, 3), (4, 3), (4, 3)  # channels and convolutions of the groups of VGG-16


def _thin(vgg16, pools):
    """The network of a module's class VGG16 with few channels."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vgg16, "GROUPS", THIN)
        return vgg16.VGG16(pools)


@contextmanager
def small_networks():
    """Within it, the largest networks have few weights, and deepgaze_iie has one backbone with two readouts."""
    with pytest.MonkeyPatch.context() as patch:
        shared = _module("simplenet", "PNASSaliency")
        patch.setattr(shared, "PNASNet5Large", SmallEncoder)
        for module in shared, _module("tempsal", "TempSALNetwork"):
            patch.setattr(module, "upsampling", _upsampling)
        salnet, salgan = (sys.modules[registry.get(name).__module__] for name in ("salnet", "salgan"))
        patch.setattr(salnet, "FILTERS", (4,) * 8 + (1,))
        patch.setattr(salgan, "VGG16", partial(_thin, _module("salgan", "VGG16")))
        patch.setattr(salgan, "GROUPS", THIN)
        deepgaze = _module("deepgaze_iie", "DeepGazeIIE")
        patch.setattr(deepgaze, "COMPONENTS", 2)
        patch.setattr(deepgaze, "_backbones", _backbones)
        yield patch
