"""What a metric is: its function, and everything that the rest of the library has to know about it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Metric:
    """A row of `METRICS`.

    Attributes:
        fn: the function for users, `fn(prediction, <first need>, **<other needs>, **options)`.
        of_pair: the same metric for the evaluator, `of_pair(pair, **options)`; see `Pair`.
        needs: ground truth that it reads, of "fixations", "density", "negatives", "baseline". `fn` takes the first by
            position, the others by name.
        higher_is_better: direction.
        bounds: (lowest, highest) possible value.
        unit: "" for a pure number.
        reference: implementation that the tests compare it with.
        levels: `levels(**options)` returns thresholds on the scale from 0 (the map's minimum) to 1 (its maximum) at
            which it asks `Pair.ranks` for counts. Naming them here saves a pass over the pixels.
        reads_probabilities: means something only if the prediction is a probability density.
        hurt_by_zeros: exact zeros in a prediction can dominate the value.
        zero_is_baseline: predicting the baseline scores zero, so a method's value divided by the ceiling's is the part
            that the method explains of all that can be explained.
        noise_ceiling: `noise_ceiling(densities)` takes the density of each observer, (n, H, W), and returns the value
            that the best possible prediction is expected to have against the density of all, or NaN if there are too
            few. None if the metric has no such estimate.
    """

    fn: Callable[..., float]
    of_pair: Callable[..., float]
    needs: tuple[str, ...]
    higher_is_better: bool
    bounds: tuple[float, float]
    unit: str
    reference: str
    levels: Callable[..., Iterable[float]] = lambda **_: ()
    reads_probabilities: bool = False
    hurt_by_zeros: bool = False
    zero_is_baseline: bool = False
    noise_ceiling: Callable[[Sequence[np.ndarray]], float] | None = None
