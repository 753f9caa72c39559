"""tempsal: a map for each of the first five seconds, and one of all time that is made with them.

Aydemir et al., TempSAL - Uncovering Temporal Information for Deep Saliency Prediction, CVPR 2023. Two networks like
SimpleNet's, one with a map per second (`pnas_vol`), the other with a map of all time (`pnas_sal`), and a decoder that
takes the features of the first and the maps of both. The network has the published names, so that the checkpoint of
github.com/IVRL/Tempsal loads strictly.

The maps of the seconds are divided by the maximum over those of the same picture. In the authors' code it is the
maximum over all pictures of the batch: the same for a picture alone, but otherwise dependent on its neighbours.
"""

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate, logsigmoid

from salbench.maps import minmax
from salbench.registry import register
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint

from ._pnasnet import SIZE, PNASSaliency, centred, convolutions, unwrapped, upsampling

SECONDS = 5
MAPS = 1 + SECONDS  # that enter every stage of the decoder


@register
class TempSAL(LearnedMethod):
    """A map per second and one made with them, as published (Aydemir et al. 2023).

    `fit` trains all three parts of a new network on the map of all time, because a sample has no times, with the
    authors' losses, batch, epochs and learning rate of the decoder. Theirs differs in this: the branches are trained
    first, from ImageNet and one of them on maps of seconds, and then stay as they are; the learning rate does too, no
    gradient is clipped, and the best epoch is the one of the largest CC - KL.
    """

    output = "map"
    paper = "Aydemir et al., TempSAL - Uncovering Temporal Information for Deep Saliency Prediction, CVPR 2023"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint(
            "multilevel_tempsal.pt",
            source="https://github.com/IVRL/Tempsal",
            licence="MIT",
            trained_on="SALICON",
        ),
    )
    recipe = Recipe(
        size=SIZE, epochs=30, batch_size=32, learning_rate=1e-5, weight_decay=0.0, warmup_steps=0, average=0.0,
        losses={"kl": 1.0, "cc": 1.0}, patience=30,
    )  # fmt: skip

    def build_network(self):
        return TempSALNetwork()

    def published(self, state):
        return unwrapped(state)

    def preprocess(self, images):
        return centred(images)

    def logits(self, network, images, captions):
        saliency, _ = network(self.preprocess(images))
        return logsigmoid(saliency.float())[:, 0]

    def finished(self, log_density, sample):
        """The map at the network's size, stretched to [0, 1] as in the authors' notebook; they blur nothing."""
        return minmax(np.exp(log_density))

    def features(self, sample):
        """The maps of the five seconds."""
        images = self.images_of(sample).to(self.runtime.device)
        with torch.inference_mode():
            _, seconds = self.network(self.preprocess(images))
        return {f"{i} to {i + 1} s": second[None] for i, second in enumerate(seconds[0].cpu().numpy())}


class TempSALNetwork(nn.Module):
    """(B, 3, H, W) RGB in [-1, 1], H and W multiples of 32 -> (logits (B, 1, H, W), maps (B, 5, H, W)).

    A sigmoid of the logits is the map of all time, in (0, 1). The maps of the five seconds reach 1 together.
    """

    def __init__(self):
        super().__init__()
        self.deconv_layer1 = upsampling(512 + 2160 + MAPS, 256)
        self.deconv_layer2 = upsampling(256 + 1080 + MAPS, 270)
        self.deconv_layer3 = upsampling(270 + 270 + MAPS, 96)
        self.deconv_layer4 = upsampling(96 + 96 + MAPS, 128)
        self.deconv_mix = convolutions(128 + MAPS, 16, 32, 1)
        self.pnas_vol = PNASSaliency(64, 32, SECONDS)
        self.pnas_sal = PNASSaliency(128, 1)

    def forward(self, x):
        features = self.pnas_vol.encode(x)
        seconds = self.pnas_vol.decode(features).sigmoid()
        seconds = seconds / seconds.amax((1, 2, 3), keepdim=True)
        return self.fuse(features, self.pnas_sal(x).sigmoid(), seconds), seconds

    def fuse(self, features, overall, seconds):
        """Logits (B, 1, H, W) of the features of `pnas_vol`, the map (B, 1, H, W) and those of the seconds."""
        half, quarter, eighth, sixteenth, x = features
        maps = torch.cat([overall, seconds], 1)
        x = self.deconv_layer1(torch.cat([x, sixteenth, _resized(maps, x)], 1))
        x = self.deconv_layer2(torch.cat([x, eighth, _resized(maps, x)], 1))
        x = self.deconv_layer3(torch.cat([x, quarter, _resized(maps, x)], 1))
        x = self.deconv_layer4(torch.cat([x, half, _resized(maps, x)], 1))
        return self.deconv_mix(torch.cat([x, maps], 1))


def _resized(maps, like):
    return interpolate(maps, size=like.shape[-2:], mode="bicubic", align_corners=False)
