"""The base of every learned method: what `fit` and `predict` do around a network."""

from dataclasses import replace
from pathlib import Path

import torch

from salbench import registry
from salbench.files import hash_file
from salbench.registry import MethodUnavailable, SaliencyMethod
from salbench.training import checkpoint
from salbench.training.loop import Recipe, Trainer, predict, split


class LearnedMethod(SaliencyMethod):
    """A network with its preprocessing and its recipe. Subclasses set `recipe` and `weights` and write two methods.

    Attributes:
        recipe: `Recipe`.
        weights: path of the weights that come with the method, or None.
        folder: where `fit` keeps its checkpoints; set by the caller.
    """

    output = "log_density"
    recipe: Recipe
    weights: Path | None = None
    folder: Path | None = None

    def __init__(self, place=None):
        """`place`: a folder that `fit` has written, or a .safetensors file; the method's own weights by default."""
        self._network = None
        if place:
            path = Path(place).expanduser().resolve()
            self.weights = path / "best.safetensors" if path.is_dir() else path
            self.variant = f"{path.parent.name}-{path.name}" if path.is_dir() else path.stem

    def build_network(self):
        """A new torch module: what `preprocess` returns in, logits (B, H, W) out."""
        raise NotImplementedError

    def preprocess(self, images):
        """From a uint8 tensor (B, H, W, 3) to the network's input."""
        raise NotImplementedError

    def weights_hash(self):
        return hash_file(self._existing_weights())

    def fit(self, samples, *, augment=None, seed=0):
        """Train a new network on samples, with one augmented copy of each per name in `augment`.

        Checkpoints go to `self.folder`; a training that was stopped there goes on. Afterwards `predict` uses the
        weights of the best epoch.

        Raises:
            NoTrainingData, TrainingProblem, ValueError: see `training`.
        """
        if self.folder is None:
            raise ValueError(f"{self.name}: set its `folder`, where the checkpoints go, before `fit`")
        torch.manual_seed(seed)
        trainer = Trainer(
            self.build_network(), self.preprocess, *split(samples, self.recipe.validation_share), self.recipe,
            self.folder, copies=tuple(augment or ()), seed=seed, device=self.device,
        )  # fmt: skip
        trainer.run()
        self.weights, self._network = Path(self.folder) / "best.safetensors", None
        return self

    def predict(self, sample):
        if self._network is None:
            self._network = self._loaded()
        return predict(self._network, self.preprocess, sample.image, self.recipe.size)

    def _existing_weights(self):
        if self.weights is None or not self.weights.exists():
            where = f" at {self.weights}" if self.weights else ""
            raise MethodUnavailable(
                f"has no weights{where}; train it with: "
                f"python benchmark.py fit --methods {self.name} --dataset osie_train"
            )
        return self.weights

    def _loaded(self):
        path = self._existing_weights()
        network = self.build_network()
        tensors, _ = checkpoint.load(path)
        checkpoint.load_into(network, tensors, path)
        return network.to(self.device).eval()


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
        raise registry.MethodProblem(f"{name}: expected a method that can be trained, got one without a recipe")
    method.recipe = replace(method.recipe, **{k: v for k, v in changes.items() if v is not None})
    return method
