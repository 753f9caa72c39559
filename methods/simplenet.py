"""simplenet: a plain decoder over all levels of PNASNet-5-Large.

Reddy et al., Tidying Deep Saliency Prediction Architectures, IROS 2020. The network has the published names (see
`_pnasnet`), so that the checkpoint of github.com/samyak0210/saliency loads strictly. A picture is resized to 256 x 256
whatever its shape; the map is resized back, blurred and stretched as their code does before it saves one, but it is
not rounded to 8 bit.
"""

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate, logsigmoid

from salbench.maps import minmax
from salbench.registry import register
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint

from ._pnasnet import SIZE, PNASSaliency, centred, unwrapped

BLUR_SIGMA, BLUR_RADIUS = 2.0, 5  # what OpenCV makes of an 11 x 11 kernel


@register
class SimpleNet(LearnedMethod):
    """PNASNet-5-Large with a plain decoder, as published (Reddy et al. 2020).

    `fit` trains a new network with the authors' loss, batch, epochs and learning rate. Theirs differs in this: the
    encoder starts from ImageNet, the learning rate stays as it is, and no gradient is clipped.
    """

    output = "map"
    paper = "Reddy et al., Tidying Deep Saliency Prediction Architectures, IROS 2020"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint(
            "salicon_pnas.pt",
            source="https://github.com/samyak0210/saliency",
            licence="MIT",
            trained_on="SALICON",
        ),
    )
    recipe = Recipe(
        size=SIZE, epochs=40, batch_size=32, learning_rate=1e-4, weight_decay=0.0, warmup_steps=0, average=0.0,
        losses={"kl": 1.0}, patience=40,
    )  # fmt: skip

    def build_network(self):
        return PNASSaliency(128, 1)

    def published(self, state):
        return unwrapped(state)

    def preprocess(self, images):
        return centred(images)

    def logits(self, network, images, captions):
        return logsigmoid(network(self.preprocess(images)).float())[:, 0]

    def finished(self, log_density, sample):
        return minmax(smoothed(np.exp(log_density), sample.size))


def smoothed(saliency, size):
    """A network's map as the authors bring it to a picture: float64 of `size`, resized, then blurred.

    Args:
        saliency: float (h, w).
        size: (height, width) of the picture.
    """
    saliency = torch.as_tensor(saliency, dtype=torch.float64)[None, None]
    resized = interpolate(saliency, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()
    return gaussian_filter(resized, BLUR_SIGMA, radius=BLUR_RADIUS, mode="mirror")
