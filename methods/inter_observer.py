"""The ceiling: how well people predict people. Each observer is predicted from the other observers of the image.

This is the gold standard of Kümmerer et al. The density for a left-out observer is a mixture of

- kernel densities of the other observers' fixations on the image, with Gaussian kernels of several bandwidths,
- the centre bias: the density of the fixations on all other images, as `center_bias` computes it,
- the uniform density.

EM finds the weights that give the fixations of each observer the highest likelihood, over all images of the scored
split. The kernels for a fixation are those of the other observers of its image only.

All densities are on a grid on which sigma is a few cells, so the cost does not grow with the size of the image. For an
image with N fixations of O observers, it grows with N * N in the fit and with O * N in the prediction.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np
from scipy.ndimage import gaussian_filter1d

from salbench.maps import resize
from salbench.registry import MethodUnavailable, SaliencyMethod, register
from salbench.sample import Sample
from salbench.training_plan import Plan

from .center_bias import CenterBias

BANDWIDTHS = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0, 2.8)  # of the kernels, as multiples of the data set's sigma
CELLS = 4  # cells of the grid per sigma, so that the narrowest kernel has a standard deviation of a cell
MOST_IMAGES = 200  # the weights are fitted on at most about this many images
STEPS = 200  # of EM


@register
class InterObserver(SaliencyMethod):
    """Ceiling: predicts each observer from the other observers of the image and from the centre bias."""

    output = "density"
    paper = "Kümmerer et al. (2015), Information-theoretic model comparison unifies saliency metrics, PNAS 112(52)"
    sees_fixations = True
    fits_at_run = True

    def fit(self, samples: Sequence[Sample], plan: Plan) -> "InterObserver":
        """Fit the centre bias and the weights.

        Raises:
            MethodUnavailable: the data set does not say which observer made each fixation, or no image has two.
        """
        seen = [s for s in samples if len(s.fixations)]
        if any(s.observers is None for s in seen):
            raise MethodUnavailable("needs to know which observer made each fixation; this data set does not say")
        shared = [s for s in seen if len(np.unique(s.observers)) > 1]
        if not shared:
            raise MethodUnavailable("needs an image with two observers; each image of this data set has at most one")
        self._center = CenterBias().fit(samples, plan)
        every = max(1, len(shared) // MOST_IMAGES)
        self._weights = _fitted(np.concatenate([self._gaze(sample).values() for sample in shared[::every]]))
        return self

    def predict_held_out(self, sample: Sample) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yield the density for each observer, float64 on the grid, and the mask of that observer's fixations.

        Raises:
            ValueError: the image has only one observer.
        """
        gaze = self._gaze(sample)
        for observer in range(gaze.n_observers):
            own = gaze.observer == observer
            if own.all():
                raise ValueError(f"{sample.id}: expected at least two observers, got one")
            yield gaze.density(~own, self._weights), own

    def _gaze(self, sample: Sample) -> "_Gaze":
        return _Gaze(sample, self._center.predict(sample.blind()))


class _Gaze:
    """The fixations of an image on the grid, and the components of the mixture: kernels, centre bias, uniform.

    Args:
        sample: with fixations, observers and sigma.
        center: centre bias, (h, w) of any size.

    Attributes:
        observer: (N,) index of the observer of each fixation, 0 <= index < n_observers.
        n_observers: number of observers with fixations.
    """

    def __init__(self, sample: Sample, center: np.ndarray) -> None:
        shrink = max(1.0, sample.sigma / CELLS)
        grid = tuple(int(np.ceil(length / shrink)) for length in sample.size)
        x, y = sample.fixations.T
        self._row, self._column = (
            (place / length * cells).astype(np.int64)
            for place, length, cells in zip((y, x), sample.size, grid, strict=True)
        )
        center = resize(center, grid)
        self._center = center / center.sum()
        self._kernels = [[_kernels(cells, b * sample.sigma / shrink) for cells in grid] for b in BANDWIDTHS]
        observers, self.observer = np.unique(sample.observers, return_inverse=True)
        self.n_observers = len(observers)

    def values(self) -> np.ndarray:
        """(N, components): each component at each fixation, where the kernels are those of the other observers."""
        rows, columns = np.ix_(self._row, self._row), np.ix_(self._column, self._column)
        is_other = (self.observer != self.observer[:, None]).astype(np.float64)
        is_other /= is_other.sum(1, keepdims=True)
        kernels = [(vertical[rows] * horizontal[columns] * is_other).sum(1) for vertical, horizontal in self._kernels]
        center = self._center[self._row, self._column]
        return np.stack([*kernels, center, np.full_like(center, 1 / self._center.size)], axis=1)

    def density(self, seen: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """The mixture on the grid, summing to one.

        Args:
            seen: bool (N,), the fixations that the kernels are around.
            weights: (components,), summing to one.
        """
        row, column = self._row[seen], self._column[seen]
        *kernel_weights, center, uniform = weights
        density = center * self._center + uniform / self._center.size
        for weight, (vertical, horizontal) in zip(kernel_weights, self._kernels, strict=True):
            density += weight / len(row) * vertical[row].T @ horizontal[column]
        return density


@lru_cache(maxsize=256)
def _kernels(cells: int, sigma: float) -> np.ndarray:
    """(cells, cells): in each row a Gaussian around its own cell, reflected at the borders, summing to one."""
    return gaussian_filter1d(np.eye(cells), sigma, axis=1, mode="reflect")


def _fitted(values: np.ndarray) -> np.ndarray:
    """(components,) weights of a mixture with the highest likelihood, by EM.

    All components together count as one fixation more, in equal parts, so no weight is zero.

    Args:
        values: (n, components), the value of each component at each fixation.
    """
    n, components = values.shape
    weights = np.full(components, 1 / components)
    for _ in range(STEPS):
        parts = values * weights
        weights = ((parts / parts.sum(1, keepdims=True)).sum(0) + 1 / components) / (n + 1)
    return weights
