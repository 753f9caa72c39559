"""What the tests of the editor share: an image, a region of it, changes, and a network as if trained."""

from contextlib import contextmanager

import torch
from modules import part

editor, network, regions = part("editor"), part("network"), part("regions")

CAPTION = "a cat sits"
CAT = regions.Word("cat", [2])
PLAIN = {  # changes without a word, whose prompt and attention are the image's own
    "contrast": editor.Change("contrast"),
    "brightness": editor.Change("brightness"),
}
WORDED = {
    "contrast": editor.Change("contrast", word=CAT),
    "brightness": editor.Change("brightness", word=CAT),
    "color": editor.Change("color", "red", CAT),
}
CHANGE = PLAIN["brightness"]
IMAGE = torch.randint(0, 256, (1, 64, 128, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
REGION = torch.zeros(1, 1, 8, 16)  # soft at its border
REGION[..., 2:6, 3:9] = 1
REGION[..., 2, 3:9] = 0.5


def trained(backbone, steps):
    """A network as if trained: its weights random, a deviation of one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        new = network.ReadoutNetwork(backbone.channels, backbone.embedding, steps=steps)
    new.low_level.readings.mean_square.fill_(1)
    new.low_level.truths.mean_square.fill_(1e18)
    return new.requires_grad_(False).eval()


def edited(of, inverted, change, strengths, size=None):
    """What an editor makes of one image."""
    (made,) = of.edit([editor.Target(inverted, REGION, change, size)], strengths)
    return made


def latents_of(made):
    return torch.stack([m.latents for m in made])


@contextmanager
def counted(unet):
    """A list of the batch sizes of the U-Net's calls."""
    sizes = []
    hook = unet.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    try:
        yield sizes
    finally:
        hook.remove()
