"""transalnet_dense: TranSalNet on DenseNet-161; see `_transalnet`."""

import torch

from salbench.registry import register
from salbench.weights import Checkpoint

from ._densenet import DENSENET161, dense_features
from ._torchvision import DENSENET161_IMAGENET, densenet_state
from ._transalnet import TranSalNet, TranSalNetMethod, numbered

LAYERS = (
    "conv0", "norm0", "relu0", "pool0", "denseblock1", "transition1", "denseblock2", "transition2", "denseblock3",
    "transition3", "denseblock4",
)  # fmt: skip
TAPS = 6, 8, 10


@register
class TranSalNetDense(TranSalNetMethod):
    """Published: transformers on three levels of DenseNet-161 (Lou et al. 2022).

    Channel order, maps and training: see `TranSalNetMethod`.
    """

    checkpoints = (
        Checkpoint(
            "TranSalNet_Dense.pth",
            source="https://github.com/LJOVO/TranSalNet",
            licence="MIT",
            trained_on="SALICON",
        ),
    )
    imagenet = (DENSENET161_IMAGENET,)

    def build_network(self) -> TranSalNet:
        """A new network with random weights. Its levels are what the dense blocks give, before any norm."""
        features = dense_features(DENSENET161)
        norms = features.transition2.norm, features.transition3.norm, features.norm5
        layers = [features.get_submodule(name) for name in LAYERS]
        return TranSalNet(layers, TAPS, [norm.num_features for norm in norms])

    def encoder_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The backbone's weights from torchvision's state dict."""
        return numbered(densenet_state(state), LAYERS)
