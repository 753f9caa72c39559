"""diffusion_readout: saliency from the features of a frozen latent diffusion model, the paper's own model.

Aydemir et al., Data Augmentation via Latent Diffusion for Saliency Prediction, ECCV 2024, section 3. The image is
encoded and inverted to noise in a few steps (`features`); the U-Net's features on the way are mixed into a high-level
and a low-level map (`aggregation`), from which saliency, the category and the photometric properties of an area are
read (`readouts`, `properties`). What the paper leaves open is decided as follows, and in the parts:

- Two stages in one training, as long as section 5.1 says: first the readouts, then the saliency readout too. The
  feature extractors go on learning in the second, from the sum of both losses, so that the readouts stay true.
- The learning rates are the section's, 1e-4 and half of it for the extractors; both fall by a cosine. On a narrower
  backbone they grow as the width shrinks (Yang et al. 2021). The batch of four is ours (released code: one), and so is
  the 5 % of the images that the best epoch is chosen on.
- The map is trained and predicted at the size of its features and resized bilinearly; no blur.
"""

import logging
import os
from dataclasses import replace
from functools import cache, cached_property
from pathlib import Path

import torch
from torch.nn.functional import interpolate

from salbench.files import hash_bytes
from salbench.registry import MethodUnavailable, register
from salbench.training import LearnedMethod, Recipe
from salbench.training.checkpoint import CheckpointProblem

log = logging.getLogger(__name__)
HERE = Path(__file__).resolve().parent
SMALL = HERE / "small_backbone"  # what `train_backbone` has made of osie_train and a hundred more pictures
READOUT_STEPS, SALIENCY_STEPS = 20_000, 22_000  # section 5.1
NEVER = 10**9  # epochs of patience: the first stage does not learn what is validated


@register
class DiffusionReadout(LearnedMethod):
    """Readouts of a frozen latent diffusion model (Aydemir et al. 2024); a small one comes with it.

    Attributes:
        timesteps: number of diffusion steps whose features are read.
    """

    timesteps = 6
    paper = "Aydemir et al., Data Augmentation via Latent Diffusion for Saliency Prediction, ECCV 2024"
    fit_options = "--dataset salicon_train --backbone DIR_OR_HUB_ID"
    weights = HERE / "osie_train.safetensors"  # on the small backbone
    recipe = Recipe(
        size=(512, 512), steps=READOUT_STEPS + SALIENCY_STEPS, batch_size=4, learning_rate=1e-4,
        rates={"aggregation.": 0.5}, weight_decay=0.01, losses={"kl": 1.0, "cc": 1.0}, validation_share=0.05,
        patience=NEVER,
    )  # fmt: skip
    mixed_precision = False  # the backbone has a precision of its own

    @property
    def place(self):
        """Of the backbone: the runtime's, else $SALBENCH_BACKBONE, else the small one that comes with the method."""
        return self.runtime.backbone or os.environ.get("SALBENCH_BACKBONE") or str(SMALL)

    @cached_property
    def frozen(self):
        """The `Backbone`, loaded at the first use."""
        from .backbone import Backbone  # diffusers takes seconds to import

        return Backbone.load(self.place, self.runtime.device)

    @cached_property
    def _extractor(self):
        from .extraction import Extractor

        return Extractor(self.frozen, self.timesteps)

    def setup(self):
        return {"backbone": self.frozen.hash, "timesteps": self.timesteps}

    def fit(self, samples, plan):
        from .network import WIDTH, width_for

        rate = type(self).recipe.learning_rate * WIDTH / width_for(self.frozen.channels)
        plan = replace(plan, recipe={"size": self.frozen.image_size, "learning_rate": rate} | dict(plan.recipe))
        images = len(samples) * (1 + len(plan.augment)) + sum(len(plan.edits.of(s.id)) for s in samples if plan.edits)
        with self._extractor.keeping(images):
            return super().fit(samples, plan)

    def build_network(self):
        from .network import ReadoutNetwork

        return ReadoutNetwork(self.frozen.channels, self.frozen.embedding, steps=self.timesteps)

    @property
    def _is_trained(self):
        """Whether there are weights for the backbone: those that were given or fitted, or the small one's."""
        return "weights" in vars(self) or self.place == str(SMALL)

    def existing_weights(self):
        if not self._is_trained:
            raise MethodUnavailable(
                f"has weights for the small backbone only that comes with it; for {self.place} train it with: "
                f"python benchmark.py fit --methods {self.name} --dataset salicon_train --backbone {self.place}"
            )
        return super().existing_weights()

    def weights_hash(self):
        """Of the weights and of the backbone that they were trained on."""
        if self.untrained:
            return super().weights_hash()
        setup = self.trained.record.identity.facts.get("setup", {})
        if "backbone" not in setup:
            raise CheckpointProblem(f"{self.weights}: expected weights of {self.name}, got another network's")
        return hash_bytes(super().weights_hash(), setup["backbone"])

    def notes_on(self, data):
        notes = super().notes_on(data)
        if self.place == str(SMALL):
            notes.append("its backbone is not Stable Diffusion but a small one, trained on 600 pictures.")
        if not data.captions:
            notes.append("trained without captions, on the empty prompt.")
        if not data.boxes:
            notes.append(
                "trained without annotated objects: on random patches, and without the loss of their category."
            )
        return notes

    def features(self, sample):
        """The high-level and the low-level map, and the saliency read from them; before any training, random ones."""
        torch.manual_seed(0)  # of random maps
        network = self.network if self._is_trained else self.build_network().to(self.runtime.device).eval()
        images = self.images_of(sample)
        with torch.inference_mode():
            high, low = network.aggregation(self._extractor.steps(images, [sample.caption]))
            saliency = network.saliency(high, low).exp()
        state = "" if self._is_trained else " (untrained)"
        maps = {"high-level": high[0], "low-level": low[0], "saliency": saliency}
        return {title + state: features.cpu().numpy() for title, features in maps.items()}

    def edit(self, sample, wanted, *, color=None, word=None, mask=None, constrained=True):
        from .editing import edit
        from .editor import Editor

        if mask is None and sample.caption and self.place == str(SMALL):
            _warn_of_words()
        if constrained:
            editor = Editor(self.frozen, self.timesteps, self.network)
        else:
            self.recipe = self.recipe.at(self.frozen.image_size)
            editor = Editor(self.frozen, self.timesteps)
        return edit(sample, self.images_of(sample), editor, wanted, color=color, word=word, mask=mask)

    def logits(self, network, images, captions):
        return _at_size(network(self._extractor.steps(images, captions)).logits, images)

    def loss(self, network, batch):
        from . import areas
        from .properties import box_masks, photometric_properties
        from .readouts import readout_loss

        captions = [sample.caption for sample in batch.samples]
        boxes, categories = areas.draw(batch.samples, batch.images.device)
        edited = torch.tensor([sample.edit is not None for sample in batch.samples], device=batch.images.device)
        output = network(self._extractor.steps(batch.images, captions), boxes, edited)
        pixels = batch.images.permute(0, 3, 1, 2).float() / 255
        properties = photometric_properties(pixels, box_masks(boxes, pixels.shape[-2:]))
        loss = readout_loss(output.properties, properties, output.categories, categories)
        is_second_stage = batch.progress >= READOUT_STEPS / (READOUT_STEPS + SALIENCY_STEPS)
        shown = batch if is_second_stage else batch._replace(edits=None)  # spares the pass over the originals
        # Times zero rather than left out: with several processes, every parameter must take part in every step.
        return loss + is_second_stage * self.saliency_loss(network, _at_size(output.logits, batch.images), shown)


@cache
def _warn_of_words():
    """Once, not for each image."""
    log.warning(
        "the small backbone knows no words, so that their regions mean nothing: give --mask, or --mask saliency"
    )


def _at_size(logits, images):
    """Logits (B, h, w) resized to the size of images (B, H, W, 3)."""
    return interpolate(logits[:, None], size=images.shape[1:3], mode="bilinear", align_corners=False)[:, 0]
