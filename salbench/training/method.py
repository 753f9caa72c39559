"""The base of every learned method: what `fit` and `predict` do around a network."""

from dataclasses import asdict, replace
from itertools import groupby
from pathlib import Path
from threading import Lock

import numpy as np
import torch
from PIL import Image
from torch.nn.parallel import DistributedDataParallel

from salbench import registry, weights
from salbench.files import hash_file
from salbench.registry import MethodProblem, MethodUnavailable, SaliencyMethod
from salbench.training import checkpoint
from salbench.training.data import mark
from salbench.training.loop import Recipe, Trainer, split
from salbench.training.losses import needed, per_image, weighted


class LearnedMethod(SaliencyMethod):
    """A network with its preprocessing and its recipe.

    Subclasses set `recipe` and write `build_network` and `preprocess`. Where the network takes more than the image they
    write `logits` instead of `preprocess`, and where it learns more than saliency, `loss`. Where it predicts otherwise
    than it is trained they write `images_of`, `logits_of` or `finished`. Its weights are those that it is told to use,
    else those that come with it (`weights`), else those that its authors publish (`checkpoints`).

    Attributes:
        recipe: `Recipe`.
        weights: path of the weights that come with the method, or None.
        fit_options: of the command that trains them, for who has none.
        folder: where `fit` keeps its checkpoints; set by the caller.
        training_data: name of what it is fitted on, for its notes; set by the caller, or None.
        mixed_precision: whether predictions on CUDA are made in float16 where torch deems that safe.
    """

    output = "log_density"
    recipe: Recipe
    weights: Path | None = None
    fit_options = "--dataset osie_train"
    training_data: str | None = None
    folder: Path | None = None
    mixed_precision = True

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "predict" in vars(cls):
            raise MethodProblem(
                f"{cls.__name__}: expected no `predict` of its own, as images are predicted in batches; write "
                "`finished` for what is done with each map, or `predict_batch`"
            )

    def __init__(self, place=None):
        """`place`: a folder that `fit` has written, or a .safetensors file; the method's own or published by default.

        NAME=PLACE names the row in tables, to tell two trainings apart.
        """
        self._network, self._lock = None, Lock()
        if place:
            name, given, rest = place.partition("=")
            name, place = (name, rest) if given and not Path(place).exists() else ("", place)
            path = Path(place).expanduser().resolve()
            self.weights = path / "best.safetensors" if path.is_dir() else path
            self.variant = name or (f"{path.parent.name}-{path.name}" if path.is_dir() else path.stem)

    def setup(self):
        """What else a training depends on, beside its recipe and data, as JSON can hold it; kept in the checkpoint."""
        return {}

    def code_hash(self):
        """Of the method's source: a training goes on with the same only."""
        return registry.code_hash(self.name)

    def build_network(self):
        """A new torch module: what `preprocess` returns in, logits (B, H, W) out."""
        raise NotImplementedError

    def preprocess(self, images):
        """From a uint8 tensor (B, H, W, 3) to the network's input."""
        raise NotImplementedError

    def published(self, state):
        """The network's {name: tensor} of what the files of `checkpoints` hold, one argument each, in their order."""
        return state

    def logits(self, network, images, captions):
        """Logits (B, H, W) of the fixation density.

        Args:
            images: uint8 tensor (B, H, W, 3) of the recipe's size, on the network's device.
            captions: list of str or None.
        """
        return network(self.preprocess(images))

    def loss(self, network, batch):
        """What one step of training minimises: a scalar, for a `training.data.Batch` of tensors."""
        logits = self.logits(network, batch.images, [sample.caption for sample in batch.samples])
        if logits.shape != batch.density.shape:
            raise ValueError(
                f"{self.name}: expected its network to give logits of shape (batch, height, width), here "
                f"{tuple(batch.density.shape)}, got {tuple(logits.shape)}; resize them at its end"
            )
        return self.saliency_loss(network, logits, batch)

    def saliency_loss(self, network, logits, batch):
        """The recipe's losses, or its edit losses where an image is an edited one, mean over the batch.

        Args:
            network: what made the logits, for a second pass: on the originals of edited images, where a loss needs it.
            logits: (B, H, W), of the images of the batch and of the size of its densities.
            batch: `training.data.Batch` of tensors.
        """
        truth, edits, recipe = {"density": batch.density, "counts": batch.counts}, batch.edits, self.recipe
        if edits is None:
            return weighted(logits, truth, recipe.losses)
        plain = torch.ones(len(logits), dtype=torch.bool, device=logits.device).index_fill(0, edits.index, False)
        of_edits = {name: t[edits.index] for name, t in truth.items()}
        of_edits |= {"mask": edits.masks, "direction": edits.directions}
        if needed("original", recipe.edit_losses):
            captions = [batch.samples[i].caption for i in edits.index.tolist()]
            of_edits["original"] = self._logits_of_originals(network, edits.originals, captions)
        values = [
            per_image(logits[plain], {name: t[plain] for name, t in truth.items()}, recipe.losses),
            per_image(logits[edits.index], of_edits, recipe.edit_losses),
        ]
        return torch.cat(values).mean()

    def _logits_of_originals(self, network, images, captions):
        """Logits as they are predicted: without gradient, without dropout, and without a trace in batch norms.

        Not through the wrapper of several processes: each has another number of edited images, or none.
        """
        own = network.module if isinstance(network, DistributedDataParallel) else network
        mode = own.training
        try:
            with torch.no_grad():
                return self.logits(own.eval(), images, captions)
        finally:
            own.train(mode)

    def images_of(self, sample):
        """A sample's image as the network gets it: uint8 tensor (1, H, W, 3), by default of the recipe's size."""
        height, width = self.recipe.size
        resized = Image.fromarray(sample.image).resize((width, height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(resized))[None]

    def logits_of(self, network, images, samples):
        """Logits (B, h, w) that samples of one size are predicted from: by default `logits`.

        Args:
            images: of `images_of`, together, on the network's device.
        """
        return self.logits(network, images, [sample.caption for sample in samples])

    def finished(self, log_density, sample):
        """The prediction of a sample, of its log density (h, w), a float32 array: by default that."""
        return log_density

    def log_density(self, network, sample):
        """Log density of a sample, float32 array (h, w)."""
        return self._log_densities(network, self.images_of(sample), [sample])[0].cpu().numpy()

    def _log_densities(self, network, images, samples):
        """Log densities (B, h, w), float32, of samples of one size; on the network's device."""
        device = next(network.parameters()).device
        mixed = self.mixed_precision and device.type == "cuda"
        # Not bfloat16: on seeded weights of UNISAL its maps correlate with those of float32 by 0.98, these by 0.9998.
        with torch.inference_mode(), torch.autocast(device.type, torch.float16, enabled=mixed):
            logits = self.logits_of(network, images.to(device), samples).float()
            return torch.log_softmax(logits.flatten(1), 1).view_as(logits)

    def weights_hash(self):
        """Of the network's tensors, which converting a file or what else it tells does not change."""
        if self.untrained:
            return None
        if self._is_published:
            return weights.hash_tensors(self.network.state_dict())
        tensors, _ = checkpoint.load(self.existing_weights())
        return weights.hash_tensors(tensors)

    def fit(self, samples, *, augment=None, edits=None, seed=0):
        """Train a new network on samples, with augmented copies of each by the names in `augment`, or with edits.

        Checkpoints go to `self.folder`; a training that was stopped there goes on. Afterwards `predict` uses the
        weights of the best epoch.

        Args:
            samples: with ground truth; some are held out to choose the best epoch.
            augment: names of augmentations, shown in turn, or by chance where the recipe says `p`.
            edits: `salbench.edits.EditSet`; asks for a recipe with `p`.
            seed: of the first weights and of all that is random.

        Raises:
            NoTrainingData, TrainingProblem, ValueError: see `training`.
        """
        if self.folder is None:
            raise ValueError(f"{self.name}: set its `folder`, where the checkpoints go, before `fit`")
        torch.manual_seed(seed)
        trainer = Trainer(
            self.build_network(), self, *split(samples, self.recipe.validation_share), self.recipe,
            self.folder, copies=tuple(augment or ()), edits=edits, seed=seed, device=self.device,
        )  # fmt: skip
        trainer.run()
        self.weights, self._network = Path(self.folder) / "best.safetensors", None
        return self

    def predict(self, sample):
        (prediction,) = self.predict_batch([sample])
        return prediction

    def predict_batch(self, samples):
        """Neighbours of one size go through the network together.

        Several threads may call it: while the network is busy with one batch, the others read and resize the next
        images, or finish the last maps.
        """
        network, predictions = self.network, []  # before the images, as its weights say at which size it sees them
        pairs = ((self.images_of(sample), sample) for sample in samples)
        for _, group in groupby(pairs, key=lambda pair: (pair[0].shape, pair[1].size)):
            images, of_one_size = zip(*group, strict=True)
            with self._lock:  # a network uses all cores itself, and hooks must not meet
                log_densities = self._log_densities(network, torch.cat(images), of_one_size)
            maps = log_densities.cpu().numpy()  # waits for a GPU, which another thread may give more to do meanwhile
            predictions += map(self.finished, maps, of_one_size)
        return predictions

    @property
    def network(self):
        """The network with its weights, loaded at the first call."""
        if self._network is None:
            with self._lock:
                if self._network is None:  # nor has another thread loaded it meanwhile
                    self._network = self._loaded()
        return self._network

    def notes(self):
        if self.untrained:
            return ["random weights, never trained: its scores mean nothing."]
        if self._is_published:
            return [f"published weights ({c.file}), trained on {c.trained_on}." for c in self.checkpoints]
        _, facts = checkpoint.load(self.existing_weights())
        return self.notes_on(facts["data"]) if "data" in facts else facts.get("notes", [])

    def notes_on(self, counts):
        """Notes on a training with so many "images", "captions" and "boxes" (images with annotated objects).

        "dataset" is what they are of, where that is known. Of one with edits, "edits" tells their number, the
        lowest and highest strength of each type, and the probability of the original.
        """
        of = f" of {counts['dataset']}" if counts.get("dataset") else ""
        start = " from random weights" if self.checkpoints else ""  # its authors may have started from others
        notes, edits = [f"trained{start} on {counts['images']} images{of}."], counts.get("edits")
        if edits:
            ends = {type: dict.fromkeys(f"{end:g}" for end in both) for type, both in edits["strengths"].items()}
            ranges = ", ".join(f"{type} {' to '.join(of_one)}" for type, of_one in ends.items())
            notes.append(f"trained with edits: {edits['images']} images, {ranges}, p {edits['p']:g}.")
        return notes

    def seen(self, samples):
        if self.untrained or self._is_published:
            return []
        _, facts = checkpoint.load(self.existing_weights())
        known = set(facts.get("samples", "").split())
        return [sample for sample in samples if mark(sample) in known]

    def knows_edits(self, fingerprint):
        if self.untrained or self._is_published:
            return False
        _, facts = checkpoint.load(self.existing_weights())
        return fingerprint in facts.get("key", {}).get("edits", "").split("+")

    def existing_weights(self):
        """Path of the weights.

        Raises:
            MethodUnavailable: none came with the method. WeightsProblem: none are where it was told that they are.
        """
        if self.weights is not None and self.weights.exists():
            return self.weights
        if "weights" not in vars(self):
            raise MethodUnavailable(
                f"has no weights; train it with: python benchmark.py fit --methods {self.name} {self.fit_options}"
            )
        below = sorted(self.weights.parent.glob(f"{self.name}/*/*/best.safetensors"))[:1]
        hint = f" (but {below[0].parent} has)" if below else ""
        raise weights.WeightsProblem(
            f"{self.weights}: no such weights of {self.name}{hint}; expected a folder that fit has written, or a "
            ".safetensors file"
        )

    def init_random(self):
        if "weights" in vars(self):  # a place, or what `fit` has written
            raise MethodUnavailable(f"was told to use {self.weights}; leave that out, or --init random")
        self.untrained, self.variant = True, "random-init"

    def convert(self):
        """Write the published weights to one safetensors file, which replaces their own files from then on.

        Returns:
            Its path; its JSON says what it was made of, and the hash that results record.

        Raises:
            MethodUnavailable: a published file is not there. WeightsProblem, CheckpointProblem: it cannot be used.
        """
        tensors = self._load_official().state_dict()
        files = [asdict(c) | {"hash": hash_file(self._place_of(c))} for c in self.checkpoints]
        facts = {"method": self.name, "files": files, "hash": weights.hash_tensors(tensors), "notes": self.notes()}
        path = weights.converted(self.name, self.weights_root)
        checkpoint.save(path, tensors, facts)
        return path

    @property
    def _is_published(self):
        return self.weights is None and bool(self.checkpoints)

    def _place_of(self, published):
        return weights.folder(self.name, self.weights_root) / published.file

    def _loaded(self):
        load = self._random if self.untrained else self._load_published if self._is_published else self._load_trained
        return load().to(self.device).eval()

    def _random(self):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.build_network()

    def _load_trained(self):
        path = self.existing_weights()
        tensors, facts = checkpoint.load(path)
        if "key" in facts:
            self._check_setup(facts["key"], path)
        network = self.build_network()
        checkpoint.load_into(network, tensors, path)
        return network

    def _load_published(self):
        """Of the converted file where there is one, else of the published files."""
        path = weights.converted(self.name, self.weights_root)
        if not path.is_file():
            return self._load_official()
        network = self.build_network()
        checkpoint.load_into(network, checkpoint.load(path)[0], path, "remove it, or convert the published files anew")
        return network

    def _load_official(self):
        missing = weights.remedy(self.name, self.checkpoints, self.weights_root)
        if missing:
            raise MethodUnavailable(missing)
        contents = [weights.read(self._place_of(c)) for c in self.checkpoints]
        path, page = self._place_of(self.checkpoints[0]), self.checkpoints[0].source
        try:
            tensors = {name: tensor.detach() for name, tensor in self.published(*contents).items()}
        except (LookupError, AttributeError, TypeError) as error:
            raise weights.WeightsProblem(
                f"{path}: expected what {page} publishes, got {weights.described(contents[0])} ({error!r})"
            ) from error
        network = self.build_network()
        checkpoint.load_into(network, tensors, path, f"expected is the file that {page} publishes")
        return network

    def _check_setup(self, key, path):
        """Take the size that the weights were trained at; refuse them where they need something else than is here."""
        self.recipe = self.recipe.at(key["recipe"]["size"])
        trained, here = key.get("setup", {}), self.setup()
        other = [name for name in here if trained.get(name) != here[name]]
        if other:
            name = other[0]
            raise checkpoint.CheckpointProblem(
                f"{path}: trained with another {name}, {trained.get(name)}, than is used here, {here[name]}; "
                "give that one, or train anew"
            )


def create(name, **changes):
    """A new learned method, its recipe changed where told.

    Args:
        name: of the method.
        changes: fields of its `Recipe`; None leaves one as it is.

    Raises:
        MethodProblem: unknown, or a method that has no recipe to train by.
    """
    method = registry.create(name)
    if not isinstance(method, LearnedMethod):
        raise registry.MethodProblem(
            f"{name}: expected a method that can be trained, got one without a recipe; lite is one that can"
        )
    changes = {k: v for k, v in changes.items() if v is not None}
    if "epochs" in changes:
        changes["steps"] = None
    method.recipe = replace(method.recipe, **changes)
    return method
