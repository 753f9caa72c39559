"""Where people look whatever the image shows: the density of fixations on other images."""

from collections.abc import Sequence

import numpy as np

from salbench.maps import blur
from salbench.registry import SaliencyMethod, register
from salbench.sample import Sample
from salbench.training_plan import Plan

GRID = (96, 128)  # rows, columns; every image is stretched to this grid
BANDWIDTHS = (0.015, 0.0217, 0.03, 0.045, 0.065, 0.1, 0.15)  # candidates, as fractions of each side
MOST_IMAGES = 200  # the bandwidth is chosen on at most about this many images
UNIFORM_SHARE = 1e-3  # mixed in, because no place may have zero probability


@register
class CenterBias(SaliencyMethod):
    """Baseline: fixation density of other images (training split, otherwise leave-one-image-out)."""

    output = "density"
    paper = "Tatler (2007), The central fixation bias in scene viewing, Journal of Vision 7(14)"
    fits_at_run = True

    def fit(self, samples: Sequence[Sample], plan: Plan) -> "CenterBias":
        """Count fixations on the grid and choose the bandwidth that best predicts left-out images.

        The fixations of each image are kept, so `predict` can leave out those of the image it predicts.
        """
        self._own = {s.id: _cells(s) for s in samples}
        self._total = _counts(np.concatenate(list(self._own.values())))
        every = max(1, len(self._own) // MOST_IMAGES)
        tried = [cells for cells in list(self._own.values())[::every] if len(cells)]
        self._bandwidth = max(BANDWIDTHS, key=lambda width: sum(self._log_likelihood(c, width) for c in tried))
        return self

    def _log_likelihood(self, cells: np.ndarray, bandwidth: float) -> float:
        """Log likelihood of one image's fixations under the density of all other images."""
        return np.log(_density(self._total - _counts(cells), bandwidth).ravel()[cells]).sum()

    def predict(self, sample: Sample) -> np.ndarray:
        """Density on the grid, without the fixations of the image itself."""
        counts = self._total
        if sample.id in self._own:
            counts = counts - _counts(self._own[sample.id])
        return _density(counts, self._bandwidth)


def _density(counts: np.ndarray, bandwidth: float) -> np.ndarray:
    """Density on the grid from fixation counts; uniform if there are no fixations."""
    if not counts.any():  # the image itself is the only one with fixations
        return np.full(GRID, 1 / counts.size)
    density = np.maximum(blur(counts / counts.sum(), bandwidth * np.array(GRID)), 0.0)
    return (1 - UNIFORM_SHARE) * density + UNIFORM_SHARE / density.size


def _cells(sample: Sample) -> np.ndarray:
    """Flat index of the grid cell of each fixation."""
    x, y = sample.fixations.T
    row, column = (y / sample.size[0] * GRID[0]).astype(np.int32), (x / sample.size[1] * GRID[1]).astype(np.int32)
    return row * GRID[1] + column


def _counts(cells: np.ndarray) -> np.ndarray:
    return np.bincount(cells, minlength=GRID[0] * GRID[1]).reshape(GRID).astype(np.float64)
