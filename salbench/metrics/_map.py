"""A checked map with the numbers that several metrics read: its extremes, its sum, and its spread."""

import numpy as np

from salbench.checks import check_map, measurable
from salbench.metrics._kernels import moments


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
        self.values = compilable(array)
        self.low, self.high, self.total_above, self.squares, finite = moments(self.values)
        if not (finite and measurable(self.low, self.high)):
            check_map(array, name)  # says what is wrong

    @property
    def array(self) -> np.ndarray:
        """The pixels, (height, width)."""
        return self.values.reshape(self.shape)

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
    def zero_share(self) -> float:
        """Share of pixels that are exactly zero. Many zeros in a prediction make KL explode."""
        if self.low > 0 or self.high < 0:
            return 0.0
        return np.count_nonzero(self.values == 0) / self.size  # faster than counting the others

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


def compilable(array: np.ndarray, dtype: type | None = None) -> np.ndarray:
    """1-D and writable: Numba compiles a second time for read-only arrays, such as Pillow's; a copy takes less time."""
    return np.require(array, dtype, ["C", "W"]).ravel()
