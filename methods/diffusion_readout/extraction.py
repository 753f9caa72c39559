"""From images to what the aggregation takes: the features and the time embedding of each diffusion step."""

from contextlib import contextmanager

import torch

from salbench.files import hash_bytes

from .features import ddim_timesteps, invert

BUDGET = 4 * 2**30  # bytes of features to keep


def for_aggregation(backbone, step):
    """(features, embedding) of a `Step`, in float32; see `Aggregation.forward`."""
    return [layer.float() for layer in step.features], backbone.embed_timestep(step.timestep, len(step.latents))


class Extractor:
    """Features of images by a frozen backbone, in `number` diffusion steps."""

    def __init__(self, backbone, number):
        self.backbone, self.timesteps = backbone, ddim_timesteps(backbone, number)
        self._expected, self._kept = 0, {}

    @contextmanager
    def keeping(self, images):
        """Keep features inside the `with`, in which so many images will be shown again and again, as in a training.

        Extraction is most of what a step of training costs. Nothing is kept where not all would fit into BUDGET: of
        Stable Diffusion's features, 170 MB an image, those of two dozen images do.
        """
        self._expected = images
        try:
            yield
        finally:
            self._expected, self._kept = 0, {}

    def steps(self, images, captions):
        """Generate (features, embedding) of each diffusion step, in float32; see `Aggregation.forward`.

        Args:
            images: uint8 (B, H, W, 3).
            captions: list of str or None.
        """
        if not self._expected or torch.is_inference_mode_enabled():  # what is made then takes no part in training
            return self._extracted(images, captions)
        return self._kept_steps(images, captions)

    def _extracted(self, images, captions):
        prompts = self.backbone.embed_prompts([caption or "" for caption in captions])
        for step in invert(self.backbone, self.backbone.encode(images), prompts, self.timesteps):
            yield for_aggregation(self.backbone, step)
            del step  # before the next one is made

    def _kept_steps(self, images, captions):
        keys = [hash_bytes(i.cpu().numpy().tobytes(), c or "") for i, c in zip(images, captions, strict=True)]
        found = dict(self._kept)
        for i, key in enumerate(keys):
            if key not in found:  # each by itself: the last digits depend on the batch, which a resume would change
                found[key] = [features for features, _ in self._extracted(images[i : i + 1], captions[i : i + 1])]
                self._keep(key, found[key])
            if not self._expected:
                yield from self._extracted(images, captions)
                return
        for number, timestep in enumerate(self.timesteps):
            layers = zip(*(found[key][number] for key in keys), strict=True)
            yield [torch.cat(of_images) for of_images in layers], self.backbone.embed_timestep(timestep, len(keys))

    def _keep(self, key, steps):
        n_bytes = sum(layer.nbytes for features in steps for layer in features)
        if self._expected * n_bytes > BUDGET:
            self._expected = 0
        elif len(self._kept) < self._expected:
            self._kept[key] = steps
