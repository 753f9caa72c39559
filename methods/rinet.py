"""rinet: attention over positions and channels on three levels of DenseNet-161, and a decoder that joins all levels.

Song et al., RINet: Relative Importance-Aware Network for Fixation Prediction, IEEE Transactions on Multimedia 25, 2023;
code: github.com/YingjieSong1/RINet. Levels are taken before the pools of the transitions. Every image is resized to
288 x 384.
"""

import re
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from salbench.maps import minmax
from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint

from ._densenet import DENSENET161, dense_features
from ._opencv_resize import resized
from ._torchvision import DENSENET161_IMAGENET, densenet_state, standardised

STRIDE = 32  # pixels of the image per pixel of the last level
PROJECTIONS = "q1", "k1", "q2", "k2", "q3", "k3", "v"  # queries, keys and values of the attention
TINY = 1e-12  # smallest divisor when importances are stretched; the authors' code divides by zero
LAST_BIAS = 0.1  # where training starts; with only negative logits, a new network's map is zero and it never learns
DARKEST = 1e-7  # added to a map before taking its logarithm, because the map may be zero

# Replacements that turn the authors' names of the encoder's layers into those of torchvision.
FROM_AUTHORS = (
    (r"^conv_layer0\.0\.", "conv0."), (r"^conv_layer0\.1\.", "norm0."),
    (r"^conv_layer(\d)\.1\.", r"denseblock\1."),
    (r"^conv_layer(\d)\.2\.", r"transition\1.norm."),
    (r"^conv_layer(\d)\.4\.", r"transition\1.conv."),
)  # fmt: skip


@register
class RINet(LearnedMethod):
    """Published: attention on three levels of DenseNet-161 (Song et al. 2023).

    The links to the file were not tested. A map is resized to the image and stretched to [0, 1] as published, but it is
    not rounded to 8 bits.

    `fit` trains a new network with the authors' batch size, epochs, learning rate and losses, KL - CC. The authors'
    training differs: the encoder starts from ImageNet weights (here with `--from imagenet`), complex images get other
    weights in the loss, the learning rate falls to a tenth every four epochs (here it decays as a cosine), and the last
    bias does not start at 0.1.
    """

    output = "map"
    absolute = True  # the map is zero in places
    mixed_precision = False  # scores of the attention are not scaled, and may be too large for float16
    paper = "Song et al., RINet: Relative Importance-Aware Network for Fixation Prediction, TMM 2023"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint(
            "best_model_on_salicon.pt",
            source="https://github.com/YingjieSong1/RINet",
            licence="none stated",
            trained_on="SALICON",
        ),
    )
    imagenet = (DENSENET161_IMAGENET,)
    encoders = ("encoder",)
    recipe = Recipe(
        size=(288, 384), epochs=10, batch_size=8, learning_rate=1e-4, weight_decay=0.0, warmup_steps=0, average=0.0,
        losses={"kl": 1.0, "cc": 1.0},
    )  # fmt: skip

    def build_network(self) -> "RINetwork":
        """A new network with random weights."""
        return RINetwork()

    def published(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The published weights by the names of our network.

        The file holds the encoder twice. The authors' code loads `dense` first and `conv_layer0` to `conv_layer4` last.
        """
        bare = {name.replace("module.", ""): tensor for name, tensor in state.items()}
        return {_named(name): tensor for name, tensor in bare.items() if not name.startswith("dense.")}

    def encoder_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The encoder's weights from torchvision's state dict."""
        return {name: tensor for name, tensor in densenet_state(state).items() if not name.startswith("norm5.")}

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Standardise uint8 (B, H, W, 3) RGB by ImageNet's mean and standard deviation: float (B, 3, H, W)."""
        return standardised(images)

    def logits(self, network: "RINetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the map, (B, H, W): a softmax of it is the map, scaled to sum to one."""
        return torch.log(self.logits_of(network, images, samples).float() + DARKEST)

    def logits_of(self, network: "RINetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """The published map, (B, H, W) in [0, 1)."""
        return network(self.preprocess(images))[:, 0]

    def finished(self, saliency: np.ndarray, sample: Sample) -> np.ndarray:
        """The map of the image's size, stretched to [0, 1]."""
        return minmax(resized(saliency, sample.size))


class RINetwork(nn.Module):
    """Maps standardised RGB (B, 3, H, W) to a map (B, 1, H, W) in [0, 1). H and W must be multiples of 32."""

    def __init__(self) -> None:
        super().__init__()
        features = dense_features(DENSENET161)
        eighth, sixteenth = features.transition2.conv.out_channels, features.transition3.conv.out_channels
        last = features.norm5.num_features
        self.encoder = features[:-1]  # without the last norm, which is not used
        self.fusion_layer4 = _fusion(last, 512)
        self.fusion_layer3 = _fusion(512 + sixteenth, 256)
        self.fusion_layer2 = _fusion(256 + eighth, 192)
        self.fusion_layer1 = _fusion(192, 96)
        self.readout_layer = nn.Sequential(
            *_fusion(96 + 192 + 256 + 512, 128),
            nn.Conv2d(128, 128, 3, padding=1), nn.ReLU(),
            nn.Conv2d(128, 1, 3, padding=1), nn.ReLU(), nn.Tanh(),
        )  # fmt: skip
        nn.init.constant_(self.readout_layer[5].bias, LAST_BIAS)
        self.attention2 = Attention(eighth)
        self.attention3 = Attention(sixteenth)
        self.attention4 = Attention(last)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict the map.

        Raises:
            ValueError: H or W is not a multiple of 32.
        """
        if any(side % STRIDE for side in x.shape[-2:]):
            raise ValueError(f"expected sides in multiples of {STRIDE}, got {tuple(x.shape[-2:])}; resize the image")
        _, eighth, sixteenth, last = self.levels(x)
        x4 = self.fusion_layer4(self.attention4(last))
        x3 = self.fusion_layer3(torch.cat([x4, self.attention3(sixteenth)], 1))
        x2 = self.fusion_layer2(torch.cat([x3, self.attention2(eighth)], 1))
        x1 = self.fusion_layer1(x2)
        x = torch.cat([x1, _upsampling(2)(x2), _upsampling(4)(x3), _upsampling(8)(x4)], 1)
        return self.readout_layer(x)

    def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features of standardised RGB: 192, 384, 1056 and 2208 channels at 1/4, 1/8, 1/16 and 1/32 of the size."""
        levels = []
        for name, layer in self.encoder.named_children():
            if name.startswith("transition"):
                levels.append(layer.conv(layer.relu(layer.norm(x))))
                x = layer.pool(levels[-1])
            else:
                x = layer(x)
        return [*levels, x]


class Attention(nn.Module):
    """Adds attention among positions to features, and scales them by the importance of each position and channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        inside = channels // 2
        for name in PROJECTIONS:
            self.add_module(f"{name}_conv", _pointwise(channels, inside))
        self.channel_conv = _pointwise(inside, channels)
        self.output_conv = _pointwise(inside, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features of the shape of `x`, (B, C, H, W)."""
        q1, k1, q2, k2, q3, k3, v = (getattr(self, f"{name}_conv")(x).flatten(2) for name in PROJECTIONS)
        attended = v @ _attention(q1.mT, k1.mT).mT  # of each position: a mean over all positions
        of_positions = _stretched(_attention(q2.mT, k2.mT).sum(1))
        of_channels = _stretched(_attention(q3, k3).sum(1))
        importance = of_positions.view(-1, 1, *x.shape[-2:]) + self.channel_conv(of_channels[:, :, None, None])
        return (self.output_conv(attended.view(-1, attended.shape[1], *x.shape[-2:])) + x) * importance


def _attention(queries: torch.Tensor, keys: torch.Tensor) -> torch.Tensor:
    """How much each query attends to each key, (B, N, N): every row sums to one. Takes (B, N, d) of both."""
    return torch.softmax(queries @ keys.mT, -1)


def _stretched(x: torch.Tensor) -> torch.Tensor:
    """(B, N) with each row stretched to [0, 1]; zeros for a constant row."""
    low, high = x.aminmax(dim=1, keepdim=True)
    return (x - low) / (high - low).clamp(min=TINY)


def _pointwise(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 1, bias=False), nn.ReLU())


def _fusion(inside: int, outside: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1, bias=False), nn.ReLU(), _upsampling(2))


def _upsampling(factor: int) -> nn.Upsample:
    return nn.Upsample(scale_factor=factor, mode="bilinear", align_corners=True)


def _named(name: str) -> str:
    """Our name of a tensor of the authors' file."""
    for pattern, ours in FROM_AUTHORS:
        name = re.sub(pattern, f"encoder.{ours}", name)
    return name
