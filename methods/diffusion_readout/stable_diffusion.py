"""The method at the size of Stable Diffusion v1.5, with random weights, to measure what it costs.

The networks have that model's exact configuration. The tokenizer is that of the small backbone. Nothing is downloaded.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizerFast

from salbench.edits import EDIT_TYPES
from salbench.registry import Sized
from salbench.sample import Sample

from .backbone import Backbone
from .equations import LATENT_EDITS
from .scaling import gamma

if TYPE_CHECKING:
    from . import DiffusionReadout

UNET = {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8}  # the rest: diffusers' defaults
VAE = {
    "block_out_channels": (128, 256, 512, 512), "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4, "layers_per_block": 2, "latent_channels": 4, "sample_size": 512,
}  # fmt: skip
TEXT_ENCODER = {
    "vocab_size": 49408, "hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12,
    "num_attention_heads": 12, "max_position_embeddings": 77,
}  # fmt: skip
TOKENIZER = Path(__file__).parent / "small_backbone" / "tokenizer"
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
TYPES, COLOR = ("contrast", "color"), "purple"  # an edit that undoes one step, and one that undoes four
STRENGTHS = 1.2, 1.5, 2.0
ANYTHING = 1e6  # mean square of the readings: a band so wide that no edit leaves it


def at_size(method: DiffusionReadout, dtype: str) -> Sized:
    """Give a method this backbone; see `SaliencyMethod.at_size`. Its readouts must be random, too."""
    method.frozen = random_backbone(method.runtime.device, dtype)
    network = method.network
    parts = {
        "encoder": method.frozen.vae.encoder,
        "text encoder": method.frozen.text_encoder,
        "U-Net with extraction": method.frozen.unet,
        "aggregation": network.aggregation,
        "saliency readout": network.saliency,
    }
    for spread in (network.low_level.readings, network.low_level.truths):
        spread.mean_square.fill_(ANYTHING)
    gamma(method.frozen)  # fitted here, once, so that no timing includes it
    types = [type for type in TYPES if LATENT_EDITS[type].depth < method.timesteps]
    return Sized(parts, {type: _edits(method, type) for type in types})


def random_backbone(device: torch.device | str = "cpu", dtype: str = "float32") -> Backbone:
    """A backbone with random weights, the same in every type but for rounding."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        networks = {
            "unet": UNet2DConditionModel(**UNET),
            "vae": AutoencoderKL(**VAE),
            "text_encoder": CLIPTextModel(CLIPTextConfig(**TEXT_ENCODER)),
        }
    for network in networks.values():  # torch's `to`, because that of diffusers warns of layers that are not there
        nn.Module.to(network, device, getattr(torch, dtype)).requires_grad_(False).eval()
    tokenizer = CLIPTokenizerFast.from_pretrained(TOKENIZER)
    return Backbone(folder=TOKENIZER.parent, tokenizer=tokenizer, scheduler=DDIMScheduler(**SCHEDULE), **networks)


def _edits(method: DiffusionReadout, type: str) -> dict[str, Callable[[Sample], int]]:
    """Work on edits of one type, from the image to decoded images.

    A reconstruction goes as many steps back as the edit. Constrained edits are within their band at the first attempt.
    """
    return {
        "a reconstruction": partial(_reconstructed, method, LATENT_EDITS[type].depth),
        "one edit": partial(_edited, method, type, STRENGTHS[:1], False),
        "three edits": partial(_edited, method, type, STRENGTHS, False),
        "three edits, constrained": partial(_edited, method, type, STRENGTHS, True),
    }


@torch.inference_mode()
def _reconstructed(method: DiffusionReadout, depth: int, sample: Sample) -> int:
    """Invert, go `depth` steps back and decode, with bare calls of the networks."""
    backbone = method.frozen
    latents = backbone.encode(method.images_of(sample)).to(backbone.dtype)
    prompts = backbone.embed_prompts([sample.caption])
    for _ in range(method.timesteps + depth):
        backbone.unet(latents, 0, encoder_hidden_states=prompts)
    backbone.decode(latents.float())
    return 0


def _edited(method: DiffusionReadout, type: str, strengths: Sequence[float], constrained: bool, sample: Sample) -> int:
    """Edit a third of the height and of the width, and inject the map of the caption's last word."""
    mask = np.zeros(sample.size)
    mask[: sample.size[0] // 3, : sample.size[1] // 3] = 1
    color, word = COLOR if EDIT_TYPES[type].needs_color else None, sample.caption.split()[-1]
    made = method.edit(sample, {type: strengths}, color=color, word=word, mask=mask, constrained=constrained)
    return len(made.edits)
