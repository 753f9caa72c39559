"""The contract of a method, and how methods are found by name.

A method is one file (or folder) in `methods/`, and the file's stem is its name. The file holds one class:

    from salbench.registry import SaliencyMethod, register

    @register
    class MyMethod(SaliencyMethod):
        \"\"\"One line that `salbench list methods` prints.\"\"\"
        def predict(self, sample):
            return sample.image.mean(2)

Methods come from the folder that ships with salbench, from folders given by `--methods-dir`, and from installed
packages with an entry point in the group `salbench.methods`, such as `bright = "my_package.bright"` (the module's last
part must be the method's name). Listing names imports no method. Code that methods share lives beside them in a module
with a leading underscore, imported relatively: `from ._pnasnet import PNASNet5Large`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import shlex
import sys
import traceback
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, TypeVar

from salbench import checksums, optional_packages, plugins
from salbench.code_hash import imported_packages, method_hash
from salbench.files import hash_bytes, shipped
from salbench.redaction import without_folders
from salbench.runtime import Runtime
from salbench.suggestions import suggestion
from salbench.training_plan import Plan

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from torch import nn

    from salbench.datasets import Dataset
    from salbench.edits import MadeEdits
    from salbench.sample import Sample
    from salbench.weights import Checkpoint

GROUP = "salbench.methods"  # of entry points; see `salbench.plugins`
OUTPUTS = ("map", "density", "log_density")
GROUPS = "all", "classical"  # words on the command line that stand for several methods
_MODULES = "_salbench_methods_"
_METHODS: dict[str, type[SaliencyMethod]] = {}  # module name -> registered class
_FOLDERS = [shipped("methods", "methods")]


class MethodProblem(ValueError):
    """A method that cannot be found or loaded. The message names it and says what to do."""


class ShippedFileProblem(MethodProblem):
    """A file that ships with a method, such as its weights, has changed."""


class MethodUnavailable(Exception):
    """A method that cannot run here or on this data set. The message says what is missing and how to get it."""


@dataclass(frozen=True)
class Sized:
    """What `salbench speed --size` measures of a method whose networks got another size.

    Attributes:
        parts: {name: network} of the parts of a prediction. A network may run within another.
        edits: {type: {what: function}}. A function takes a sample with a caption, and returns the number of edits that
            it made. The first of a type is what the others are compared with.
    """

    parts: Mapping[str, nn.Module]
    edits: Mapping[str, Mapping[str, Callable[[Sample], int]]] = field(default_factory=dict)


class SaliencyMethod:
    """Base class of all methods. A subclass sets the attributes it needs and writes `predict`.

    Attributes:
        output: kind of map that `predict` returns: "map" (any scale), "density" (any scale, >= 0) or "log_density".
        paper: citation, or "" if there is no paper.
        sees_fixations: true for ceilings only. They get samples with ground truth through `predict_held_out` and are
            never ranked.
        fits_at_run: `fit` takes seconds, so every run calls it: on the training split if there is one, otherwise on
            the scored split, as for every ceiling. What `fit` saw of an image must not enter the prediction of the
            same image. For a ceiling, that holds for what it saw of the same observer on the same image.
        checkpoints: published files that the method needs; see `salbench.weights`.
        imagenet: files of ImageNet weights that a training can start from; see `salbench.weights`.
        sizes: names of the sizes that `at_size` can give its networks.
        group: word of GROUPS that stands for this method and others on the command line, or "".
        name: the file's stem, set by `register`.
        variant: tells two runs of one method apart, such as two folders of maps; "" by default.
        runtime: device, batch size, seed and so on; set by `create` before anything else is called.
        spec: what `create` made it from, such as "from_folder:DIR".
    """

    output = "map"
    paper = ""
    sees_fixations = False
    fits_at_run = False
    checkpoints: tuple[Checkpoint, ...] = ()
    imagenet: tuple[Checkpoint, ...] = ()
    sizes: tuple[str, ...] = ()
    group = ""
    name = ""
    variant = ""
    runtime = Runtime()
    spec = ""

    @property
    def label(self) -> str:
        """Name in results and tables: name, or name+variant."""
        return f"{self.name}+{self.variant}" if self.variant else self.name

    @property
    def untrained(self) -> bool:
        """Whether the network has random weights, so its scores mean nothing."""
        return self.runtime.init == "random"

    def weights_hash(self) -> str | None:
        """16 hex digits of everything on disk that predictions depend on (weights, maps), or None."""
        return None

    def notes(self) -> list[str]:
        """Notes for every table with this method, such as what it was trained on."""
        return []

    def seen(self, samples: Sequence[Sample]) -> list[Sample]:
        """The samples that the weights are known to be trained or validated on. A score on them is not a test."""
        return []

    def knows_edits(self, fingerprint: str) -> bool:
        """Whether the weights were trained with the edit set of this fingerprint."""
        return False

    def init_random(self) -> None:
        """Prepare for random weights, the same every time. `create` calls it if the runtime says so.

        Raises:
            MethodUnavailable: the method is not a network, or was told which weights to use.
        """
        raise MethodUnavailable("is not a network; run it without --init random")

    def fit(self, samples: Sequence[Sample], plan: Plan) -> SaliencyMethod:
        """Learn from samples with ground truth. Optional.

        Returns:
            The method itself, ready to predict.
        """
        raise MethodProblem(f"{self.name} cannot be trained; see: salbench list methods")

    def predict(self, sample: Sample) -> np.ndarray:
        """Predict where people look.

        Args:
            sample: a blind sample: id, image (uint8 RGB), size and caption.

        Returns:
            Finite float (h, w) of any size, of the declared `output` kind; larger is more salient. The protocol
            resizes it to the stimulus.

        Raises:
            MethodUnavailable: something that every prediction needs is missing. The whole method is skipped.
        """
        raise NotImplementedError

    def predict_batch(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """Predict several blind samples. Override it if that is faster than one at a time.

        A prediction must not depend on the other samples. If it raises, each sample is tried by itself.
        """
        return [self.predict(sample) for sample in samples]

    def predict_held_out(self, sample: Sample) -> Iterable[tuple[np.ndarray, np.ndarray]]:
        """For ceilings: predict parts of the fixations from the others, such as one observer from the other observers.

        Args:
            sample: with ground truth.

        Yields:
            (prediction, mask): as `predict` returns it, and bool (N,), the fixations that it is scored on. The
            prediction must not depend on where these are. Each fixation is in exactly one mask.

        Raises:
            ValueError: the image cannot be scored; it fails.
        """
        raise NotImplementedError

    def features(self, sample: Sample) -> dict[str, np.ndarray]:
        """Feature maps to look at, for a blind sample: {title: float (C, h, w)}. Optional."""
        raise MethodProblem(f"{self.name} has no feature maps to show")

    def scorecard(self, samples: Iterable[Sample]) -> pd.DataFrame:
        """How well what the method reads from its feature maps agrees with blind samples' images. Optional.

        Returns:
            Columns "property", "share" (of the image that an area covers), and one for each measure, such as "r2". Its
            `attrs` say in a sentence what each measure means.
        """
        raise MethodProblem(f"{self.name} has no scorecard")

    def edit(
        self,
        sample: Sample,
        wanted: Mapping[str, Sequence[float]],
        *,
        color: str | None = None,
        word: str | None = None,
        mask: np.ndarray | str | None = None,
        constrained: bool = True,
        scaled: bool = True,
    ) -> MadeEdits:
        """Make versions of an image in which the saliency of a region should rise or fall. Optional.

        Args:
            sample: with or without ground truth.
            wanted: {type, such as "contrast": strengths}.
            color: the colour's word, for an edit that needs one.
            word: word of the caption whose region is edited; by default the method chooses.
            mask: float (H, W), >= 0, the region to edit instead of a word's, or `salbench.edits.SALIENCY`.
            constrained: weaken or drop edits that the method finds too strong.
            scaled: let a strength of brightness be that of the pixels, alike in red, green and blue.

        Raises:
            ValueError: an image or request that cannot be edited.
        """
        raise MethodProblem(f"{self.name} cannot edit images")

    def edit_batch(
        self,
        samples: Sequence[Sample],
        wanted: Mapping[str, Sequence[float]],
        *,
        colors: Sequence[str | None],
        masks: Sequence[np.ndarray | str | None],
        **options: Any,
    ) -> list[MadeEdits]:
        """Edit several images. Override it if that is faster than one at a time.

        Edits must not depend on the other images. If it raises, each image is tried by itself.

        Args:
            samples, wanted, options: see `edit`.
            colors, masks: `color` and `mask` of each sample; see `edit`.
        """
        each = zip(samples, colors, masks, strict=True)
        return [self.edit(sample, wanted, color=color, mask=mask, **options) for sample, color, mask in each]

    def setup(self) -> dict[str, Any]:
        """What a training or an edit depends on beside code, recipe and data, as JSON can hold it."""
        return {}

    def code_hash(self) -> str:
        """16 hex digits of the code that predictions run through; see `salbench.code_hash`."""
        return code_hash(self.name)

    def at_size(self, size: str, dtype: str) -> Sized:
        """Give the networks another size, with random weights, to measure what predictions cost. Optional; see `sizes`.

        Args:
            size: one of `sizes`.
            dtype: type of the numbers in frozen networks, as torch names it.

        Returns:
            The networks to measure, and work on edits.
        """
        raise MethodProblem(f"{self.name} has no other size than its own")

    def convert(self) -> Path:
        """Write the published weights as one safetensors file; returns its path. Optional."""
        raise MethodProblem(f"{self.name} has no published weights to convert")


Method = TypeVar("Method", bound=type[SaliencyMethod])


def register(cls: Method) -> Method:
    """Class decorator: make the class the method of its file."""
    if not issubclass(cls, SaliencyMethod):
        raise MethodProblem(f"{cls.__name__}: expected a subclass of SaliencyMethod")
    if cls.output not in OUTPUTS:
        raise MethodProblem(f"{cls.__name__}.output: expected one of {', '.join(OUTPUTS)}, got {cls.output!r}")
    if cls.group not in ("", *GROUPS):
        raise MethodProblem(f"{cls.__name__}.group: expected one of {', '.join(GROUPS)}, got {cls.group!r}")
    if cls.__module__ in _METHODS and _METHODS[cls.__module__].__qualname__ != cls.__qualname__:
        raise MethodProblem(f"{cls.__module__}: expected one registered method per file, got a second, {cls.__name__}")
    cls.name = cls.__module__.rpartition(".")[2]
    _METHODS[cls.__module__] = cls
    return cls


def add_folder(folder: Path | str) -> None:
    """Look for methods in `folder` too.

    Raises:
        MethodProblem: no such folder, or it holds a method whose name is taken.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise MethodProblem(f"{folder}: expected a folder of method files")
    if folder in _FOLDERS:
        return
    taken = sorted(set(available()) & set(_stems(folder)))
    if taken:
        origin = _place(taken[0]).origin
        raise MethodProblem(f"{folder}: the name {taken[0]!r} is taken by {origin}; rename your file")
    _FOLDERS.append(folder)


def own_folders() -> list[Path]:
    """The folders given to `add_folder`."""
    return _FOLDERS[1:]


def replace_own_folders(folders: Iterable[Path]) -> None:
    """Look for methods in these folders instead of those given to `add_folder`, and read their files again."""
    kept = _prefix(_FOLDERS[0])
    del _FOLDERS[1:]
    for module in [name for name in sys.modules if name.startswith(_MODULES) and not name.startswith(kept)]:
        del sys.modules[module]
        _METHODS.pop(module, None)
    for folder in folders:
        add_folder(folder)


def available() -> list[str]:
    """Names of all methods, sorted. Nothing is imported."""
    return sorted({*_files(), *plugins.declared(GROUP)})


def find(name: str) -> Path:
    """The file of a method, without importing it.

    Raises:
        MethodProblem: unknown name, with a suggestion; or an entry point without a file.
    """
    return _place(name).file()


def folder_option(name: str) -> str:
    """What a command needs to find a method, such as " --methods-dir DIR"; "" if it is found anyway."""
    folder = _folder(_files().get(name, _FOLDERS[0] / f"{name}.py"))
    return "" if folder == _FOLDERS[0] else f" --methods-dir {shlex.quote(str(folder))}"


def get(name: str) -> type[SaliencyMethod]:
    """The class of a method.

    Raises:
        MethodProblem: unknown name, or a file that cannot be imported or registers no method.
        MethodUnavailable: the file needs a package that is not installed.
    """
    place = _place(name)
    if place.module not in _METHODS:
        _import(place)
    if place.module not in _METHODS:
        raise MethodProblem(f"{place.origin}: expected one class with @register, found none")
    return _METHODS[place.module]


def members(group: str) -> list[str]:
    """Names of the methods of a group, sorted: "all" means every method that needs no argument. Imports all methods."""
    if group == "all":
        return [name for name in available() if not needs_argument(name)]
    return [name for name in available() if _group(name) == group]


def _group(name: str) -> str:
    try:
        return get(name).group
    except (MethodProblem, MethodUnavailable):
        return ""


def needs_argument(name: str) -> bool:
    """Whether a method cannot be made from its name alone, such as from_folder. False if it cannot be imported."""
    try:
        parameters = inspect.signature(get(name)).parameters.values()
    except (MethodProblem, MethodUnavailable):
        return False
    return any(p.default is p.empty and p.kind is p.POSITIONAL_OR_KEYWORD for p in parameters)


def create(spec: str, runtime: Runtime | None = None) -> SaliencyMethod:
    """Make a method from what is typed on the command line.

    Args:
        spec: a name such as "uniform", or a name with an argument such as "from_folder:DIR". A method that needs an
            argument gets "" if there is none.
        runtime: where and how it runs; the default runtime if not given.

    Raises:
        MethodProblem: see `get`; or an argument for a method that takes none.
        MethodUnavailable: the method says what it lacks.
    """
    name, colon, argument = spec.partition(":")
    cls = get(name)
    if colon and cls.__init__ is object.__init__:
        raise MethodProblem(f"{name} takes no argument, got {argument!r}")
    make: Callable[..., SaliencyMethod] = cls
    method = make(argument) if colon or needs_argument(name) else make()
    method.spec, method.runtime = spec, runtime or Runtime()
    if method.untrained:
        method.init_random()
    return method


def reduced(method: SaliencyMethod) -> tuple[Any, ...]:
    """How a method goes to another process, as `__reduce__` returns it.

    It goes as what was typed, and with what it learned if every run fits it.
    """
    if not method.spec:  # made by another method
        return _blank, (method.name,), vars(method)
    return create, (method.spec, method.runtime), vars(method) if method.fits_at_run else None


def _blank(name: str) -> SaliencyMethod:
    cls = get(name)
    return cls.__new__(cls)


def fit_at_run(method: SaliencyMethod, dataset: Dataset, train: Callable[[], Dataset | None]) -> str | None:
    """Fit a method that every run fits, and say on what.

    Args:
        method: any method; nothing happens unless it has `fits_at_run`.
        dataset: the split to be predicted. A ceiling is always fitted on it.
        train: returns its training split, or None if there is none; called only if needed.

    Returns:
        Name and fingerprint of the split that was used, or None.

    Raises:
        MethodUnavailable: there are no fixations to fit on.
    """
    if not method.fits_at_run:
        return None
    split = None if method.sees_fixations else train()
    left_out = "" if split else f" (leave one {'observer' if method.sees_fixations else 'image'} out)"
    split = split or dataset
    if not split.has_fixations:
        raise MethodUnavailable(f"needs fixations to fit on: {dataset.train or 'a training split'} is not on disk")
    method.fit(split.split or split.samples, Plan(dataset=split.name))
    return f"{split.name} {split.fingerprint}{left_out}"


def explained(error: Exception, method: SaliencyMethod) -> str:
    """An error as text that is stored with results.

    If salbench did not raise it, the text ends with the line of the method's code that led to it.
    """
    frames = traceback.extract_tb(error.__traceback__)
    folder = Path(inspect.getfile(type(method))).parent
    own = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
    is_ours = frames[-1] not in own and Path(frames[-1].filename).is_relative_to(Path(__file__).parent)
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own and not is_ours else ""
    return f"{type(error).__name__}: {without_folders(str(error))}{place}"


def code_hash(name: str) -> str:
    """16 hex digits of a method's code and the code of salbench that it reaches; see `salbench.code_hash`."""
    path = find(name)
    return method_hash(_own_files(path), _folder(path))


@dataclass(frozen=True)
class _Place:
    """Where a method is: the name of its module, the file or package to name in errors, and how to find and load it."""

    module: str
    origin: str
    file: Callable[[], Path]
    load: Callable[[], object]


def _place(name: str) -> _Place:
    files, packages = _files(), plugins.declared(GROUP)
    if name not in files and name not in packages:
        if name in GROUPS:
            raise MethodProblem(f"expected the name of one method, got {name!r}, which stands for several")
        raise MethodProblem(suggestion("method", name, available()))
    try:
        plugins.check_owner(GROUP, name, files)
    except plugins.PluginProblem as error:
        raise MethodProblem(str(error)) from error
    return _of_file(name, files[name]) if name in files else _of_entry(packages[name][0])


def _files() -> dict[str, Path]:
    """{name: file} of the methods in all folders."""
    return {name: path for folder in filter(Path.is_dir, _FOLDERS) for name, path in _stems(folder).items()}


def _of_file(name: str, path: Path) -> _Place:
    module = f"{_prefix(_folder(path))}.{name}"
    return _Place(module, str(path), lambda: path, lambda: _load_file(module, path))


def _prefix(folder: Path) -> str:
    """The package that the modules of a folder of methods are in."""
    return f"{_MODULES}{hash_bytes(str(folder))}"


def _of_entry(entry: EntryPoint) -> _Place:
    origin = f"package {entry.dist.name if entry.dist else 'unknown'}, entry point {entry.name} = {entry.value}"
    if entry.module.rpartition(".")[2] != entry.name:
        raise MethodProblem(f"{origin}: expected a module whose last part is the method's name")

    def file() -> Path:
        spec = importlib.util.find_spec(entry.module)
        if spec is None or spec.origin is None:
            raise MethodProblem(f"{origin}: there is no such module")
        return Path(spec.origin)

    return _Place(entry.module, origin, file, lambda: importlib.import_module(entry.module))


def _folder(path: Path) -> Path:
    """The folder of methods that a method's file is in."""
    return path.parent.parent if path.name == "__init__.py" else path.parent


def _own_files(path: Path) -> Iterable[Path]:
    return path.parent.rglob("*.py") if path.name == "__init__.py" else [path]


def _stems(folder: Path) -> dict[str, Path]:
    """{name: file} of the methods in one folder. Names with a leading underscore are not methods."""
    files = {p.stem: p for p in folder.glob("*.py")} | {p.parent.name: p for p in folder.glob("*/__init__.py")}
    return {name: path for name, path in files.items() if not name.startswith("_")}


def _import(place: _Place) -> None:
    try:
        place.load()
    except Exception as error:
        sys.modules.pop(place.module, None)
        _METHODS.pop(place.module, None)  # the file may have failed below its class
        if isinstance(error, MethodUnavailable | ShippedFileProblem):
            raise
        missing = getattr(error, "name", None) or ""
        own = missing.partition(".")[0] == place.module.partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and not own:
            others = imported_packages(_own_files(place.file()), _folder(place.file()))
            raise MethodUnavailable(optional_packages.needs(error, others)) from error
        raise MethodProblem(f"{place.origin}: cannot be imported: {type(error).__name__}: {error}") from error


def _check_shipped(path: Path) -> None:
    """Refuse a method if a file in its folder is not the one that `checksums` lists."""
    folder = _folder(path)
    own = path.parent.name if path.name == "__init__.py" else path.stem
    sums = {name: digest for name, digest in checksums.listed(folder).items() if name.startswith(f"{own}/")}
    for name in checksums.changed(folder, sums):
        raise ShippedFileProblem(
            f"{folder / name}: expected the file that ships with salbench, SHA-256 {sums[name][:12]}..., got another "
            f"or none; install salbench again. For weights of your own: {own}:FOLDER"
        )


def _load_file(name: str, path: Path) -> None:
    _check_shipped(path)
    search = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=search)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is not a Python file")
    module = importlib.util.module_from_spec(spec)
    package = name.rpartition(".")[0]
    sys.modules.setdefault(package, ModuleType(package)).__path__ = [str(_folder(path))]  # for relative imports
    sys.modules[name] = module
    spec.loader.exec_module(module)
