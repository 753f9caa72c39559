"""From images to the input of the aggregation: features and time embedding of each diffusion step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch

from salbench.files import hash_bytes

from .features import Step, ddim_timesteps, invert

if TYPE_CHECKING:
    from .backbone import Backbone

BUDGET = 4 * 2**30  # bytes of features to keep in memory


def for_aggregation(backbone: Backbone, step: Step) -> tuple[list[torch.Tensor], torch.Tensor]:
    """Features and time embedding of a step, float32; see `Aggregation.forward`."""
    return [layer.float() for layer in step.features], backbone.embed_timestep(step.timestep, len(step.latents))


class Extractor:
    """Extracts features of images with a frozen backbone.

    Args:
        backbone: the frozen model.
        number: number of diffusion steps.
    """

    def __init__(self, backbone: Backbone, number: int) -> None:
        self.backbone, self.timesteps = backbone, ddim_timesteps(backbone, number)
        self._expected, self._kept = 0, {}

    @contextmanager
    def keeping(self, images: int) -> Iterator[None]:
        """Keep features in memory inside the `with` block, for a training that shows `images` images many times.

        Extraction takes most of the time of a training step. If the features of all images exceed BUDGET, none are
        kept: Stable Diffusion's take 170 MB per image, so two dozen images fit.
        """
        self._expected = images
        try:
            yield
        finally:
            self._expected, self._kept = 0, {}

    def steps(
        self, images: torch.Tensor, captions: Sequence[str | None]
    ) -> Iterator[tuple[list[torch.Tensor], torch.Tensor]]:
        """Yield features and time embedding of each diffusion step, float32; see `Aggregation.forward`.

        Args:
            images: uint8 (B, H, W, 3).
            captions: prompts of the images; None is the empty prompt.
        """
        if not self._expected or torch.is_inference_mode_enabled():  # tensors of inference mode cannot be trained on
            return self._extracted(images, captions)
        return self._kept_steps(images, captions)

    def _extracted(
        self, images: torch.Tensor, captions: Sequence[str | None]
    ) -> Iterator[tuple[list[torch.Tensor], torch.Tensor]]:
        prompts = self.backbone.embed_prompts([caption or "" for caption in captions])
        for step in invert(self.backbone, self.backbone.encode(images), prompts, self.timesteps):
            yield for_aggregation(self.backbone, step)
            del step  # free it before the next one is computed

    def _kept_steps(
        self, images: torch.Tensor, captions: Sequence[str | None]
    ) -> Iterator[tuple[list[torch.Tensor], torch.Tensor]]:
        keys = [hash_bytes(i.cpu().numpy().tobytes(), c or "") for i, c in zip(images, captions, strict=True)]
        found = dict(self._kept)
        for i, key in enumerate(keys):
            # One image at a time: the last digits depend on the batch, and a resumed training has other batches.
            if key not in found:
                found[key] = [features for features, _ in self._extracted(images[i : i + 1], captions[i : i + 1])]
                self._keep(key, found[key])
            if not self._expected:
                yield from self._extracted(images, captions)
                return
        for number, timestep in enumerate(self.timesteps):
            layers = zip(*(found[key][number] for key in keys), strict=True)
            yield [torch.cat(of_images) for of_images in layers], self.backbone.embed_timestep(timestep, len(keys))

    def _keep(self, key: str, steps: list[list[torch.Tensor]]) -> None:
        n_bytes = sum(layer.nbytes for features in steps for layer in features)
        if self._expected * n_bytes > BUDGET:
            self._expected = 0
        elif len(self._kept) < self._expected:
            self._kept[key] = steps
