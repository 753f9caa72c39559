"""diffusion_readout: saliency read from the features of a frozen latent diffusion model, as in the paper.

Aydemir et al., Data Augmentation via Latent Diffusion for Saliency Prediction, ECCV 2024, section 3. The image is
encoded and inverted to noise in a few steps (`features`). The U-Net's features at these steps are mixed into a
high-level and a low-level map (`aggregation`). Saliency, the category and the photometric properties of an area are
read from the maps (`readouts`, `properties`). Decisions that the paper leaves open, here and in each module:

- One training has two stages, as long as section 5.1 says: first all readouts but saliency, then saliency too. In the
  second stage the aggregation learns from the sum of both losses, so the other readouts stay accurate.
- Learning rates are those of section 5.1: 1e-4, and half of it for the aggregation. Both follow a cosine in each stage,
  so each stage starts at these rates. On a narrower backbone they are larger in proportion (Yang et al. 2021). The
  batch size of four (released code: one) and the 5 % of images held out to choose the best epoch are our choices.
- Maps are trained and predicted at the size of the features and resized bilinearly, without blur.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache, cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from salbench.files import hash_bytes
from salbench.registry import MethodUnavailable, Sized, register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.training.checkpoint import CheckpointProblem, Counts
from salbench.training_plan import Plan

if TYPE_CHECKING:
    import pandas as pd

    from salbench.edits import MadeEdits
    from salbench.training.data import Batch

    from .backbone import Backbone
    from .extraction import Extractor
    from .network import ReadoutNetwork

for package in ("diffusers", "transformers"):  # importing them takes seconds, so modules that do are imported at use
    if find_spec(package) is None:
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)

log = logging.getLogger(__name__)
HERE = Path(__file__).resolve().parent
SMALL = HERE / "small_backbone"  # made by `train_backbone` from osie_train and a hundred more pictures
STAGES = (20_000, 22_000)  # steps: first all readouts but saliency, then saliency too (section 5.1)
NEVER = 10**9  # epochs of patience: the first stage does not learn saliency, which is what validation measures


@register
class DiffusionReadout(LearnedMethod):
    """Learned: readouts of a frozen latent diffusion model (Aydemir et al. 2024); ships with a small one.

    Attributes:
        timesteps: number of diffusion steps whose features are read.
    """

    timesteps = 6
    paper = "Aydemir et al., Data Augmentation via Latent Diffusion for Saliency Prediction, ECCV 2024"
    fit_options = "--dataset salicon_train --backbone DIR_OR_HUB_ID"
    weights = HERE / "osie_train.safetensors"  # trained on the small backbone
    recipe = Recipe(
        size=(512, 512), steps=sum(STAGES), stages=STAGES, batch_size=4, learning_rate=1e-4,
        rates={"aggregation.": 0.5}, weight_decay=0.01, losses={"kl": 1.0, "cc": 1.0}, validation_share=0.05,
        patience=NEVER,
    )  # fmt: skip
    mixed_precision = False  # the backbone sets its own precision
    sizes = ("full",)  # that of Stable Diffusion v1.5

    @property
    def place(self) -> str:
        """Folder or hub id of the backbone: the runtime's, else $SALBENCH_BACKBONE, else the small one."""
        return str(self.runtime.backbone or os.environ.get("SALBENCH_BACKBONE") or SMALL)

    @cached_property
    def frozen(self) -> Backbone:
        """The backbone, loaded at the first use."""
        from .backbone import Backbone

        return Backbone.load(self.place, self.runtime.device)

    @cached_property
    def _extractor(self) -> Extractor:
        from .extraction import Extractor

        return Extractor(self.frozen, self.timesteps)

    def setup(self) -> dict[str, Any]:
        """Hash of the backbone, and the number of diffusion steps."""
        return {"backbone": self.frozen.hash, "timesteps": self.timesteps}

    def fit(self, samples: Sequence[Sample], plan: Plan) -> DiffusionReadout:
        """Train new readouts on the backbone; see `LearnedMethod.fit`.

        The learning rate depends on the width of the backbone, unless the plan's recipe changes it.
        """
        from .network import WIDTH, width_for

        rate = type(self).recipe.learning_rate * WIDTH / width_for(self.frozen.channels)
        self.recipe = replace(self.recipe, learning_rate=rate)
        edited = sum(len(plan.edits.of(s.id)) for s in samples) if plan.edits else 0
        with self._extractor.keeping(len(samples) * (1 + len(plan.augment)) + edited):
            return super().fit(samples, plan)

    def build_network(self) -> ReadoutNetwork:
        """New readouts with random weights, for the backbone's features at the size of its own training images."""
        from .network import ReadoutNetwork

        self.recipe = self.recipe.at(self.frozen.image_size)
        return ReadoutNetwork(self.frozen.channels, self.frozen.embedding, steps=self.timesteps)

    @property
    def _is_trained(self) -> bool:
        """Whether there are weights for the backbone: given or fitted ones, or those of the small backbone."""
        return "weights" in vars(self) or self.place == str(SMALL)

    def existing_weights(self) -> Path:
        """Path of the weights; see `LearnedMethod.existing_weights`.

        Raises:
            MethodUnavailable: only weights for the small backbone are here, and another backbone is used.
        """
        if not self._is_trained:
            raise MethodUnavailable(
                f"ships with weights for its small backbone only; train it on {self.place} with: "
                f"salbench fit --methods {self.name} --dataset salicon_train --backbone {self.place}"
            )
        return super().existing_weights()

    def weights_hash(self) -> str | None:
        """16 hex digits of the weights and of the backbone that they were trained on; None for random weights."""
        if self.untrained:
            return None
        setup = self.trained.record.identity.facts.get("setup", {})
        if "backbone" not in setup:
            raise CheckpointProblem(f"{self.weights}: expected weights of {self.name}, got those of another network")
        return hash_bytes(super().weights_hash(), setup["backbone"])

    def notes_on(self, data: Counts) -> list[str]:
        """Notes on a training with this data, on the backbone, and on what the data lacked."""
        notes = super().notes_on(data)
        if self.place == str(SMALL):
            notes.append(
                "backbone: the small one that ships with salbench, trained on 600 pictures, not Stable Diffusion."
            )
        lacks = [
            what for what, number in (("captions", data.captions), ("annotated objects", data.boxes)) if not number
        ]
        return [*notes, f"trained without {' or '.join(lacks)}."] if lacks else notes

    def features(self, sample: Sample) -> dict[str, np.ndarray]:
        """High-level map, low-level map and predicted saliency. Without weights, those of random readouts."""
        torch.manual_seed(0)  # for random readouts
        network = self.network if self._is_trained else self.build_network().to(self.runtime.device).eval()
        with torch.inference_mode():
            high, low = self._maps(network, sample)
            saliency = network.saliency(high, low).exp()
        state = "" if self._is_trained else " (untrained)"
        maps = {"high-level": high[0], "low-level": low[0], "saliency": saliency}
        return {title + state: features.cpu().numpy() for title, features in maps.items()}

    def _maps(self, network: ReadoutNetwork, sample: Sample) -> tuple[torch.Tensor, torch.Tensor]:
        """High-level and low-level feature maps (1, width, h, w) of a sample."""
        return network.aggregation(self._extractor.steps(self.images_of(sample), [sample.caption]))

    def scorecard(self, samples: Iterable[Sample]) -> pd.DataFrame:
        """How well the readouts of photometric properties read; see `scorecard.scorecard`."""
        from .scorecard import scorecard

        with torch.inference_mode():
            pairs = ((self.images_of(sample), self._maps(self.network, sample)[1]) for sample in samples)
            return scorecard(self.network.low_level, pairs)

    def edit(
        self,
        sample: Sample,
        wanted: Mapping[str, Sequence[float]],
        *,
        color: str | None = None,
        mask: np.ndarray | str | None = None,
        **options: Any,
    ) -> MadeEdits:
        """Edit an image with the backbone; see `SaliencyMethod.edit` and `edit_batch`."""
        (made,) = self.edit_batch([sample], wanted, colors=[color], masks=[mask], **options)
        return made

    def edit_batch(
        self,
        samples: Sequence[Sample],
        wanted: Mapping[str, Sequence[float]],
        *,
        colors: Sequence[str | None],
        masks: Sequence[np.ndarray | str | None],
        word: str | None = None,
        constrained: bool = True,
        scaled: bool = True,
    ) -> list[MadeEdits]:
        """Edit images with the backbone, in one batch; see `SaliencyMethod.edit_batch` and `editing.edit`.

        Unless `constrained` is false, edits are weakened until the trained readouts change little enough. Unless
        `scaled` is false, brightness has the scale gamma of section 4.2.
        """
        from .editing import edit
        from .editor import Editor

        if self.place == str(SMALL) and any(s.caption and m is None for s, m in zip(samples, masks, strict=True)):
            _warn_of_words()
        if constrained:
            editor = Editor(self.frozen, self.timesteps, self.network, scaled=scaled)
        else:
            self.recipe = self.recipe.at(self.frozen.image_size)
            editor = Editor(self.frozen, self.timesteps, scaled=scaled)
        images = torch.cat([self.images_of(sample) for sample in samples])
        with self.frozen.threads():
            return edit(samples, images, editor, wanted, colors=colors, masks=masks, word=word)

    def at_size(self, size: str, dtype: str) -> Sized:
        """The size of Stable Diffusion v1.5; see `SaliencyMethod.at_size`."""
        from .stable_diffusion import at_size

        return at_size(self, dtype)

    def logits(self, network: ReadoutNetwork, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Logits (B, H, W) of the images' size."""
        captions = [sample.caption for sample in samples]
        with self.frozen.threads():
            return _at_size(network(self._extractor.steps(images, captions)).logits, images)

    def loss(self, network: ReadoutNetwork, batch: Batch) -> torch.Tensor:
        """Loss of the readouts of properties and category, and in the last stage of saliency too."""
        from .areas import draw_objects, draw_patches
        from .network import Areas
        from .properties import box_masks, photometric_properties
        from .readouts import readout_loss

        device, captions = batch.images.device, [sample.caption for sample in batch.samples]
        patches, (objects, categories) = draw_patches(len(captions), device), draw_objects(batch.samples, device)
        pixels = batch.images.permute(0, 3, 1, 2).float() / 255
        masks = (box_masks(boxes, pixels.shape[-2:]) for boxes in patches)
        properties = torch.stack([photometric_properties(pixels, mask) for mask in masks], 1)
        edited = torch.tensor([sample.edit is not None for sample in batch.samples], device=device)
        areas = Areas(patches, properties, objects, edited)
        output = network(self._extractor.steps(batch.images, captions), areas)
        loss = readout_loss(output.properties, properties, output.categories, categories)
        is_last_stage = batch.stage == len(self.recipe.stages) - 1
        shown = batch if is_last_stage else batch._replace(edits=None)  # the first stage needs no pass over originals
        # Times zero rather than left out: with several processes, every parameter must take part in every step.
        return loss + is_last_stage * self.saliency_loss(network, _at_size(output.logits, batch.images), shown)


@cache
def _warn_of_words() -> None:
    """Warn once, not for each image."""
    log.warning(
        "the small backbone has learned no words, so their regions are meaningless; use --mask or --mask saliency"
    )


def _at_size(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """Resize logits (B, h, w) bilinearly to the size of images (B, H, W, 3)."""
    return interpolate(logits[:, None], size=images.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
