"""unisal: one small network for pictures and videos, a few of its parts separate for each data set.

Droste, Jiao and Noble, Unified Image and Video Saliency Modeling, ECCV 2020. The network has the published names, so
that the checkpoints of github.com/rdroste/unisal load strictly. A picture takes the path without recurrence through the
parts of the domain SALICON.
"""

import re

import numpy as np
import torch
from PIL import Image

from salbench.registry import register
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint

from .network import DOMAINS, PICTURES, STRIDE, UnisalNetwork

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's RGB values in [0, 1]
CELLS, SIDES = (100, 120), range(7, 14)  # how many cells a picture gets, and along one side


@register
class Unisal(LearnedMethod):
    """MobileNetV2 with parts for each domain, as published (Droste et al. 2020).

    A picture is resized to cells of 32 x 32 pixels in the published way, see `input_size`, and its density is given at
    its own size. For SALICON's pictures of 480 x 640 that rule gives the 288 x 384 which the authors state for
    SALICON, so there is one rule for all pictures.

    `fit` trains the picture path of a new network. From the authors' training are the loss, the batch, the epochs, the
    clipping, the weight decay of all but the backbone and its smaller learning rate. Theirs differs in this: SGD with
    momentum (rate 0.04, decayed by 0.8 an epoch) where the loop has AdamW, whose rate is ours; a backbone that starts
    from ImageNet, rests for two epochs and keeps its batch statistics; videos in turn with pictures; maps of 480 x 640.
    """

    paper = "Droste et al., Unified Image and Video Saliency Modeling, ECCV 2020"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint(
            "weights_best.pth",
            source="https://github.com/rdroste/unisal",
            licence="Apache-2.0",
            trained_on="DHF1K, Hollywood-2, UCF Sports, SALICON",
        ),
    )
    recipe = Recipe(
        size=(288, 384), epochs=16, batch_size=32, learning_rate=1e-3, rates={"cnn.": 0.1}, weight_decay=1e-4,
        clip=2.0, average=0.0, losses={"kl": 1.0, "nss": 0.1, "cc": 0.1}, patience=16,
    )  # fmt: skip

    def build_network(self):
        network = UnisalNetwork()
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(_is_for_pictures(name))
        return network

    def preprocess(self, images):
        """Float (B, 3, H, W), standardised by the mean and deviation of ImageNet."""
        mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, STD))
        return images.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)  # in place: new tensors take longer

    def logits(self, network, images, captions):
        return network(self.preprocess(images), images.shape[1:3])

    def images_of(self, sample):
        """uint8 tensor (1, H, W, 3) of the network's input size, resized by Lanczos' filter as published."""
        height, width = input_size(*sample.size)
        resized = Image.fromarray(sample.image).resize((width, height), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(resized))[None]

    def logits_of(self, network, images, samples):
        """Logits (B, height, width) of the samples' own size."""
        return network(self.preprocess(images), samples[0].size)


def input_size(height, width):
    """(height, width) in pixels at which the network sees a picture of any size.

    Among the grids of 100 to 120 cells, 7 to 13 along each side, the one whose sides have the ratio closest to the
    picture's; the first of equals, fewest rows first.
    """
    grids = [(rows, columns) for rows in SIDES for columns in SIDES if CELLS[0] <= rows * columns <= CELLS[1]]

    def likeness(grid):
        smaller, larger = sorted((grid[0] / grid[1], height / width))
        return smaller / larger

    rows, columns = max(grids, key=likeness)
    return STRIDE * rows, STRIDE * columns


def _is_for_pictures(name):
    """Whether a parameter takes part in a prediction: it is not recurrent, and of SALICON if of one domain."""
    of_other = any(re.search(rf"_{domain}\b", name, re.IGNORECASE) for domain in DOMAINS if domain != PICTURES)
    return not of_other and not name.startswith(("rnn.", "post_rnn."))
