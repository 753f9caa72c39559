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


def _own(method):
    """The module of a method."""
    return sys.modules[registry.get(method).__module__]


def _module(method, network):
    """The module in which a network that a method uses is written."""
    return sys.modules[getattr(_own(method), network).__module__]


def imagenet_state(method):
    """Random weights in place of torchvision's for the backbone of a TranSalNet, without a classifier."""
    own = _own(method)
    if method == "transalnet_res":
        return own.ResNet50().state_dict()
    return {f"features.{name}": t for name, t in own.dense_features(own.DENSENET161).state_dict().items()}


@contextmanager
def small_networks():
    """Within it, networks have few weights, and deepgaze_iie has one backbone with two readouts."""
    with pytest.MonkeyPatch.context() as patch:
        shared = _module("simplenet", "PNASSaliency")
        patch.setattr(shared, "PNASNet5Large", SmallEncoder)
        for module in shared, _module("tempsal", "TempSALNetwork"):
            patch.setattr(module, "upsampling", _upsampling)
        deepgaze = _module("deepgaze_iie", "DeepGazeIIE")
        patch.setattr(deepgaze, "COMPONENTS", 2)
        patch.setattr(deepgaze, "_backbones", _backbones)
        patch.setattr(_module("transalnet_res", "TranSalNet"), "CHANNELS", (64, 64, 64, 8, 8, 8, 8, 1))
        resnet, dense = _own("transalnet_res"), _own("transalnet_dense")
        patch.setattr(resnet, "ResNet50", partial(resnet.ResNet50, width_per_group=1))
        patch.setattr(dense, "DENSENET161", dense.DENSENET161._replace(first=8, growth=4, blocks=(1, 1, 1, 1)))
        yield patch
