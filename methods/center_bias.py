"""Where people look whatever the image: the density of the fixations on other images."""

import numpy as np

from salbench.maps import blur
from salbench.registry import SaliencyMethod, register

GRID = (96, 128)  # rows, columns over the relative height and width of any image
BANDWIDTH = 0.0217  # of each side; the optimum that leave-one-image-out likelihood finds on OSIE
UNIFORM_SHARE = 1e-3  # so that no place is impossible


@register
class CenterBias(SaliencyMethod):
    """Fixation density of other images: of the training split, or leave-one-image-out without one."""

    output = "density"
    paper = "Tatler (2007), The central fixation bias in scene viewing, Journal of Vision 7(14)"
    fits_at_run = True

    def fit(self, samples, *, augment=None, seed=0):
        """Count fixations on a grid of relative positions; remember each image's own, to leave it out later."""
        self._own = {s.id: _cells(s) for s in samples}
        self._total = _counts(np.concatenate(list(self._own.values())))

    def predict(self, sample):
        counts = self._total
        if sample.id in self._own:
            counts = counts - _counts(self._own[sample.id])
        if not counts.any():  # nothing but this image is known
            return np.ones(GRID)
        density = blur(counts / counts.sum(), BANDWIDTH * np.array(GRID))
        return (1 - UNIFORM_SHARE) * density + UNIFORM_SHARE / density.size


def _cells(sample):
    """Flat index of the cell of GRID that holds each fixation."""
    x, y = sample.fixations.T
    row, column = (y / sample.size[0] * GRID[0]).astype(np.int32), (x / sample.size[1] * GRID[1]).astype(np.int32)
    return row * GRID[1] + column


def _counts(cells):
    return np.bincount(cells, minlength=GRID[0] * GRID[1]).reshape(GRID).astype(np.float64)
