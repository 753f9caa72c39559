"""The ceiling: how well the other observers of an image predict where one of them looks."""

import numpy as np

from salbench.maps import density_from_fixations
from salbench.registry import MethodUnavailable, SaliencyMethod, register


@register
class InterObserver(SaliencyMethod):
    """Ceiling, sees the truth: fixations of all other observers, scored on the one left out."""

    output = "map"
    paper = "Wilming et al. (2011), Measures and limits of models of fixation selection, PLoS ONE 6(9)"
    sees_fixations = True

    def predict_held_out(self, sample):
        """One map per observer, scored on that observer's fixations alone.

        CC, KL and SIM have no such ceiling: the ground-truth density contains the observer left out.
        """
        if sample.observers is None:
            raise MethodUnavailable("needs to know which observer made each fixation; this data set does not say")
        for observer in np.unique(sample.observers):
            mask = sample.observers == observer
            if mask.all():
                raise ValueError(f"{sample.id}: expected at least two observers, got one")
            yield density_from_fixations(sample.fixations[~mask], sample.size, sample.sigma), mask
