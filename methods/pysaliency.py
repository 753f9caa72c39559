"""Models written for pysaliency (Kümmerer and others, MIT licence)."""

import importlib
import inspect
from importlib.metadata import version
from threading import Lock
from types import ModuleType
from typing import Any

import numpy as np

from salbench.files import hash_bytes
from salbench.registry import MethodProblem, MethodUnavailable, SaliencyMethod, register
from salbench.sample import Sample

from ._spec import label_of


@register
class Pysaliency(SaliencyMethod):
    """Any model of pysaliency: pysaliency:package.module:object."""

    output = "map"

    def __init__(self, argument: str) -> None:
        """Import the model.

        Args:
            argument: package.module:object, after NAME= if wanted; NAME labels the row in tables, by default the
                object does. The object is a Model, which gives log densities, a SaliencyMapModel, which gives maps, or
                a class or function without arguments that makes one.

        Raises:
            MethodUnavailable: no model is given.
            MethodProblem: it cannot be imported, or it is something else.
            ModuleNotFoundError: pysaliency, or a package that the model imports, is not installed.
        """
        if not argument:
            raise MethodUnavailable("needs a model: --methods pysaliency:package.module:object")
        name, self._place = label_of(argument)
        module, _, path = self._place.partition(":")
        self._module = _imported(module, self._place)
        self._model = _made(self._module, path, self._place)
        self.output = _output(self._model, self._place)
        self.variant = name or path
        self._lock = Lock()  # models need not be ready for several threads

    def weights_hash(self) -> str:
        """16 hex digits of the model's source and pysaliency's version. The weights that it loads are not in it."""
        sources = [
            inspect.getsource(module) for module in (self._module, inspect.getmodule(type(self._model))) if module
        ]
        return hash_bytes(self._place.partition(":")[2], version("pysaliency"), *sources)

    def notes(self) -> list[str]:
        """What salbench does not know about the model."""
        return ["a model of pysaliency: what it was trained on is not known to salbench."]

    def predict(self, sample: Sample) -> np.ndarray:
        """The model's log density or saliency map."""
        with self._lock:
            if self.output == "log_density":
                return np.array(self._model.log_density(sample.image))
            return np.array(self._model.saliency_map(sample.image), dtype=np.float64)


def _imported(module: str, place: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name and not f"{module}.".startswith(f"{error.name}."):
            raise  # a package that the module needs
        raise MethodProblem(
            f"pysaliency:{place}: there is no module {error.name}; expected package.module:object. If the module is in "
            "a folder, put the folder on Python's path: PYTHONPATH=DIR salbench ..."
        ) from error
    except ValueError as error:  # an empty name
        raise MethodProblem(f"pysaliency:{place}: expected package.module:object") from error


def _made(module: ModuleType, path: str, place: str) -> Any:
    found: Any = module
    try:
        for name in path.split("."):
            found = getattr(found, name)
    except AttributeError as error:
        raise MethodProblem(f"pysaliency:{place}: expected an object {path!r} in {module.__name__}: {error}") from error
    return found() if inspect.isclass(found) or inspect.isroutine(found) else found


def _output(model: Any, place: str) -> str:
    from pysaliency.models import Model
    from pysaliency.saliency_map_models import SaliencyMapModel

    if not isinstance(model, Model | SaliencyMapModel):
        raise MethodProblem(
            f"pysaliency:{place}: expected a pysaliency Model or SaliencyMapModel, or a class or function without "
            f"arguments that makes one, got {type(model).__name__}"
        )
    model.caching = False  # otherwise all predictions stay in memory
    return "log_density" if isinstance(model, Model) else "map"
