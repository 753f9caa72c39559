"""tempsal: a map for each of the first five seconds of viewing, and an overall map made from them.

Aydemir et al., TempSAL - Uncovering Temporal Information for Deep Saliency Prediction, CVPR 2023. Two networks like
SimpleNet's predict one map per second (`pnas_vol`) and one overall map (`pnas_sal`). A decoder fuses the features of
the first network with the maps of both. Parameters have the published names, so the checkpoint of
github.com/IVRL/Tempsal loads strictly.

The five maps of an image are divided by their common maximum. The authors' code divides by the maximum over the whole
batch: that is the same for a batch of one, but otherwise a prediction would depend on the other images.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import interpolate, logsigmoid

from salbench.maps import minmax
from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint

from ._pnasnet import IMAGENET, SIZE, PNASSaliency, centred, convolutions, of_cadene, unwrapped, upsampling

SECONDS = 5
MAPS = 1 + SECONDS  # the overall map and those of the seconds enter every stage of the decoder


@register
class TempSAL(LearnedMethod):
    """Published: one map per second of viewing, fused into an overall map (Aydemir et al. 2023).

    `fit` trains all three parts of a new network on the overall map alone, because samples do not say when people
    looked. Losses, batch size, epochs and learning rate are those of the authors' decoder. The authors' training
    differs: both branches start from ImageNet weights (here with `--from imagenet`) and are trained first (one of them
    on maps of seconds), then frozen; the learning rate is constant; gradients are not clipped; the best epoch has the
    largest CC - KL.
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
    imagenet = (IMAGENET,)
    encoders = ("pnas_vol.pnas", "pnas_sal.pnas")
    recipe = Recipe(
        size=SIZE, epochs=30, batch_size=32, learning_rate=1e-5, weight_decay=0.0, warmup_steps=0, average=0.0,
        losses={"kl": 1.0, "cc": 1.0}, patience=30,
    )  # fmt: skip

    def build_network(self) -> "TempSALNetwork":
        """A new network with random weights."""
        return TempSALNetwork()

    def published(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The published weights by the names of our network."""
        return unwrapped(state)

    def encoder_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The encoder's weights from Cadene's state dict."""
        return of_cadene(state)

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Scale uint8 (B, H, W, 3) RGB to float (B, 3, H, W) in [-1, 1]."""
        return centred(images)

    def logits(self, network: "TempSALNetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the published overall map, (B, H, W): a softmax of it is the map, scaled to sum to one."""
        saliency, _ = network(self.preprocess(images))
        return logsigmoid(saliency.float())[:, 0]

    def finished(self, log_density: np.ndarray, sample: Sample) -> np.ndarray:
        """The map at the network's size, stretched to [0, 1] and not blurred, as in the authors' notebook."""
        return minmax(np.exp(log_density))

    def features(self, sample: Sample) -> dict[str, np.ndarray]:
        """The maps of the five seconds, float (1, 256, 256) each."""
        images = self.images_of(sample).to(self.runtime.device)
        with torch.inference_mode():
            _, seconds = self.network(self.preprocess(images))
        return {f"{i} to {i + 1} s": second[None] for i, second in enumerate(seconds[0].cpu().numpy())}


class TempSALNetwork(nn.Module):
    """Maps RGB (B, 3, H, W) in [-1, 1] to an overall map and one map per second. H and W must be multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        self.deconv_layer1 = upsampling(512 + 2160 + MAPS, 256)
        self.deconv_layer2 = upsampling(256 + 1080 + MAPS, 270)
        self.deconv_layer3 = upsampling(270 + 270 + MAPS, 96)
        self.deconv_layer4 = upsampling(96 + 96 + MAPS, 128)
        self.deconv_mix = convolutions(128 + MAPS, 16, 32, 1)
        self.pnas_vol = PNASSaliency(64, 32, SECONDS)
        self.pnas_sal = PNASSaliency(128, 1)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Predict the overall map and those of the seconds.

        Returns:
            Logits (B, 1, H, W), whose sigmoid is the overall map in (0, 1); and maps (B, 5, H, W) of the seconds, the
            largest value of each image being 1.
        """
        features = self.pnas_vol.encode(x)
        seconds = self.pnas_vol.decode(features).sigmoid()
        seconds = seconds / seconds.amax((1, 2, 3), keepdim=True)
        return self.fuse(features, self.pnas_sal(x).sigmoid(), seconds), seconds

    def fuse(self, features: list[torch.Tensor], overall: torch.Tensor, seconds: torch.Tensor) -> torch.Tensor:
        """Logits (B, 1, H, W) of the final map.

        Args:
            features: of `pnas_vol`, see `PNASSaliency.encode`.
            overall: (B, 1, H, W), the map of `pnas_sal`.
            seconds: (B, 5, H, W), the maps of the seconds.
        """
        half, quarter, eighth, sixteenth, x = features
        maps = torch.cat([overall, seconds], 1)
        x = self.deconv_layer1(torch.cat([x, sixteenth, _resized(maps, x)], 1))
        x = self.deconv_layer2(torch.cat([x, eighth, _resized(maps, x)], 1))
        x = self.deconv_layer3(torch.cat([x, quarter, _resized(maps, x)], 1))
        x = self.deconv_layer4(torch.cat([x, half, _resized(maps, x)], 1))
        return self.deconv_mix(torch.cat([x, maps], 1))


def _resized(maps: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    return interpolate(maps, size=like.shape[-2:], mode="bicubic", align_corners=False)
