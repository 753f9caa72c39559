"""What networks share that see an image in the middle of a canvas of another shape (`letterboxed`)."""

import numpy as np
from torch import nn

from salbench.sample import Sample
from salbench.training import LearnedMethod

from ._opencv_resize import unletterboxed


class Letterboxed(LearnedMethod):
    """Base of these networks. Their output is a map, and `finished` cuts it to the image."""

    output = "map"
    absolute = True

    def log_density(self, network: nn.Module, sample: Sample) -> np.ndarray:
        """Log density of the part that shows the image, at its size, float32; it is not scaled to sum to one."""
        return unletterboxed(super().log_density(network, sample), sample.size)
