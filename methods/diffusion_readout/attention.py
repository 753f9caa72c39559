"""The U-Net's cross-attention: record the maps of all tokens, or replace those of some tokens.

Both replace diffusers' attention processors inside a `with` block and restore them at its end. Maps come from the down
and up blocks, as in Hertz et al. 2022, and from all heads; the released code loses half of the heads.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import nn
from torch.nn.functional import interpolate

COARSER = 4  # latents have 4 times the height and width of a map: it is 16 x 16 for Stable Diffusion 1.5


class Injection(NamedTuple):
    """A map that replaces the attention of some tokens.

    Attributes:
        tokens: bool (B, 77), the tokens of each image; they share the map equally. An image may have none.
        region: float (B, 1, h, w) in [0, 1], the map.
        weights: float (B,), the fraction of all attention that the tokens get where the map is one.
    """

    tokens: torch.Tensor
    region: torch.Tensor
    weights: torch.Tensor


class Recorder:
    """Averages cross-attention maps of one size; see `recorded`."""

    def __init__(self, size: Iterable[int]) -> None:
        self.size, self._total, self._number = tuple(size), 0.0, 0

    def maps(self) -> torch.Tensor:
        """Mean over layers, heads and calls, float32 (B, 77, h, w). The 77 tokens sum to one at every position.

        Raises:
            ValueError: no layer of the U-Net has maps of this size.
        """
        if not self._number:
            raise ValueError(f"the U-Net has no cross-attention of {self.size[0]} x {self.size[1]} queries")
        return self._total / self._number

    def changed(self, attention: torch.Tensor) -> torch.Tensor:
        """Record the attention (B, heads, queries, tokens) of a layer and return it unchanged."""
        batch, _, queries, tokens = attention.shape
        if queries == self.size[0] * self.size[1]:  # other sizes are ignored
            self._total = self._total + attention.float().mean(1).transpose(1, 2).reshape(batch, tokens, *self.size)
            self._number += 1
        return attention


class _Injector:
    def __init__(self, injection: Injection) -> None:
        self._injection, self._at = injection, {}

    def changed(self, attention: torch.Tensor) -> torch.Tensor:
        """Put the map in the tokens' columns and scale the other columns so every row still sums to one."""
        tokens, region, weights = self._injection
        tokens = tokens[:, None, None, :]
        queries = attention.shape[2]
        if queries not in self._at:
            self._at[queries] = _resized(region, queries)
        share = (weights[:, None, None, None] * self._at[queries]).clamp(max=1).to(attention.dtype)
        rest = attention.masked_fill(tokens, 0)
        rest = rest * ((1 - share) / rest.sum(3, keepdim=True).clamp(min=torch.finfo(attention.dtype).tiny))
        return torch.where(tokens, share / tokens.sum(3, keepdim=True).clamp(min=1), rest)


@contextmanager
def recorded(unet: UNet2DConditionModel, latents: torch.Tensor) -> Iterator[Recorder]:
    """Record the cross-attention of all U-Net calls inside the `with` block.

    Args:
        unet: the U-Net of a `Backbone`.
        latents: (B, 4, h, w); only their size matters, which must be that of the calls.
    """
    recorder = Recorder(side // COARSER for side in latents.shape[-2:])
    with _processed(unet, recorder):
        yield recorder


@contextmanager
def injected(unet: UNet2DConditionModel, injection: Injection | None) -> Iterator[None]:
    """Inject a map in every U-Net call inside the `with` block; None changes nothing."""
    if injection is None:
        yield
        return
    with _processed(unet, _Injector(injection)):
        yield


@contextmanager
def _processed(unet: UNet2DConditionModel, observer: Recorder | _Injector) -> Iterator[None]:
    layers = [layer for block in (*unet.down_blocks, *unet.up_blocks) for layer in _cross_attention(block)]
    processors = [layer.processor for layer in layers]
    try:
        for layer in layers:
            layer.set_processor(_Processor(observer))
        yield
    finally:
        for layer, processor in zip(layers, processors, strict=True):
            layer.set_processor(processor)


def _cross_attention(block: nn.Module) -> list[Attention]:
    return [m for m in block.modules() if isinstance(m, Attention) and m.is_cross_attention]


class _Processor:
    """Cross-attention of a U-Net's transformer block, which shows its softmax to an observer."""

    def __init__(self, observer: Recorder | _Injector) -> None:
        self._observer = observer

    def __call__(
        self,
        layer: Attention,
        hidden_states: torch.Tensor,
        encoder_hidden_states: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
        **_: object,
    ) -> torch.Tensor:
        query = layer.head_to_batch_dim(layer.to_q(hidden_states))
        key, value = (layer.head_to_batch_dim(to(encoder_hidden_states)) for to in (layer.to_k, layer.to_v))
        attention = layer.get_attention_scores(query, key, attention_mask)
        attention = self._observer.changed(attention.unflatten(0, (-1, layer.heads))).flatten(0, 1)
        mixed = layer.batch_to_head_dim(torch.bmm(attention, value))
        return layer.to_out[1](layer.to_out[0](mixed))


def _resized(region: torch.Tensor, queries: int) -> torch.Tensor:
    """Resize maps (B, 1, h, w) to a grid of the same aspect ratio with this many queries: (B, 1, queries, 1)."""
    height, width = region.shape[-2:]
    factor = round((height * width / queries) ** 0.5)
    size = height // factor, width // factor
    return interpolate(region, size=size, mode="area").reshape(-1, 1, queries, 1)
