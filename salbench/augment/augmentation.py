"""What an augmentation is, and the two decorators that make one of a function."""

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from salbench.files import hash_bytes

KINDS = ("photometric", "geometric")


@dataclass(frozen=True)
class Augmentation:
    """A named transform of a sample.

    Attributes:
        name: as typed on the command line.
        kind: "photometric" changes pixels only; "geometric" moves them, and fixations and density with them.
        function: photometric: (image, rng, **parameters) -> image, both uint8 (height, width, 3) RGB of one size.
            geometric: (size, rng, **parameters) -> `Geometry`, where size is the image's (height, width).
            `rng` is a NumPy generator, the same for the same seed, image and name.
        parameters: keyword arguments of `function`; a name ends with its unit where it has one (_px, _deg).
        summary: one line.
        source: who used it, and what is not certain about its parameters.
        crops: the paper's released script moves the labels of crops, and of nothing else.

    Raises:
        ValueError: an unknown kind.
    """

    name: str
    kind: str
    function: Callable
    parameters: Mapping[str, object] = field(default_factory=dict)
    summary: str = ""
    source: str = ""
    crops: bool = False

    def __post_init__(self):
        if self.kind not in KINDS:
            raise ValueError(f"{self.name}: expected a kind of {' or '.join(KINDS)}, got {self.kind!r}")

    def code_hash(self):
        """16 hex digits of the file that its function is written in, and of its parameters."""
        return hash_bytes(Path(inspect.getfile(self.function)).read_bytes(), repr(dict(self.parameters)))


def photometric(function):
    """Make the function an augmentation that changes pixels only.

    Its name is the function's, its summary the first line of the docstring, its parameters the defaults of the
    arguments after `image` and `rng`.

    Raises:
        ValueError: an argument without a default.
    """
    return _of_function(function, "photometric")


def geometric(function):
    """Make the function an augmentation that moves pixels and labels; like `photometric`, but see `Augmentation`."""
    return _of_function(function, "geometric")


def _of_function(function, kind):
    own = list(inspect.signature(function).parameters.values())[2:]  # after the image or its size, and the generator
    bare = [parameter.name for parameter in own if parameter.default is parameter.empty]
    if bare:
        raise ValueError(f"{function.__name__}: expected a default for {', '.join(bare)}")
    return Augmentation(
        name=function.__name__,
        kind=kind,
        function=function,
        parameters={parameter.name: parameter.default for parameter in own},
        summary=(inspect.getdoc(function) or "").partition("\n")[0],
        source=f"your own, {inspect.getfile(function)}",
    )
