"""Checkpoints: one safetensors file that also holds its facts, and the same facts as JSON beside it to read."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as to_bytes

from salbench.files import atomic_write
from salbench.weights import WeightsProblem


class CheckpointProblem(WeightsProblem):
    """A checkpoint that is missing, broken or of another network; says what was expected."""


def save(path, tensors, facts):
    """Write a checkpoint, whole or not at all.

    Args:
        path: ending in .safetensors; the JSON gets the same stem.
        tensors: {name: tensor}.
        facts: what JSON can hold.
    """
    path, text = Path(path), json.dumps(facts, indent=2)
    with atomic_write(path, "wb") as file:
        file.write(to_bytes({name: _own_copy(t) for name, t in tensors.items()}, {"facts": text}))
    with atomic_write(path.with_suffix(".json")) as file:
        file.write(text + "\n")


def _own_copy(tensor):
    """On the CPU and sharing memory with no other, as tied weights do."""
    return tensor.detach().cpu().clone(memory_format=torch.contiguous_format)


def load(path):
    """Read a checkpoint: ({name: tensor}, facts).

    Raises:
        CheckpointProblem: no such file, not a safetensors file, or one that `save` has not written.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return tensors, json.loads((file.metadata() or {})["facts"])
    except FileNotFoundError as error:
        raise CheckpointProblem(f"{path}: no such checkpoint") from error
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise CheckpointProblem(
            f"{path}: damaged, or no checkpoint of this project; remove its folder to train anew ({error})"
        ) from error


def load_into(network, tensors, source, remedy="train it anew with this code, or give another checkpoint"):
    """Load a network's tensors strictly.

    Raises:
        CheckpointProblem: other names or shapes; says which are missing, which are too many, and the `remedy`.
    """
    own = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    given = {name: tuple(t.shape) for name, t in tensors.items()}
    if own != given:
        missing = [f"{n} {own[n]}" for n in sorted(set(own) - set(given))]
        extra = [f"{n} {given[n]}" for n in sorted(set(given) - set(own))]
        other = sorted(n for n in set(own) & set(given) if own[n] != given[n])
        other = [f"{n} {given[n]} instead of {own[n]}" for n in other]
        parts = {"missing": missing, "unexpected": extra, "of another shape": other}
        said = "; ".join(f"{len(names)} {what}, such as {names[0]}" for what, names in parts.items() if names)
        raise CheckpointProblem(f"{source}: the checkpoint of another network: {said}; {remedy}")
    with torch.no_grad():
        network.load_state_dict(tensors, strict=True)
