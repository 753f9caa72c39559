"""From an image's latents to noise by deterministic DDIM inversion, with the U-Net's decoder features on the way.

Features of the residual branches follow Diffusion Hyperfeatures (Luo et al. 2023), on which the paper builds (section
3.1); the update is that of DDIM (Song et al. 2021, equation 12 with eta = 0), run towards noise.
"""

from contextlib import contextmanager
from itertools import pairwise
from math import sqrt
from typing import NamedTuple

import torch


class Step(NamedTuple):
    """What one call of the U-Net has seen and given.

    Attributes:
        timestep: the diffusion timestep, which is the noise level of the latents.
        latents: float32 (B, 4, h, w), the image at that level.
        noise: float32 (B, 4, h, w), the noise that the U-Net finds in them.
        features: list of the residual branch of every decoder ResNet block, in the order in which they run: tensors
            (B, C_l, h_l, w_l) at their own resolution, of the type that the U-Net runs in.
    """

    timestep: int
    latents: torch.Tensor
    noise: torch.Tensor
    features: list


def ddim_timesteps(backbone, number):
    """`number` timesteps of DDIM, ascending from 0 at equal distances: 0, 166, 332, 498, 664, 830 of 1000 for six.

    "Leading" spacing without the offset of 1 that Stable Diffusion's own scheduler adds; the released code's too.

    Raises:
        ValueError: fewer than one or more than the model was trained with.
    """
    trained = backbone.scheduler.config.num_train_timesteps
    if not 1 <= number <= trained:
        raise ValueError(f"number of timesteps: expected 1 to {trained}, got {number}")
    return [i * (trained // number) for i in range(number)]


def invert(backbone, latents, prompts, timesteps):
    """Generate a `Step` at each timestep, from the clean image to noise. Only the conditional pass, no guidance.

    The image as it is encoded stands at the first timestep. With `ddim_timesteps` that is 0, so that six steps are
    six calls at 0 to 830; the released code calls the U-Net one level earlier each time, at -1, 0, ... 664. A timestep
    below 0 means an image without noise.

    Nothing stays on the U-Net between steps, and nothing here holds on to a step that was handed over: features live
    as long as the caller keeps them. Gradients do not flow through the U-Net.

    Args:
        backbone: `Backbone`.
        latents: (B, 4, h, w), from `Backbone.encode`.
        prompts: (B, 77, D), from `Backbone.embed_prompts`.
        timesteps: ints, strictly ascending.

    Raises:
        ValueError: at the call: timesteps that do not ascend or that the model does not have, shapes that do not fit,
            or a model that predicts neither the noise nor the velocity.
    """
    unet, scheduler, timesteps = backbone.unet, backbone.scheduler, [int(t) for t in timesteps]
    trained, prediction = scheduler.config.num_train_timesteps, scheduler.config.prediction_type
    if not timesteps or timesteps[-1] >= trained or any(a >= b for a, b in pairwise(timesteps)):
        raise ValueError(f"timesteps: expected strictly ascending ones below {trained}, got {timesteps}")
    if prediction not in _NOISE:
        raise ValueError(f"prediction type: expected {' or '.join(_NOISE)}, got {prediction}")
    if latents.ndim != 4 or latents.shape[1] != unet.config.in_channels:
        raise ValueError(f"latents: expected (B, {unet.config.in_channels}, h, w), got {tuple(latents.shape)}")
    if prompts.ndim != 3 or (len(prompts), prompts.shape[2]) != (len(latents), unet.config.cross_attention_dim):
        wanted = f"({len(latents)}, 77, {unet.config.cross_attention_dim})"
        raise ValueError(f"prompts: expected {wanted}, one for each image, got {tuple(prompts.shape)}")
    return _steps(backbone, latents.float().to(backbone.device), prompts.to(backbone.device, backbone.dtype), timesteps)


def _steps(backbone, latents, prompts, timesteps):
    for timestep, following in zip(timesteps, [*timesteps[1:], None], strict=True):
        reached = [_step(backbone, latents, prompts, timestep)]
        if following is not None:
            levels = cumulative_alpha(backbone, timestep), cumulative_alpha(backbone, following)
            latents = renoise(reached[0].latents, reached[0].noise, *levels)
        yield reached.pop()  # a variable would keep the features alive until the next step


@torch.no_grad()
def _step(backbone, latents, prompts, timestep):
    with decoder_residuals(backbone.unet) as features:
        noise = predicted_noise(backbone, latents, prompts, timestep)
    return Step(timestep, latents, noise, features)


def predicted_noise(backbone, latents, prompts, timestep):
    """The noise that the U-Net finds in latents (B, 4, h, w) at a timestep, float32 of their shape."""
    predicted = backbone.unet(latents.to(backbone.dtype), timestep, encoder_hidden_states=prompts).sample.float()
    return _NOISE[backbone.scheduler.config.prediction_type](predicted, latents, cumulative_alpha(backbone, timestep))


def cumulative_alpha(backbone, timestep):
    """Cumulative alpha: the share of the image in the variance of the latents; 1 without noise."""
    return 1.0 if timestep < 0 else backbone.scheduler.alphas_cumprod[timestep].item()


def _noise_of_velocity(velocity, latents, alpha):
    """Salimans and Ho 2022, appendix D."""
    return sqrt(alpha) * velocity + sqrt(1 - alpha) * latents


_NOISE = {"epsilon": lambda noise, latents, alpha: noise, "v_prediction": _noise_of_velocity}


def renoise(latents, noise, alpha, following):
    """Latents at cumulative alpha `following`, with the same clean image and the same noise as they have at `alpha`."""
    clean = (latents - sqrt(1 - alpha) * noise) / sqrt(alpha)
    return sqrt(following) * clean + sqrt(1 - following) * noise


@contextmanager
def decoder_residuals(unet):
    """Collect the residual branch of every decoder ResNet block: what its second convolution gives.

    Yields a list that every call of the U-Net empties and fills anew; the hooks are gone on leaving. Keep it around
    single calls: between them the hooks would collect the calls of other users of the U-Net too.
    """
    residuals = []
    convolutions = [resnet.conv2 for block in unet.up_blocks for resnet in block.resnets]
    hooks = [unet.register_forward_pre_hook(lambda module, inputs: residuals.clear())]
    hooks += [c.register_forward_hook(lambda module, inputs, output: residuals.append(output)) for c in convolutions]
    try:
        yield residuals
    finally:
        for hook in hooks:
            hook.remove()
