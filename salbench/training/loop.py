"""The training loop of every learned method. The same recipe, seed and data give the same weights, stopped or not.

AdamW with linear warm-up and cosine decay in every stage, gradient clipping, an exponential moving average of the
weights (which is validated and kept), validation by the protocol's metrics after every epoch, early stopping.
`accelerate` places the network, averages gradients over processes, which share each batch, and brings mixed precision
on CUDA.
"""

from __future__ import annotations

import logging
import math
import time
from bisect import bisect
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs, broadcast_object_list
from torch.optim.lr_scheduler import LambdaLR
from torch.optim.swa_utils import AveragedModel
from tqdm import tqdm

from salbench.augment import get
from salbench.code_hash import definition_hash
from salbench.files import hash_bytes
from salbench.identity import Identity
from salbench.locks import only_one
from salbench.metrics import METRICS, Pair, measure
from salbench.protocol import PROTOCOLS, Others
from salbench.sample import Sample
from salbench.training import checkpoint, gradients, loggers, model_card
from salbench.training.checkpoint import Checkpoint, Counts, EditCounts, Record
from salbench.training.data import Batch, NoTrainingData, TrainingSet
from salbench.training.losses import needed
from salbench.training.recipe import Recipe
from salbench.training.start import Start

if TYPE_CHECKING:
    from salbench.training.method import LearnedMethod
    from salbench.training_plan import Plan

log = logging.getLogger(__name__)
PROTOCOL = PROTOCOLS["tuebingen"]  # of the validation
RANDOM = Start()
GRADIENTS_EVERY = 5  # epochs
_CODE = ("salbench.training.loop.Trainer", "salbench.training.losses.of_batch")  # of every training


class TrainingProblem(ValueError):
    """Training that cannot go on, or a folder that holds another training. The message says what to do."""


def split(samples: Sequence[Sample], share: float) -> tuple[list[Sample], list[Sample]]:
    """Divide samples into those to train on and those to validate on.

    A hash of its id decides on which side a sample falls, so it is always the same side. A sample without fixations
    cannot be validated on and is always trained on.

    Args:
        samples: of one data set or several.
        share: share of the samples with fixations to validate on.
    """
    train: list[Sample] = []
    validation: list[Sample] = []
    for sample in samples:
        is_held_out = _has_fixations(sample) and int(hash_bytes(sample.id), 16) % 10_000 < 10_000 * share
        (validation if is_held_out else train).append(sample)
    return train, validation


def _has_fixations(sample: Sample) -> bool:
    return sample.fixations is not None and len(sample.fixations) > 0


class Trainer:
    """One training, in a folder that holds the checkpoints `last` and `best`, and what the plan's logger writes.

    A training with the same identity that was stopped there is resumed.

    Args:
        network: torch module to train; parameters without gradient stay as they are.
        method: its `recipe` and `runtime` say how to train; `loss(network, batch)` and `log_density(network, sample)`
            what to train and validate, see `LearnedMethod`.
        samples: to train on.
        validation: to validate on.
        plan: folder, augmentations, edits, logger and name of the data set. `plan.recipe` is not used: the method's
            recipe is already changed by it.
        start: what the network's weights are.

    Raises:
        NoTrainingData: too few images.
        TrainingProblem: the plan has no folder, or a batch has too few images for so many processes.
        ValueError: the plan names an unknown logger.
        ModuleNotFoundError: its logger needs a package that is not installed.
    """

    def __init__(
        self,
        network: torch.nn.Module,
        method: LearnedMethod,
        samples: Sequence[Sample],
        validation: Sequence[Sample],
        plan: Plan,
        start: Start = RANDOM,
    ) -> None:
        if plan.folder is None:
            raise TrainingProblem(f"{method.name}: expected a plan with a folder for the checkpoints, got one without")
        self._log = loggers.named(plan.logger)
        self.method, self.recipe, self.folder = method, method.recipe, Path(plan.folder)
        recipe, runtime = self.recipe, method.runtime
        self.data = TrainingSet(
            samples, recipe.size, copies=plan.augment, p=recipe.p, edits=plan.edits, labels=recipe.labels,
            jitter=recipe.jitter, seed=runtime.seed, workers=runtime.workers,
        )  # fmt: skip
        self.validation = _validated(samples, validation, recipe)
        everything = [*samples, *validation]
        self.record = Record(
            identity=_identity(method, plan, self.data, everything, start),
            data=_counts(samples, self.data, plan, recipe, start),
            marks=frozenset(map(checkpoint.mark, everything)) | start.marks,
        )
        self.folder.mkdir(parents=True, exist_ok=True)  # fails here, not after an epoch
        self._others = Others(self.validation, PROTOCOL)
        self._place(network)
        _require_enough(min(recipe.batch_size, len(self.data)), self.accelerator.num_processes)
        self.progress = runtime.progress and self.accelerator.is_main_process
        self.history: list[dict[str, float]] = []
        self.step = 0
        self.steps_per_epoch = max(1, len(self.data) // recipe.batch_size)
        self.steps = recipe.steps or recipe.epochs * self.steps_per_epoch

    def _place(self, network: torch.nn.Module) -> None:
        """Put network, moving average and optimizer on the device."""
        device = self.method.runtime.device
        if ":" in device:
            torch.cuda.set_device(device)  # accelerate takes the current one
        mixed_precision = "bf16" if device.startswith("cuda") else "no"
        # a network may have a part for each data set, and no batch uses all
        used = DistributedDataParallelKwargs(find_unused_parameters=True)
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision=mixed_precision, kwargs_handlers=[used])
        network = network.to(self.accelerator.device)
        # Convolutions take half the time, on CPUs too. The annotations of torch lack this overload.
        network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._own = network  # without the wrapper for several processes
        self.average = AveragedModel(network, avg_fn=self._averaged, use_buffers=True).eval()
        self.average.update_parameters(network)  # the first call copies, later ones average
        optimizer = torch.optim.AdamW(_groups(network, self.recipe), lr=self.recipe.learning_rate)
        self.network, self.optimizer = self.accelerator.prepare(network, optimizer)

    def run(self) -> Checkpoint:
        """Train to the end, from the folder's last checkpoint if there is one.

        Returns:
            The checkpoint of the best epoch.

        Raises:
            TrainingProblem: the folder holds another training; a loss or gradient is not a number (the message names
                the batch's images); or memory is too small.
            CheckpointProblem: the folder's last checkpoint is damaged, or made for another network.
            Busy: another process is training in the folder.
        """
        is_main = self.accelerator.is_main_process
        with only_one(self.folder, "is training here") if is_main else nullcontext():
            return self._run()

    def _run(self) -> Checkpoint:
        self._resume()
        share = partial(share_of_peak, self.recipe, self.steps)
        self.schedule = LambdaLR(self.optimizer.optimizer, share, last_epoch=self.step - 1)
        while not self._is_over():
            self._epoch(len(self.history))
        self.accelerator.wait_for_everyone()  # the main process may still be writing
        best = checkpoint.read(self.folder / "best.safetensors")
        if self.accelerator.is_main_process:
            model_card.write(self.folder, self.method, best.record)
        return best

    def _epoch(self, epoch: int) -> None:
        start, busy, losses = time.perf_counter(), 0.0, []
        self.network.train()
        number = min(self.steps_per_epoch, self.steps - self.step)
        edited: Batch | None = None  # the epoch's first batch with edits
        bar = tqdm(total=number, desc=f"epoch {epoch + 1}", unit="step", disable=not self.progress)
        with bar:
            for batch in islice(self.data.batches(epoch, self.recipe.batch_size), number):
                begun = time.perf_counter()
                losses.append(self._train_on(batch))
                edited = edited or (batch if batch.edits is not None else None)
                busy += time.perf_counter() - begun
                bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
                bar.update()
        trained = time.perf_counter() - start
        row = {"epoch": epoch + 1, "loss": float(np.mean(losses)), **self._validate(), **self._gradients(edited)}
        row |= {"seconds": round(trained, 2), "busy": round(busy / trained, 4)}
        # Batch norms have seen other images in each process, so scores differ; all must agree on when to stop. The
        # other processes measure, too, because they would only wait.
        self.history += broadcast_object_list([row])
        if self.accelerator.is_main_process:
            self._save()

    def _gradients(self, batch: Batch | None) -> dict[str, float]:
        """Norms of the gradients of the averaged weights on a batch with edits; {} in a training without edits.

        They are measured in every fifth epoch, because that costs as much as a few steps.
        """
        if not self.data.edited:
            return {}
        if batch is None or len(self.history) % GRADIENTS_EVERY:
            return gradients.unknown(self.method)
        stage = stage_at(self.recipe, self.steps, self.step - 1).index
        batch = batch.part(0, 1, self.accelerator.device)._replace(stage=stage)
        return gradients.norms(self.method, self.average.module, batch)

    def _train_on(self, whole: Batch) -> float:
        accelerator = self.accelerator
        index, processes = accelerator.process_index, accelerator.num_processes
        # Dropout repeats after a resume, and differs between processes.
        _seed(hash_to_int(self.method.runtime.seed, self.step) + index, accelerator.device)
        batch = whole.part(index, processes, accelerator.device)
        share = len(batch.ids) * processes / len(whole.ids)  # some processes may have an image more than others
        stage = stage_at(self.recipe, self.steps, self.step)
        if self.step == stage.first:
            # What had no gradient before has moments of zero, and after so many steps AdamW corrects no bias: it would
            # take steps that are up to six times too large.
            self.optimizer.state.clear()
        batch = batch._replace(stage=stage.index)
        try:
            with accelerator.autocast():
                loss = share * self.method.loss(self.network, batch)
            value = self._finite(accelerator.reduce(loss.detach(), "mean").item(), "loss", whole.ids)
            self.optimizer.zero_grad()
            accelerator.backward(loss)
            norm = accelerator.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
            self._finite(norm.item(), "gradient", whole.ids)
            self.optimizer.step()
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            raise TrainingProblem(
                f"out of memory: lower the batch size (now {self.recipe.batch_size}): {error}"
            ) from error
        self.step += 1
        self.schedule.step()
        self.average.update_parameters(self._own)
        return value

    def _finite(self, value: float, name: str, ids: Sequence[str]) -> float:
        if not math.isfinite(value):
            raise TrainingProblem(
                f"the {name} is {value} on the batch {', '.join(ids)}. Look at these images and their fixations, "
                f"or lower the learning rate; the last good weights are kept in {self.folder}"
            )
        return value

    def _averaged(self, average: torch.Tensor, current: torch.Tensor, _: torch.Tensor | int) -> torch.Tensor:
        """The moving average of a parameter or buffer after a step. Its memory is short in the noisy first steps."""
        if not average.is_floating_point():  # such as the number of batches that a norm has seen
            return current
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))
        return torch.lerp(average, current, 1 - decay)

    @torch.no_grad()
    def _validate(self) -> dict[str, float]:
        """Means of all metrics of the averaged weights on the validation samples, as the protocol scores them."""
        rows = []
        for sample in self.validation:
            log_density = self.method.log_density(self.average.module, sample)
            prepared = PROTOCOL.prepare(log_density, "log_density", sample.size)
            truth = PROTOCOL.truth(sample, self._others)
            rows.append(measure(Pair(prepared.point_map, **vars(truth)), PROTOCOL.options))
        return {name: float(np.mean([r[name] for r in rows])) for name in METRICS}

    def _best(self) -> dict[str, float]:
        sign = -1 if METRICS[self.recipe.criterion].higher_is_better else 1
        return min(self.history, key=lambda row: sign * row[self.recipe.criterion])

    def _is_over(self) -> bool:
        return self.step >= self.steps or self._stale()

    def _stale(self) -> bool:
        return bool(self.history) and len(self.history) - self._best()["epoch"] >= self.recipe.patience

    def _save(self) -> None:
        record = replace(self.record, step=self.step, history=tuple(self.history))
        average = self.average.module.state_dict()
        if self._best() is self.history[-1]:
            checkpoint.save(self.folder / "best.safetensors", average, record)
        self._log(self.folder, self.history)
        tensors = _prefixed("average", average) | _prefixed("network", self._own.state_dict())
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= _prefixed(f"optimizer.{i}", {n: torch.as_tensor(t) for n, t in state.items()})
        # Written last: after a crash before this line, the epoch and its files are made again.
        checkpoint.save(self.folder / "last.safetensors", tensors, record)

    def _resume(self) -> None:
        path = self.folder / "last.safetensors"
        if not path.exists():
            return
        last = checkpoint.read(path)
        remedy = "Choose another folder, or remove it"
        self.record.identity.require_same(last.record.identity, self.folder, remedy, TrainingProblem)
        checkpoint.load_into(self._own, last.part("network"), path)
        checkpoint.load_into(self.average.module, last.part("average"), path)
        self._resume_optimizer(last.part("optimizer"))
        self.history, self.step = [dict(row) for row in last.record.history], last.record.step
        state = "is finished" if self._is_over() else f"resumes after epoch {len(self.history)}"
        log.info("the training in %s %s", self.folder, state)

    def _resume_optimizer(self, tensors: Mapping[str, torch.Tensor]) -> None:
        state: dict[int, dict[str, torch.Tensor]] = defaultdict(dict)
        for name, tensor in tensors.items():
            index, _, key = name.partition(".")
            state[int(index)][key] = tensor.to(self.accelerator.device)
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": dict(state)})


@dataclass(frozen=True)
class Stage:
    """A stage of a training: its index, its first step, and its number of steps."""

    index: int
    first: int
    steps: int


def stage_at(recipe: Recipe, steps: int, step: int) -> Stage:
    """The stage that a step is in.

    Args:
        recipe: holds the relative lengths of the stages.
        steps: number of steps of the whole training.
        step: from 0 to `steps`. `steps` itself, after the last step, belongs to the last stage.
    """
    ends = np.cumsum(recipe.stages)
    bounds = [0, *(round(steps * float(end / ends[-1])) for end in ends)]
    index = bisect(bounds, step, 1, len(bounds) - 1) - 1
    return Stage(index, bounds[index], bounds[index + 1] - bounds[index])


def share_of_peak(recipe: Recipe, steps: int, step: int) -> float:
    """Learning rate of a step divided by the peak; arguments as for `stage_at`."""
    stage = stage_at(recipe, steps, step)
    done = step - stage.first
    warm = min(1.0, (done + 1) / max(1, recipe.warmup_steps))
    return warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done / stage.steps)))


def hash_to_int(*parts: object) -> int:
    """A seed below 2**63 from numbers and words."""
    return int(hash_bytes(*map(str, parts)), 16) >> 1


def _seed(seed: int, device: torch.device) -> None:
    """Seed the random numbers of a device and of the CPU."""
    if device.type == "cpu":
        torch.default_generator.manual_seed(seed)  # the other one also keeps a traceback for each kind of GPU
    else:
        torch.manual_seed(seed)


def _require_enough(images: int, processes: int) -> None:
    """Raise `TrainingProblem` if a batch does not have an image for each process."""
    if images < processes:
        raise TrainingProblem(
            f"expected batches with at least one image for each of {processes} processes, got {images}; start fewer "
            "processes, or raise the batch size"
        )


def _identity(
    method: LearnedMethod, plan: Plan, data: TrainingSet, samples: Iterable[Sample], start: Start
) -> Identity:
    """What another training must share to go on in the same folder."""
    recipe = method.recipe
    augmentations = [get(name).code_hash() for name in (*plan.augment, *recipe.jitter)]
    return Identity(
        {
            "recipe": asdict(recipe),
            "copies": data.empty_copies,
            "seed": method.runtime.seed,
            "images": _content(samples),
            "code": hash_bytes(method.code_hash(), definition_hash(*_CODE), *augmentations),
            "setup": method.setup(),
            "edits": plan.edits and plan.edits.fingerprint,
            "start": start.facts(),
        }
    )


def _content(samples: Iterable[Sample]) -> str:
    """A hash of all facts of samples except their images: ids, fixations, captions, boxes and categories."""
    parts: list[str | bytes] = []
    for s in samples:
        arrays = s.fixations, s.boxes, s.categories
        parts += [s.id, s.caption or "", *(b"" if a is None else a.tobytes() for a in arrays)]
    return hash_bytes(*parts)


def _validated(samples: Sequence[Sample], validation: Sequence[Sample], recipe: Recipe) -> list[Sample]:
    """The samples that can be validated on: those with fixations."""
    validated = [s for s in validation if _has_fixations(s)]
    if validated:
        return validated
    why = "no image has any; train on a data set with fixations too"
    if any(map(_has_fixations, samples)):
        held_out = f"{recipe.validation_share:.0%} are held out, by a hash of their ids"
        why = f"{held_out}, and none of these {len(samples)} is; give more images, such as thirty"
    raise NoTrainingData(f"expected at least one image with fixations to validate on, got none: {why}")


def _counts(samples: Sequence[Sample], data: TrainingSet, plan: Plan, recipe: Recipe, start: Start) -> Counts:
    edits = None
    if plan.edits is not None:
        if needed("counts", recipe.edit_losses) and not any(map(_has_fixations, data.edited)):
            raise NoTrainingData(
                "edit losses: nss needs fixations, but no edited image has any; leave nss out of the edit losses"
            )
        edits = _edit_counts(data.edited, recipe.p)
    return Counts(
        images=len(data),
        dataset=plan.dataset,
        captions=sum(s.caption is not None for s in samples),
        boxes=sum(s.boxes is not None for s in samples),
        edits=edits,
        start=start.said,
    )


def _edit_counts(edited: Sequence[Sample], p: Any) -> EditCounts:
    used: dict[str, list[float]] = defaultdict(list)
    for sample in edited:
        assert sample.edit is not None
        used[sample.edit.type].append(sample.edit.strength)
    return EditCounts(len(edited), {type: (min(used[type]), max(used[type])) for type in sorted(used)}, p)


def _groups(network: torch.nn.Module, recipe: Recipe) -> list[dict[str, Any]]:
    """Groups of parameters with one learning rate and weight decay. Vectors, such as biases and norms, do not decay."""
    groups: dict[tuple[float, bool], list[torch.nn.Parameter]] = defaultdict(list)
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            share = next((rate for prefix, rate in recipe.rates.items() if name.startswith(prefix)), 1.0)
            groups[share, parameter.ndim <= 1].append(parameter)
    return [
        {
            "params": parameters,
            "lr": recipe.learning_rate * share,
            "initial_lr": recipe.learning_rate * share,  # a scheduler that resumes asks for it
            "weight_decay": 0.0 if is_vector else recipe.weight_decay,
        }
        for (share, is_vector), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]


def _prefixed(prefix: str, tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {f"{prefix}.{name}": tensor for name, tensor in tensors.items()}


def _out_of_memory(error: Exception) -> bool:
    """Whether torch says that memory is short. On the CPU it raises a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error)
