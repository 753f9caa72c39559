"""Every method that can be trained, and what two steps on small networks need."""

import sys
from contextlib import contextmanager

import torch
from small_networks import small_networks

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


@contextmanager
def small_methods(folder):
    """Within it, all methods are small, and `folder` holds a backbone/ and weights/ to start from."""
    import tiny_backbone  # here, as diffusers takes seconds to import

    tiny_backbone.write(folder / "backbone")
    with small_networks() as patch:
        patch.setattr(registry.get("diffusion_readout"), "timesteps", 2)
        transalnet = sys.modules[registry.get("transalnet_res").logits.__module__]
        patch.setattr(transalnet, "SIZE", SEEN["transalnet_res"])
        _write_weights(folder / "weights")
        yield patch


def _write_weights(root):
    """Write random weights in place of those that DeepGaze IIE always starts from, as `weights convert` does."""
    torch.manual_seed(5)
    state = registry.create("deepgaze_iie").build_network().state_dict()
    checkpoint.save(weights.converted("deepgaze_iie", root), state, Record())
    weights.folder("imagenet", root).mkdir()
