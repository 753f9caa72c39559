"""emlnet: a small decoder combines features of two ResNet-50 backbones, one from ImageNet and one from Places.

Jia and Bruce, EML-NET: An Expandable Multi-Layer NETwork for Saliency Prediction, Image and Vision Computing 95, 2020;
code: github.com/SenJia/EML-NET-Saliency. A convolution reduces each of five levels of a backbone to one channel.
Features are enlarged by repeating the nearest value. Every image is resized to 480 x 640.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import nn
from torch.nn.functional import interpolate, logsigmoid

from salbench.maps import minmax
from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint

from ._resnet import ResNet50
from ._torchvision import RESNET50_IMAGENET, resnet_state

LEVELS = (64, 256, 512, 1024, 2048)  # channels of the backbones' levels
BLUR_SIGMA = 5.0  # pixels of the network's map


def _checkpoint(file: str, trained_on: str) -> Checkpoint:
    source = "https://github.com/SenJia/EML-NET-Saliency"
    return Checkpoint(file, source=source, licence="none stated", trained_on=trained_on)


@register
class EMLNet(LearnedMethod):
    """Published: two ResNet-50 backbones (ImageNet and Places) and a decoder (Jia and Bruce 2020).

    This is the version whose weights are published; the paper's best one has a NASNet. The links to the files were not
    tested. A map has 480 x 640 pixels, as the authors save it: blurred and stretched to [0, 1]. It is not truncated to
    8 bits.

    `fit` trains all parts of a new network together. Batch size, epochs and weight decay are those of the authors'
    decoder. The authors' training differs: the backbones are trained before the decoder, one from ImageNet weights
    (here with `--from imagenet`), the other from weights of Places (here always from random weights); it uses SGD with
    momentum 0.9 (learning rate 0.1 for the decoder), here it is AdamW with learning rates of our own; its third loss is
    the difference between the NSS of ground truth and map, here it is the NSS of the map.
    """

    output = "map"
    paper = "Jia and Bruce, EML-NET: An Expandable Multi-Layer NETwork for Saliency Prediction, IVC 2020"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        _checkpoint("res_imagenet.pth", "ImageNet, SALICON"),
        _checkpoint("res_places.pth", "Places, SALICON"),
        _checkpoint("res_decoder.pth", "SALICON"),
    )
    imagenet = (RESNET50_IMAGENET,)
    encoders = ("image_model.resnet",)
    recipe = Recipe(
        size=(480, 640), epochs=10, batch_size=8, learning_rate=1e-3, weight_decay=1e-4,
        rates={"image_model.": 0.1, "place_model.": 0.1}, average=0.0, losses={"kl": 1.0, "cc": 1.0, "nss": 1.0},
    )  # fmt: skip

    def build_network(self) -> "EMLNetwork":
        """A new network with random weights."""
        return EMLNetwork()

    def published(self, image_model: Any, place_model: Any, decoder: Any) -> dict[str, torch.Tensor]:
        """The network's state dict from the three published files.

        Args:
            image_model: a state dict, or a dict with one at "state_dict".
            place_model: the same.
            decoder: the same.
        """
        parts = {
            "image_model": _of_backbone(_state(image_model)),
            "place_model": _of_backbone(_state(place_model)),
            "decoder": _state(decoder),
        }
        return {f"{part}.{name}": tensor for part, state in parts.items() for name, tensor in state.items()}

    def encoder_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The backbone's weights from torchvision's state dict."""
        return resnet_state(state)

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Scale uint8 (B, H, W, 3) RGB to float (B, 3, H, W) in [0, 1], not standardised."""
        return images.permute(0, 3, 1, 2).float().div_(255)

    def logits(self, network: "EMLNetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the published map, (B, H, W): a softmax of it is the map, scaled to sum to one."""
        return logsigmoid(network(self.preprocess(images)).float())[:, 0]

    def finished(self, log_density: np.ndarray, sample: Sample) -> np.ndarray:
        """The map at the network's size, blurred and stretched to [0, 1]; borders are repeated for the blur."""
        return minmax(gaussian_filter(np.exp(log_density, dtype=np.float64), BLUR_SIGMA, mode="nearest"))


class EMLNetwork(nn.Module):
    """Maps RGB (B, 3, H, W) in [0, 1] to logits (B, 1, H, W), whose sigmoid is the map."""

    def __init__(self) -> None:
        super().__init__()
        self.image_model = Backbone()
        self.place_model = Backbone()
        self.decoder = Decoder()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Predict the logits."""
        return self.decoder(self.image_model(x), self.place_model(x), x.shape[-2:])


class Backbone(nn.Module):
    """Maps RGB (B, 3, H, W) to one channel (B, 1, h, w) of each level, from half to 1 / 32 of the size."""

    def __init__(self) -> None:
        super().__init__()
        self.resnet = ResNet50()
        self.outputs = nn.ModuleList(_to_one_channel(channels) for channels in LEVELS)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Compute the five channels, the largest first."""
        return [output(level).relu() for output, level in zip(self.outputs, self.resnet.levels(x), strict=True)]


class Decoder(nn.Module):
    """Combines the channels of both backbones."""

    def __init__(self) -> None:
        super().__init__()
        self.img_model = nn.ModuleList(_to_one_channel(1) for _ in LEVELS)
        self.pla_model = nn.ModuleList(_to_one_channel(1) for _ in LEVELS)
        self.combined = _to_one_channel(2 * len(LEVELS))

    def forward(self, image: list[torch.Tensor], place: list[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Logits (B, 1, *size).

        Args:
            image: channels of the image model, (B, 1, h, w) each.
            place: channels of the place model.
            size: (height, width) in pixels.
        """
        layers, channels = [*self.img_model, *self.pla_model], [*image, *place]
        filtered = [layer(channel).relu() for layer, channel in zip(layers, channels, strict=True)]
        return self.combined(torch.cat([interpolate(x, size=tuple(size), mode="nearest") for x in filtered], 1))


def _to_one_channel(inside: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inside, 1, 3, padding=1), nn.BatchNorm2d(1))


def _state(content: Any) -> dict[str, torch.Tensor]:
    """The state dict in a file, without the "module." that `nn.DataParallel` adds to the names."""
    return {name.removeprefix("module."): tensor for name, tensor in content.get("state_dict", content).items()}


def _of_backbone(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """State dict of `Backbone` from that of a file.

    As the authors' code does, it ignores tensors that the backbone does not use, such as a classifier, or `combined`,
    which makes a map from one backbone alone.
    """
    with torch.device("meta"):
        used = Backbone().state_dict()
    named = {
        re.sub(r"^output", "outputs.", name) if name.startswith("output") else f"resnet.{name}": tensor
        for name, tensor in state.items()
    }
    return {name: tensor for name, tensor in named.items() if name in used}
