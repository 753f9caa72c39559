"""From deep features to a log density: the readout networks and the finalizer (Linardos et al. 2021).

All convolutions are 1x1 without bias. Norms are taken over channels, height and width together.
"""

import math
from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import interpolate


class Bias(nn.Module):
    """Adds a learned number to each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.bias[:, None, None]


class Norm(nn.GroupNorm):
    """Normalises over channels, height and width together, then scales and offsets each channel."""

    def __init__(self, channels: int) -> None:
        super().__init__(1, channels, eps=1e-12)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        # With the channels-last layout torch 2.13 loses digits on the CPU, and its backward pass crashes if the input
        # needs no gradient.
        return super().forward(x.contiguous())


def _conv(inside: int, outside: int) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 1, bias=False)


def _named(**layers: nn.Module) -> nn.Sequential:
    return nn.Sequential(OrderedDict(layers))


def saliency_network(channels: int) -> nn.Sequential:
    """A network from features (B, channels, h, w) to saliency (B, 1, h, w)."""
    return _named(
        layernorm0=Norm(channels), conv0=_conv(channels, 8), bias0=Bias(8), softplus0=nn.Softplus(),
        layernorm1=Norm(8), conv1=_conv(8, 16), bias1=Bias(16), softplus1=nn.Softplus(),
        layernorm2=Norm(16), conv2=_conv(16, 1), bias2=Bias(1), softplus2=nn.Softplus(),
    )  # fmt: skip


def fixation_selection_network() -> nn.Sequential:
    """A network from saliency (B, 1, h, w) to a readout (B, 1, h, w).

    Layers named "part0" have no "part1" beside them: only scanpath models read the scanpath so far.
    """
    return _named(
        layernorm0=_named(layernorm_part0=Norm(1)), conv0=_named(conv_part0=_conv(1, 128)), bias0=Bias(128),
        softplus0=nn.Softplus(),
        layernorm1=Norm(128), conv1=_conv(128, 16), bias1=Bias(16), softplus1=nn.Softplus(),
        conv2=_conv(16, 1),
    )  # fmt: skip


class Gauss(nn.Module):
    """Enlarges maps by nearest neighbours and blurs them with a Gaussian, repeating the border.

    Both steps together are linear along height and along width, so each direction is one small matrix product.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sigma = nn.Parameter(torch.tensor(8.0))  # in pixels of the enlarged map

    def forward(self, x: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Map (B, 1, h, w) to (B, 1, *size)."""
        rows, columns = (self._along(length, number) for length, number in zip(size, x.shape[2:], strict=True))
        return rows @ x @ columns.T

    def _along(self, length: int, number: int) -> torch.Tensor:
        """Matrix (length, number): the weight of each of `number` pixels in each of `length` enlarged pixels."""
        radius = math.ceil(3 * self.sigma.item())
        offsets = torch.arange(-radius, radius + 1, device=self.sigma.device)
        kernel = torch.softmax(-0.5 * (offsets / self.sigma) ** 2, 0)
        pixels = torch.arange(length, device=offsets.device)[:, None] + offsets
        sources = _sources(length, number, offsets.device)[pixels.clamp(0, length - 1)]
        return kernel.new_zeros(length, number).scatter_add(1, sources, kernel.expand(length, -1))


class Finalizer(nn.Module):
    """Blurs a readout, adds the weighted centre bias and normalises."""

    def __init__(self) -> None:
        super().__init__()
        self.center_bias_weight = nn.Parameter(torch.ones(1))
        self.gauss = Gauss()

    def forward(self, readout: torch.Tensor, center_bias: torch.Tensor) -> torch.Tensor:
        """Log density (B, H // 2, W // 2), see `enlarged`, of a readout (B, 1, h, w) and a centre bias (B, H, W)."""
        reduced = halved(center_bias[:, None])
        x = (self.gauss(readout, reduced.shape[2:]) + self.center_bias_weight * reduced)[:, 0]
        return x - (x + _log_areas(center_bias.shape[1:], x)).logsumexp((1, 2), keepdim=True)


def halved(x: torch.Tensor) -> torch.Tensor:
    """Every second row and column of (B, C, H, W), starting with the first: (B, C, H // 2, W // 2)."""
    return interpolate(x, scale_factor=0.5)


def enlarged(log_density: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """A log density (B, H // 2, W // 2) enlarged to `size` (H, W), where its exponentials sum to one."""
    return interpolate(log_density[:, None], size)[:, 0]


def _log_areas(size: tuple[int, int], reduced: torch.Tensor) -> torch.Tensor:
    """Log of the number of pixels, (h, w), that each pixel of `reduced` (B, h, w) becomes at `size`."""
    rows, columns = (
        _sources(length, number, reduced.device).bincount(minlength=number).log()
        for length, number in zip(size, reduced.shape[1:], strict=True)
    )
    return rows[:, None] + columns


def _sources(length: int, number: int, device: torch.device) -> torch.Tensor:
    """Index (length,) of the pixel that each enlarged pixel is copied from, if `number` pixels become `length`."""
    return interpolate(torch.arange(number, dtype=torch.float32, device=device)[None, None], length)[0, 0].long()
