"""Which images the parameters are fitted to, and which are scored with them. An image is never in both."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

ALL = "all"
FOLDS = 5
MOST_IMAGES = 1000  # "all" means at most as many, which is plenty for seven numbers


@dataclass(frozen=True)
class Draw:
    """One fit.

    Attributes:
        images: number of images that it is fitted to, as asked for: a number, or "all".
        number: of the draw or fold, from 0.
        fitted: ids of these images.
        scored: ids of the images that are scored with its parameters.
    """

    images: str
    number: int
    fitted: tuple[str, ...]
    scored: tuple[str, ...]


def make(
    scored: Sequence[str], train: Sequence[str] | None, images: Sequence[str], repeats: int, seed: int
) -> list[Draw]:
    """The fits of an adaptation.

    With a training split, images are drawn from it, and everything is scored. Without, they are drawn from the scored
    images, and the others are scored; "all" then means `FOLDS` folds, each scored with parameters from the others.

    Args:
        scored: ids of the data set to score.
        train: ids of its training split, or None.
        images: numbers of images, or "all".
        repeats: random draws for each number.
        seed: random seed.

    Raises:
        ValueError: a number that leaves no image to score, or more than there are.
    """
    return [draw for wanted in images for draw in _of_one(scored, train, wanted, repeats, seed)]


def _of_one(scored: Sequence[str], train: Sequence[str] | None, wanted: str, repeats: int, seed: int) -> list[Draw]:
    pool = scored if train is None else train
    orders = [np.random.default_rng([seed, repeat]).permutation(list(pool)).tolist() for repeat in range(repeats)]
    if wanted == ALL and train is not None:
        return [Draw(ALL, 0, tuple(orders[0][:MOST_IMAGES]), tuple(scored))]
    if wanted == ALL:
        folds = [set(orders[0][number::FOLDS]) for number in range(FOLDS)]
        return [_without(scored, fold, number, orders[0]) for number, fold in enumerate(folds) if fold]
    n, most = int(wanted), len(pool) - (train is None)
    if n > most:
        raise ValueError(f"--images: expected at most {most} images to fit to, got {n}")
    fitted = [tuple(order[:n]) for order in orders]  # 50 images are 10 and 40 more
    chosen = [set(ids) if train is None else set() for ids in fitted]
    return [
        Draw(wanted, number, ids, tuple(id for id in scored if id not in own))
        for number, (ids, own) in enumerate(zip(fitted, chosen, strict=True))
    ]


def _without(scored: Sequence[str], fold: set[str], number: int, order: Sequence[str]) -> Draw:
    fitted = [id for id in order if id not in fold][:MOST_IMAGES]
    return Draw(ALL, number, tuple(fitted), tuple(id for id in scored if id in fold))
