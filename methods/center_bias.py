"""Where people look whatever the image: the density of the fixations on other images."""

import numpy as np

from salbench.maps import blur
from salbench.registry import SaliencyMethod, register

GRID = (96, 128)  # rows, columns over the relative height and width of any image
BANDWIDTHS = (0.015, 0.0217, 0.03, 0.045, 0.065, 0.1, 0.15)  # of each side, to choose from
MOST_IMAGES = 200  # that the choice is made on
UNIFORM_SHARE = 1e-3  # so that no place is impossible


@register
class CenterBias(SaliencyMethod):
    """Fixation density of other images: of the training split, or leave-one-image-out without one."""

    output = "density"
    paper = "Tatler (2007), The central fixation bias in scene viewing, Journal of Vision 7(14)"
    fits_at_run = True

    def fit(self, samples, plan):
        """Count fixations on a grid of relative positions, and choose the bandwidth that predicts left-out images best.

        Each image's own fixations are remembered, to leave it out of its prediction later.
        """
        self._own = {s.id: _cells(s) for s in samples}
        self._total = _counts(np.concatenate(list(self._own.values())))
        every = max(1, len(self._own) // MOST_IMAGES)
        tried = [cells for cells in list(self._own.values())[::every] if len(cells)]
        self._bandwidth = max(BANDWIDTHS, key=lambda width: sum(self._log_likelihood(c, width) for c in tried))
        return self

    def _log_likelihood(self, cells, bandwidth):
        """Of one image's fixations, given those of all others."""
        return np.log(_density(self._total - _counts(cells), bandwidth).ravel()[cells]).sum()

    def predict(self, sample):
        counts = self._total
        if sample.id in self._own:
            counts = counts - _counts(self._own[sample.id])
        return _density(counts, self._bandwidth)


def _density(counts, bandwidth):
    """Density of the counted fixations over the grid, uniform where there are none."""
    if not counts.any():  # nothing but this image is known
        return np.full(GRID, 1 / counts.size)
    density = np.maximum(blur(counts / counts.sum(), bandwidth * np.array(GRID)), 0.0)
    return (1 - UNIFORM_SHARE) * density + UNIFORM_SHARE / density.size


def _cells(sample):
    """Flat index of the cell of GRID that holds each fixation."""
    x, y = sample.fixations.T
    row, column = (y / sample.size[0] * GRID[0]).astype(np.int32), (x / sample.size[1] * GRID[1]).astype(np.int32)
    return row * GRID[1] + column


def _counts(cells):
    return np.bincount(cells, minlength=GRID[0] * GRID[1]).reshape(GRID).astype(np.float64)
