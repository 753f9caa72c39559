"""From deep features to a log density: the readout networks and the finalizer (Linardos et al. 2021).

Convolutions are 1x1 and have no bias of their own. Norms are over channels, height and width together.
"""

import math
from collections import OrderedDict

import torch
from torch import nn
from torch.nn.functional import interpolate


class Bias(nn.Module):
    """Adds a number to each channel."""

    def __init__(self, channels):
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x):
        return x + self.bias[:, None, None]


class Norm(nn.GroupNorm):
    """Over channels, height and width together; then a scale and an offset for each channel."""

    def __init__(self, channels):
        super().__init__(1, channels, eps=1e-12)

    def forward(self, x):
        # Channels last, torch 2.13 loses digits on the CPU, and crashes in the backward of an input without gradient.
        return super().forward(x.contiguous())


def _conv(inside, outside):
    return nn.Conv2d(inside, outside, 1, bias=False)


def _named(**layers):
    return nn.Sequential(OrderedDict(layers))


def saliency_network(channels):
    """(B, channels, h, w) features -> (B, 1, h, w) saliency."""
    return _named(
        layernorm0=Norm(channels), conv0=_conv(channels, 8), bias0=Bias(8), softplus0=nn.Softplus(),
        layernorm1=Norm(8), conv1=_conv(8, 16), bias1=Bias(16), softplus1=nn.Softplus(),
        layernorm2=Norm(16), conv2=_conv(16, 1), bias2=Bias(1), softplus2=nn.Softplus(),
    )  # fmt: skip


def fixation_selection_network():
    """(B, 1, h, w) saliency -> (B, 1, h, w) readout. A "part1", the scanpath so far, is only in models of scanpaths."""
    return _named(
        layernorm0=_named(layernorm_part0=Norm(1)), conv0=_named(conv_part0=_conv(1, 128)), bias0=Bias(128),
        softplus0=nn.Softplus(),
        layernorm1=Norm(128), conv1=_conv(128, 16), bias1=Bias(16), softplus1=nn.Softplus(),
        conv2=_conv(16, 1),
    )  # fmt: skip


class Gauss(nn.Module):
    """Enlarges maps (B, 1, h, w) to nearest neighbours and blurs them, the border repeated: (B, 1, *size).

    Both are linear along height and along width, so that one small matrix does each.
    """

    def __init__(self):
        super().__init__()
        self.sigma = nn.Parameter(torch.tensor(8.0))  # in pixels of the enlarged map

    def forward(self, x, size):
        rows, columns = (self._along(length, number) for length, number in zip(size, x.shape[2:], strict=True))
        return rows @ x @ columns.T

    def _along(self, length, number):
        """(length, number): how much of each of `number` pixels comes to each of the `length` that they become."""
        radius = math.ceil(3 * self.sigma.item())
        offsets = torch.arange(-radius, radius + 1, device=self.sigma.device)
        kernel = torch.softmax(-0.5 * (offsets / self.sigma) ** 2, 0)
        pixels = torch.arange(length, device=offsets.device)[:, None] + offsets
        sources = _sources(length, number, offsets.device)[pixels.clamp(0, length - 1)]
        return kernel.new_zeros(length, number).scatter_add(1, sources, kernel.expand(length, -1))


class Finalizer(nn.Module):
    """Readout (B, 1, h, w) and centre bias (B, H, W) -> log density (B, H // 2, W // 2), see `enlarged`."""

    def __init__(self):
        super().__init__()
        self.center_bias_weight = nn.Parameter(torch.ones(1))
        self.gauss = Gauss()

    def forward(self, readout, center_bias):
        reduced = halved(center_bias[:, None])
        x = (self.gauss(readout, reduced.shape[2:]) + self.center_bias_weight * reduced)[:, 0]
        return x - (x + _log_areas(center_bias.shape[1:], x)).logsumexp((1, 2), keepdim=True)


def halved(x):
    """Every other row and column of (B, C, H, W), the first included: (B, C, H // 2, W // 2)."""
    return interpolate(x, scale_factor=0.5)


def enlarged(log_density, size):
    """A log density (B, H // 2, W // 2) at its full size (B, H, W), where its exponential sums to one."""
    return interpolate(log_density[:, None], size)[:, 0]


def _log_areas(size, reduced):
    """(h, w): log of the number of pixels that each pixel of `reduced` (B, h, w) becomes at `size`."""
    rows, columns = (
        _sources(length, number, reduced.device).bincount(minlength=number).log()
        for length, number in zip(size, reduced.shape[1:], strict=True)
    )
    return rows[:, None] + columns


def _sources(length, number, device):
    """(length,): which of `number` pixels each takes its value from where they are enlarged to nearest neighbours."""
    return interpolate(torch.arange(number, dtype=torch.float32, device=device)[None, None], length)[0, 0].long()
