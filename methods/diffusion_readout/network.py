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


class Areas(NamedTuple):
    """The areas of a batch of images that readouts are trained on.

    Attributes:
        patches: (K, B, 4), boxes whose properties are read, see `box_masks`.
        properties: (B, K, 6), the true ones, columns as in `PROPERTIES`.
        objects: (B, 4), boxes whose category is read.
        edited: bool (B,), which images are edited.
    """

    patches: torch.Tensor
    properties: torch.Tensor
    objects: torch.Tensor
    edited: torch.Tensor


class Output(NamedTuple):
    """All readings of the network.

    Attributes:
        logits: (B, h, w), of the fixation density.
        properties: (B, K, 6) of the patches, columns as in `PROPERTIES`; None without areas.
        categories: (B, 91), logits of the objects' categories; None without areas.
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
        areas: Areas | None = None,
    ) -> Output:
        """Read a batch of images. Training keeps the spread of the properties of unedited images.

        Args:
            steps: features and time embedding of each diffusion step; see `Aggregation.forward`.
            areas: by default no area is read.
        """
        high, low = self.aggregation(steps)
        logits = self.saliency(high, low)
        if areas is None:
            return Output(logits, None, None)
        size = low.shape[-2:]
        properties = self.low_level(low, torch.cat([box_masks(boxes, size) for boxes in areas.patches], 1))
        if self.training:
            self.low_level.readings.update(properties[~areas.edited].flatten(0, 1))
            self.low_level.truths.update(areas.properties[~areas.edited].flatten(0, 1))
        return Output(logits, properties, self.high_level(high, box_masks(areas.objects, size))[:, 0])
