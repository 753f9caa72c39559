"""What a metric is: its function, and everything that the rest of the library has to know about it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass


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
