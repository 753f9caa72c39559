"""The ceiling: how well the other observers of an image predict where one observer looks."""

from collections.abc import Iterator

import numpy as np

from salbench.maps import density_from_fixations
from salbench.registry import MethodUnavailable, SaliencyMethod, register
from salbench.sample import Sample


@register
class InterObserver(SaliencyMethod):
    """Ceiling: predicts each observer from the fixations of all other observers."""

    output = "map"
    paper = "Wilming et al. (2011), Measures and limits of models of fixation selection, PLoS ONE 6(9)"
    sees_fixations = True

    def predict_held_out(self, sample: Sample) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield one map per observer, with the mask of that observer's fixations.

        CC, KL and SIM have no such ceiling, because the ground-truth density includes the left-out observer.

        Raises:
            MethodUnavailable: the data set does not say which observer made each fixation.
            ValueError: the image has only one observer.
        """
        if sample.observers is None:
            raise MethodUnavailable("needs to know which observer made each fixation; this data set does not say")
        for observer in np.unique(sample.observers):
            mask = sample.observers == observer
            if mask.all():
                raise ValueError(f"{sample.id}: expected at least two observers, got one")
            yield density_from_fixations(sample.fixations[~mask], sample.size, sample.sigma), mask
