"""The convolutions of VGG-16 (Simonyan and Zisserman 2015), named as in Caffe: conv1_1 to conv5_3."""

from collections.abc import Mapping, Sequence

import torch
from torch import nn
from torch.nn.functional import relu

from salbench.weights import Checkpoint

GROUPS = (64, 2), (128, 2), (256, 3), (512, 3), (512, 3)  # channels, convolutions
STD = (57.375, 57.12, 58.395)  # BGR, by which torchvision divides values from 0 to 255
IMAGENET = Checkpoint(
    "vgg16-397923af.pth",
    source="https://pytorch.org/vision/stable/models/vgg.html",
    licence="BSD-3-Clause",
    trained_on="ImageNet",
)


class VGG16(nn.Module):
    """Thirteen 3x3 convolutions in five groups, each with a ReLU after it, without the classifier.

    Args:
        pools: what follows each group; None for the end of the network.
        dilation: of the last group.
    """

    def __init__(self, pools: Sequence[nn.Module | None], dilation: int = 1) -> None:
        super().__init__()
        self.pools = nn.ModuleList(nn.Identity() if pool is None else pool for pool in pools)
        inside = 3
        for group, (channels, layers) in enumerate(GROUPS, 1):
            apart = dilation if group == len(GROUPS) else 1
            for layer in range(1, layers + 1):
                self.add_module(f"conv{group}_{layer}", nn.Conv2d(inside, channels, 3, 1, apart, apart))
                inside = channels

    def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features of (B, 3, H, W) after each group and its pool."""
        levels = []
        for group, (_, layers) in enumerate(GROUPS, 1):
            for layer in range(1, layers + 1):
                x = relu(self.get_submodule(f"conv{group}_{layer}")(x))
            x = self.pools[group - 1](x)
            levels.append(x)
        return levels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, 512, h, w) after the last group."""
        return self.levels(x)[-1]


def of_torchvision(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """ImageNet weights for the input of Caffe's networks, BGR from 0 to 255 without its mean, from torchvision's file.

    Torchvision's network expects RGB and divides it by a standard deviation. So the kernels of the first layer have
    their channels reversed and are divided by it. Its mean differs by up to half a grey level, which is ignored.

    Args:
        state: torchvision's state dict. Its classifier is left out.

    Returns:
        State dict of `VGG16`.
    """
    renamed, index = {}, 0
    for group, (_, layers) in enumerate(GROUPS, 1):
        for layer in range(1, layers + 1):
            for kind in ("weight", "bias"):
                renamed[f"conv{group}_{layer}.{kind}"] = state[f"features.{index}.{kind}"]
            index += 2  # a ReLU follows
        index += 1  # a pool follows
    renamed["conv1_1.weight"] = renamed["conv1_1.weight"].flip(1) / torch.tensor(STD).view(3, 1, 1)
    return renamed
