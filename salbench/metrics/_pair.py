"""A prediction paired with the ground truth of its image, and the parts that several metrics share.

Each part is computed once, when a metric first asks for it: so all metrics of an image cost a few passes over its
pixels. The cost grows with height * width and, far less, with the number of fixations.
"""

from collections.abc import Iterable
from functools import cached_property

import numpy as np

from salbench.checks import check_density, check_map, check_same_shape, fixated_pixels, measurable
from salbench.metrics._kernels import moments
from salbench.metrics._ranks import Ranks

EPS = float(np.finfo(np.float64).eps)  # 2.2204e-16, which the MIT code adds to probabilities inside a logarithm
_LARGEST_COUNT = np.iinfo(np.int32).max


class Map:
    """A checked map and its moments.

    Args:
        array: (height, width) of finite numbers.
        name: what errors call it.

    Attributes:
        values: the pixels, 1-D, float32 or float64.
        shape: (height, width).
        low, high: minimum and maximum.
        total_above: sum of values - low.
        squares: sum of squared differences from the mean.

    Raises:
        ValueError: as `checks.check_map`.
    """

    def __init__(self, array: np.ndarray, name: str = "prediction") -> None:
        array = np.asarray(array)
        if array.ndim != 2 or not array.size or array.dtype not in (np.float32, np.float64):
            array = check_map(array, name)
        self.shape: tuple[int, int] = array.shape
        self.values = _compilable(array)
        self.low, self.high, self.total_above, self.squares, finite = moments(self.values)
        if not (finite and measurable(self.low, self.high)):
            check_map(array, name)  # says what is wrong

    @classmethod
    def density(cls, array: np.ndarray, shape: tuple[int, int], name: str) -> "Map":
        """A map that must have the shape of the prediction and no negative values."""
        checked = cls(array, name)
        check_same_shape(np.asarray(array), shape, name)
        if checked.low < 0:
            check_density(array, shape, name)  # says what is wrong
        return checked

    @property
    def size(self) -> int:
        """Number of pixels."""
        return self.values.size

    @property
    def is_constant(self) -> bool:
        """Whether all pixels are equal."""
        return self.low == self.high

    @property
    def is_zero(self) -> bool:
        """Whether all pixels are zero."""
        return self.low == self.high == 0

    @property
    def mean_above(self) -> float:
        """Mean of values - low."""
        return self.total_above / self.size

    def above(self, index: np.ndarray) -> np.ndarray:
        """values - low of some pixels, float64."""
        return self.values[index].astype(np.float64) - self.low

    def as_density(self, floor: str | None) -> tuple[float, float, float]:
        """How to read the map as a density, without making one: what `maps.to_density` computes.

        Returns:
            (base, scale, offset): a pixel v has the density (v - base) * scale + offset.
        """
        base = self.low if floor == "min" else min(self.low, 0.0)
        total = self.total_above + self.size * (self.low - base)
        return (base, 1 / total, 0.0) if total > 0 else (base, 0.0, 1 / self.size)

    def density_at(self, index: np.ndarray, floor: str | None) -> np.ndarray:
        """Densities of some pixels, float64."""
        base, scale, offset = self.as_density(floor)
        return (self.values[index].astype(np.float64) - base) * scale + offset


class Pair:
    """One prediction and what is known of its image. Metrics read it; parts that they share are computed once.

    Args:
        prediction: (H, W) map.
        pixels: (index, count) of fixated pixels, as `checks.fixated_pixels` returns them.
        density: ground-truth density, of the shape of `density_prediction`; zeros mean that it is unknown.
        negatives: (H, W) integer count map of other images' fixations.
        baseline: (H, W) density of other images' fixations.
        density_prediction: map to compare with the density, if a protocol prepares one; else `prediction`.

    Attributes:
        map: the prediction, compared with fixations.
        density_map: the prediction, compared with the density.
        index, count: flat indices of fixated pixels, and the number of fixations on each.
        density, baseline: `Map` or None.
        negatives: flat int32 counts or None.

    Raises:
        ValueError: NaN, wrong shapes, negative densities, or negatives that are not counts.
    """

    def __init__(
        self,
        prediction: np.ndarray,
        *,
        pixels: tuple[np.ndarray, np.ndarray] | None = None,
        density: np.ndarray | None = None,
        negatives: np.ndarray | None = None,
        baseline: np.ndarray | None = None,
        density_prediction: np.ndarray | None = None,
    ) -> None:
        self.map = self.density_map = Map(prediction)
        if density_prediction is not None and density_prediction is not prediction:
            self.density_map = Map(density_prediction)
        self._has_pixels = pixels is not None
        self.index: np.ndarray
        self.count: np.ndarray
        self.index, self.count = (np.empty(0, np.int64), np.empty(0, np.int64)) if pixels is None else pixels
        self.density = None if density is None else Map.density(density, self.density_map.shape, "density")
        self.baseline = None if baseline is None else Map.density(baseline, self.map.shape, "baseline")
        self.negatives = None if negatives is None else _counts(negatives, self.map.shape)
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
            ValueError: as `Pair`; points off the image, or a blurred map instead of points.
        """
        prediction = check_map(prediction)
        shape = prediction.shape
        pixels = None if fixations is None else fixated_pixels(fixations, shape)
        counts = None
        if negatives is not None:
            index, count = fixated_pixels(negatives, shape, "negatives")
            counts = np.zeros(shape, np.int64)
            counts.ravel()[index] = count
        return cls(prediction, pixels=pixels, density=density, negatives=counts, baseline=baseline)

    def has(self, needs: Iterable[str]) -> bool:
        """Whether it holds this ground truth, of "fixations", "density", "negatives", "baseline"."""
        there = {
            "fixations": self._has_pixels,
            "density": self.density is not None,
            "negatives": self.negatives is not None,
            "baseline": self.baseline is not None,
        }
        return all(there[need] for need in needs)

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
    return _compilable(array, np.int32)


def _compilable(array: np.ndarray, dtype: type | None = None) -> np.ndarray:
    """1-D and writable: Numba compiles a second time for read-only arrays, such as Pillow's; a copy takes less time."""
    return np.require(array, dtype, ["C", "W"]).ravel()
