"""Every method that can be trained, and what two steps on small networks need."""

import importlib
from collections import OrderedDict
from contextlib import contextmanager
from functools import cache

import torch
from small_networks import SmallEncoder, SmallResNet, small_networks
from torch import nn

from salbench import registry, weights
from salbench.training import LearnedMethod, checkpoint
from salbench.training.checkpoint import Record

TRAINABLE = [name for name in registry.available() if issubclass(registry.get(name), LearnedMethod)]
SIZE = (128, 160)  # of the images; DeepGaze IIE takes none that are smaller
OF_BACKBONE = "diffusion_readout", "diffusion_readout_fast"  # these see images of the size of their backbone
SEEN = dict.fromkeys(TRAINABLE, (32, 64)) | {"deepgaze_iie": SIZE}  # by the networks
SHARE = 0.2  # of the images, to validate on


def recipe_of(name, **changes):
    """Changes of a method's recipe for two steps; `changes` come on top."""
    size = {} if name in OF_BACKBONE else {"size": SEEN[name]}
    return {"steps": 2, "batch_size": 2, "validation_share": SHARE} | size | changes


class DilatedResNet(SmallResNet):
    """Features of the shapes of a dilated ResNet50's levels."""

    STRIDES = 2, 4, 8, 8, 8
    levels = SmallEncoder.forward

    def __init__(self, **_):
        super().__init__()

    def forward(self, x):
        return self.levels(x)[-1]


def _scene():
    """In place of the network that dsclrcn sees the scene with."""
    dsclrcn = _module("dsclrcn")
    layers = {"conv1_s": nn.Conv2d(3, 4, 64, 64), "flat": nn.Flatten(), "ip": nn.Linear(36, dsclrcn.HIDDEN)}
    return nn.Sequential(OrderedDict(layers, norm=dsclrcn.Normalise()))


def _module(method, part=""):
    """A module in which a method is written."""
    return importlib.import_module(registry.get(method).logits.__module__ + part)


@contextmanager
def small_methods(folder):
    """Within it, all methods are small, and `folder` holds a backbone/ and weights/ to start from."""
    import tiny_backbone  # here, as diffusers takes seconds to import

    tiny_backbone.write(folder / "backbone")
    with small_networks() as patch:
        patch.setattr(registry.get("diffusion_readout"), "timesteps", 2)
        backbone = _module("diffusion_readout", ".backbone").Backbone
        patch.setattr(backbone, "load", cache(backbone.load))
        patch.setattr(_module("transalnet_res"), "SIZE", SEEN["transalnet_res"])
        patch.setattr(_module("fastgaze"), "LENGTH", max(SEEN["fastgaze"]))
        for method in "dinet", "dsclrcn", "sam_resnet":
            patch.setattr(_module(method), "ResNet50", DilatedResNet)
        patch.setattr(_module("dsclrcn"), "HIDDEN", 8)
        patch.setattr(_module("dsclrcn"), "SceneNetwork", _scene)
        _write_weights(folder / "weights")
        yield patch


def _write_weights(root):
    """Write random weights in place of those that DeepGaze IIE always starts from, as `weights convert` does."""
    torch.manual_seed(5)
    state = registry.create("deepgaze_iie").build_network().state_dict()
    checkpoint.save(weights.converted("deepgaze_iie", root), state, Record())
    weights.folder("imagenet", root).mkdir()
