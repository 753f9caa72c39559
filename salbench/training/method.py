"""The base of every learned method: what `fit` and `predict` do around a network.

What only training needs is imported inside the functions that train, so the hash of a method's code covers its
predictions alone (see `salbench.code_hash`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import cached_property, partial
from itertools import groupby
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from salbench import weights
from salbench.files import hash_file
from salbench.identity import Identity
from salbench.registry import MethodProblem, MethodUnavailable, SaliencyMethod, folder_option
from salbench.sample import Sample
from salbench.suggestions import suggestion
from salbench.training import checkpoint
from salbench.training.checkpoint import RANDOM_WEIGHTS, Checkpoint, CheckpointProblem, Counts, Record

if TYPE_CHECKING:
    from salbench.training.data import Batch
    from salbench.training.recipe import Recipe
    from salbench.training_plan import Plan
    from salbench.weights import Checkpoint as PublishedFile


class LearnedMethod(SaliencyMethod):
    """A network with its preprocessing and its recipe.

    A subclass sets `recipe` and writes `build_network` and `preprocess`. It writes `logits` instead of `preprocess` if
    its network takes more than the image, and `loss` if it learns more than saliency. It writes `images_of`,
    `logits_of` or `finished` if predictions differ from training. If trainings can start from ImageNet weights, it sets
    `imagenet` and `encoders`, and writes `encoder_state`.

    The weights are those given to `__init__`, otherwise those that ship with the method (`weights`), otherwise those
    that its authors publish (`checkpoints`).

    Attributes:
        recipe: how it is trained; `fit` changes it as its plan says.
        weights: path of the weights, or None.
        fit_options: options of the command that trains it, for the message that weights are missing.
        start: what its trainings usually start from; see `salbench.training.start`.
        encoders: names of the submodules that `imagenet` has weights for.
        options: variants of the published network, the default first. The chosen one is `option`.
        mixed_precision: whether predictions on CUDA use float16 where torch considers that safe.
        absolute: whether `finished` gets the output of `logits_of` as it is, not as a log density.
    """

    output = "log_density"
    recipe: Recipe
    weights: Path | None = None
    fit_options = "--dataset osie_train"
    start = "none"
    encoders: tuple[str, ...] = ()
    options: tuple[str, ...] = ()
    mixed_precision = True
    absolute = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "predict" in vars(cls):
            raise MethodProblem(
                f"{cls.__name__}: expected no `predict`, because images are predicted in batches; write `finished` to "
                "change each map, or `predict_batch`"
            )

    def __init__(self, place: str | None = None) -> None:
        """Choose the weights.

        Args:
            place: a folder that `fit` has written, or a .safetensors file. NAME=PLACE also names the row in tables, to
                tell two trainings apart. By default the weights that ship with the method or are published. One of
                `options` chooses that variant, with the same weights.

        Raises:
            MethodProblem: there is neither such a variant nor such a place.
        """
        self._network: nn.Module | None = None
        self._lock = Lock()
        self.option = next(iter(self.options), "")
        if place in self.options:
            self.option, self.variant = place, place if place != self.option else ""
        elif place:
            name, given, rest = place.partition("=")
            name, place = (name, rest) if given and not Path(place).exists() else ("", place)
            path = Path(place).expanduser().resolve()
            if self.options and not name and path.name == place and not path.exists():
                known = suggestion("variant", place, self.options)
                raise MethodProblem(f"{self.name}: {known}; or a folder that fit has written, or a .safetensors file")
            self.weights = path / "best.safetensors" if path.is_dir() else path
            self.variant = name or (f"{path.parent.name}-{path.name}" if path.is_dir() else path.stem)

    # What a subclass writes.

    def build_network(self) -> nn.Module:
        """A new torch module: takes what `preprocess` returns, returns logits (B, H, W)."""
        raise NotImplementedError

    def preprocess(self, images: Tensor) -> Tensor:
        """The network's input from images, uint8 (B, H, W, 3)."""
        raise NotImplementedError

    def published(self, *contents: Any) -> dict[str, Tensor]:
        """The network's state dict from published files.

        Args:
            contents: what `weights.read` returns for each file in `checkpoints`. By default the only file holds the
                state dict as it is.
        """
        (state,) = contents
        return state

    def encoder_state(self, *contents: Any) -> dict[str, Tensor]:
        """The state dict of an encoder from files of ImageNet weights.

        Args:
            contents: what `weights.read` returns for each file in `imagenet`.
        """
        (state,) = contents
        return state

    def load_imagenet(self, network: nn.Module) -> dict[str, Tensor]:
        """Load ImageNet's weights into a new network, and return them by its names.

        By default the encoders get them from the files in `imagenet`.

        Raises:
            MethodUnavailable: a file is missing.
            WeightsProblem: a file cannot be used.
        """
        from salbench.training.start import load_encoders

        return load_encoders(self, network)

    def logits(self, network: nn.Module, images: Tensor, samples: Sequence[Sample]) -> Tensor:
        """Logits (B, H, W) of the fixation density.

        Args:
            network: the network.
            images: uint8 (B, H, W, 3) of the recipe's size, on the network's device.
            samples: one for each image, to read the caption or the name of the data set from.
        """
        return network(self.preprocess(images))

    def loss(self, network: nn.Module, batch: Batch) -> Tensor:
        """What one step of training minimises, a scalar."""
        logits = self.logits(network, batch.images, batch.samples)
        if logits.shape != batch.density.shape:
            raise ValueError(
                f"{self.name}: expected its network to give logits of shape (batch, height, width), here "
                f"{tuple(batch.density.shape)}, got {tuple(logits.shape)}; resize them at its end"
            )
        return self.saliency_loss(network, logits, batch)

    def images_of(self, sample: Sample) -> Tensor:
        """A sample's image as the network gets it: uint8 (1, H, W, 3), by default of the recipe's size."""
        height, width = self.recipe.size
        resized = Image.fromarray(sample.image).resize((width, height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(resized))[None]

    def logits_of(self, network: nn.Module, images: Tensor, samples: Sequence[Sample]) -> Tensor:
        """Logits (B, h, w) that predictions are made from. By default `logits`.

        Args:
            network: the network.
            images: from `images_of`, uint8 (B, H, W, 3), on the network's device.
            samples: of one size.
        """
        return self.logits(network, images, samples)

    def finished(self, log_density: np.ndarray, sample: Sample) -> np.ndarray:
        """The prediction for a sample from its log density, float32 (h, w).

        Returns the log density unchanged by default.
        """
        return log_density

    # Training.

    def fit(self, samples: Sequence[Sample], plan: Plan) -> LearnedMethod:
        """Train a new network. Afterwards `predict` uses the weights of the best epoch.

        Device, random seed and threads are those of the runtime. A training that was stopped in `plan.folder` resumes.
        What it starts from is part of the plan.

        Args:
            samples: with ground truth; some are held out to choose the best epoch.
            plan: needs a folder. Edits need a recipe with `p`.

        Returns:
            The method itself.

        Raises:
            TrainingProblem: the plan has no folder, the folder holds another training, or training cannot go on.
            NoTrainingData: too few samples.
            MethodUnavailable: the weights to start from are missing.
            ValueError: a recipe, edits, or weights to start from that cannot be used.
        """
        from salbench.training.loop import Trainer, split
        from salbench.training.start import begin

        self.recipe = self.recipe.changed(plan.recipe)
        torch.manual_seed(self.runtime.seed)
        network, start = begin(self, plan)
        trainer = Trainer(network, self, *split(samples, self.recipe.validation_share), plan, start)
        self.trained = trainer.run()
        self.weights, self._network = trainer.folder / "best.safetensors", None
        return self

    def saliency_loss(self, network: nn.Module, logits: Tensor, batch: Batch) -> Tensor:
        """The recipe's losses, or its edit losses for edited images, mean over the batch.

        Args:
            network: the network that gave the logits. Some edit losses need its prediction for the originals too.
            logits: (B, H, W), as large as the densities of the batch.
            batch: the images and their ground truth.
        """
        from salbench.training.losses import of_batch

        return of_batch(logits, batch, self.recipe, partial(self._logits_of_originals, network))

    def _logits_of_originals(self, network: nn.Module, images: Tensor, samples: Sequence[Sample]) -> Tensor:
        """Logits as predicted: without gradient and dropout, and without changing batch norms.

        The wrapper for several processes is left out, because each process has another number of edited images.
        """
        own = network.module if isinstance(network, DistributedDataParallel) else network
        mode = own.training
        try:
            with torch.no_grad():
                return self.logits(own.eval(), images, samples)
        finally:
            own.train(mode)

    # Predictions.

    def predict(self, sample: Sample) -> np.ndarray:
        """See `SaliencyMethod.predict`."""
        (prediction,) = self.predict_batch([sample])
        return prediction

    def predict_batch(self, samples: Sequence[Sample]) -> list[np.ndarray]:
        """Predict samples; neighbours of one size go through the network together.

        Several threads may call it. While the network is busy with one batch, the others read and resize the next
        images, or finish the last maps.
        """
        network = self.network  # before the images, because loading the weights sets their size
        predictions: list[np.ndarray] = []
        pairs = ((self.images_of(sample), sample) for sample in samples)
        for _, group in groupby(pairs, key=lambda pair: (pair[0].shape, pair[1].size)):
            images, of_one_size = zip(*group, strict=True)
            with self._lock:  # the network uses all cores itself, and hooks must not be called by two threads
                outputs = self._outputs(network, torch.cat(images), of_one_size, self.logits_of)
                outputs = outputs if self.absolute else _log_softmax(outputs)
            maps = outputs.cpu().numpy()  # waits for a GPU, while another thread can give it more to do
            predictions += map(self.finished, maps, of_one_size)
        return predictions

    def log_density(self, network: nn.Module, sample: Sample) -> np.ndarray:
        """Log density of a sample, float32 (h, w), from a network in evaluation mode."""
        logits = self.logits if self.absolute else self.logits_of
        return _log_softmax(self._outputs(network, self.images_of(sample), [sample], logits))[0].cpu().numpy()

    def _outputs(
        self, network: nn.Module, images: Tensor, samples: Sequence[Sample], logits: Callable[..., Tensor]
    ) -> Tensor:
        """What `logits` gives for samples of one size, float32 (B, h, w), on the network's device."""
        device = next(network.parameters()).device
        mixed = self.mixed_precision and device.type == "cuda"
        # Not bfloat16: with seeded weights, UNISAL's maps correlate with those of float32 by 0.98; with float16 0.9998.
        with torch.inference_mode(), torch.autocast(device.type, torch.float16, enabled=mixed):
            return logits(network, images.to(device), samples).float()

    @property
    def network(self) -> nn.Module:
        """The network with its weights, on the runtime's device. Loaded at the first use.

        Raises:
            MethodUnavailable: the weights are missing.
            WeightsProblem: the weights cannot be used.
        """
        if self._network is None:
            with self._lock:
                if self._network is None:  # another thread may have loaded it meanwhile
                    self._network = self._loaded()
        return self._network

    # Weights and what is known about them.

    @cached_property
    def trained(self) -> Checkpoint:
        """The checkpoint of `weights`, read once.

        Raises:
            MethodUnavailable: no weights ship with the method.
            WeightsProblem: the file is missing or cannot be used.
        """
        return checkpoint.read(self.existing_weights())

    def existing_weights(self) -> Path:
        """Path of the weights.

        Raises:
            MethodUnavailable: no weights ship with the method.
            WeightsProblem: the place given for the weights has none.
        """
        if self.weights is not None and self.weights.exists():
            return self.weights
        if self.weights is None or "weights" not in vars(self):
            raise MethodUnavailable(
                f"has no weights; train it with: salbench fit --methods {self.name} {self.fit_options}"
                f"{folder_option(self.name)}"
            )
        below = sorted(self.weights.parent.glob(f"{self.name}/*/*/best.safetensors"))[:1]
        hint = f" (but {below[0].parent} has)" if below else ""
        raise weights.WeightsProblem(
            f"{self.weights}: no such weights of {self.name}{hint}; expected a folder that fit has written, or a "
            ".safetensors file"
        )

    def weights_hash(self) -> str | None:
        """16 hex digits of the network's tensors, whatever file they come from; None for random weights."""
        if self.untrained:
            return None
        return weights.hash_tensors(self.network.state_dict() if self._is_published else self.trained.tensors)

    def notes(self) -> list[str]:
        """Notes for tables: what the weights were trained on."""
        if self.untrained:
            return ["random weights, never trained: its scores mean nothing."]
        if self._is_published:
            return [f"published weights ({c.file}), trained on {c.trained_on}." for c in self.checkpoints]
        record = self.trained.record
        return self.notes_on(record.data) if record.data else list(record.notes)

    def notes_on(self, data: Counts) -> list[str]:
        """Notes on a training with this data."""
        of = f" of {data.dataset}" if data.dataset else ""
        is_told = self.checkpoints or data.start != RANDOM_WEIGHTS  # the authors may have started from other weights
        start = f" from {data.start}" if is_told else ""
        notes = [f"trained{start} on {data.images} images{of}."]
        if data.edits:
            ends = {type: dict.fromkeys(f"{end:g}" for end in both) for type, both in data.edits.strengths.items()}
            ranges = ", ".join(f"{type} {' to '.join(of_one)}" for type, of_one in ends.items())
            notes.append(f"trained with edits: {data.edits.images} images, {ranges}, p {data.edits.p:g}.")
        return notes

    def seen(self, samples: Sequence[Sample]) -> list[Sample]:
        """See `SaliencyMethod.seen`."""
        marks = self._marks()
        return [sample for sample in samples if sample.dataset in marks or checkpoint.mark(sample) in marks]

    def _marks(self) -> frozenset[str]:
        """What the weights are known to be trained or validated on; see `Record.marks`."""
        if self.untrained:
            return frozenset()
        return weights.seen(self.checkpoints) if self._is_published else self.trained.record.marks

    def knows_edits(self, fingerprint: str) -> bool:
        """See `SaliencyMethod.knows_edits`."""
        if self.untrained or self._is_published:
            return False
        facts = self.trained.record.identity.facts
        both = facts.get("edits"), facts.get("start", {}).get("edits")
        return any(fingerprint in known.split("+") for known in both if known)

    def init_random(self) -> None:
        """See `SaliencyMethod.init_random`."""
        if "weights" in vars(self):
            raise MethodUnavailable(f"was told to use {self.weights}; leave that out, or --init random")
        self.variant = f"{self.variant}+random-init" if self.variant else "random-init"

    def convert(self) -> Path:
        """Write the published weights as one safetensors file, which is used in place of their own files from then on.

        Returns:
            Its path. The JSON beside it names the files it was made from, and the hash that results record.

        Raises:
            MethodUnavailable: a published file is missing.
            WeightsProblem: a published file cannot be used.
        """
        tensors = self._load_official().state_dict()
        files = [asdict(c) | {"hash": hash_file(self._place_of(c))} for c in self.checkpoints]
        identity = Identity({"method": self.name, "files": files, "weights": weights.hash_tensors(tensors)})
        record = Record(identity=identity, marks=weights.seen(self.checkpoints), notes=tuple(self.notes()))
        path = weights.converted(self.name, self.runtime.weights_root)
        checkpoint.save(path, tensors, record)
        return path

    @property
    def _is_published(self) -> bool:
        return self.weights is None and bool(self.checkpoints)

    def _place_of(self, published: PublishedFile) -> Path:
        return weights.folder(self.name, self.runtime.weights_root) / published.file

    def _loaded(self) -> nn.Module:
        load = self._random if self.untrained else self.published_network if self._is_published else self._load_trained
        return load().to(self.runtime.device).eval()

    def _random(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.build_network()

    def _load_trained(self) -> nn.Module:
        path, trained = self.existing_weights(), self.trained
        if trained.record.data:
            self.recipe = self.recipe.at(trained.record.identity["recipe"]["size"])
            self.check_setup(trained.record.identity, path)
        network = self.build_network()
        checkpoint.load_into(network, trained.tensors, path)
        return network

    def published_network(self) -> nn.Module:
        """The network with the published weights, on the CPU: from the converted file if there is one.

        Raises:
            MethodUnavailable: a published file is missing.
            WeightsProblem: a published file cannot be used.
        """
        path = weights.converted(self.name, self.runtime.weights_root)
        if not path.is_file():
            return self._load_official()
        network, remedy = self.build_network(), "remove it, or convert the published files again"
        checkpoint.load_into(network, checkpoint.read(path).tensors, path, remedy)
        return network

    def _load_official(self) -> nn.Module:
        missing = weights.remedy(self.name, self.checkpoints, self.runtime.weights_root)
        if missing:
            raise MethodUnavailable(missing)
        paths = [self._place_of(c) for c in self.checkpoints]
        tensors = weights.arranged(self.published, paths, self.checkpoints)
        network, page = self.build_network(), self.checkpoints[0].source
        checkpoint.load_into(network, tensors, paths[0], f"expected is the file that {page} publishes")
        return network

    def check_setup(self, trained: Identity, path: Path) -> None:
        """Refuse weights that need something other than what is here, such as another backbone.

        Args:
            trained: identity of their training.
            path: their file, for the error.

        Raises:
            CheckpointProblem: their `setup` differs from this one's.
        """
        remedy = "Give what they were trained with, or train again"
        setup = Identity(trained.facts.get("setup", {}))
        Identity(self.setup()).require_same(setup, path, remedy, CheckpointProblem)


def _log_softmax(logits: Tensor) -> Tensor:
    return torch.log_softmax(logits.flatten(1), 1).view_as(logits)
