"""The floor of every table: all pixels are equally salient."""

import numpy as np

from salbench.registry import SaliencyMethod, register
from salbench.sample import Sample


@register
class Uniform(SaliencyMethod):
    """Baseline: every pixel is equally salient."""

    output = "density"

    def predict(self, sample: Sample) -> np.ndarray:
        """Ones, (h, w) of the stimulus."""
        return np.ones(sample.size)
