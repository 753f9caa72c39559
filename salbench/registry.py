"""The contract of a method, and finding methods by name.

A method is one file (or folder) in `methods/`; the file's stem is its name. The file holds one class:

    from salbench.registry import SaliencyMethod, register

    @register
    class MyMethod(SaliencyMethod):
        \"\"\"One line that `list methods` prints.\"\"\"
        def predict(self, sample):
            return sample.image.mean(2)

Nothing is imported to list the names; a file is imported when its method is asked for. What several methods share is a
module beside them with a leading underscore, which they import relatively (`from ._pnasnet import PNASNet5Large`); a
variant of a method imports that method so.
"""

import ast
import difflib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType

from salbench.files import hash_bytes

_METHODS = {}  # module name -> registered class
_REPOSITORY = Path(__file__).resolve().parent.parent
# Beside the package in the repository; an installed wheel has no methods of its own.
_FOLDERS = [_REPOSITORY / "methods"] if (_REPOSITORY / "benchmark.py").exists() else []


OUTPUTS = ("map", "density", "log_density")


class MethodProblem(ValueError):
    """A method that cannot be found or loaded; the message names it and what to do."""


class MethodUnavailable(Exception):
    """A method that cannot run here or on this data set: what is missing, and how to get it."""


class SaliencyMethod:
    """Base class of all methods. Subclasses set the attributes they need and write `predict`.

    Attributes:
        output: what `predict` returns: "map" (any scale), "density" (any scale, >= 0) or "log_density".
        paper: citation, or "" for a method of no paper.
        sees_fixations: only for ceilings: the method gets samples with their ground truth through
            `predict_held_out` instead of `predict`, and is printed apart, never ranked.
        fits_at_run: `fit` takes seconds, so every run calls it: on the training split where the data set has
            one, else on the scored split itself. `predict` must then leave out what `fit` saw of the same id.
        device: where to run a network, as torch names it; set by the caller before `fit` and `predict`.
        backbone: place of a large frozen model that the method builds on, where it does and one was given; a folder
            or what the method says; set by the caller as `device` is.
        checkpoints: the published files that the method needs, of `weights.Checkpoint`; () for none.
        weights_root: folder of published weights, where one was given (see `weights`); set by the caller too.
        untrained: its network has random weights (see `init_random`): its scores mean nothing.
        name: the file's stem, set by `register`.
        variant: tells apart two runs of one method (two folders of maps, two checkpoints); "" for the plain one.
    """

    output = "map"
    paper = ""
    sees_fixations = False
    fits_at_run = False
    device = "cpu"
    backbone = None
    checkpoints = ()
    weights_root = None
    untrained = False
    name = ""
    variant = ""

    @property
    def label(self):
        """How results and tables name this method: name, or name+variant."""
        return f"{self.name}+{self.variant}" if self.variant else self.name

    def weights_hash(self):
        """16 hex digits of everything from disk that the predictions depend on (weights, maps), or None."""
        return None

    def notes(self):
        """What must be said beneath every table with this method, such as what it was trained on: list of str."""
        return []

    def seen(self, samples):
        """Those of `samples` that its weights are known to be trained or validated on: a score on them is no test."""
        return []

    def knows_edits(self, fingerprint):
        """Whether its weights are known to be trained with the edit set of this fingerprint."""
        return False

    def init_random(self):
        """Give the network random weights, always the same, instead of trained ones: for speed and plumbing only.

        Raises:
            MethodUnavailable: the method is no network, or was told which weights to use.
        """
        raise MethodUnavailable("is no network, so that it has no random weights; run it without --init random")

    def fit(self, samples, *, augment=None, seed=0):
        """Learn from samples with their ground truth. Optional."""
        raise NotImplementedError(f"{self.name} has nothing to fit")

    def predict(self, sample):
        """Where people will look.

        Args:
            sample: a blind `Sample`: id, image (uint8 RGB), size and caption.

        Returns:
            float (h, w) of any size, finite, of the declared `output` kind; larger is more salient. The
            protocol resizes it to the stimulus.

        Raises:
            MethodUnavailable: something that every prediction needs is missing; the whole method is skipped.
        """
        raise NotImplementedError

    def predict_batch(self, samples):
        """What `predict` returns, of each of several blind samples: list. For methods that are faster so.

        A prediction must not depend on the others. Where it raises, the caller tries each sample by itself.
        """
        return [self.predict(sample) for sample in samples]

    def features(self, sample):
        """Feature maps to look at: {title: float array (C, h, w)}, of a blind `Sample`. Optional."""
        raise MethodProblem(f"{self.name} has no feature maps to show")

    def edit(self, sample, wanted, *, color=None, word=None, mask=None, constrained=True):
        """Versions of an image in which the saliency of a region should change in a known direction. Optional.

        Args:
            sample: a `Sample`, with or without ground truth.
            wanted: {type, such as "contrast": list of strengths}.
            color: for the type "color", the colour's word.
            word: of the caption, whose region is edited; by default the method chooses.
            mask: float (H, W), >= 0, the region to edit, in place of a word's; or `salbench.edits.SALIENCY`.
            constrained: whether edits that look too strong to the method are weakened, or dropped.

        Returns:
            `salbench.edits.MadeEdits`.

        Raises:
            ValueError: an image or request that cannot be edited so.
        """
        raise MethodProblem(f"{self.name} cannot edit images")

    def predict_held_out(self, sample):
        """For `sees_fixations`: yield (prediction, mask), mask marking the fixations it may be scored on."""
        raise NotImplementedError


def register(cls):
    """Class decorator: make the class the method of its file."""
    if not issubclass(cls, SaliencyMethod):
        raise MethodProblem(f"{cls.__name__}: expected a subclass of SaliencyMethod")
    if cls.output not in OUTPUTS:
        raise MethodProblem(f"{cls.__name__}.output: expected one of {', '.join(OUTPUTS)}, got {cls.output!r}")
    if cls.__module__ in _METHODS and _METHODS[cls.__module__].__qualname__ != cls.__qualname__:
        raise MethodProblem(f"{cls.__module__}: expected one registered method per file, got a second, {cls.__name__}")
    cls.name = cls.__module__.rpartition(".")[2]
    _METHODS[cls.__module__] = cls
    return cls


def add_folder(folder):
    """Look for methods in `folder` too.

    Raises:
        MethodProblem: no such folder, or it holds a method whose name is taken.
    """
    folder = Path(folder).resolve()
    if not folder.is_dir():
        raise MethodProblem(f"{folder}: expected a folder of method files")
    if folder in _FOLDERS:
        return
    taken = {name: path for name, path in _files().items() if name in _stems(folder)}
    if taken:
        name, path = next(iter(taken.items()))
        raise MethodProblem(f"{folder}: the name {name!r} is taken by {path}; rename your file")
    _FOLDERS.append(folder)


def available():
    """Names of all methods, sorted, without importing any."""
    return sorted(_files())


def find(name):
    """The file of a method, which is not imported.

    Raises:
        MethodProblem: unknown name, with a suggestion.
    """
    files = _files()
    if name not in files:
        near = difflib.get_close_matches(name, files, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise MethodProblem(f"no method is named {name!r}: {hint}known are {', '.join(sorted(files))}")
    return files[name]


def get(name):
    """The class of a method.

    Raises:
        MethodProblem: unknown name (with a suggestion), or a file that fails to import or registers nothing.
        MethodUnavailable: the file needs a package that is not installed.
    """
    path = find(name)
    module = f"_salbench_methods_{hash_bytes(str(_folder(path)))}.{name}"
    if module not in _METHODS:
        _import(module, path)
    if module not in _METHODS:
        raise MethodProblem(f"{path}: expected one class with @register, found none")
    return _METHODS[module]


def create(spec):
    """Make a method from what is typed on the command line: "uniform", or with an argument "from_folder:DIR".

    Raises:
        MethodProblem: see `get`; or an argument for a method that takes none.
        MethodUnavailable: the method says what it lacks.
    """
    name, colon, argument = spec.partition(":")
    cls = get(name)
    if colon and cls.__init__ is object.__init__:
        raise MethodProblem(f"{name} takes no argument, got {argument!r}")
    return cls(argument) if colon else cls()


def fit_at_run(method, dataset, train, *, seed):
    """Fit a method that every run fits, and say on what.

    Args:
        method: any; one without `fits_at_run` is left alone.
        dataset: the split to be predicted.
        train: returns its training split, or None where there is none; called only if needed.
        seed: for `fit`.

    Returns:
        Name and fingerprint of the split that was used, or None.

    Raises:
        MethodUnavailable: there is nothing with fixations to fit on.
    """
    if not method.fits_at_run:
        return None
    split = train()
    left_out = "" if split else " (leave one image out)"
    split = split or dataset
    if not split.has_fixations:
        raise MethodUnavailable(f"needs fixations to fit on: {dataset.train or 'a training split'} is not on disk")
    method.fit(split.split or split.samples, seed=seed)
    return f"{split.name} {split.fingerprint}{left_out}"


def explained(error, method):
    """An error as text; one that salbench has not raised itself with the line of the method's code that led to it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if Path(f.filename).is_relative_to(find(method.name).parent)]
    ours = Path(frames[-1].filename).is_relative_to(Path(__file__).parent)
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own and not ours else ""
    return f"{type(error).__name__}: {error}{place}"


def code_hash(name):
    """16 hex digits of the source of a method: its file, or all Python files of its folder.

    The modules beside it that it imports relatively, and those that these import, count too.
    """
    path = find(name)
    own = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
    parts = [(source.relative_to(path.parent), source) for source in own]
    parts += [(source.relative_to(_folder(path)), source) for source in _shared(own, _folder(path))]
    return hash_bytes(*(part for name, source in parts for part in (name.as_posix(), source.read_bytes())))


def _folder(path):
    """The folder of methods that a method's file is in."""
    return path.parent.parent if path.name == "__init__.py" else path.parent


def _shared(own, folder):
    """Files in `folder` that the files `own` import relatively, directly or not, sorted; `own` is left out."""
    found, todo = set(own), list(own)
    while todo:
        new = {file for file in _imported(todo.pop()) if file.is_relative_to(folder)} - found
        found |= new
        todo += new
    return sorted(found - set(own))


def _imported(source):
    """The files behind the relative imports of a Python file."""
    for node in ast.walk(ast.parse(source.read_bytes())):
        if isinstance(node, ast.ImportFrom) and node.level:
            place = source.parents[node.level - 1]
            parts = node.module.split(".") if node.module else []
            names = [place.joinpath(*parts[: n + 1]) for n in range(len(parts))]
            names += [place.joinpath(*parts, alias.name) for alias in node.names]
            files = [file for name in names for file in (name.with_suffix(".py"), name / "__init__.py")]
            yield from filter(Path.is_file, files)


def _stems(folder):
    """Name -> file of the methods in one folder; names with a leading underscore are not methods."""
    files = {p.stem: p for p in folder.glob("*.py")} | {p.parent.name: p for p in folder.glob("*/__init__.py")}
    return {name: path for name, path in files.items() if not name.startswith("_")}


def _files():
    return {name: path for folder in _FOLDERS if folder.is_dir() for name, path in _stems(folder).items()}


def _import(name, path):
    search = [str(path.parent)] if path.name == "__init__.py" else None
    spec = importlib.util.spec_from_file_location(name, path, submodule_search_locations=search)
    module = importlib.util.module_from_spec(spec)
    package = name.rpartition(".")[0]
    sys.modules.setdefault(package, ModuleType(package)).__path__ = [str(_folder(path))]  # of what methods share
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        _METHODS.pop(name, None)  # the file may have failed below its class
        if isinstance(error, MethodUnavailable):
            raise
        missing = (getattr(error, "name", None) or "").partition(".")[0]
        if isinstance(error, ModuleNotFoundError) and missing != package:
            raise MethodUnavailable(f"needs the package {missing}: python -m pip install {missing}") from error
        raise MethodProblem(f"{path}: cannot be imported: {type(error).__name__}: {error}") from error
