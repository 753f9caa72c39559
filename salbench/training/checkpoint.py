"""Checkpoints: tensors and a record of how they were made, in one safetensors file.

The record is also written beside it as JSON, for people to read; salbench reads the one in the file.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open

from salbench.files import hash_bytes
from salbench.identity import Identity
from salbench.sample import Sample
from salbench.training import tensor_file
from salbench.weights import WeightsProblem
from salbench.writing import atomic_write

RANDOM_WEIGHTS = "random weights"


class CheckpointProblem(WeightsProblem):
    """A checkpoint that is missing, damaged or made for another network. The message says what was expected."""


@dataclass(frozen=True)
class EditCounts:
    """The edits that a network was trained with.

    Attributes:
        images: number of edited images.
        strengths: {type: (lowest, highest strength)}.
        p: probability with which the original was shown.
    """

    images: int
    strengths: Mapping[str, tuple[float, float]]
    p: float


@dataclass(frozen=True)
class Counts:
    """What a network was trained on, and what the training started from.

    Attributes:
        images: number of images, without those held out for validation.
        dataset: name of the data set, or None.
        captions: number of images with a caption.
        boxes: number of images with annotated objects.
        edits: counts of the edits, or None.
        start: what the training started from, in words.
    """

    images: int
    dataset: str | None = None
    captions: int = 0
    boxes: int = 0
    edits: EditCounts | None = None
    start: str = RANDOM_WEIGHTS


@dataclass(frozen=True)
class Record:
    """How the tensors of a checkpoint were made.

    Attributes:
        identity: what a training must share with this one to resume it.
        step: optimisation steps done.
        history: numbers of each epoch, such as its loss and validation scores.
        data: what was trained on; None for converted published weights.
        marks: of all samples trained or validated on, also by the training that this one started from; see `mark`. The
            name of a data set, as in `Sample.dataset`, marks all its samples.
        notes: for the tables, if they are not made from `data`.
    """

    identity: Identity = Identity({})  # noqa: RUF009 - frozen
    step: int = 0
    history: tuple[Mapping[str, float], ...] = ()
    data: Counts | None = None
    marks: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The record as values that JSON can hold."""
        return {
            "identity": dict(self.identity.facts),
            "step": self.step,
            "history": list(self.history),
            "data": self.data and asdict(self.data),
            "marks": " ".join(sorted(self.marks)),
            "notes": list(self.notes),
        }

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Record:
        """The record that `to_json` gave. Unknown names raise TypeError."""
        values = dict(values)
        data = values.pop("data", None)
        if data is not None:
            edits = data.pop("edits", None)
            data = Counts(**data, edits=None if edits is None else _edit_counts(**edits))
        return cls(
            identity=Identity(values.pop("identity", {})),
            history=tuple(values.pop("history", ())),
            data=data,
            marks=frozenset(values.pop("marks", "").split()),
            notes=tuple(values.pop("notes", ())),
            **values,
        )


def _edit_counts(images: int, strengths: Mapping[str, tuple[float, float]], p: float) -> EditCounts:
    return EditCounts(images, {type: (low, high) for type, (low, high) in strengths.items()}, p)


@dataclass(frozen=True)
class Checkpoint:
    """The content of a file: {name: tensor} on the CPU, and the record."""

    tensors: Mapping[str, torch.Tensor]
    record: Record

    def part(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors whose name starts with "<name>.", without that prefix."""
        prefix = f"{name}."
        return {key.removeprefix(prefix): t for key, t in self.tensors.items() if key.startswith(prefix)}


def mark(sample: Sample) -> str:
    """12 hex digits that identify a sample in any split or run: a hash of its id and fixations."""
    return hash_bytes(sample.id, b"" if sample.fixations is None else sample.fixations.tobytes())[:12]


def save(path: Path | str, tensors: Mapping[str, torch.Tensor], record: Record) -> None:
    """Write a checkpoint. A crash leaves the old file whole.

    Args:
        path: ends in .safetensors; the JSON gets the same stem.
        tensors: {name: tensor}, on any device.
        record: how they were made.
    """
    path, text = Path(path), json.dumps(record.to_json(), indent=2)
    with atomic_write(path.with_suffix(".json")) as file:
        file.write(text + "\n")
    # Last: a training that is stopped before it goes on from the file that was there, and writes both again.
    tensor_file.write(path, tensors, {"record": text})


def read(path: Path | str) -> Checkpoint:
    """Read a checkpoint. Tensors are mapped into memory, so those that are never used cost nothing.

    Raises:
        CheckpointProblem: no such file, or not a file that `save` wrote.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a dict
            return Checkpoint(tensors, Record.from_json(json.loads((file.metadata() or {})["record"])))
    except FileNotFoundError as error:
        raise CheckpointProblem(f"{path}: no such checkpoint") from error
    except (SafetensorError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointProblem(
            f"{path}: damaged, or not a checkpoint of salbench; remove its folder to train again ({error})"
        ) from error


def load_into(
    network: torch.nn.Module,
    tensors: Mapping[str, torch.Tensor],
    source: Path | str,
    remedy: str = "train it again with this code, or give another checkpoint",
) -> None:
    """Load tensors into a network, strictly.

    Args:
        network: any torch module.
        tensors: {name: tensor}, exactly those of the network's state dict.
        source: their file, for the error.
        remedy: what the user can do, for the error.

    Raises:
        CheckpointProblem: names or shapes differ; the network is unchanged.
    """
    own = {name: tuple(t.shape) for name, t in network.state_dict().items()}
    given = {name: tuple(t.shape) for name, t in tensors.items()}
    if own != given:
        raise CheckpointProblem(f"{source}: the checkpoint of another network: {_differences(own, given)}; {remedy}")
    with torch.no_grad():
        network.load_state_dict(dict(tensors), strict=True)


def _differences(own: dict[str, tuple[int, ...]], given: dict[str, tuple[int, ...]]) -> str:
    """Number of names that are missing, unexpected or of another shape, with one example of each."""
    both = sorted(name for name in set(own) & set(given) if own[name] != given[name])
    parts = {
        "missing": [f"{name} {own[name]}" for name in sorted(set(own) - set(given))],
        "unexpected": [f"{name} {given[name]}" for name in sorted(set(given) - set(own))],
        "of another shape": [f"{name} {given[name]} instead of {own[name]}" for name in both],
    }
    return "; ".join(f"{len(names)} {what}, such as {names[0]}" for what, names in parts.items() if names)
