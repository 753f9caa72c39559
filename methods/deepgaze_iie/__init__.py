"""deepgaze_iie: the average of 120 readouts on four networks that were trained on ImageNet.

Linardos, Kümmerer, Press and Bethge, DeepGaze IIE: Calibrated prediction in and out-of-domain for state-of-the-art
saliency modeling, ICCV 2021. Parameters have the published names, so the checkpoint of github.com/matthias-k/DeepGaze
loads strictly. The centre bias, which the authors publish in a second file, is a buffer of the network.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.training.feature_cache import FeatureCache, features_key, shows_images_again
from salbench.training_plan import Plan
from salbench.weights import Checkpoint

from .network import DeepGazeIIE

NETWORK = Path(__file__).with_name("network.py")
PUBLISHED = {
    "source": "https://github.com/matthias-k/DeepGaze/releases/tag/v1.0.0",
    "licence": "none stated",
}


@register
class DeepGaze(LearnedMethod):
    """Published: readouts on four backbones and a centre bias, 104.6 M parameters (Linardos et al. 2021).

    Images are not resized. The authors intend 35 pixels per degree of visual angle and a longer side of about 1024
    pixels; resize images of another scale first. An image with a side below 128 pixels is an error.

    `fit` trains new readouts on the published backbones with the published centre bias (`--from imagenet`, the
    default), or continues from the published readouts (`--from published`). Both need the published files. It minimises
    the KL divergence of the average of all 120 densities, at the size of SALICON's images. The authors train the
    readouts of each backbone and fold separately, first on SALICON, then on MIT1003. Features of the backbones, which
    are frozen, are extracted once and kept on disk (see `salbench.training.feature_cache`).
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
    start = "imagenet"  # the backbones are never trained, so random ones would not do
    _keeps: bool | None = None  # while `fit` runs: whether features are kept on disk
    _cache: FeatureCache | None = None

    def build_network(self) -> DeepGazeIIE:
        """A new network with random weights."""
        return DeepGazeIIE()

    def load_imagenet(self, network: DeepGazeIIE) -> dict[str, torch.Tensor]:
        """Load the backbones and the centre bias from the published files."""
        frozen = self.published_network().frozen()
        network.load_state_dict(frozen, strict=False)
        return frozen

    def fit(self, samples: Sequence[Sample], plan: Plan) -> "DeepGaze":
        """Train readouts on frozen backbones; see the class and `LearnedMethod.fit`."""
        self._keeps = shows_images_again(self.recipe.changed(plan.recipe), plan)
        try:
            return super().fit(samples, plan)
        finally:
            self._keeps = self._cache = None

    def published(self, state: dict[str, torch.Tensor], center_bias: torch.Tensor) -> dict[str, torch.Tensor]:
        """The published weights by the names of our network, with the centre bias of the second file."""
        return state | {"center_bias": center_bias.float()}

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Rearrange uint8 (B, H, W, 3) RGB to float (B, 3, H, W), still 0 to 255."""
        return images.permute(0, 3, 1, 2).float()

    def logits(self, network: DeepGazeIIE, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log densities (B, H, W)."""
        return network(self.preprocess(images), features=self._features(network, images))

    def _features(self, network: DeepGazeIIE, images: torch.Tensor) -> list[torch.Tensor] | None:
        """In `fit`, features of the backbones, from disk if they are there."""
        if self._keeps is None:
            return None
        own: DeepGazeIIE = getattr(network, "module", network)  # several processes have it in a wrapper
        if self._cache is None:
            self._cache = FeatureCache(features_key(own.frozen(), [NETWORK]), keep=self._keeps)
        return self._cache.get(images, lambda image: own.extract(self.preprocess(image)))

    def images_of(self, sample: Sample) -> torch.Tensor:
        """The image at its own size, uint8 (1, H, W, 3)."""
        return torch.from_numpy(np.array(sample.image))[None]
