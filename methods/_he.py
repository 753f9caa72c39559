"""Random weights for deep networks of ReLUs without norms (He et al., Delving Deep into Rectifiers, ICCV 2015).

With PyTorch's default weights, each layer makes differences between images smaller, until float32 has no more of them.
"""

from torch import nn


def he_initialised(network: nn.Module) -> nn.Module:
    """Draw the kernels of all convolutions in a network, in place, and return it."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
    return network
