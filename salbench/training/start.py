"""What a training starts from: random weights, ImageNet's, the published ones, or those of another training."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from salbench import weights
from salbench.files import hash_file
from salbench.registry import MethodProblem, MethodUnavailable, SaliencyMethod
from salbench.training import checkpoint
from salbench.training.checkpoint import RANDOM_WEIGHTS
from salbench.training.method import LearnedMethod

if TYPE_CHECKING:
    from salbench.training_plan import Plan

NONE, IMAGENET, PUBLISHED = "none", "imagenet", "published"  # as typed


@dataclass(frozen=True)
class Start:
    """What a training started from.

    Attributes:
        name: "none", "imagenet", "published" or "checkpoint".
        said: the same in words, for the notes beneath tables.
        weights: hash of the tensors that were loaded, or None.
        marks: of the samples that these were trained or validated on, as far as known; see `checkpoint.Record`.
        edits: fingerprints of the edit sets that they were trained with, joined by "+", or None.
    """

    name: str = NONE
    said: str = RANDOM_WEIGHTS
    weights: str | None = None
    marks: frozenset[str] = frozenset()
    edits: str | None = None

    def facts(self) -> dict[str, Any]:
        """What a training must share to resume one that started from here, as JSON can hold it."""
        return {"from": self.name, "weights": self.weights, "edits": self.edits}


def names(method: type[LearnedMethod]) -> list[str]:
    """The starts of a method beside checkpoints, the usual one first."""
    given = {NONE: False, IMAGENET: bool(method.imagenet), PUBLISHED: bool(method.checkpoints)}
    return [method.start, *(name for name, is_given in given.items() if is_given and name != method.start)]


def suffix(method: type[SaliencyMethod], start: Path | str | None) -> str:
    """The end of a folder's name that tells where its training started: "-from-imagenet", or "" for the usual start.

    A checkpoint is named by its folder and a hash.

    Args:
        method: class of the method.
        start: see `Plan.start`.

    Raises:
        MethodProblem: the method has no such start, there is no such file, or salbench does not train the method.
    """
    if start is None or str(start) == _checked(method, start).start:
        return ""
    if _is_name(start):
        return f"-from-{start}"
    file = _file(start).resolve()
    place = file.parent if file.name == "best.safetensors" else file.with_suffix("")
    return f"-from-{place.parent.name}-{place.name}-{hash_file(file)[:8]}"


def begin(method: LearnedMethod, plan: Plan) -> tuple[nn.Module, Start]:
    """A new network as a training starts with it, on the CPU.

    Raises:
        MethodProblem: see `suffix`.
        MethodUnavailable: the files of weights are missing.
        WeightsProblem: the weights cannot be used.
    """
    start = method.start if plan.start is None else plan.start
    _checked(type(method), start)
    load = {NONE: _random, IMAGENET: _imagenet, PUBLISHED: _published}.get(str(start))
    return load(method) if load else _trained(method, _file(start))


def load_encoders(method: LearnedMethod, network: nn.Module) -> dict[str, Tensor]:
    """Load ImageNet's weights into the encoders of a network, strictly; see `LearnedMethod.load_imagenet`."""
    lacks = "needs ImageNet's weights to start from"
    missing = weights.remedy(weights.IMAGENET, method.imagenet, method.runtime.weights_root, lacks)
    if missing:
        raise MethodUnavailable(missing)
    folder = weights.folder(weights.IMAGENET, method.runtime.weights_root)
    paths = [folder / published.file for published in method.imagenet]
    state = weights.arranged(method.encoder_state, paths, method.imagenet)
    remedy = f"expected is the file that {method.imagenet[0].source} publishes"
    for name in method.encoders:
        checkpoint.load_into(network.get_submodule(name), state, paths[0], remedy)
    return {f"{encoder}.{name}": tensor for encoder in method.encoders for name, tensor in state.items()}


def _checked(method: type[SaliencyMethod], start: Path | str) -> type[LearnedMethod]:
    """The class of the method. Raises `MethodProblem` if it cannot start there."""
    if not issubclass(method, LearnedMethod):
        raise MethodProblem(f"{method.name}: --from requires a network that salbench trains; leave it out")
    if str(start) not in names(method) and (_is_name(start) or not _file(start).is_file()):
        raise MethodProblem(
            f"{method.name}: expected to start from {', '.join(names(method))}, or from a checkpoint or folder of "
            f"another training of {method.name}, got {start}"
        )
    return method


def _is_name(start: Path | str) -> bool:
    return str(start) in (NONE, IMAGENET, PUBLISHED)


def _file(start: Path | str) -> Path:
    path = Path(start).expanduser()
    return path / "best.safetensors" if path.is_dir() else path


def _random(method: LearnedMethod) -> tuple[nn.Module, Start]:
    return method.build_network(), Start()


def _imagenet(method: LearnedMethod) -> tuple[nn.Module, Start]:
    network = method.build_network()
    loaded = method.load_imagenet(network)
    return network, Start(IMAGENET, "ImageNet weights", weights.hash_tensors(loaded))


def _published(method: LearnedMethod) -> tuple[nn.Module, Start]:
    network = method.published_network()
    trained_on = "; ".join(dict.fromkeys(published.trained_on for published in method.checkpoints))
    said = f"the published weights (trained on {trained_on})"
    return network, Start(PUBLISHED, said, weights.hash_tensors(network.state_dict()), weights.seen(method.checkpoints))


def _trained(method: LearnedMethod, path: Path) -> tuple[nn.Module, Start]:
    given = checkpoint.read(path)
    record, facts = given.record, given.record.identity.facts
    if record.data:
        method.check_setup(record.identity, path)
    network = method.build_network()
    checkpoint.load_into(network, given.tensors, path, f"expected is a checkpoint of a training of {method.name}")
    edits = facts.get("edits"), facts.get("start", {}).get("edits")
    start = Start(
        "checkpoint",
        f"a checkpoint ({_said(method, record)})",
        weights.hash_tensors(given.tensors),
        record.marks,
        "+".join(filter(None, edits)) or None,
    )
    return network, start


def _said(method: LearnedMethod, record: checkpoint.Record) -> str:
    """What a checkpoint was trained on, without a full stop."""
    notes = method.notes_on(record.data) if record.data else record.notes
    with_edits = ", with edits" if record.data and record.data.edits else ""
    return notes[0].rstrip(".") + with_edits if notes else "of unknown training"
