"""What is read from the high-level and low-level features: saliency, the object class and photometric properties."""

from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import cross_entropy, logsigmoid, silu

from .properties import PROPERTIES, area_mean

CATEGORIES = 91  # COCO category ids 0 to 90; 0 is "no object"
UNKNOWN_CATEGORY = -1
MOMENTUM = 0.005  # of running statistics, per batch after the first


class SaliencyReadout(nn.Module):
    """High-level and low-level features -> logits of the fixation density (paper section 3.4).

    Seven 3 x 3 convolutions with SiLU, into which both features enter again as skip connections, and one to a single
    channel; their order and widths, which the paper leaves open, are those of the released code. The paper's map is
    the sigmoid of the last. This returns its logarithm, so that a softmax over the image gives the paper's map,
    scaled to a sum of one.
    """

    def __init__(self, width=384):
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

    def forward(self, high, low):
        """Two feature maps (B, width, H, W) -> (B, H, W), < 0."""
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
    """Features (B, width, h, w) and an area (B, 1, h, w) -> (B, outputs): a convolution, a mean, a perceptron.

    The released heads flatten a 64 x 64 map into 16.8 M weights each. A mean over the area takes any resolution, and
    is what the properties are.

    Args:
        width: channels of the features.
        outputs: numbers to read.
        hidden: channels inside.
        sees_image: whether the mean over the whole map is given beside that over the area.
    """

    def __init__(self, width, outputs, *, hidden=128, sees_image=False):
        super().__init__()
        self.sees_image = sees_image
        self.conv = nn.Conv2d(width, hidden, 1)
        self.perceptron = nn.Sequential(
            nn.Linear(hidden * (1 + sees_image), hidden), nn.SiLU(), nn.Linear(hidden, outputs)
        )

    def forward(self, features, masks):
        """Masks are in [0, 1], the share of each cell that belongs to the area; an empty one is the whole map."""
        x = silu(self.conv(features))
        means = area_mean(x, masks)
        return self.perceptron(torch.cat([means, x.mean((2, 3))], 1) if self.sees_image else means)


class LowLevelReadout(nn.Module):
    """Low-level features and an area -> its photometric properties (B, 6), as in PROPERTIES (paper section 3.2).

    One head per property. The paper counts seven heads and names these six. While it is trained it keeps the mean and
    mean square of what it reads of unedited images, running over the last few hundred batches: edits are held to the
    deviation (section 4.2). It is that of the readings, as the released code's, since an edit is judged by its reading.
    """

    def __init__(self, width=384):
        super().__init__()
        self.heads = nn.ModuleDict(
            {name: AreaReadout(width, 1, sees_image=name == "global_contrast") for name in PROPERTIES}
        )
        self.register_buffer("mean", torch.zeros(len(PROPERTIES)))
        self.register_buffer("mean_square", torch.zeros(len(PROPERTIES)))

    def forward(self, low, masks, edited=None):
        """Low-level features (B, width, h, w), masks (B, 1, h, w) in [0, 1]; edited: bool (B,), or None for none."""
        read = torch.cat([head(low, masks) for head in self.heads.values()], 1)
        values = read.detach().float()  # from bfloat16 in mixed precision
        values = values if edited is None else values[~edited]
        if self.training and len(values):
            share = torch.where(self.mean_square.any(), MOMENTUM, 1.0)  # the first batch replaces the zeros
            self.mean.lerp_(values.mean(0), share)
            self.mean_square.lerp_(values.square().mean(0), share)
        return read

    def deviation(self):
        """Standard deviation (6,) of the properties over the areas that it was trained on."""
        return (self.mean_square - self.mean.square()).clamp(min=0).sqrt()


class HighLevelReadout(AreaReadout):
    """High-level features and an area -> logits (B, 91) of the COCO category of its object (paper section 3.3)."""

    def __init__(self, width=384):
        super().__init__(width, CATEGORIES)


@dataclass(frozen=True)
class ReadoutWeights:
    """Weights of the readout losses, equation 3.

    The paper's are in a supplement; these are the released code's (0.1 and, for the category, 0.5), divided by its
    weight of the saliency loss, 0.2, to be added to that loss with weight one. Equation 3 gives local contrast the
    weight one: its lambdas are then these numbers times two.
    """

    colour: float = 0.5
    brightness: float = 0.5
    local_contrast: float = 0.5
    global_contrast: float = 0.5
    category: float = 2.5


def readout_loss(properties, true_properties, logits, categories, weights=ReadoutWeights()):
    """The readout losses of equation 3: squared errors of the properties, cross-entropy of the category.

    Args:
        properties, true_properties: (B, 6), columns as in PROPERTIES; colour is the mean of the first three errors.
        logits: (B, 91).
        categories: int (B,), COCO category ids; images with UNKNOWN_CATEGORY are left out of the cross-entropy.
        weights: `ReadoutWeights`.

    Returns:
        Scalar, >= 0, averaged over the batch.
    """
    red, green, blue, brightness, local, overall = ((properties - true_properties) ** 2).mean(0)
    known = (categories != UNKNOWN_CATEGORY).sum().clamp(min=1)
    entropy = cross_entropy(logits, categories, ignore_index=UNKNOWN_CATEGORY, reduction="sum") / known
    return (
        weights.colour * (red + green + blue) / 3
        + weights.brightness * brightness
        + weights.local_contrast * local
        + weights.global_contrast * overall
        + weights.category * entropy
    )


def saliency_from_released(state_dict):
    """The saliency readout's part of a released checkpoint, as a state dict for `SaliencyReadout`.

    Its `linear`, which the released code has and never uses, is left out.

    Raises:
        ValueError: not the state dict of a network with a saliency readout.
    """
    names = {
        f"{ours}.{kind}": f"saliency_readout.{released}.{kind}"
        for released, ours in _RELEASED_PARTS.items()
        for kind in ("weight", "bias")
    }
    if missing := set(names.values()) - state_dict.keys():
        raise ValueError(
            f"state_dict: expected a released network with a saliency readout, got none of {sorted(missing)}; "
            'give what the checkpoint holds as "aggregation_network"'
        )
    return {ours: state_dict[released] for ours, released in names.items()}


_RELEASED_PARTS = {
    "conv_high": "project_high", "conv_low": "project_low", "conv1": "conv1", "conv2": "conv2",
    "conv_high_skip": "skip_high", "conv3": "conv3", "conv_low_skip": "skip_low", "conv4": "conv4", "conv5": "conv5",
    "conv6": "output",
}  # fmt: skip


def _conv3x3(inside, outside):
    return nn.Conv2d(inside, outside, 3, padding=1)
