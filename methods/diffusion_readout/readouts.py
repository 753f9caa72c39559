"""The readouts of high-level and low-level features: saliency, object category and photometric properties."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy, logsigmoid, silu

from .properties import PROPERTIES, area_mean

CATEGORIES = 91  # COCO category ids 0 to 90; 0 means "no object"
UNKNOWN_CATEGORY = -1
MOMENTUM = 0.005  # weight of each batch after the first in running statistics


class SaliencyReadout(nn.Module):
    """Reads the fixation density from high-level and low-level features (paper section 3.4).

    It has seven 3 x 3 convolutions with SiLU and one to a single channel. Both feature maps enter again as skip
    connections. The paper leaves order and widths open; they are those of the released code. The paper's map is the
    sigmoid of the last convolution. This network returns the log of that map, so a softmax over the image gives the
    paper's map, scaled to sum to one.

    Args:
        width: channels of each feature map.
    """

    def __init__(self, width: int = 384) -> None:
        super().__init__()
        half, sixth = width // 2, width // 6
        self.project_high = nn.Conv2d(width, width, 1)
        self.project_low = nn.Conv2d(width, width, 1)
        self.conv1 = _conv3x3(2 * width, width)
        self.conv2 = _conv3x3(width, half)
        self.skip_high = _conv3x3(width + half, half)
        self.conv3 = _conv3x3(half, sixth)
        self.skip_low = _conv3x3(width + sixth, half)
        self.conv4 = _conv3x3(half, sixth)
        self.conv5 = _conv3x3(sixth, 8)
        self.output = _conv3x3(8, 1)

    def forward(self, high: torch.Tensor, low: torch.Tensor) -> torch.Tensor:
        """Logits (B, H, W), < 0, from two feature maps (B, width, H, W)."""
        high, low = self.project_high(high).tanh(), self.project_low(low).tanh()
        x = silu(self.conv1(torch.cat([high, low], 1)))
        x = silu(self.conv2(x))
        x = silu(self.skip_high(torch.cat([high, x], 1)))
        x = silu(self.conv3(x))
        x = silu(self.skip_low(torch.cat([low, x], 1)))
        x = silu(self.conv4(x))
        x = silu(self.conv5(x))
        return logsigmoid(self.output(x))[:, 0]


class AreaReadout(nn.Module):
    """Reads numbers from the features of an area: a convolution, the mean over the area, a perceptron.

    The heads of the released code flatten a 64 x 64 map instead, which takes 16.8 M weights each. A mean works at any
    resolution, and the properties are means themselves.

    Args:
        width: channels of the features.
        outputs: how many numbers to read.
        hidden: channels inside.
        sees_image: whether the perceptron also gets the mean over the whole image.
    """

    def __init__(self, width: int, outputs: int, *, hidden: int = 128, sees_image: bool = False) -> None:
        super().__init__()
        self.sees_image = sees_image
        self.conv = nn.Conv2d(width, hidden, 1)
        self.perceptron = nn.Sequential(
            nn.Linear(hidden * (1 + sees_image), hidden), nn.SiLU(), nn.Linear(hidden, outputs)
        )

    def forward(self, features: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Numbers (B, K, outputs) of K areas in each image.

        Args:
            features: (B, width, h, w).
            masks: (B, K, h, w) in [0, 1], the fraction of each cell that belongs to the area. An empty area means the
                whole map.
        """
        x = silu(self.conv(features))
        means = torch.stack([area_mean(x, mask) for mask in masks.split(1, 1)], 1)
        if self.sees_image:
            means = torch.cat([means, x.mean((2, 3))[:, None].expand_as(means)], 2)
        return self.perceptron(means)


class LowLevelReadout(nn.Module):
    """Reads the photometric properties of an area, see PROPERTIES, from low-level features (paper section 3.2).

    There is one head per property; the paper counts seven heads but names only these six. Training keeps the spread of
    the readings and of the true properties of unedited images. Their standard deviations set the bands of allowed edits
    (section 4.2; see `editor`).

    Attributes:
        readings, truths: `Spread` of what was read and of what was true.
    """

    def __init__(self, width: int = 384) -> None:
        super().__init__()
        self.heads = nn.ModuleDict(
            {name: AreaReadout(width, 1, sees_image=name == "global_contrast") for name in PROPERTIES}
        )
        self.readings, self.truths = Spread(len(PROPERTIES)), Spread(len(PROPERTIES))

    def forward(self, low: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        """Readings (B, K, 6) of K areas in each image, columns as in PROPERTIES.

        Args:
            low: low-level features (B, width, h, w).
            masks: areas (B, K, h, w) in [0, 1].
        """
        return torch.cat([head(low, masks) for head in self.heads.values()], 2)


class Spread(nn.Module):
    """Running mean and mean square of vectors, over the last few hundred batches.

    Args:
        length: of the vectors.
    """

    def __init__(self, length: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(length))
        self.register_buffer("mean_square", torch.zeros(length))

    def update(self, values: torch.Tensor) -> None:
        """Take in a batch of vectors (N, length). An empty batch changes nothing."""
        values = values.detach().float()  # readings are bfloat16 in mixed precision
        if len(values):
            share = torch.where(self.mean_square.any(), MOMENTUM, 1.0)  # the first batch replaces the zeros
            self.mean.lerp_(values.mean(0), share)
            self.mean_square.lerp_(values.square().mean(0), share)

    def deviation(self) -> torch.Tensor:
        """Standard deviation (length,)."""
        return (self.mean_square - self.mean.square()).clamp(min=0).sqrt()


class HighLevelReadout(AreaReadout):
    """Reads logits (B, K, 91) of the COCO categories of areas from high-level features (paper section 3.3)."""

    def __init__(self, width: int = 384) -> None:
        super().__init__(width, CATEGORIES)


@dataclass(frozen=True)
class ReadoutWeights:
    """Weights of the readout losses in equation 3; the saliency loss has weight one.

    They come from the released code, as the paper gives its own in a supplement only: 0.1, and 0.5 for the category,
    divided by 0.2, the weight of the saliency loss there. In equation 3 local contrast has weight one, so its lambdas
    are these numbers times two.
    """

    colour: float = 0.5
    brightness: float = 0.5
    local_contrast: float = 0.5
    global_contrast: float = 0.5
    category: float = 2.5


def readout_loss(
    properties: torch.Tensor,
    true_properties: torch.Tensor,
    logits: torch.Tensor,
    categories: torch.Tensor,
    weights: ReadoutWeights = ReadoutWeights(),
) -> torch.Tensor:
    """The readout losses of equation 3: squared errors of the properties, cross-entropy of the category.

    Args:
        properties: readings (..., 6), columns as in PROPERTIES. The colour error is the mean of the first three errors.
        true_properties: (..., 6).
        logits: (B, 91), of the categories.
        categories: int (B,), COCO category ids. Images with UNKNOWN_CATEGORY do not count for the cross-entropy.
        weights: weights of the losses.

    Returns:
        Scalar, >= 0, averaged over all areas.
    """
    red, green, blue, brightness, local, overall = ((properties - true_properties) ** 2).flatten(0, -2).mean(0)
    known = (categories != UNKNOWN_CATEGORY).sum().clamp(min=1)
    entropy = cross_entropy(logits, categories, ignore_index=UNKNOWN_CATEGORY, reduction="sum") / known
    return (
        weights.colour * (red + green + blue) / 3
        + weights.brightness * brightness
        + weights.local_contrast * local
        + weights.global_contrast * overall
        + weights.category * entropy
    )


def saliency_from_released(state_dict: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Convert the saliency readout of a released checkpoint to a state dict of `SaliencyReadout`.

    The checkpoint's layer `linear` is dropped, because the released code never uses it.

    Args:
        state_dict: what the checkpoint holds as "aggregation_network".

    Raises:
        ValueError: the state dict has no saliency readout.
    """
    names = {
        f"{ours}.{kind}": f"saliency_readout.{released}.{kind}"
        for released, ours in _RELEASED_PARTS.items()
        for kind in ("weight", "bias")
    }
    if missing := set(names.values()) - state_dict.keys():
        raise ValueError(
            f"state_dict: expected a released network with a saliency readout, {sorted(missing)} are missing; "
            'give what the checkpoint holds as "aggregation_network"'
        )
    return {ours: state_dict[released] for ours, released in names.items()}


_RELEASED_PARTS = {
    "conv_high": "project_high", "conv_low": "project_low", "conv1": "conv1", "conv2": "conv2",
    "conv_high_skip": "skip_high", "conv3": "conv3", "conv_low_skip": "skip_low", "conv4": "conv4", "conv5": "conv5",
    "conv6": "output",
}  # fmt: skip


def _conv3x3(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 3, padding=1)
