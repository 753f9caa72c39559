"""transalnet_res: TranSalNet on ResNet-50; see `_transalnet`."""

import torch
from torch import nn

from salbench.registry import register
from salbench.weights import Checkpoint

from ._resnet import ResNet50
from ._torchvision import RESNET50_IMAGENET, resnet_state
from ._transalnet import TranSalNet, TranSalNetMethod, numbered

LAYERS = "conv1", "bn1", "relu", "maxpool", "layer1", "layer2", "layer3", "layer4"
TAPS = 5, 6, 7


@register
class TranSalNetRes(TranSalNetMethod):
    """Published: transformers on three levels of ResNet-50 (Lou et al. 2022).

    Channel order, maps and training: see `TranSalNetMethod`.
    """

    checkpoints = (
        Checkpoint(
            "TranSalNet_Res.pth",
            source="https://github.com/LJOVO/TranSalNet",
            licence="MIT",
            trained_on="SALICON",
        ),
    )
    imagenet = (RESNET50_IMAGENET,)

    def build_network(self) -> TranSalNet:
        """A new network with random weights."""
        resnet = ResNet50()
        stages = resnet.layer2, resnet.layer3, resnet.layer4
        layers = resnet.conv1, resnet.bn1, nn.ReLU(), resnet.maxpool, resnet.layer1, *stages
        return TranSalNet(layers, TAPS, [stage[-1].bn3.num_features for stage in stages])

    def encoder_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The backbone's weights from torchvision's state dict."""
        return numbered(resnet_state(state), LAYERS)
