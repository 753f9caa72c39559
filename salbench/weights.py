"""Published weights: which files a method needs, where they are looked for, and reading them without trusting them.

A method names the files that its authors publish in `checkpoints`, always a tuple, and builds a network whose
parameters carry the published names:

    from salbench.training import LearnedMethod, Recipe
    from salbench.weights import Checkpoint

    class Mine(LearnedMethod):
        checkpoints = (
            Checkpoint("mine.pth", source="https://example.org/mine", licence="MIT", trained_on="SALICON"),
            Checkpoint("prior.npy", source="https://example.org/mine", licence="MIT", trained_on="MIT1003"),
        )

        def published(self, state, prior):  # what each file holds, in their order -> the network's state dict
            return state["state_dict"] | {"prior": prior}  # "prior" is a buffer of the network

A file holds a state dict, or whatever its authors wrapped around one (.pth, .pt, .safetensors), or one array (.npy,
read as a tensor). `published` is not needed where the only file holds the network's state dict as it is.

The folder of a method is `<root>/<method>`; the root is what `--weights-root` says, else $SALBENCH_WEIGHTS, else
`weights` in the user's cache. `<method>.safetensors`, which `weights convert` writes there, replaces all other files.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError

from salbench.files import hash_bytes, user_cache

SUFFIXES = (".pth", ".pt", ".safetensors", ".npy")


class WeightsProblem(ValueError):
    """A file of weights that cannot be used; the message names it and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """One file of published weights.

    Attributes:
        file: its official name, without a folder; ends in .pth, .pt, .safetensors or .npy.
        source: address of the page where its authors publish it.
        licence: of the weights, in a few words; "none stated" where there is none.
        trained_on: names of the data sets, as prose: a score on one of them is no test.

    Raises:
        WeightsProblem: `file` is not a plain file name with one of these endings.
    """

    file: str
    source: str
    licence: str
    trained_on: str

    def __post_init__(self):
        if Path(self.file).name != self.file or "\\" in self.file or Path(self.file).suffix not in SUFFIXES:
            raise WeightsProblem(
                f"expected the name of a file, without a folder, that ends in {', '.join(SUFFIXES)}, got {self.file!r}"
            )


def folder(method, root=None):
    """Where the files of a method are looked for: `root`, else $SALBENCH_WEIGHTS, else the user's cache, / its name."""
    return Path(root or os.environ.get("SALBENCH_WEIGHTS") or user_cache() / "weights").expanduser() / method


def converted(method, root=None):
    """Where `weights convert` writes the one file that replaces the published ones."""
    return folder(method, root) / f"{method}.safetensors"


def remedy(method, checkpoints, root=None):
    """Which of the published files are missing and what to do, in one line; "" where all are there."""
    missing = [c for c in checkpoints if not (folder(method, root) / c.file).is_file()]
    if not missing:
        return ""
    files, pages = " and ".join(c.file for c in missing), " and ".join(dict.fromkeys(c.source for c in missing))
    place = folder(method, root)
    return f"has no weights; put {files} of {pages} into {place} (python benchmark.py weights tells more)"


def read(path):
    """What a published file holds: tensors, or containers of them, on the CPU; no code in it is ever run.

    Returns:
        Of .pth and .pt what was saved, of .safetensors {name: tensor}, of .npy one tensor.

    Raises:
        WeightsProblem: damaged, no file of weights, or one that only running its code could read.
    """
    path = Path(path)
    _refuse_text(path)
    reader = {".npy": _read_npy, ".safetensors": _read_safetensors}.get(path.suffix, _read_pickle)
    try:
        return reader(path)
    except UnpicklingError as error:  # whose message tells how to run the code
        raise WeightsProblem(
            f"{path}: refused: damaged, or holds more than tensors, which only running code from the file could read; "
            "get the file that the authors of the method publish"
        ) from error
    except Exception as error:  # damaged files lead torch into RuntimeError, EOFError, KeyError, AssertionError, ...
        if getattr(error, "errno", None) is not None:
            raise  # the disk's trouble, not the file's
        what = str(error).partition("\n")[0].partition(". ")[0]
        raise WeightsProblem(f"{path}: damaged, or no file of weights; get it anew ({what})") from error


def _refuse_text(path):
    with open(path, "rb") as file:
        start = file.read(200).lstrip()
    if not start:
        raise WeightsProblem(f"{path}: is empty; get it anew")
    if start.startswith(b"<"):
        raise WeightsProblem(f"{path}: is a web page, as some hosts send in place of a large file; get it in a browser")


def _read_pickle(path):
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _read_safetensors(path):
    from safetensors.torch import load_file

    return load_file(path)


def _read_npy(path):
    import numpy as np
    import torch

    return torch.from_numpy(np.load(path, allow_pickle=False))


def described(content):
    """What `read` has returned, in a few words: the names of what a container holds, with their types."""
    if not isinstance(content, dict):
        return f"a {type(content).__name__}"
    names = [f"{name} ({type(value).__name__})" for name, value in content.items()]
    return f"{len(names)} entries: {', '.join(names[:3])}{', ...' if len(names) > 3 else ''}"


def hash_tensors(tensors):
    """16 hex digits of {name: tensor}: names, types, shapes and values, whatever file they came from."""
    import torch

    parts = []
    for name, tensor in sorted(tensors.items()):
        values = tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
        parts += [name, str(tensor.dtype), str(tuple(tensor.shape)), values]
    return hash_bytes(*parts)
