"""Two feature maps, high-level and low-level, mixed from the decoder features of all diffusion steps.

Paper section 3.1, after Diffusion Hyperfeatures (Luo et al. 2023): a bottleneck block per layer brings its features
to one width, and a learned softmax over steps and layers weighs them. The paper leaves the blocks open; they are
those of the released code, except in two points, which are decided here:

- Each step is embedded with its own diffusion timestep. The released code runs all steps once per value of a step
  counter, each time with that value's embedding for every step, and so makes six nearly equal maps of one image.
- Features are mixed at the resolution of their layer and resized once for each resolution at the end. The released
  code first resizes all of them to the finest, where a block costs up to 64 times as much (`resize="before"`); trained
  both ways on the small backbone, they differ by less than two seeds do (results/README.md). For its backward pass,
  training keeps 0.24 GB per step and image at Stable Diffusion's size (before: 0.83), 6 GB for the recipe's batch, so
  that gradient checkpointing would not pay.
"""

import re
from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import interpolate, relu

ORDERS = ("after", "before")


class Bottleneck(nn.Module):
    """Features (B, channels, h, w) and a step's embedding (B, embedding) -> (B, width, h, w), >= 0.

    A residual bottleneck with group norms; the embedding enters between its first two convolutions.
    """

    def __init__(self, channels, embedding, *, width=384, hidden=96, groups=32):
        super().__init__()
        self.reduce = _normed_conv(channels, hidden, 1, groups)
        self.embed = nn.Linear(embedding, hidden)
        self.filter = _normed_conv(hidden, hidden, 3, groups)
        self.expand = _normed_conv(hidden, width, 1, groups)
        self.shortcut = _normed_conv(channels, width, 1, groups)

    def forward(self, features, embedding):
        x = relu(self.reduce(features)) + relu(self.embed(embedding))[:, :, None, None]
        return relu(self.expand(relu(self.filter(x))) + self.shortcut(features))


class Stack(nn.Module):
    """One block per layer, shared by all steps, and the logits of their mixing weights, layers within steps.

    The logits start equal. (They are a vector, so that weight decay leaves them alone.)
    """

    def __init__(self, channels, embedding, *, steps, **sizes):
        super().__init__()
        self.blocks = nn.ModuleList(Bottleneck(c, embedding, **sizes) for c in channels)
        self.logits = nn.Parameter(torch.zeros(steps * len(channels)))

    def mixing_weights(self):
        """(steps, layers), summing to one over both."""
        return self.logits.softmax(0).reshape(-1, len(self.blocks))

    def add(self, totals, step, features, embedding):
        """Add one step's weighted features to `totals`, a dict of (h, w) -> sum (B, width, h, w) at that size."""
        for block, weight, layer in zip(self.blocks, self.mixing_weights()[step], features, strict=True):
            mixed = weight * block(layer, embedding)
            size = mixed.shape[-2:]
            totals[size] = totals[size] + mixed if size in totals else mixed


class Aggregation(nn.Module):
    """Decoder features of all diffusion steps -> (high, low), high-level and low-level features.

    Args:
        channels: of the features of each layer, in decoder order.
        embedding: length of the time embedding.
        steps: number of diffusion steps.
        width: channels of the result.
        hidden: channels inside a block.
        groups: of the group norms; must divide `width` and `hidden`.
        resize: "after" the blocks, or "before" them, as in the released code, at many times the cost.

    Raises:
        ValueError: an unknown order, or groups that do not divide the widths.
    """

    def __init__(self, channels, embedding, *, steps=6, width=384, hidden=96, groups=32, resize="after"):
        super().__init__()
        if resize not in ORDERS:
            raise ValueError(f"resize: expected one of {', '.join(ORDERS)}, got {resize!r}")
        if width % groups or hidden % groups:
            raise ValueError(
                f"groups: expected a divisor of width {width} and hidden {hidden}, got {groups}; choose other widths"
            )
        self.channels, self.embedding, self.steps, self.resize = list(channels), embedding, steps, resize
        sizes = {"width": width, "hidden": hidden, "groups": groups}
        self.high, self.low = (Stack(channels, embedding, steps=steps, **sizes) for _ in range(2))

    def forward(self, steps):
        """Mix the steps as they come; without gradients, nothing of a step is kept once it is mixed in.

        Args:
            steps: iterable of (features, embedding), one for each diffusion step in a fixed order. features: list
                of (B, C, h, w), one per layer at any resolutions; embedding: (B, E) of the step's timestep. All of
                the parameters' dtype.

        Returns:
            (high, low), each (B, width, H, W), >= 0, H and W of the finest layer.

        Raises:
            ValueError: another number of steps, layers or channels, or an embedding of another length.
        """
        high, low, number = {}, {}, 0
        for features, embedding in steps:
            self._check(number, features, embedding)
            if self.resize == "before":
                features = _to_finest(features)
            self.high.add(high, number, features, embedding)
            self.low.add(low, number, features, embedding)
            number += 1
            del features  # before the next step's are made
        if number != self.steps:
            raise ValueError(f"steps: expected {self.steps}, got {number}; give one (features, embedding) for each")
        return tuple(sum(_to_finest(list(totals.values()))) for totals in (high, low))

    def _check(self, number, features, embedding):
        if number == self.steps:
            raise ValueError(f"steps: expected {self.steps}, got more; build the network for as many as are given")
        channels = [layer.shape[1] for layer in features]
        if channels != self.channels:
            raise ValueError(
                f"features: expected layers of {self.channels} channels, got {channels}; "
                "build the network with the channels of the backbone"
            )
        if embedding.shape[1:] != (self.embedding,):
            raise ValueError(f"embedding: expected shape (batch, {self.embedding}), got {tuple(embedding.shape)}")


def from_released(state_dict):
    """The aggregation's part of a released checkpoint, as a state dict for `Aggregation`.

    Args:
        state_dict: what the released code keeps as "aggregation_network"; steps in the order of its counter, that
            is from the clean image to noise.

    Raises:
        ValueError: not the state dict of an aggregation network with two stacks.
    """
    if missing := {"mixing_weights_high", "mixing_weights_low"} - state_dict.keys():
        raise ValueError(
            f"state_dict: expected a released aggregation network with two stacks, got none of {sorted(missing)}; "
            'give what the checkpoint holds as "aggregation_network"'
        )
    ours = {}
    for key, tensor in state_dict.items():
        if match := _RELEASED_BLOCK.fullmatch(key):
            stack, layer, part, norm, kind = match.groups()
            kind = kind if part == "linear" else f"{'norm' if norm else 'conv'}.{kind}"
            ours[f"{stack}.blocks.{layer}.{_RELEASED_PARTS[part]}.{kind}"] = tensor
    for stack in ("high", "low"):
        ours[f"{stack}.logits"] = state_dict[f"mixing_weights_{stack}"]
    return ours


_RELEASED_BLOCK = re.compile(r"(high|low)_bottleneck_layers\.(\d+)\.0\.(\w+)(\.norm)?\.(weight|bias)")
_RELEASED_PARTS = {"conv1": "reduce", "linear": "embed", "conv2": "filter", "conv3": "expand", "shortcut": "shortcut"}


def _normed_conv(inside, outside, kernel, groups):
    conv = nn.Conv2d(inside, outside, kernel, padding=kernel // 2, bias=False)
    nn.init.kaiming_normal_(conv.weight, mode="fan_out", nonlinearity="relu")
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.GroupNorm(groups, outside)))


def _to_finest(maps):
    """Maps (B, C, h, w), all resized bilinearly to the size of the largest."""
    size = max(tuple(m.shape[-2:]) for m in maps)
    return [
        m if m.shape[-2:] == size else interpolate(m, size=size, mode="bilinear", align_corners=False) for m in maps
    ]
