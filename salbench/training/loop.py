"""The training loop that every learned method uses: same recipe, seed and data, same weights, killed or not.

AdamW with linear warm-up and cosine decay, gradient clipping, an exponential moving average of the weights (which is
what is validated and kept), validation by the protocol's metrics after every epoch, early stopping. `accelerate`
places the network, splits batches over processes and brings mixed precision on CUDA.
"""

import csv
import io
import json
import logging
import math
import time
from collections import defaultdict
from dataclasses import asdict, dataclass, field, replace
from itertools import islice
from pathlib import Path

import numpy as np
import torch
from accelerate import Accelerator
from tqdm import tqdm

from salbench.augment import get
from salbench.files import atomic_write, hash_bytes
from salbench.metrics import METRICS, Pair, measure
from salbench.protocol import PROTOCOLS, Others
from salbench.training import checkpoint
from salbench.training.data import NoTrainingData, TrainingSet, mark
from salbench.training.losses import EDIT_LOSSES, check_names, needed

log = logging.getLogger(__name__)
PROTOCOL = PROTOCOLS["tuebingen"]  # of the validation


class TrainingProblem(ValueError):
    """Training that cannot go on, or a folder that holds another training; says what to do."""


@dataclass(frozen=True)
class Recipe:
    """How a network is trained.

    Attributes:
        size: (height, width) of the images and maps trained on, in pixels.
        epochs, batch_size, learning_rate, weight_decay: of AdamW; the rate is the peak.
        steps: optimisation steps after which training stops, whatever `epochs` says; None: `epochs` decides.
        rates: {prefix of parameter names: share of the learning rate}, where that is not 1.
        warmup_steps: steps of linear warm-up before the cosine decay to 1 % of the peak.
        clip: largest norm of the gradient.
        average: decay per step of the moving average of the weights.
        losses: {name in `training.losses.LOSSES`: weight}.
        edit_losses: {name in `training.losses.EDIT_LOSSES`: weight}, instead of `losses` on edited images; by default
            the paper's (section 4.3, equation 7) alone. Those of `losses` take the original's ground truth.
        jitter: augmentations applied with probability 1/2 each, anew in every epoch.
        p, labels: how the augmentations or edits that `fit` is given are shown, see `TrainingSet`.
        validation_share: of the images with fixations, held out by a hash of their ids.
        criterion: metric that decides on the best epoch.
        patience: epochs without a better value after which training stops.
    """

    size: tuple[int, int]
    epochs: int = 30
    steps: int | None = None
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    rates: dict[str, float] = field(default_factory=dict)
    warmup_steps: int = 100
    clip: float = 1.0
    average: float = 0.998
    losses: dict[str, float] = field(default_factory=lambda: {"kl": 1.0, "cc": 1.0})
    edit_losses: dict[str, float] = field(default_factory=lambda: {"agreement": 1.0})
    jitter: tuple[str, ...] = ()
    p: float | None = None
    labels: str = "moved"
    validation_share: float = 0.1
    criterion: str = "kl"
    patience: int = 10

    def __post_init__(self):
        if self.criterion not in METRICS:
            raise ValueError(f"criterion: expected one of {', '.join(METRICS)}, got {self.criterion!r}")
        if self.p is not None and not 0 <= self.p <= 1:
            raise ValueError(f"p, the probability of the original: expected 0 to 1, got {self.p}")
        check_names(self.edit_losses, EDIT_LOSSES)

    def at(self, size):
        """The same recipe at another (height, width)."""
        return replace(self, size=tuple(size))


def split(samples, share):
    """(training, validation): a sample is held out by the hash of its id, so that it always falls on the same side.

    One without fixations cannot be validated on and is always trained on.
    """
    held_out = {s.id for s in samples if _has_fixations(s) and int(hash_bytes(s.id), 16) % 10_000 < 10_000 * share}
    return [s for s in samples if s.id not in held_out], [s for s in samples if s.id in held_out]


def _has_fixations(sample):
    return sample.fixations is not None and len(sample.fixations) > 0


class Trainer:
    """One training: a network, its data, and a folder that holds `last` and `best` checkpoints and `log.csv`.

    Args:
        network: a torch module; parameters that take no gradient stay as they are.
        method: knows what to do with it: `loss(network, batch)` and `log_density(network, sample)`, see
            `LearnedMethod`.
        samples, validation: to train on and to validate on.
        recipe: `Recipe`.
        folder: of the checkpoints; a training of the same key that was stopped there goes on.
        copies: augmentations, one copy of every training sample for each (see `TrainingSet`).
        edits: `EditSet`, of which edited versions replace training samples by chance (see `TrainingSet`).
        seed, device, progress: as named.

    Raises:
        NoTrainingData: too few images. TrainingProblem: the folder holds another training.
    """

    def __init__(
        self,
        network,
        method,
        samples,
        validation,
        recipe,
        folder,
        *,
        copies=(),
        edits=None,
        seed=0,
        device="cpu",
        progress=True,
    ):
        self.recipe, self.folder, self.seed, self.method = recipe, Path(folder), seed, method
        self.data = TrainingSet(
            samples, recipe.size, copies=copies, p=recipe.p, edits=edits, labels=recipe.labels, jitter=recipe.jitter,
            seed=seed,
        )  # fmt: skip
        self.key = {
            "recipe": json.loads(json.dumps(asdict(recipe))),
            "copies": self.data.empty_copies,
            "seed": seed,
            "images": _content([*samples, *validation]),
            "code": [method.code_hash(), *(get(name).code_hash() for name in (*copies, *recipe.jitter))],
            "setup": method.setup(),
        }
        self.marks = " ".join(sorted(map(mark, [*samples, *validation])))
        self.validation = [s for s in validation if _has_fixations(s)]
        if not self.validation:
            why = "none has any; train on a data set with fixations too"
            if any(map(_has_fixations, samples)):
                held_out = f"{recipe.validation_share:.0%} are held out, by a hash of their ids"
                why = f"{held_out}, which of {len(samples)} are none; give more images, some thirty"
            raise NoTrainingData(f"expected at least one image with fixations to validate on, got none: {why}")
        self.counts = {
            "images": len(self.data),
            "dataset": method.training_data,
            "captions": sum(s.caption is not None for s in samples),
            "boxes": sum(s.boxes is not None for s in samples),
        }
        if edits is not None:
            if needed("counts", recipe.edit_losses) and not any(map(_has_fixations, self.data.edited)):
                raise NoTrainingData("edit losses: expected fixations for nss, no edited image has any; leave it out")
            self.key["edits"] = edits.fingerprint
            self.counts["edits"] = _count(self.data.edited, recipe.p)
        self.folder.mkdir(parents=True, exist_ok=True)  # now, not after an epoch, if it cannot be
        self._others = Others(self.validation, PROTOCOL)
        cuda = device.startswith("cuda")
        if ":" in device:
            torch.cuda.set_device(device)  # accelerate takes the current one
        self.accelerator = Accelerator(cpu=device == "cpu", mixed_precision="bf16" if cuda else "no")
        self.progress = progress and self.accelerator.is_main_process
        self.optimizer = torch.optim.AdamW(_groups(network, recipe), lr=recipe.learning_rate)
        network = network.to(memory_format=torch.channels_last)  # convolutions take half the time, on CPUs too
        self.network, self.optimizer = self.accelerator.prepare(network, self.optimizer)
        self.average = {name: t.clone() for name, t in self._own().state_dict().items()}
        self.history, self.step = [], 0
        self.steps_per_epoch = max(1, len(self.data) // recipe.batch_size)
        self.steps = recipe.steps or recipe.epochs * self.steps_per_epoch

    def run(self):
        """Train to the end, from where the folder's last checkpoint stands. Returns (tensors, facts) of the best epoch.

        Raises:
            TrainingProblem: a loss or gradient that is no number (naming the batch's images), or too little memory.
        """
        self._resume()
        while not self._is_over():
            self._epoch(len(self.history))
        self.accelerator.wait_for_everyone()  # the main process may still be writing
        tensors, facts = checkpoint.load(self.folder / "best.safetensors")
        return tensors, facts

    def _epoch(self, epoch):
        start, busy, losses = time.perf_counter(), 0.0, []
        self.network.train()
        number = min(self.steps_per_epoch, self.steps - self.step)
        bar = tqdm(total=number, desc=f"epoch {epoch + 1}", unit="step", disable=not self.progress)
        with bar:
            for batch in islice(self.data.batches(epoch, self.recipe.batch_size), number):
                begun = time.perf_counter()
                losses.append(self._train_on(batch))
                busy += time.perf_counter() - begun
                bar.set_postfix(loss=f"{np.mean(losses[-50:]):.3f}")
                bar.update()
        trained = time.perf_counter() - start
        scores = self._validate()
        row = {"epoch": epoch + 1, "loss": float(np.mean(losses)), **scores, "seconds": round(trained, 2)}
        self.history.append(row | {"busy": round(busy / trained, 4)})
        if self.accelerator.is_main_process:
            self._save()
            _to_tensorboard(self.folder, self.history[-1])

    def _train_on(self, batch):
        torch.manual_seed(hash_to_int(self.seed, self.step))  # of dropout: the same after a resume
        for group in self.optimizer.param_groups:
            group["lr"] = group["share"] * self._rate()
        accelerator = self.accelerator
        batch = batch.part(accelerator.process_index, accelerator.num_processes, accelerator.device)
        batch = batch._replace(progress=self.step / self.steps)
        try:
            with accelerator.autocast():
                loss = self.method.loss(self.network, batch)
            value = self._finite(loss.item(), "loss", batch.ids)
            self.optimizer.zero_grad()
            accelerator.backward(loss)
            norm = accelerator.clip_grad_norm_(self.network.parameters(), self.recipe.clip)
            self._finite(norm.item(), "gradient", batch.ids)
            self.optimizer.step()
        except (MemoryError, RuntimeError) as error:
            if not _out_of_memory(error):
                raise
            raise TrainingProblem(
                f"out of memory: lower the batch size (now {self.recipe.batch_size}): {error}"
            ) from error
        self.step += 1
        self._update_average()
        return value

    def _finite(self, value, name, ids):
        if not math.isfinite(value):
            raise TrainingProblem(
                f"the {name} is {value} on the batch {', '.join(ids)}. Look at these images and their fixations, "
                f"or lower the learning rate; the last good weights are kept in {self.folder}"
            )
        return value

    def _rate(self):
        warm = min(1.0, (self.step + 1) / max(1, self.recipe.warmup_steps))
        return self.recipe.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * self.step / self.steps)))

    @torch.no_grad()
    def _update_average(self):
        decay = min(self.recipe.average, (1 + self.step) / (10 + self.step))  # short at first, when all is noise
        for name, tensor in self._own().state_dict().items():
            if tensor.dtype.is_floating_point:
                self.average[name].lerp_(tensor, 1 - decay)
            else:
                self.average[name].copy_(tensor)

    def _own(self):
        return self.accelerator.unwrap_model(self.network)

    @torch.no_grad()
    def _validate(self):
        """Means of all metrics of the averaged weights on the validation samples, as the protocol scores them."""
        network, current = self._own(), {k: v.clone() for k, v in self._own().state_dict().items()}
        network.load_state_dict(self.average)
        network.eval()
        rows = []
        for sample in self.validation:
            log_density = self.method.log_density(network, sample)
            prepared = PROTOCOL.prepare(log_density, "log_density", sample.size)
            truth = PROTOCOL.truth(sample, self._others)
            rows.append(measure(Pair(prepared.point_map, **vars(truth)), PROTOCOL.options))
        network.load_state_dict(current)
        return {name: float(np.mean([r[name] for r in rows])) for name in METRICS}

    def _best(self):
        sign = -1 if METRICS[self.recipe.criterion].higher_is_better else 1
        return min(self.history, key=lambda row: sign * row[self.recipe.criterion])

    def _is_over(self):
        return self.step >= self.steps or self._stale()

    def _stale(self):
        return bool(self.history) and len(self.history) - self._best()["epoch"] >= self.recipe.patience

    def _save(self):
        tensors = {f"average.{n}": t for n, t in self.average.items()}
        tensors |= {f"network.{n}": t for n, t in self._own().state_dict().items()}
        for i, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer.{i}.{n}": torch.as_tensor(t) for n, t in state.items()}
        facts = {"key": self.key, "step": self.step, "history": self.history, "data": self.counts}
        facts["samples"] = self.marks
        if self._best() is self.history[-1]:
            checkpoint.save(self.folder / "best.safetensors", self.average, facts)
        with atomic_write(self.folder / "log.csv") as file:
            file.write(_csv(self.history))
        checkpoint.save(self.folder / "last.safetensors", tensors, facts)  # last of all: a kill before it repeats them

    def _resume(self):
        path = self.folder / "last.safetensors"
        if not path.exists():
            return
        tensors, facts = checkpoint.load(path)
        if facts["key"] != self.key:
            names = {**self.key, **facts["key"]}
            other = [name for name in names if facts["key"].get(name) != self.key.get(name)]
            raise TrainingProblem(
                f"{self.folder}: holds a training with another {', '.join(other)}; choose another folder, or remove it"
            )
        parts = {"average": {}, "network": {}, "optimizer": {}}
        for name, tensor in tensors.items():
            part, _, rest = name.partition(".")
            parts[part][rest] = tensor.to(self.accelerator.device)
        self.average = parts["average"]
        checkpoint.load_into(self._own(), parts["network"], path)
        self._resume_optimizer(parts["optimizer"])
        self.history, self.step = facts["history"], facts["step"]
        state = "is finished, nothing to do" if self._is_over() else f"goes on after epoch {len(self.history)}"
        log.info("the training in %s %s", self.folder, state)

    def _resume_optimizer(self, tensors):
        state = {}
        for name, tensor in tensors.items():
            index, _, key = name.partition(".")
            state.setdefault(int(index), {})[key] = tensor
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": state})


def hash_to_int(*parts):
    """A seed below 2**63 from whole numbers."""
    return int(hash_bytes(*map(str, parts)), 16) >> 1


def _out_of_memory(error):
    """Whether torch says that memory is short: on the CPU it does so by a plain RuntimeError."""
    return isinstance(error, MemoryError | torch.cuda.OutOfMemoryError) or "can't allocate memory" in str(error)


def _to_tensorboard(folder, row):
    """One epoch's scalars, where TensorBoard is installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return
    with SummaryWriter(folder / "tensorboard") as writer:
        for name, value in row.items():
            writer.add_scalar(name, value, row["epoch"])


def _count(edited, p):
    """What a training with edits is known by, as JSON can hold it."""
    used = defaultdict(list)
    for sample in edited:
        used[sample.edit.type].append(sample.edit.strength)
    return {
        "images": len(edited),
        "strengths": {type: [min(used[type]), max(used[type])] for type in sorted(used)},
        "p": p,
    }


def _content(samples):
    """A hash of all that samples tell but their images: ids, fixations, captions, boxes and categories."""
    parts = []
    for s in samples:
        arrays = s.fixations, s.boxes, s.categories
        parts += [s.id, s.caption or "", *(b"" if a is None else a.tobytes() for a in arrays)]
    return hash_bytes(*parts)


def _groups(network, recipe):
    """Weight decay for matrices and kernels only, not for biases, norms and other vectors; rates by name."""
    groups = {}
    for name, parameter in network.named_parameters():
        if parameter.requires_grad:
            share = next((rate for prefix, rate in recipe.rates.items() if name.startswith(prefix)), 1.0)
            groups.setdefault((share, parameter.ndim <= 1), []).append(parameter)
    return [
        {"params": parameters, "share": share, "weight_decay": 0.0 if is_vector else recipe.weight_decay}
        for (share, is_vector), parameters in sorted(groups.items(), key=lambda group: group[0])
    ]


def _csv(rows):
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
