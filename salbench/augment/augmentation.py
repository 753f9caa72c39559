"""The `Augmentation` class, and two decorators that turn a function into one."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from salbench.augment.geometry import Geometry
from salbench.code_hash import file_hash
from salbench.files import hash_bytes

KINDS = ("photometric", "geometric")


@dataclass(frozen=True)
class Augmentation:
    """A named transform of a sample.

    Attributes:
        name: as typed on the command line.
        kind: "photometric" changes pixel values; "geometric" moves pixels, fixations and density.
        function: photometric: (image, rng, **parameters) -> image, both uint8 (height, width, 3) RGB of equal size.
            geometric: (size, rng, **parameters) -> `Geometry`, where size is the (height, width) of the image.
            The random numbers of `rng` depend only on the seed, the image's id and the augmentation's name.
        parameters: keyword arguments of `function`; names end in their unit (_px, _deg) if they have one.
        summary: one line.
        source: who used it, and what is uncertain about its parameters.
        crops: whether it is a crop; the script of Aydemir et al. moves the labels of crops only.

    Raises:
        ValueError: unknown kind.
    """

    name: str
    kind: str
    function: Callable[..., Any]
    parameters: Mapping[str, object] = field(default_factory=dict)
    summary: str = ""
    source: str = ""
    crops: bool = False

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: expected the kind {' or '.join(KINDS)}, got {self.kind!r}")

    def code_hash(self) -> str:
        """Return 16 hex digits: hash of its parameters and of the code in the file that holds its function."""
        return hash_bytes(file_hash(Path(inspect.getfile(self.function))), repr(dict(self.parameters)))


def photometric(function: Callable[..., np.ndarray]) -> Augmentation:
    """Turn a function of (image, rng, parameters) into an augmentation that changes pixel values; see `Augmentation`.

    The augmentation takes its name from the function, its summary from the first line of the docstring, and its
    parameters from the defaults of the arguments after `rng`.

    Raises:
        ValueError: a parameter has no default.
    """
    return _of_function(function, "photometric")


def geometric(function: Callable[..., Geometry]) -> Augmentation:
    """Turn a function of (size, rng, parameters) into an augmentation that moves pixels and labels.

    Name, summary and parameters are taken as by `photometric`.

    Raises:
        ValueError: a parameter has no default.
    """
    return _of_function(function, "geometric")


def _of_function(function, kind):
    own = list(inspect.signature(function).parameters.values())[2:]  # without the image or its size, and rng
    bare = [parameter.name for parameter in own if parameter.default is parameter.empty]
    if bare:
        raise ValueError(
            f"{function.__name__}: expected a default for {', '.join(bare)}, got none; write {bare[0]}=VALUE"
        )
    return Augmentation(
        name=function.__name__,
        kind=kind,
        function=function,
        parameters={parameter.name: parameter.default for parameter in own},
        summary=(inspect.getdoc(function) or "").partition("\n")[0],
        source=f"defined in {inspect.getfile(function)}",
    )
