"""A prediction paired with the ground truth of its image, and the parts that several metrics share.

Each part is computed once, when a metric first asks for it: so all metrics of an image cost a few passes over its
pixels. The cost grows with height * width and, far less, with the number of fixations.
"""

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from salbench.checks import check_density, check_same_shape, fixated_pixels
from salbench.metrics._map import Map, compilable
from salbench.metrics._ranks import Ranks

EPS = float(np.finfo(np.float64).eps)  # 2.2204e-16, which the MIT code adds to probabilities inside a logarithm
_LARGEST_COUNT = np.iinfo(np.int32).max


class Pair:
    """One prediction and what is known of its image. Metrics read it; parts that they share are computed once.

    Args:
        point_map: the prediction, (H, W), compared with fixations.
        density_map: the prediction, compared with the density, if a protocol prepares one; else `point_map`.
        pixels: (index, count) of fixated pixels, as `checks.fixated_pixels` returns them.
        density: ground-truth density, of the shape of `density_map`; zeros mean that it is unknown.
        negatives: (H, W) integer count map of other images' fixations.
        baseline: (H, W) density of other images' fixations.

    Attributes:
        map, density_map: the prediction, compared with fixations and with the density.
        index, count: flat indices of fixated pixels, and the number of fixations on each.
        density, baseline: None if unknown.
        negatives: flat int32 counts or None.

    Raises:
        ValueError: different shapes, negative densities, or negatives that are not counts or more than 2^31 - 1.
    """

    def __init__(
        self,
        point_map: Map,
        density_map: Map | None = None,
        *,
        pixels: tuple[np.ndarray, np.ndarray] | None = None,
        density: Map | None = None,
        negatives: np.ndarray | None = None,
        baseline: Map | None = None,
    ) -> None:
        self.map = point_map
        self.density_map = point_map if density_map is None else density_map
        self.index: np.ndarray
        self.count: np.ndarray
        self.index, self.count = (np.empty(0, np.int64), np.empty(0, np.int64)) if pixels is None else pixels
        self.density, self.baseline = density, baseline
        for truth, of, name in ((density, self.density_map, "density"), (baseline, point_map, "baseline")):
            if truth is not None and (truth.low < 0 or truth.shape != of.shape):
                check_density(truth.array, of.shape, name)  # says what is wrong
        self.negatives = None if negatives is None else _counts(negatives, self.map.shape)
        known = {"fixations": pixels, "density": density, "negatives": negatives, "baseline": baseline}
        self._known = {name for name, truth in known.items() if truth is not None}
        self._levels: frozenset[float] = frozenset()

    @classmethod
    def of(
        cls,
        prediction: np.ndarray,
        fixations: np.ndarray | None = None,
        *,
        density: np.ndarray | None = None,
        negatives: np.ndarray | None = None,
        baseline: np.ndarray | None = None,
    ) -> "Pair":
        """A pair from fixations and negatives as users have them.

        Args:
            prediction: (H, W) map.
            fixations, negatives: (N, 2) points (x, y), or (H, W) maps of whole counts.
            density, baseline: (H, W) densities.

        Raises:
            ValueError: as `Pair`; NaN, points off the image, or a blurred map instead of points.
        """
        map_ = Map(prediction)
        shape = map_.shape
        pixels = None if fixations is None else fixated_pixels(fixations, shape)
        counts = None
        if negatives is not None:
            index, count = fixated_pixels(negatives, shape, "negatives")
            counts = np.zeros(shape, np.int64)
            counts.ravel()[index] = count
        known = {"density": density, "baseline": baseline}
        maps = {name: Map(array, name) for name, array in known.items() if array is not None}
        return cls(map_, pixels=pixels, negatives=counts, **maps)

    def has(self, needs: Iterable[str]) -> bool:
        """Whether it holds this ground truth, of "fixations", "density", "negatives", "baseline"."""
        return self._known.issuperset(needs)

    @property
    def n_fixations(self) -> int:
        """Number of fixations."""
        return int(self.count.sum())

    def mean_over_fixations(self, values: np.ndarray) -> float:
        """Mean of one value per fixated pixel, weighted by the fixations on it."""
        return float(self.count @ values / self.n_fixations)

    def expect(self, levels: Iterable[float]) -> None:
        """Announce levels that `ranks` will be asked for, which lets one pass over the pixels count at all of them."""
        new = self._levels.union(levels)
        if new != self._levels:
            self._levels = new
            self.__dict__.pop("_ranks", None)

    def ranks(self, levels: Iterable[float] = ()) -> Ranks:
        """Pixels and negatives below and at the fixated values and at `levels` (0: minimum, 1: maximum of the map).

        The map must not be constant.
        """
        self.expect(levels)
        return self._ranks

    @cached_property
    def _ranks(self) -> Ranks:
        fixated = self.map.values[self.index].astype(np.float64)
        weights = np.zeros(self.map.size, np.int32) if self.negatives is None else self.negatives
        return Ranks(self.map.values, self.map.low, self.map.high, fixated, weights, np.array([*self._levels]))


def _counts(array: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    array = np.asarray(array)
    check_same_shape(array, shape, "negatives")
    if array.dtype.kind not in "iu":
        raise ValueError(f"negatives: expected an integer count map, got dtype {array.dtype}")
    if array.dtype != np.int32 and array.max() > _LARGEST_COUNT:
        raise ValueError(f"negatives: expected at most {_LARGEST_COUNT} fixations on a pixel, got {array.max()}")
    return compilable(array, np.int32)
