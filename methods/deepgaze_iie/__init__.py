"""deepgaze_iie: four networks that were trained on ImageNet, read out 120 times.

Linardos, Kümmerer, Press and Bethge, DeepGaze IIE: Calibrated prediction in and out-of-domain for state-of-the-art
saliency modeling, ICCV 2021. The network has the published names, so that the checkpoint of
github.com/matthias-k/DeepGaze loads strictly; the centre bias that the authors publish beside it is a buffer of it.
"""

import numpy as np
import torch

from salbench.registry import register
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint

from .network import DeepGazeIIE

PUBLISHED = {
    "source": "https://github.com/matthias-k/DeepGaze/releases/tag/v1.0.0",
    "licence": "none stated",
}


@register
class DeepGaze(LearnedMethod):
    """Readouts on four frozen backbones and a centre bias, 104.6 M parameters (Linardos et al. 2021).

    A picture is given as it is. The authors intend 35 pixels per degree, with a longer side of about 1024 pixels; a
    picture of another scale is to be resized before. Pictures of fewer than 128 pixels along a side are refused.

    `fit` trains new readouts on the published backbones with the published centre bias, and so needs the published
    files. It minimises the divergence of the whole average of 120 densities, where the authors train the readouts of
    one backbone and fold by themselves, on SALICON and then on MIT1003; the size is that of SALICON's pictures.
    """

    paper = (
        "Linardos et al., DeepGaze IIE: Calibrated prediction in and out-of-domain for state-of-the-art saliency "
        "modeling, ICCV 2021"
    )
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint("deepgaze2e.pth", **PUBLISHED, trained_on="ImageNet (backbones), SALICON, MIT1003"),
        Checkpoint("centerbias_mit1003.npy", **PUBLISHED, trained_on="MIT1003"),
    )
    recipe = Recipe(size=(480, 640), epochs=10, batch_size=8, learning_rate=1e-3, weight_decay=0.0, losses={"kl": 1.0})
    _start = None  # the network whose frozen parts a new one gets, while `fit` runs

    def build_network(self):
        network = DeepGazeIIE()
        if self._start is not None:
            network.take_frozen(self._start)
        return network

    def fit(self, samples, plan):
        self._start = self.network
        try:
            return super().fit(samples, plan)
        finally:
            self._start = None

    def published(self, state, center_bias):
        return state | {"center_bias": center_bias.float()}

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float()

    def images_of(self, sample):
        return torch.from_numpy(np.array(sample.image))[None]
