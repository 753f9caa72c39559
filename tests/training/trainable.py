"""Every method that can be trained, and what two steps on small networks need."""

import torch

from salbench import registry, weights
from salbench.training import LearnedMethod, checkpoint
from salbench.training.checkpoint import Record

TRAINABLE = [name for name in registry.available() if issubclass(registry.get(name), LearnedMethod)]
SIZE = (128, 160)  # of the images; DeepGaze IIE takes none that are smaller
# Of what the networks see; others take the size of their backbone.
SIZES = {"lite": (48, 64), "unisal": (64, 96), "simplenet": (64, 64), "tempsal": (64, 64), "deepgaze_iie": SIZE}
SIZES |= {"salnet": (64, 80), "salgan": (64, 80), "dsclrcn": (64, 96), "opensalicon": (64, 96), "dinet": (64, 96)}
SIZES |= {"sam_resnet": (64, 80), "mdsem": (64, 96), "msinet": (64, 96), "emlnet": (64, 64), "rinet": (64, 64)}
SIZES |= {"attention_center": (64, 96), "fastgaze": (64, 80), "gaze_lite": (64, 96)}
SHARE = 0.2  # of the images, to validate on


def recipe_of(name, **changes):
    """Changes of a method's recipe for two steps; `changes` come on top."""
    size = {"size": SIZES[name]} if name in SIZES else {}
    return {"steps": 2, "batch_size": 2, "validation_share": SHARE} | size | changes


def write_random_weights(root):
    """Write random weights in place of the published ones, as `weights convert` does, into the folder `root`."""
    torch.manual_seed(5)
    for name in TRAINABLE:
        if registry.get(name).checkpoints:
            state = registry.create(name).build_network().state_dict()
            checkpoint.save(weights.converted(name, root), state, Record())
    weights.folder("imagenet", root).mkdir()
