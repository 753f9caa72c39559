"""Parsers of the values of options. Each raises `argparse.ArgumentTypeError` with what was expected and what came."""

import re
from argparse import ArgumentTypeError
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

LONGEST = 20_000  # pixels of a side of a map, or rows or columns of a grid
Value = TypeVar("Value", int, float)


def path(text: str) -> Path:
    """A path. The home folder is expanded here because a shell leaves the ~ of --out=~/results alone."""
    return Path(text).expanduser()


def words(text: str) -> list[str]:
    """The words between commas, without empty ones. A comma within double quotes belongs to its word."""
    return [word.strip() for word in re.findall(r'(?:"[^"]*"|[^,])+', text) if word.strip()]


def positive(text: str) -> int:
    """A whole number above 0."""
    return _number(text, int, lambda value: value > 0, "a whole number above 0")


def counts(text: str) -> list[int]:
    """Whole numbers above 0, separated by commas."""
    return [positive(each) for each in text.split(",")]


def seed(text: str) -> int:
    """A whole number, 0 or above."""
    return _number(text, int, lambda value: value >= 0, "a whole number, 0 or above")


def seeds(text: str) -> list[int]:
    """Seeds separated by commas."""
    return [seed(each) for each in text.split(",")]


def probability(text: str) -> float:
    """A number from 0 to 1."""
    return _number(text, float, lambda value: 0 <= value <= 1, "a probability from 0 to 1")


def probabilities(text: str) -> list[float]:
    """Numbers from 0 to 1, separated by commas."""
    return [probability(each) for each in text.split(",")]


def numbers(text: str) -> list[float]:
    """Numbers separated by commas."""
    return [_number(each, float, lambda value: True, "numbers separated by commas") for each in text.split(",")]


def loss_weights(text: str) -> dict[str, float]:
    """{name: weight} from NAME=WEIGHT,..., no weight below 0. A loss of weight 0 teaches nothing, as a control."""
    pairs = [pair.partition("=") for pair in text.split(",")]
    try:
        weights = {name.strip(): float(weight) for name, _, weight in pairs}
    except ValueError:
        weights = {}
    if not weights or not all(0 <= weight < float("inf") for weight in weights.values()):
        raise ArgumentTypeError(f"expected NAME=WEIGHT separated by commas, with no weight below 0, got {text!r}")
    return weights


def shape(text: str) -> tuple[int, int]:
    """Two whole numbers above 0 as in 480x640: height and width, or rows and columns."""
    first, _, second = text.lower().partition("x")
    try:
        found = positive(first), positive(second)
    except ArgumentTypeError as error:
        raise ArgumentTypeError(f"expected two whole numbers above 0 with an x between them, got {text!r}") from error
    if max(found) > LONGEST:
        raise ArgumentTypeError(f"expected two whole numbers of at most {LONGEST}, got {text!r}")
    return found


def _number(text: str, type: Callable[[str], Value], is_right: Callable[[Value], bool], expected: str) -> Value:
    try:
        value = type(text)
        if is_right(value):
            return value
    except ValueError:
        pass
    raise ArgumentTypeError(f"expected {expected}, got {text!r}")
