"""Edits as arithmetic on latents: equations 1 and 2 of the paper, with the scale gamma per channel of section 4.2.

`LATENT_EDITS` has a row for each type of edit.

All functions take latents Z (1, 4, h, w), a region M (1, 1, h, w) in [0, 1], strengths alpha (B, 1, 1, 1) and gamma
(4,), and return latents (B, 4, h, w).
"""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor


def contrast(latents: Tensor, region: Tensor, alpha: Tensor, gamma: Tensor) -> Tensor:
    """Equation 1: M (alpha (Z - mu) + mu) + (1 - M) Z.

    mu is gamma times the mean of Z over M and over all four channels, as in the released code.
    """
    mean = (latents * region).sum((1, 2, 3), keepdim=True) / (region.sum() * latents.shape[1])
    mean = mean * gamma[:, None, None]
    return region * (alpha * (latents - mean) + mean) + (1 - region) * latents


def brightness(latents: Tensor, region: Tensor, alpha: Tensor, gamma: Tensor) -> Tensor:
    """Equation 2: M (Z + alpha gamma) + (1 - M) Z; alpha has the unit of RGB values from -1 to 1."""
    return latents + region * alpha * gamma[:, None, None]


def color(latents: Tensor, region: Tensor, alpha: Tensor, gamma: Tensor) -> Tensor:
    """The unchanged latents, once for each alpha: colour changes through the prompt and its attention alone."""
    return latents.expand(len(alpha), -1, -1, -1)


class LatentEdit(NamedTuple):
    """How one type of edit is made.

    Attributes:
        equation: computes the edited latents.
        depth: number of inversion steps that are undone.
        scales_attention: whether the strength multiplies the attention to the inserted token.
    """

    equation: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
    depth: int
    scales_attention: bool = False


LATENT_EDITS = {
    "contrast": LatentEdit(contrast, depth=1),
    "brightness": LatentEdit(brightness, depth=1),
    "color": LatentEdit(color, depth=4, scales_attention=True),
}
