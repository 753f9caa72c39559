"""TranSalNet, which two methods share: transformers on three levels of a backbone, and a convolutional decoder.

Lou et al., TranSalNet: Towards perceptually relevant visual saliency prediction, Neurocomputing 2022. Parameters have
the published names, so the files of github.com/LJOVO/TranSalNet load strictly. Images are resized to fit 288 x 384
pixels, with bars on two sides if they are not 4:3.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import nn
from torch.nn.functional import gelu, interpolate, logsigmoid, relu, scaled_dot_product_attention

from salbench.sample import Sample
from salbench.training import Recipe

from ._letterboxed import Letterboxed
from ._opencv_resize import unletterboxed

SIZE = (288, 384)  # height, width of the input
CHANNELS = 768, 768, 512, 256, 128, 64, 32, 1  # between the convolutions of the decoder
STRIDES = 32, 16, 8  # of the levels that transformers 1 to 3 get; transformer i has CHANNELS[i - 1] channels
LAYERS = 2  # of each transformer
HEAD = 64  # channels of an attention head


class Attention(nn.Module):
    """Multi-head self-attention of tokens (B, N, C)."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.query = nn.Linear(channels, channels)
        self.key = nn.Linear(channels, channels)
        self.value = nn.Linear(channels, channels)
        self.out = nn.Linear(channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, N, C) to (B, N, C)."""
        heads = (part(x).unflatten(2, (-1, HEAD)).transpose(1, 2) for part in (self.query, self.key, self.value))
        return self.out(scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2))


class FeedForward(nn.Module):
    """Two linear layers with a GELU in between."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(channels, 4 * channels)
        self.fc2 = nn.Linear(4 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, N, C) to (B, N, C)."""
        return self.fc2(gelu(self.fc1(x)))


class TransformerLayer(nn.Module):
    """Attention and feed-forward, each after a norm and with a shortcut."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.ffn_norm = _norm(channels)
        self.ffn = FeedForward(channels)
        self.attn = Attention(channels)
        self.attention_norm = _norm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, N, C) to (B, N, C)."""
        x = x + self.attn(self.attention_norm(x))
        return x + self.ffn(self.ffn_norm(x))


class Transformer(nn.Module):
    """Transformer layers and a last norm."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer = nn.Sequential(*(TransformerLayer(channels) for _ in range(LAYERS)))
        self.encoder_norm = _norm(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, N, C) to (B, N, C)."""
        return self.encoder_norm(self.layer(x))


class TransformerBranch(nn.Module):
    """A transformer on one level of the backbone."""

    def __init__(self, inside: int, channels: int, places: int) -> None:
        super().__init__()
        self.position_embeddings = nn.Parameter(torch.zeros(1, places, channels))
        self.patch_embeddings = nn.Conv2d(inside, channels, 1)
        self.transformer_encoder = Transformer(channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inside, h, w) to (B, channels, h, w)."""
        embedded = self.patch_embeddings(x)
        tokens = embedded.flatten(2).transpose(1, 2) + self.position_embeddings
        return self.transformer_encoder(tokens).transpose(1, 2).unflatten(2, embedded.shape[2:])


class Decoder(nn.Module):
    """From three levels to one map. It multiplies the enlarged features of coarser levels by those of the next level.

    Args:
        channels: of the levels at strides 8, 16 and 32.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        for i, (inside, outside) in enumerate(pairwise(CHANNELS), 1):
            self.add_module(f"conv{i}", nn.Conv2d(inside, outside, 3, padding=1))
        for i, outside in enumerate(CHANNELS[1:-1], 1):
            self.add_module(f"batchnorm{i}", nn.BatchNorm2d(outside))
        levels = zip(STRIDES, reversed(channels), CHANNELS[:3], strict=True)
        for i, (stride, inside, outside) in enumerate(levels, 1):
            places = SIZE[0] * SIZE[1] // stride**2
            self.add_module(f"TransEncoder{i}", TransformerBranch(inside, outside, places))

    def forward(self, x3: torch.Tensor, x4: torch.Tensor, x5: torch.Tensor) -> torch.Tensor:
        """Map levels at strides 8, 16 and 32 to the logit of the map, (B, 1, H, W)."""
        x = self._enlarged(1, self.TransEncoder1(x5))
        x = self._enlarged(2, relu(x * self.TransEncoder2(x4)))
        x = self._enlarged(3, relu(x * self.TransEncoder3(x3)))
        x = self._enlarged(5, self._enlarged(4, x))
        return self.conv7(self._convolved(6, x))

    def _enlarged(self, i: int, x: torch.Tensor) -> torch.Tensor:
        return interpolate(self._convolved(i, x), scale_factor=2, mode="nearest")

    def _convolved(self, i: int, x: torch.Tensor) -> torch.Tensor:
        convolution, norm = self.get_submodule(f"conv{i}"), self.get_submodule(f"batchnorm{i}")
        return relu(norm(convolution(x)))


class Encoder(nn.Module):
    """Layers of a backbone in a row, numbered as in the published files.

    Args:
        layers: the modules.
        taps: indices of the layers whose outputs are the levels.
    """

    def __init__(self, layers: Sequence[nn.Module], taps: Sequence[int]) -> None:
        super().__init__()
        self.encoder = nn.Sequential(*layers)
        self.taps = taps

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """The levels of images (B, 3, H, W)."""
        levels = []
        for i, layer in enumerate(self.encoder):
            x = layer(x)
            if i in self.taps:
                levels.append(x)
        return levels


class TranSalNet(nn.Module):
    """Backbone and decoder.

    Args:
        layers: of the backbone.
        taps: indices of the layers whose outputs are the levels at strides 8, 16 and 32.
        channels: of these levels.
    """

    def __init__(self, layers: Sequence[nn.Module], taps: Sequence[int], channels: Sequence[int]) -> None:
        super().__init__()
        self.encoder = Encoder(layers, taps)
        self.decoder = Decoder(channels)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logit of the map, (B, H, W), of images (B, 3, H, W) in [0, 1]."""
        if tuple(images.shape[2:]) != SIZE:
            raise ValueError(
                f"expected images of {SIZE[0]} x {SIZE[1]} pixels, because the network has a position embedding for "
                f"each place, got {images.shape[2]} x {images.shape[3]}; resize them"
            )
        return self.decoder(*self.encoder(images))[:, 0]


class TranSalNetMethod(Letterboxed):
    """TranSalNet without its backbone.

    The published notebook that predicts maps feeds BGR; the published training feeds RGB. The option is what the
    published weights get: `bgr` as in the notebook, or `rgb`. No official file was at hand, so we do not know which one
    gives the published scores. Networks trained by salbench always get RGB.

    Maps have whole grey levels from 0 to 255, because the published code rounds them down to 8 bits before it removes
    the bars. The repository links the files to Google Drive; we did not test the links.

    `fit` trains a new network with the authors' loss weights, optimiser, batch size, epochs, patience and first
    learning rate. Their training differs: the backbone starts from ImageNet weights (here with `--from imagenet`), the
    learning rate falls to a tenth every three epochs, gradients are not clipped, SIM compares maps that are stretched
    to [0, 1], and NSS uses the unbiased standard deviation. Here, training stretches images that are not 4:3, and
    predictions add bars.
    """

    options = ("bgr", "rgb")
    bar = 1
    paper = "Lou et al., TranSalNet: Towards perceptually relevant visual saliency prediction, Neurocomputing 2022"
    fit_options = "--dataset salicon_train"
    encoders = ("encoder.encoder",)
    recipe = Recipe(
        size=SIZE, epochs=30, batch_size=4, learning_rate=1e-5, weight_decay=0.0, warmup_steps=0, average=0.0,
        losses={"kl": 10.0, "cc": 2.0, "sim": 1.0, "nss": 1.0}, patience=5,
    )  # fmt: skip

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Scale uint8 (B, H, W, 3) to float (B, 3, H, W) in [0, 1]; ImageNet's mean and deviation are not used."""
        return images.permute(0, 3, 1, 2).float() / 255

    def logits(self, network: TranSalNet, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the map, (B, H, W), for RGB images: a softmax of it is the map, scaled to sum to one."""
        return logsigmoid(network(self.preprocess(images)).float())

    def logits_of(self, network: TranSalNet, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """The map, (B, H, W) in [0, 1]."""
        if self._is_published and self.option == "bgr":
            images = images.flip(3)
        return network(self.preprocess(images)).float().sigmoid()

    def finished(self, saliency: np.ndarray, sample: Sample) -> np.ndarray:
        """The map rounded down to 8 bits, without the bars, at the image's size: 0 to 255."""
        return unletterboxed((saliency * 255).astype(np.uint8), sample.size).astype(np.float32)


def numbered(state: Mapping[str, torch.Tensor], layers: Sequence[str]) -> dict[str, torch.Tensor]:
    """State dict of a backbone whose layers are numbered.

    Args:
        state: torchvision's names and tensors.
        layers: torchvision's names of the layers, in their order. Tensors of other layers are left out.
    """
    parts = [(*name.partition(".")[::2], tensor) for name, tensor in state.items()]
    return {f"{layers.index(layer)}.{rest}": tensor for layer, rest, tensor in parts if layer in layers}


def _norm(channels: int) -> nn.LayerNorm:
    return nn.LayerNorm(channels, eps=1e-6)
