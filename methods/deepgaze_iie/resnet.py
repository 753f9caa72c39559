"""ResNet-50 and ResNeXt-50 32x4d (He et al. 2016; Xie et al. 2017), with the parameter names of torchvision."""

import torch
from torch import nn
from torch.nn.functional import relu

STAGES = (64, 3), (128, 4), (256, 6), (512, 3)  # planes, blocks
EXPANSION = 4  # output channels of a block per plane


class Bottleneck(nn.Module):
    """Convolutions of 1x1, 3x3 (strided, grouped) and 1x1, and a shortcut that is projected if the shape changes."""

    def __init__(self, inside: int, planes: int, stride: int, groups: int, width_per_group: int) -> None:
        super().__init__()
        width, outside = planes * width_per_group // 64 * groups, planes * EXPANSION
        self.conv1 = nn.Conv2d(inside, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
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
    """ResNet-50 or ResNeXt-50 32x4d without its classifier.

    Args:
        groups: 1 for ResNet-50, 32 for ResNeXt-50.
        width_per_group: 64 for ResNet-50, 4 for ResNeXt-50.
    """

    def __init__(self, groups: int = 1, width_per_group: int = 64) -> None:
        super().__init__()
        inside = 64
        self.conv1 = nn.Conv2d(3, inside, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(inside)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        for number, (planes, blocks) in enumerate(STAGES, 1):
            stage = nn.Sequential()
            for block in range(blocks):
                stride = 2 if block == 0 and number > 1 else 1
                stage.append(Bottleneck(inside, planes, stride, groups, width_per_group))
                inside = planes * EXPANSION
            self.add_module(f"layer{number}", stage)
        self.fc = nn.Linear(inside, 1000)  # unused; the checkpoint holds it

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map standardised RGB (B, 3, H, W) to features (B, 2048, H / 32, W / 32); each halving rounds up."""
        x = self.maxpool(relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))
