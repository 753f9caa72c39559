"""The U-Net's cross-attention: what it looks like per token, and putting a map of one's own in a token's place.

Both through diffusers' attention processors, which are exchanged inside a `with` and put back on leaving it. Maps are
those of the down and up blocks, all heads (the released code loses half of them), as Hertz et al. 2022 take them.
"""

from contextlib import contextmanager
from typing import NamedTuple

import torch
from diffusers.models.attention_processor import Attention
from torch.nn.functional import interpolate

COARSER = 4  # a map has a quarter of the latents' sides: 16 x 16 for Stable Diffusion 1.5


class Injection(NamedTuple):
    """A map in the place of tokens' attention.

    Attributes:
        tokens: positions among the 77 of the prompt; they share the map equally.
        region: float (1, 1, h, w), the map, in 0 to 1.
        weights: float (B,), the share of the attention that the tokens get where the map is one, for each image.
    """

    tokens: list
    region: torch.Tensor
    weights: torch.Tensor


class Recorder:
    """Sums cross-attention maps; see `recorded`."""

    def __init__(self, size):
        self.size, self._total, self._number = tuple(size), 0.0, 0

    def maps(self):
        """Mean over layers, heads and calls, float32 (B, 77, h, w); the 77 tokens' attention sums to one everywhere.

        Raises:
            ValueError: no layer of the U-Net has maps of this size.
        """
        if not self._number:
            raise ValueError(f"the U-Net has no cross-attention of {self.size[0]} x {self.size[1]} queries")
        return self._total / self._number

    def changed(self, attention):
        """Called by every layer with its (B, heads, queries, tokens); the recorder changes nothing."""
        batch, _, queries, tokens = attention.shape
        if queries == self.size[0] * self.size[1]:  # no other size is kept
            self._total = self._total + attention.float().mean(1).transpose(1, 2).reshape(batch, tokens, *self.size)
            self._number += 1
        return attention


class _Injector:
    def __init__(self, injection):
        self._injection, self._at = injection, {}

    def changed(self, attention):
        """The attention with the map in the tokens' columns; the other columns shrink, so that a row sums to one."""
        tokens, region, weights = self._injection
        queries = attention.shape[2]
        if queries not in self._at:
            self._at[queries] = _resized(region, queries)
        share = (weights[:, None, None, None] * self._at[queries]).clamp(max=1).to(attention.dtype)
        rest = attention.clone()
        rest[..., tokens] = 0
        rest = rest * ((1 - share) / rest.sum(3, keepdim=True).clamp(min=torch.finfo(attention.dtype).tiny))
        rest[..., tokens] = share / len(tokens)
        return rest


@contextmanager
def recorded(unet, latents):
    """Record the cross-attention of all calls of the U-Net inside the `with`; yields a `Recorder`.

    Args:
        unet: of a `Backbone`.
        latents: (B, 4, h, w) that it will be called with.
    """
    recorder = Recorder(side // COARSER for side in latents.shape[-2:])
    with _processed(unet, recorder):
        yield recorder


@contextmanager
def injected(unet, injection):
    """Let an `Injection` take its tokens' place in every call inside the `with`; None changes nothing."""
    if injection is None:
        yield
        return
    with _processed(unet, _Injector(injection)):
        yield


@contextmanager
def _processed(unet, observer):
    layers = [layer for block in (*unet.down_blocks, *unet.up_blocks) for layer in _cross_attention(block)]
    processors = [layer.processor for layer in layers]
    try:
        for layer in layers:
            layer.set_processor(_Processor(observer))
        yield
    finally:
        for layer, processor in zip(layers, processors, strict=True):
            layer.set_processor(processor)


def _cross_attention(block):
    return [m for m in block.modules() if isinstance(m, Attention) and m.is_cross_attention]


class _Processor:
    """Cross-attention of a U-Net's transformer block, its softmax in sight."""

    def __init__(self, observer):
        self._observer = observer

    def __call__(self, layer, hidden_states, encoder_hidden_states, attention_mask=None, **_):
        query = layer.head_to_batch_dim(layer.to_q(hidden_states))
        key, value = (layer.head_to_batch_dim(to(encoder_hidden_states)) for to in (layer.to_k, layer.to_v))
        attention = layer.get_attention_scores(query, key, attention_mask)
        attention = self._observer.changed(attention.unflatten(0, (-1, layer.heads))).flatten(0, 1)
        mixed = layer.batch_to_head_dim(torch.bmm(attention, value))
        return layer.to_out[1](layer.to_out[0](mixed))


def _resized(region, queries):
    """A map (1, 1, h, w) for as many queries, (1, 1, queries, 1), of a grid of the same proportions."""
    height, width = region.shape[-2:]
    factor = round((height * width / queries) ** 0.5)
    size = height // factor, width // factor
    return interpolate(region, size=size, mode="area").reshape(1, 1, queries, 1)
