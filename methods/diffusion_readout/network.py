"""All that is trained: the aggregation of the features and the readouts of what it makes."""

from math import gcd
from typing import NamedTuple

import torch
from torch import nn

from .aggregation import Aggregation
from .properties import box_masks
from .readouts import HighLevelReadout, LowLevelReadout, SaliencyReadout

WIDTH, HIDDEN, WIDEST = 384, 96, 1280  # of the paper's feature maps and its blocks, for Stable Diffusion's channels
NARROWEST = 96


def width_for(channels):
    """Channels of the two feature maps on a backbone whose layers have so many."""
    return max(NARROWEST, 32 * round(WIDTH * max(channels) / WIDEST / 32))


class Output(NamedTuple):
    """What the network reads.

    Attributes:
        logits: (B, h, w), of the fixation density.
        properties: (B, 6) of the areas, columns as in `PROPERTIES`, or None where no areas were given.
        categories: (B, 91) logits of the objects in them, or None likewise.
    """

    logits: torch.Tensor
    properties: torch.Tensor | None
    categories: torch.Tensor | None


class ReadoutNetwork(nn.Module):
    """Features of all diffusion steps -> saliency, and the properties and category of an area.

    The paper's widths belong to Stable Diffusion; a narrower backbone gets narrower feature maps in proportion.

    Args:
        channels: of the backbone's layers, in decoder order.
        embedding: length of its time embedding.
        steps: number of diffusion steps.
    """

    def __init__(self, channels, embedding, *, steps):
        super().__init__()
        width = width_for(channels)
        hidden = width * HIDDEN // WIDTH
        self.aggregation = Aggregation(
            channels, embedding, steps=steps, width=width, hidden=hidden, groups=gcd(32, hidden)
        )
        self.saliency = SaliencyReadout(width)
        self.low_level = LowLevelReadout(width)
        self.high_level = HighLevelReadout(width)

    def forward(self, steps, boxes=None, edited=None):
        """See `Aggregation.forward` for `steps`; boxes: (B, 4) of `box_masks`, the areas to read, or None.

        edited: bool (B,), which images are edited ones, or None for none of them.
        """
        high, low = self.aggregation(steps)
        logits = self.saliency(high, low)
        if boxes is None:
            return Output(logits, None, None)
        masks = box_masks(boxes, low.shape[-2:])
        return Output(logits, self.low_level(low, masks, edited), self.high_level(high, masks))
