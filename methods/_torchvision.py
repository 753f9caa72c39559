"""ImageNet weights of torchvision: where they are published, the input they expect, and their names here.

Files saved before torch 0.4.1 do not count the batches that a norm has seen. As torch does, count from zero then.
"""

import re
from collections.abc import Mapping

import torch

from salbench.weights import Checkpoint

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # RGB of ImageNet, values in [0, 1]
RESNET50_IMAGENET = Checkpoint(
    "resnet50-0676ba61.pth",
    source="https://pytorch.org/vision/stable/models/resnet.html",
    licence="BSD-3-Clause",
    trained_on="ImageNet",
)
DENSENET161_IMAGENET = Checkpoint(
    "densenet161-8d451a50.pth",
    source="https://pytorch.org/vision/stable/models/densenet.html",
    licence="BSD-3-Clause",
    trained_on="ImageNet",
)


def standardised(images: torch.Tensor) -> torch.Tensor:
    """Standardise uint8 (B, H, W, 3) RGB by ImageNet's mean and standard deviation: float (B, 3, H, W)."""
    mean, std = (torch.tensor(values, device=images.device).view(3, 1, 1) for values in (MEAN, STD))
    return images.permute(0, 3, 1, 2).float().div_(255).sub_(mean).div_(std)  # in place is faster


def resnet_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """State dict of `_resnet.ResNet50` from that of torchvision, which also holds a classifier."""
    return _counted({name: tensor for name, tensor in state.items() if not name.startswith("fc.")})


def densenet_state(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """State dict of `_densenet.dense_features` from that of torchvision, which also holds a classifier.

    Old files write "denselayer1.norm.1" instead of "denselayer1.norm1".
    """
    inside = {name.removeprefix("features."): t for name, t in state.items() if name.startswith("features.")}
    return _counted({re.sub(r"\.(norm|conv)\.(?=[12]\.)", r".\1", name): t for name, t in inside.items()})


def _counted(state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    norms = [name.removesuffix("running_mean") for name in state if name.endswith(".running_mean")]
    return {f"{norm}num_batches_tracked": torch.tensor(0) for norm in norms} | state
