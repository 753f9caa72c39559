"""ResNet-50 and ResNeXt-50 32x4d (He et al. 2016; Xie et al. 2017), with the parameter names of torchvision.

The first max-pool pads as in PyTorch. A network that pads in another way replaces `maxpool`. Biases before a norm,
which some checkpoints have, belong into the norm's mean.
"""

import re
from collections.abc import Iterator, Mapping

import torch
from torch import nn
from torch.nn.functional import relu

STAGES = (64, 3), (128, 4), (256, 6), (512, 3)  # planes, blocks
EXPANSION = 4  # output channels of a block per plane


class Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 (grouped) and 1x1, and a shortcut that is projected if the shape changes."""

    def __init__(
        self,
        inside: int,
        planes: int,
        stride: int,
        dilation: int,
        groups: int,
        width_per_group: int,
        strides_early: bool,
    ) -> None:
        super().__init__()
        width, outside = planes * width_per_group // 64 * groups, planes * EXPANSION
        first, second = (stride, 1) if strides_early else (1, stride)
        self.conv1 = nn.Conv2d(inside, width, 1, first, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, second, dilation, dilation, groups, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, outside, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(outside)
        self.downsample = None
        if stride > 1 or inside != outside:
            self.downsample = nn.Sequential(nn.Conv2d(inside, outside, 1, stride, bias=False), nn.BatchNorm2d(outside))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inside, h, w) to (B, 4 planes, h / stride, w / stride)."""
        y = relu(self.bn1(self.conv1(x)))
        y = relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """ResNet-50 or ResNeXt-50 32x4d.

    Args:
        groups: 1 for ResNet-50, 32 for ResNeXt-50.
        width_per_group: 64 for ResNet-50, 4 for ResNeXt-50.
        dilated: as saliency networks use the ResNet-50 of Caffe and Keras: blocks stride in their first convolution,
            and stages 3 and 4 do not stride, but their 3x3 convolutions have dilation 2 and 4.
        eps: of the norms.
        classifies: whether there is a classifier, which is not used but which some checkpoints hold.
    """

    def __init__(
        self,
        groups: int = 1,
        width_per_group: int = 64,
        dilated: bool = False,
        eps: float = 1e-5,
        classifies: bool = False,
    ) -> None:
        super().__init__()
        inside = 64
        self.conv1 = nn.Conv2d(3, inside, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        strides, dilations = ((1, 2, 1, 1), (1, 1, 2, 4)) if dilated else ((1, 2, 2, 2), (1, 1, 1, 1))
        for number, (planes, blocks) in enumerate(STAGES, 1):
            stage = nn.Sequential()
            for block in range(blocks):
                steps = strides[number - 1] if block == 0 else 1, dilations[number - 1]
                stage.append(Bottleneck(inside, planes, *steps, groups, width_per_group, strides_early=dilated))
                inside = planes * EXPANSION
            self.add_module(f"layer{number}", stage)
        if classifies:
            self.fc = nn.Linear(inside, 1000)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = eps

    def levels(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features of standardised RGB (B, 3, H, W): before the pool (64 channels), then of the four stages."""
        levels = [relu(self.bn1(self.conv1(x)))]
        x = self.maxpool(levels[0])
        for stage in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = stage(x)
            levels.append(x)
        return levels

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map standardised RGB (B, 3, H, W) to features (B, 2048, h, w); each halving rounds up."""
        return self.levels(x)[-1]


def of_caffe(layer: str) -> str:
    """Our name of a layer of the original ResNet-50: "res4f_branch2b" is "layer3.5.conv2".

    Names that do not fit, such as those of a readout, stay as they are.
    """
    if layer in ("conv1", "bn_conv1"):
        return {"conv1": "conv1", "bn_conv1": "bn1"}[layer]
    found = re.fullmatch(r"(res|bn)([2-5])([a-f])_branch(1|2a|2b|2c)", layer)
    if found is None:
        return layer
    kind, stage, block, branch = found.groups()
    place, is_norm = f"layer{int(stage) - 1}.{'abcdef'.index(block)}", kind == "bn"
    if branch == "1":
        return f"{place}.downsample.{int(is_norm)}"
    return f"{place}.{'bn' if is_norm else 'conv'}{'abc'.index(branch[1]) + 1}"


def keras_layers() -> Iterator[str]:
    """Names of the original ResNet-50's layers, which `of_caffe` takes, in the order in which Keras saves them."""
    yield from ("conv1", "bn_conv1")
    for stage, (_, blocks) in enumerate(STAGES, 2):
        for block in "abcdef"[:blocks]:
            for branches in ("2a",), ("2b",), ("2c", "1") if block == "a" else ("2c",):
                for kind in ("res", "bn"):
                    yield from (f"{kind}{stage}{block}_branch{branch}" for branch in branches)


def without_biases(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """A state dict of `ResNet50` whose convolutions have biases, with each bias in the mean of the norm after it."""
    found = dict(state)
    for name in state:
        norm = re.sub(r"\bconv(\d)\.bias$", r"bn\1", name).replace("downsample.0.bias", "downsample.1")
        if norm != name:
            found[f"{norm}.running_mean"] = found[f"{norm}.running_mean"] - found.pop(name)
    return found
