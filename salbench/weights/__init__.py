"""Published weights: which files a method needs, where they are looked for, and how they are read safely.

A method names the files that its authors publish in `checkpoints`, a tuple, and builds a network whose parameters have
the published names:

    from salbench.training import LearnedMethod, Recipe
    from salbench.weights import Checkpoint

    class Mine(LearnedMethod):
        checkpoints = (
            Checkpoint("mine.pth", source="https://example.org/mine", licence="MIT", trained_on="SALICON"),
            Checkpoint("prior.npy", source="https://example.org/mine", licence="MIT", trained_on="MIT1003"),
        )

        def published(self, state, prior):  # the content of each file, in their order -> the network's state dict
            return state["state_dict"] | {"prior": prior}  # "prior" is a buffer of the network

A file is read by its ending:

- .pth, .pt, .safetensors: a state dict, or a container with one inside;
- .npy: one array, read as a tensor; .npz: {name: tensor};
- .caffemodel: {"<layer>.<index of the blob>": tensor};
- .binaryproto: one array of Caffe, such as a mean image, read as a tensor;
- .h5, .hdf5, .pkl: weights that Keras saved as HDF5, {"<layer>/<weight>": tensor} in the order of the layers;
- .pb: the constants of a frozen TensorFlow graph, {node: tensor}.

If the only file holds the network's state dict as it is, `published` is not needed. `matched` gives the tensors of a
file the names that the network expects.

The folder of a method is `<root>/<method>`. The root is --weights-root if given, otherwise $SALBENCH_WEIGHTS, otherwise
`weights` in the user's cache. `weights convert` writes `<method>.safetensors` there, which replaces all other files.

A method names the ImageNet weights that its trainings can start from in `imagenet`, in the same way. Their folder is
`<root>/imagenet`, because several methods may use one file.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any

from salbench.files import hash_bytes, user_cache
from salbench.optional_packages import needs

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

IMAGENET = "imagenet"  # folder of the ImageNet weights that methods share
SUFFIXES = (
    ".pth", ".pt", ".safetensors", ".npy", ".npz", ".caffemodel", ".binaryproto", ".h5", ".hdf5", ".pkl", ".pb",
)  # fmt: skip


class WeightsProblem(ValueError):
    """A file of weights that cannot be used. The message names it and says what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """One file of published weights.

    Attributes:
        file: its official name, without a folder, with one of the endings in `SUFFIXES`.
        source: address of the page where its authors publish it.
        licence: licence of the weights, or "none stated".
        trained_on: names of the data sets, as prose. A score on one of them is not a test.
        seen: data sets that the weights were trained on with all images, by the names in `Sample.dataset`, such as
            "osie". Rows on these images are marked and not ranked.

    Raises:
        WeightsProblem: `file` is not a plain file name with one of these endings.
    """

    file: str
    source: str
    licence: str
    trained_on: str
    seen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if Path(self.file).name != self.file or "\\" in self.file or Path(self.file).suffix not in SUFFIXES:
            raise WeightsProblem(
                f"expected the name of a file, without a folder, that ends in {', '.join(SUFFIXES)}, got {self.file!r}"
            )


def seen(checkpoints: Iterable[Checkpoint]) -> frozenset[str]:
    """Names of the data sets that published weights were trained on with all images."""
    return frozenset(name for published in checkpoints for name in published.seen)


def folder(method: str, root: Path | str | None = None) -> Path:
    """The folder of a method's files, in `root`, otherwise in $SALBENCH_WEIGHTS, otherwise in the user's cache."""
    return Path(root or os.environ.get("SALBENCH_WEIGHTS") or user_cache() / "weights").expanduser() / method


def converted(method: str, root: Path | str | None = None) -> Path:
    """The one file that `weights convert` writes in place of the published ones."""
    return folder(method, root) / f"{method}.safetensors"


def trained(method: str, root: Path | str | None = None) -> dict[str, Path]:
    """Trainings of a method that are kept beside its published weights: {variant: its folder}.

    Such a folder is `<root>/<method>+<variant>`, as `fit` wrote it.
    """
    place = folder(method, root)
    found = sorted(place.parent.glob(f"{place.name}+*/best.safetensors"))
    return {path.parent.name.partition("+")[2]: path.parent for path in found}


def remedy(
    method: str, checkpoints: Iterable[Checkpoint], root: Path | str | None = None, lacks: str = "has no weights"
) -> str:
    """Which published files are missing and what to do, in one line that starts with `lacks`; "" if none is missing."""
    place = folder(method, root)
    missing = [c for c in checkpoints if not (place / c.file).is_file()]
    if not missing:
        return ""
    by_page: dict[str, list[str]] = {}
    for published in missing:
        by_page.setdefault(published.source, []).append(published.file)
    files = " and ".join(f"{' and '.join(of_one)} from {page}" for page, of_one in by_page.items())
    return f"{lacks}; download {files} into {place} (see: salbench weights)"


def read(path: Path | str) -> Any:
    """Read a published file on the CPU, without running any code in it.

    Returns:
        Tensors or containers of them; see the top of this file.

    Raises:
        WeightsProblem: damaged, not a file of weights, or readable only by running code from it.
    """
    path = Path(path)
    _refuse_text(path)
    try:
        return _READERS[path.suffix](path)
    except UnpicklingError as error:  # its own message tells how to run the code
        raise WeightsProblem(
            f"{path}: refused: damaged, or holds more than tensors, which only running code from the file could read; "
            "get the file that the authors of the method publish"
        ) from error
    except ModuleNotFoundError as error:
        raise WeightsProblem(f"{path}: {needs(error)}") from error
    except Exception as error:  # damaged files lead torch into RuntimeError, EOFError, KeyError, AssertionError, ...
        if getattr(error, "errno", None) is not None:
            raise  # the disk failed, not the file
        what = str(error).partition("\n")[0].partition(". ")[0]
        said = f" ({what})" if " " in what else ""
        raise WeightsProblem(f"{path}: damaged, or not a file of weights; get it again{said}") from error


def _refuse_text(path: Path) -> None:
    with open(path, "rb") as file:
        start = file.read(200).lstrip()
    if not start:
        raise WeightsProblem(f"{path}: is empty; get it again")
    if start.startswith(b"<"):
        raise WeightsProblem(
            f"{path}: is a web page, which some hosts send in place of a large file; get it in a browser"
        )
    if start.startswith(b"version https://git-lfs"):
        raise WeightsProblem(f"{path}: is a pointer of Git LFS, not the file itself; get that with: git lfs pull")


def _read_pickle(path: Path) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors.torch import load_file

    return load_file(path)


def _read_npy(path: Path) -> Tensor:
    import numpy as np
    import torch

    return torch.from_numpy(np.load(path, allow_pickle=False))


def _read_npz(path: Path) -> dict[str, Tensor]:
    import numpy as np

    with np.load(path, allow_pickle=False) as file:
        return _tensors(dict(file))


def _read_caffemodel(path: Path) -> dict[str, Tensor]:
    from salbench.weights._caffemodel import read_caffemodel

    return _tensors(read_caffemodel(path.read_bytes()))


def _read_binaryproto(path: Path) -> Tensor:
    from salbench.weights._caffemodel import read_binaryproto

    return _tensors({"blob": read_binaryproto(path.read_bytes())})["blob"]


def _read_keras(path: Path) -> dict[str, Tensor]:
    from salbench.weights._keras import read_keras

    return _tensors(read_keras(path))


def _read_frozen_graph(path: Path) -> dict[str, Tensor]:
    from salbench.weights._frozen_graph import read_frozen_graph

    return _tensors(read_frozen_graph(path.read_bytes()))


def _tensors(arrays: Mapping[str, np.ndarray]) -> dict[str, Tensor]:
    import torch

    return {name: torch.tensor(array) for name, array in arrays.items()}  # a copy: the file's bytes are read-only


_READERS: dict[str, Callable[[Path], Any]] = {
    ".pth": _read_pickle, ".pt": _read_pickle, ".safetensors": _read_safetensors, ".npy": _read_npy, ".npz": _read_npz,
    ".caffemodel": _read_caffemodel, ".binaryproto": _read_binaryproto, ".h5": _read_keras, ".hdf5": _read_keras,
    ".pkl": _read_keras, ".pb": _read_frozen_graph,
}  # fmt: skip


def matched(tensors: Mapping[str, Tensor], shapes: Mapping[str, Sequence[int]]) -> dict[str, Tensor]:
    """The tensors of a file by the names that a network expects.

    By name if the file has all of them; it may hold more. Otherwise by order, with a warning, because programs number
    their layers differently. Axes of length one do not count, as old files lack them or have more.

    Args:
        tensors: what `read` returned.
        shapes: {expected name: shape in the file}, in the file's order.

    Raises:
        LookupError: another number of tensors, or other shapes.
    """
    if shapes.keys() <= tensors.keys():
        pairs = [(name, name) for name in shapes]
    else:
        if len(tensors) != len(shapes):
            lacking = next(name for name in shapes if name not in tensors)
            raise LookupError(f"expected {len(shapes)} tensors, got {len(tensors)}, without {lacking}")
        pairs = list(zip(shapes, tensors, strict=True))
    found = {name: _shaped(tensors[theirs], shapes[name], theirs) for name, theirs in pairs}
    others = [(name, theirs) for name, theirs in pairs if name != theirs]
    if others:
        name, theirs = others[0]
        warnings.warn(
            f"{len(others)} of {len(pairs)} tensors have other names than expected, such as {theirs} for {name}; they "
            "were matched by their order, and their shapes agree",
            stacklevel=2,
        )
    return found


def _shaped(tensor: Tensor, shape: Sequence[int], name: str) -> Tensor:
    if [n for n in tensor.shape if n != 1] != [n for n in shape if n != 1]:
        raise LookupError(f"{name}: expected shape {tuple(shape)}, got {tuple(tensor.shape)}")
    return tensor.reshape(tuple(shape))


def arranged(
    arrange: Callable[..., Mapping[str, Tensor]], paths: Sequence[Path], published: Sequence[Checkpoint]
) -> dict[str, Tensor]:
    """A state dict made from published files.

    Args:
        arrange: takes what `read` returns for each file, and returns the state dict.
        paths: where the files are.
        published: what they are.

    Raises:
        WeightsProblem: a file that cannot be read, or has another layout than `arrange` expects.
    """
    contents = [read(path) for path in paths]
    try:
        return {name: tensor.detach() for name, tensor in arrange(*contents).items()}
    except (LookupError, AttributeError, TypeError, ValueError, RuntimeError) as error:
        why = str(error) if type(error) in (LookupError, ValueError) else repr(error)
        raise WeightsProblem(
            f"{paths[0]}: expected what {published[0].source} publishes, got {described(contents[0])} ({why})"
        ) from error


def described(content: Any) -> str:
    """What `read` returned, in a few words: names and types of what a container holds."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    names = [f"{name} ({type(value).__name__})" for name, value in content.items()]
    return f"{len(names)} entries: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """16 hex digits of {name: tensor}: names, types, shapes and values, whatever file they come from."""
    import torch

    parts: list[Any] = []
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        parts += [name, str(tensor.dtype), str(tuple(tensor.shape)), values]
    return hash_bytes(*parts)
