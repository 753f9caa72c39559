"""attention_center: a small mobile network whose map was made to find the centre of attention.

Google's attention-center (2022) computes where a decoder of JPEG XL should begin: the mean position under a map. The
prediction here is that map, an inner tensor of the published graph. Its values are small, at most about 0.001, so it is
read as a density.

Images are resized to 480 x 640 pixels by a bilinear filter. As in the authors' script, an image of another aspect ratio
is not distorted: it is centred on black, and the prediction is the part of the map that shows it. (That script resizes
with a bicubic filter.)
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.nn.functional import logsigmoid

from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe

from .network import AttentionCenterNetwork


@register
class AttentionCenter(LearnedMethod):
    """Published: a MobileNetV3 that finds the centre of attention (Google 2022).

    `fit` trains a new network. The authors published no recipe, so it uses salbench's default recipe.
    """

    output = "density"
    paper = "Firsching and He, attention-center, github.com/google/attention-center, 2022"
    fit_options = "--dataset salicon_train"
    recipe = Recipe(size=(480, 640))
    weights = Path(__file__).parent / "center.safetensors"

    def build_network(self) -> AttentionCenterNetwork:
        """A new network with random weights."""
        return AttentionCenterNetwork()

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Scale uint8 (B, H, W, 3) RGB to float (B, 3, H, W) in [0, 1]."""
        return images.permute(0, 3, 1, 2).float() / 255

    def logits(self, network: AttentionCenterNetwork, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the published map, (B, H, W): a softmax of it is the map, scaled to sum to one."""
        return logsigmoid(network(self.preprocess(images)).float())

    def images_of(self, sample: Sample) -> torch.Tensor:
        """The image on black, uint8 (1, H, W, 3) of the recipe's size."""
        rows, columns = self._place(sample.size)
        resized = Image.fromarray(sample.image).resize(
            (columns.stop - columns.start, rows.stop - rows.start), Image.Resampling.BILINEAR
        )
        padded = np.zeros((*self.recipe.size, 3), np.uint8)
        padded[rows, columns] = resized
        return torch.from_numpy(padded)[None]

    def logits_of(
        self, network: AttentionCenterNetwork, images: torch.Tensor, samples: Sequence[Sample]
    ) -> torch.Tensor:
        """Logits (B, h, w) where the network saw the samples' images."""
        rows, columns = self._place(samples[0].size)
        return self.logits(network, images, [])[:, rows, columns]

    def finished(self, log_density: np.ndarray, sample: Sample) -> np.ndarray:
        """The density, float32 (h, w), summing to one."""
        return np.exp(log_density)

    def _place(self, size: tuple[int, int]) -> tuple[slice, slice]:
        """Rows and columns of the network's input that show an image of a (height, width)."""
        (height, width), (rows, columns) = size, self.recipe.size
        if height * columns > width * rows:
            sides = rows, max(1, width * rows // height)
        else:
            sides = max(1, height * columns // width), columns
        top, left = (rows - sides[0]) // 2, (columns - sides[1]) // 2
        return slice(top, top + sides[0]), slice(left, left + sides[1])
