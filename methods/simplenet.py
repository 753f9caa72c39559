"""simplenet: a plain decoder over all levels of PNASNet-5-Large.

Reddy et al., Tidying Deep Saliency Prediction Architectures, IROS 2020. Parameters have the published names (see
`_pnasnet`), so the checkpoint of github.com/samyak0210/saliency loads strictly. Every image is resized to 256 x 256.
The map is resized back, blurred and stretched to [0, 1], as the authors' code does before it saves a map, but it is not
rounded to 8 bits.
"""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch.nn.functional import interpolate, logsigmoid

from salbench.maps import minmax
from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint

from ._pnasnet import IMAGENET, SIZE, PNASSaliency, centred, of_cadene, unwrapped

BLUR_SIGMA, BLUR_RADIUS = 2.0, 5  # pixels; what OpenCV uses for an 11 x 11 kernel


@register
class SimpleNet(LearnedMethod):
    """Published: a plain decoder on PNASNet-5-Large (Reddy et al. 2020).

    `fit` trains a new network with the authors' loss, batch size, epochs and learning rate. The authors' training
    differs in three ways: the encoder starts from ImageNet weights (here with `--from imagenet`), the learning rate is
    constant, and gradients are not clipped.
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
    imagenet = (IMAGENET,)
    encoders = ("pnas",)
    recipe = Recipe(
        size=SIZE, epochs=40, batch_size=32, learning_rate=1e-4, weight_decay=0.0, warmup_steps=0, average=0.0,
        losses={"kl": 1.0}, patience=40,
    )  # fmt: skip

    def build_network(self) -> PNASSaliency:
        """A new network with random weights."""
        return PNASSaliency(128, 1)

    def published(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The published weights by the names of our network."""
        return unwrapped(state)

    def encoder_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The encoder's weights from Cadene's state dict."""
        return of_cadene(state)

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Scale uint8 (B, H, W, 3) RGB to float (B, 3, H, W) in [-1, 1]."""
        return centred(images)

    def logits(self, network: PNASSaliency, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the published map, (B, H, W): a softmax of it is the map, scaled to sum to one."""
        return logsigmoid(network(self.preprocess(images)).float())[:, 0]

    def finished(self, log_density: np.ndarray, sample: Sample) -> np.ndarray:
        """The map of the image's size, resized, blurred and stretched to [0, 1] as published."""
        return minmax(smoothed(np.exp(log_density), sample.size))


def smoothed(saliency: np.ndarray | torch.Tensor, size: tuple[int, int]) -> np.ndarray:
    """Resize a map of the network to an image, then blur it, as the authors' code does.

    Args:
        saliency: float (h, w).
        size: (height, width) of the image.

    Returns:
        float64 map of `size`.
    """
    saliency = torch.as_tensor(saliency, dtype=torch.float64)[None, None]
    resized = interpolate(saliency, size=size, mode="bilinear", align_corners=False)[0, 0].numpy()
    return gaussian_filter(resized, BLUR_SIGMA, radius=BLUR_RADIUS, mode="mirror")
