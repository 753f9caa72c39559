"""ResNet-50 and ResNeXt-50 32x4d (He et al. 2016; Xie et al. 2017), with the parameter names of torchvision."""

from torch import nn
from torch.nn.functional import relu

STAGES = (64, 3), (128, 4), (256, 6), (512, 3)  # planes, blocks
EXPANSION = 4


class Bottleneck(nn.Module):
    """1x1, 3x3 (with the stride and the groups), 1x1, and a shortcut that is projected where the shape changes."""

    def __init__(self, inside, planes, stride, groups, width_per_group):
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

    def forward(self, x):
        y = relu(self.bn1(self.conv1(x)))
        y = relu(self.bn2(self.conv2(y)))
        y = self.bn3(self.conv3(y))
        return relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet50(nn.Module):
    """(B, 3, H, W) standardised RGB -> (B, 2048, H / 32, W / 32); sizes are rounded up at each halving.

    Args:
        groups, width_per_group: 1 and 64 for ResNet-50, 32 and 4 for ResNeXt-50 32x4d.
    """

    def __init__(self, groups=1, width_per_group=64):
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
        self.fc = nn.Linear(inside, 1000)  # the classifier, in the checkpoint only

    def forward(self, x):
        x = self.maxpool(relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))
