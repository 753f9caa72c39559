"""The floor of every table: every pixel is as likely as any other."""

import numpy as np

from salbench.registry import SaliencyMethod, register


@register
class Uniform(SaliencyMethod):
    """Every pixel alike: what a map that knows nothing scores."""

    output = "density"

    def predict(self, sample):
        return np.ones(sample.size)
