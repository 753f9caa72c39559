"""Published networks with fewer parameters, for tests of what surrounds them."""

import json
import sys
from collections import OrderedDict
from contextlib import contextmanager
from functools import partial
from itertools import pairwise
from math import gcd

import pytest
from conformance import KITS
from torch import nn
from torch.nn.functional import avg_pool2d

from salbench import registry


class SmallEncoder(nn.Module):
    """Features of the shapes that PNASNet5Large returns, from 24 thousand parameters instead of 86 million."""

    LEVELS = 96, 270, 1080, 2160, 4320  # channels
    STRIDES = 2, 4, 8, 16, 32

    def __init__(self):
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(3, channels, 1, bias=False) for channels in self.LEVELS)

    def forward(self, x):
        return [conv(avg_pool2d(x, stride)) for conv, stride in zip(self.convs, self.STRIDES, strict=True)]


class SmallResNet(SmallEncoder):
    """Features of the shapes of ResNet50's levels, from 12 thousand parameters instead of 24 million."""

    LEVELS = 64, 256, 512, 1024, 2048

    def levels(self, x):
        return self(x)


class SmallXception(SmallEncoder):
    """Features of mdsem's stride and few channels, from 150 parameters instead of 21 million."""

    LEVELS = 16, 16, 16
    STRIDES = 2, 4, 8

    def forward(self, x):
        return super().forward(x)[-1]


def _pointwise(inside, outside):
    """A convolution with few weights: its filters see one pixel, and as few channels as they can."""
    return nn.Conv2d(inside, outside, 1, groups=gcd(inside, outside))


def _upsampling(inside, outside):
    """A stage of the decoders."""
    return nn.Sequential(_pointwise(inside, outside), nn.ReLU(), nn.Upsample(scale_factor=2))


def _convolutions(*widths):
    """The decoders' last convolutions."""
    layers = [layer for pair in pairwise(widths) for layer in (_pointwise(*pair), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def _aspp(aspp, inside):
    """msinet's pyramid on the last three groups of the thin VGG-16 instead of the whole one's."""
    return aspp(sum(channels for channels, _ in THIN[2:]))


def _opensalicon(network):
    """With a last layer for the features of two thin VGG-16."""
    made = network()
    made.saliency_map = nn.Conv2d(2 * THIN[-1][0], 1, 1)
    return made


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


VGG = [f"features.{i}.{k}" for i in (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28) for k in ("weight", "bias")]
THIN = (4, 2), (4, 2), (4, 3), (4, 3), (4, 3)  # channels and convolutions of the groups of VGG-16
STAGES = (64, 1), (128, 1), (256, 1), (512, 1)  # planes and blocks of the stages of ResNet-50
MOBILE = ((1, 16, 1, 1), (2, 24, 1, 2), (2, 32, 2, 2), (2, 64, 1, 2), (2, 96, 1, 1), (2, 160, 1, 2), (2, 320, 1, 1))


def _made_with(name, value, cls, **options):
    """A function that makes a network of a class while a name in its module has this value."""
    module = sys.modules[cls.__module__]

    def make(*arguments, **more):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(module, name, value)
            return cls(*arguments, **options, **more)

    return make


@contextmanager
def small_networks():
    """Within it, published networks have few weights or see small images; deepgaze_iie has one backbone."""
    with pytest.MonkeyPatch.context() as patch:
        shared = _module("simplenet", "PNASSaliency")
        patch.setattr(shared, "PNASNet5Large", SmallEncoder)
        for module in shared, _module("tempsal", "TempSALNetwork"):
            patch.setattr(module, "upsampling", _upsampling)
            patch.setattr(module, "convolutions", _convolutions)
        salnet, salgan = _own("salnet"), _own("salgan")
        patch.setattr(salnet, "FILTERS", (4,) * 8 + (1,))
        patch.setattr(salgan, "VGG16", _made_with("GROUPS", THIN, salgan.VGG16))
        patch.setattr(salgan, "GROUPS", THIN)
        deepgaze = _module("deepgaze_iie", "DeepGazeIIE")
        patch.setattr(deepgaze, "COMPONENTS", 2)
        patch.setattr(deepgaze, "_backbones", _backbones)
        for module in map(_own, ("dinet", "dsclrcn", "sam_resnet")):
            patch.setattr(module, "ResNet50", _made_with("STAGES", STAGES, module.ResNet50, width_per_group=1))
        patch.setattr(_own("sam_resnet"), "CHANNELS", 24)
        patch.setattr(_own("dinet"), "CHANNELS", 16)
        opensalicon, msinet = _own("opensalicon"), _module("msinet", "MSINetwork")
        patch.setattr(opensalicon, "VGG16", _made_with("GROUPS", THIN, opensalicon.VGG16))
        patch.setattr(opensalicon, "OpenSALICONNetwork", partial(_opensalicon, opensalicon.OpenSALICONNetwork))
        patch.setattr(msinet, "VGG16", _made_with("GROUPS", THIN, msinet.VGG16))
        patch.setattr(msinet, "ASPP", partial(_aspp, msinet.ASPP))
        patch.setattr(msinet, "WIDTH", 16)
        mdsem = _module("mdsem", "MDSEMNetwork")
        patch.setattr(mdsem, "Xception", SmallXception)
        patch.setattr(mdsem, "FEATURES", SmallXception.LEVELS[-1])
        patch.setattr(mdsem, "UNITS", 8)
        patch.setattr(_module("emlnet", "EMLNetwork"), "ResNet50", SmallResNet)
        rinet = _module("rinet", "RINetwork")
        patch.setattr(rinet, "DENSENET161", rinet.DENSENET161._replace(first=8, growth=2, blocks=(1, 1, 1, 1)))
        patch.setattr(rinet, "_fusion", _upsampling)
        patch.setattr(_module("transalnet_res", "TranSalNet"), "CHANNELS", (64, 64, 64, 8, 8, 8, 8, 1))
        resnet, dense = _own("transalnet_res"), _own("transalnet_dense")
        narrow = [(planes // 4, blocks) for planes, blocks in STAGES]
        patch.setattr(resnet, "ResNet50", _made_with("STAGES", narrow, resnet.ResNet50, width_per_group=16))
        patch.setattr(dense, "DENSENET161", dense.DENSENET161._replace(first=8, growth=4, blocks=(1, 1, 1, 1)))
        unisal = _module("unisal", "UnisalNetwork")
        for name, value in {"STAGES": MOBILE, "AT_4X": 5, "AT_2X": 7, "CHANNELS": 32, "WIDTH": 32}.items():
            patch.setattr(unisal, name, value)
        for method in map(registry.get, ("dsclrcn", "opensalicon")):
            patch.setattr(method, "recipe", method.recipe.at((64, 96)))
        yield patch


def imagenet_state(method):
    """Random weights in place of the file that trainings of a method can start from, within `small_networks`."""
    own = _own(method)
    if method == "unisal":
        spec = json.loads((KITS / "imagenet" / "mobilenet_v2.json").read_text())
        theirs = registry.create(method).encoder_state({name: name for name, *_ in spec})
        encoder = registry.create(method).build_network().cnn.state_dict()
        return {theirs.get(name, name): tensor for name, tensor in encoder.items()}
    if method in ("simplenet", "tempsal"):
        return SmallEncoder().state_dict()
    if method == "emlnet":
        return SmallResNet().state_dict()
    if method == "transalnet_res":
        return own.ResNet50().state_dict()
    if method == "transalnet_dense":
        return {f"features.{name}": t for name, t in own.dense_features(own.DENSENET161).state_dict().items()}
    encoder = registry.create(method).build_network().encoder.state_dict()
    if method == "salgan":
        return dict(zip(VGG, encoder.values(), strict=True))
    return {f"features.{name}": tensor for name, tensor in encoder.items()}
