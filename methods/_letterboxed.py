"""What networks share that see an image in the middle of a canvas of another shape (`letterboxed`)."""

import numpy as np
import torch
from torch import nn

from salbench.sample import Sample
from salbench.training import LearnedMethod

from ._opencv_resize import letterboxed, unletterboxed


class Letterboxed(LearnedMethod):
    """Base of these networks. Their output is a map, and `finished` cuts it to the image.

    Attributes:
        bar: grey level of the bars beside the image, 0 to 255.
    """

    output = "map"
    absolute = True
    bar = 0

    def images_of(self, sample: Sample) -> torch.Tensor:
        """The image with its bars, uint8 (1, H, W, 3) RGB of the recipe's size."""
        return torch.from_numpy(letterboxed(sample.image, self.recipe.size, self.bar))[None]

    def log_density(self, network: nn.Module, sample: Sample) -> np.ndarray:
        """Log density of the part that shows the image, at its size, float32; it is not scaled to sum to one."""
        return unletterboxed(super().log_density(network, sample), sample.size)
