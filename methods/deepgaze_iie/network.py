"""The network of deepgaze_iie: four frozen backbones with 30 readouts each (three trainings of ten folds), averaged."""

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import islice

import torch
from torch import nn
from torch.nn.functional import interpolate

from .._densenet import DenseNet201
from .._resnet import ResNet50
from .efficientnet import EfficientNetB5
from .readout import Finalizer, enlarged, fixation_selection_network, halved, saliency_network

COMPONENTS = 30
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB of ImageNet, values in [0, 1]
CENTER_BIAS = 1024, 1024  # rows, columns of the centre bias
SMALLEST = 128  # pixels along a side; in smaller images DenseNet ends in one cell, whose norm is rounding noise


class DeepGazeIIE(nn.Module):
    """Maps RGB images of values 0 to 255 to log densities.

    The buffer `center_bias` (1024, 1024) is a log density, which the authors publish in a file of its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.models = nn.ModuleList(Member(*parts) for parts in _backbones())
        self.register_buffer("center_bias", torch.zeros(CENTER_BIAS))

    def forward(
        self,
        images: torch.Tensor,
        center_bias: torch.Tensor | None = None,
        features: Sequence[torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """Log densities (B, H, W) of images (B, 3, H, W).

        Args:
            images: RGB, 0 to 255.
            center_bias: log densities (B, H, W) to use instead of the buffer; their exponentials sum to one.
            features: those of `extract`, if they are known.

        Raises:
            ValueError: an image has fewer than 128 pixels along a side.
        """
        size = images.shape[2:]
        if min(size) < SMALLEST:
            raise ValueError(
                f"expected images of at least {SMALLEST} pixels along each side, got {tuple(size)}; enlarge them"
            )
        if center_bias is None:
            center_bias = resized(self.center_bias, size)
            center_bias = (center_bias - center_bias.logsumexp((0, 1))).expand(len(images), -1, -1)
        layers = iter(self.extract(images) if features is None else features)
        members = [member(list(islice(layers, len(member.features.layers))), center_bias) for member in self.models]
        return enlarged(_averaged(members), size)

    def extract(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Features (B, C, h, w) of all layers of all backbones, which are frozen, for images (B, 3, H, W)."""
        reduced = halved(images)
        return [layer for member in self.models for layer in member.features(reduced)]

    def frozen(self) -> dict[str, torch.Tensor]:
        """The part of the state dict that is never trained: the backbones and the centre bias."""
        state = self.state_dict()
        return {name: tensor for name, tensor in state.items() if name == "center_bias" or ".features." in name}


class Member(nn.Module):
    """A backbone with its readouts.

    Args:
        backbone: gets the image at half its size; see `DeepGazeIIE.extract`.
        layers: names of the backbone's layers that are read, in the order of the readouts' weights.
        channels: total number of channels of these layers.
    """

    def __init__(self, backbone: nn.Module, layers: list[str], channels: int) -> None:
        super().__init__()
        self.features = Features(backbone, layers)
        self.saliency_networks = nn.ModuleList(saliency_network(channels) for _ in range(COMPONENTS))
        self.fixation_selection_networks = nn.ModuleList(fixation_selection_network() for _ in range(COMPONENTS))
        self.finalizers = nn.ModuleList(Finalizer() for _ in range(COMPONENTS))

    def forward(self, features: list[torch.Tensor], center_bias: torch.Tensor) -> torch.Tensor:
        """Log density (B, H // 2, W // 2) of the backbone's features with a centre bias (B, H, W)."""
        size, device = [math.ceil(length / 32) for length in center_bias.shape[1:]], center_bias.device
        with torch.autocast(device.type, enabled=False):  # log densities need more than the 8 bits of bfloat16
            x = torch.cat([interpolate(f.float(), size) for f in features], 1)
            components = zip(self.saliency_networks, self.fixation_selection_networks, self.finalizers, strict=True)
            return _averaged([finalize(select(read(x)), center_bias) for read, select, finalize in components])


class Features(nn.Module):
    """A frozen backbone that returns the outputs of some of its layers.

    Args:
        backbone: must not change tensors in place, or the outputs are wrong.
        layers: names of the layers.
    """

    def __init__(self, backbone: nn.Module, layers: list[str]) -> None:
        super().__init__()
        self.features = nn.Sequential(Standardise(), backbone).requires_grad_(False)
        self.layers = layers

    def train(self, mode: bool = True) -> "Features":
        """Stay in evaluation mode, because the batch statistics are frozen too."""
        return super().train(False)

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        """Outputs of the layers for RGB images (B, 3, h, w) of values 0 to 255."""
        outputs = {}
        hooks = []
        for name in self.layers:
            layer = self.features[1].get_submodule(name)
            hooks.append(
                layer.register_forward_hook(lambda _, given, output, name=name: outputs.update({name: output}))
            )
        self.features(images)
        for hook in hooks:
            hook.remove()
        return [outputs[name] for name in self.layers]


class Standardise(nn.Module):
    """Standardises RGB images (B, 3, H, W) of values 0 to 255 by ImageNet's mean and standard deviation."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        mean, std = (torch.tensor(values, device=x.device).view(3, 1, 1) for values in (MEAN, STD))
        return (x / 255 - mean) / std


def _backbones() -> list[tuple[nn.Module, list[str], int]]:
    """Arguments of each `Member`: backbone, layers that are read, and their total number of channels."""
    stylised = ["3.0.conv2", "3.3.conv2", "3.5.conv1", "3.5.conv2", "4.1.conv2", "4.2.conv2"]
    efficient = ["24._depthwise_conv", "26._depthwise_conv", "35._project_conv"]
    dense = ["32.norm1", "32.conv1", "31.conv2"]
    grouped = ["3.5.conv1", "3.5.conv2", "3.4.conv2", "4.2.conv2"]
    return [
        (
            nn.Sequential(OrderedDict(module=ResNet50(classifies=True))),
            [f"module.layer{name}" for name in stylised],
            2048,
        ),
        (EfficientNetB5(), [f"_blocks.{name}" for name in efficient], 2416),
        (DenseNet201(), [f"features.denseblock4.denselayer{name}" for name in dense], 2048),
        (ResNet50(groups=32, width_per_group=4, classifies=True), [f"layer{name}" for name in grouped], 2560),
    ]


def resized(template: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Nearest-neighbour resizing of (h, w) to `size` that aligns corner pixels, like scipy.ndimage.zoom."""
    rows, columns = (
        (torch.arange(length, dtype=torch.float64, device=template.device) * ((number - 1) / (length - 1)) + 0.5).long()
        for length, number in zip(size, template.shape, strict=True)
    )
    return template[rows[:, None], columns]


def _averaged(log_densities: list[torch.Tensor]) -> torch.Tensor:
    """Log of the mean of densities, from their logs."""
    return torch.stack(log_densities).logsumexp(0) - math.log(len(log_densities))
