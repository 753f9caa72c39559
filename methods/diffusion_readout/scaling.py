"""The scale gamma of section 4.2: the change of a backbone's latents that adds one to R, G and B.

The decoder is approximated by a matrix A (4 x 3) from latents to RGB in [-1, 1]. A, with an offset, is fitted by least
squares to decoded mosaics of random colours. gamma = 1 A+ then makes all three colour channels brighter by one. For
Stable Diffusion 1.x the published factors give gamma = (1.61, 1.58, -0.28, -0.98).
"""

from __future__ import annotations

from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch.nn.functional import avg_pool2d, interpolate

if TYPE_CHECKING:
    from .backbone import Backbone

MOSAICS, CELLS = 8, 4  # number of mosaics, and of random colours along each side of one

_FITTED: WeakKeyDictionary[Backbone, torch.Tensor] = WeakKeyDictionary()  # {loaded backbone: its gamma}


@torch.no_grad()
def decoder_matrix(backbone: Backbone) -> torch.Tensor:
    """Fit A: float32 (latent channels, 3) on the CPU."""
    random = torch.Generator().manual_seed(0)
    colours = torch.randint(0, 256, (MOSAICS, 3, CELLS, CELLS), generator=random, dtype=torch.uint8)
    side = backbone.multiple * max(1, 128 // backbone.multiple)
    mosaics = interpolate(colours.float(), size=(side, side), mode="bilinear", align_corners=False)
    latents = backbone.encode(mosaics.round().to(torch.uint8).permute(0, 2, 3, 1))
    pixels = backbone.decode(latents)
    colours = avg_pool2d(pixels, pixels.shape[2] // latents.shape[2])
    known, wanted = (maps.permute(0, 2, 3, 1).flatten(0, 2).double().cpu() for maps in (latents, colours))
    known = torch.cat([known, torch.ones_like(known[:, :1])], 1)
    return torch.linalg.lstsq(known, wanted).solution[:-1].float()


def gamma_of(matrix: torch.Tensor) -> torch.Tensor:
    """gamma (latent channels,) of a decoder matrix (latent channels, 3): ones times its pseudo-inverse."""
    return torch.linalg.pinv(matrix).sum(0)


def gamma(backbone: Backbone) -> torch.Tensor:
    """gamma of a backbone, float32 (latent channels,) on its device. It is fitted once per backbone."""
    if backbone not in _FITTED:
        _FITTED[backbone] = gamma_of(decoder_matrix(backbone)).to(backbone.device)
    return _FITTED[backbone]
