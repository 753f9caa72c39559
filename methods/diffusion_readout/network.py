"""All trained parts in one network: the aggregation of features and the readouts."""

from collections.abc import Iterable, Sequence
from math import gcd
from typing import NamedTuple

import torch
from torch import nn

from .aggregation import Aggregation
from .properties import box_masks
from .readouts import HighLevelReadout, LowLevelReadout, SaliencyReadout

WIDTH, HIDDEN = 384, 96  # channels of the paper's two feature maps, and inside its blocks
WIDEST = 1280  # channels of Stable Diffusion's widest layer, which the paper's widths belong to
NARROWEST = 96  # channels of the feature maps on the narrowest backbones


def width_for(channels: Sequence[int]) -> int:
    """Channels of the two feature maps on a backbone whose layers have these numbers of channels."""
    return max(NARROWEST, 32 * round(WIDTH * max(channels) / WIDEST / 32))


class Output(NamedTuple):
    """All readings of the network.

    Attributes:
        logits: (B, h, w), of the fixation density.
        properties: (B, 6) of the areas, columns as in `PROPERTIES`; None without areas.
        categories: (B, 91), logits of the areas' object categories; None without areas.
    """

    logits: torch.Tensor
    properties: torch.Tensor | None
    categories: torch.Tensor | None


class ReadoutNetwork(nn.Module):
    """Reads saliency, and the properties and category of an area, from the features of all diffusion steps.

    The paper's widths are made for Stable Diffusion. On a narrower backbone the feature maps are proportionally
    narrower.

    Args:
        channels: channels of the backbone's layers, in decoder order.
        embedding: length of the backbone's time embedding.
        steps: number of diffusion steps.
    """

    def __init__(self, channels: Sequence[int], embedding: int, *, steps: int) -> None:
        super().__init__()
        width = width_for(channels)
        hidden = width * HIDDEN // WIDTH
        self.aggregation = Aggregation(
            channels, embedding, steps=steps, width=width, hidden=hidden, groups=gcd(32, hidden)
        )
        self.saliency = SaliencyReadout(width)
        self.low_level = LowLevelReadout(width)
        self.high_level = HighLevelReadout(width)

    def forward(
        self,
        steps: Iterable[tuple[list[torch.Tensor], torch.Tensor]],
        boxes: torch.Tensor | None = None,
        edited: torch.Tensor | None = None,
    ) -> Output:
        """Read a batch of images.

        Args:
            steps: features and time embedding of each diffusion step; see `Aggregation.forward`.
            boxes: areas to read, (B, 4), see `box_masks`; by default no area is read.
            edited: bool (B,), which images are edited; by default no image is.
        """
        high, low = self.aggregation(steps)
        logits = self.saliency(high, low)
        if boxes is None:
            return Output(logits, None, None)
        masks = box_masks(boxes, low.shape[-2:])
        return Output(logits, self.low_level(low, masks, edited), self.high_level(high, masks))
