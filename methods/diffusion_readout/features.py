"""Deterministic DDIM inversion from an image's latents to noise, and the U-Net's decoder features at each step.

Features are outputs of residual branches as in Diffusion Hyperfeatures (Luo et al. 2023), on which section 3.1 of the
paper builds. The update is that of DDIM (Song et al. 2021, equation 12 with eta = 0), run towards noise.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, NamedTuple

import torch

if TYPE_CHECKING:
    from diffusers import UNet2DConditionModel

    from .backbone import Backbone


class Step(NamedTuple):
    """Input and output of one U-Net call.

    Attributes:
        timestep: the diffusion timestep, which sets the noise level.
        latents: float32 (B, 4, h, w), the image at that noise level.
        noise: float32 (B, 4, h, w), the noise that the U-Net predicts.
        features: outputs (B, C_l, h_l, w_l) of the residual branches of all decoder ResNet blocks, in the order in
            which they run, at their own resolutions, of the U-Net's dtype.
    """

    timestep: int
    latents: torch.Tensor
    noise: torch.Tensor
    features: list[torch.Tensor]


def ddim_timesteps(backbone: Backbone, number: int) -> list[int]:
    """Evenly spaced timesteps, ascending from 0: six of 1000 are 0, 166, 332, 498, 664 and 830.

    This is diffusers' "leading" spacing without the offset of 1 that Stable Diffusion's own scheduler adds; the
    released code does the same.

    Raises:
        ValueError: `number` is below one or above the number of timesteps that the model was trained with.
    """
    trained = backbone.scheduler.config.num_train_timesteps
    if not 1 <= number <= trained:
        raise ValueError(f"number of timesteps: expected 1 to {trained}, got {number}")
    return [i * (trained // number) for i in range(number)]


def invert(
    backbone: Backbone, latents: torch.Tensor, prompts: torch.Tensor, timesteps: Sequence[int]
) -> Iterator[Step]:
    """Yield a `Step` at each timestep, from the clean image to noise: the conditional pass only, without guidance.

    The encoded image is the input at the first timestep. With six `ddim_timesteps` the U-Net is called at 0 to 830; the
    released code calls it one timestep earlier each time, at -1, 0, ..., 664. A timestep below 0 means no noise.

    Between steps no hooks stay on the U-Net and no reference to a yielded step is kept, so features are freed as soon
    as the caller drops them. Gradients do not flow through the U-Net.

    Args:
        backbone: the frozen model.
        latents: (B, 4, h, w), from `Backbone.encode`.
        prompts: (B, 77, D), from `Backbone.embed_prompts`.
        timesteps: strictly ascending.

    Raises:
        ValueError: timesteps do not ascend or are unknown to the model, shapes do not fit, or the model predicts
            neither noise nor velocity. It is raised by the call, not at the first step.
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


def _steps(backbone: Backbone, latents: torch.Tensor, prompts: torch.Tensor, timesteps: list[int]) -> Iterator[Step]:
    for timestep, following in zip(timesteps, [*timesteps[1:], None], strict=True):
        reached = [_step(backbone, latents, prompts, timestep)]
        if following is not None:
            levels = cumulative_alpha(backbone, timestep), cumulative_alpha(backbone, following)
            latents = renoise(reached[0].latents, reached[0].noise, *levels)
        yield reached.pop()  # a variable would keep the features in memory until the next step


@torch.no_grad()
def _step(backbone: Backbone, latents: torch.Tensor, prompts: torch.Tensor, timestep: int) -> Step:
    with decoder_residuals(backbone.unet) as features:
        noise = predicted_noise(backbone, latents, prompts, timestep)
    return Step(timestep, latents, noise, features)


def predicted_noise(backbone: Backbone, latents: torch.Tensor, prompts: torch.Tensor, timestep: int) -> torch.Tensor:
    """The U-Net's prediction of the noise in latents (B, 4, h, w) at a timestep, float32 of the same shape."""
    predicted = backbone.unet(latents.to(backbone.dtype), timestep, encoder_hidden_states=prompts).sample.float()
    return _NOISE[backbone.scheduler.config.prediction_type](predicted, latents, cumulative_alpha(backbone, timestep))


def cumulative_alpha(backbone: Backbone, timestep: int) -> float:
    """Cumulative alpha at a timestep: the image's fraction of the latents' variance; 1 means no noise."""
    return 1.0 if timestep < 0 else backbone.scheduler.alphas_cumprod[timestep].item()


def _noise_of_velocity(velocity: torch.Tensor, latents: torch.Tensor, alpha: float) -> torch.Tensor:
    """Convert a predicted velocity to noise (Salimans and Ho 2022, appendix D)."""
    return sqrt(alpha) * velocity + sqrt(1 - alpha) * latents


_NOISE = {"epsilon": lambda noise, latents, alpha: noise, "v_prediction": _noise_of_velocity}


def renoise(latents: torch.Tensor, noise: torch.Tensor, alpha: float, following: float) -> torch.Tensor:
    """Change the noise level of latents from cumulative alpha `alpha` to `following`; clean image and noise stay."""
    clean = (latents - sqrt(1 - alpha) * noise) / sqrt(alpha)
    return sqrt(following) * clean + sqrt(1 - following) * noise


@contextmanager
def decoder_residuals(unet: UNet2DConditionModel) -> Iterator[list[torch.Tensor]]:
    """Collect the output of the residual branch, that is of the second convolution, of every decoder ResNet block.

    Yields a list that every U-Net call empties and refills; leaving the block removes the hooks. Use it around single
    calls, because the hooks also see calls made by others.
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
