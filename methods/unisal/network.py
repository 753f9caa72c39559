"""The network of unisal, with the layers and parameter names of github.com/rdroste/unisal.

It consists of MobileNetV2, learned Gaussian priors, a recurrent unit that images skip, and a decoder with two skip
connections. A "domain" is one of the data sets that the network was trained on. Each domain has its own batch
normalisation in most layers, its own priors and its own last two layers.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate, one_hot, pad, pixel_shuffle, relu6

DOMAINS = ("DHF1K", "Hollywood", "UCFSports", "SALICON")
PICTURES = "SALICON"  # the domain of images

# Stages of MobileNetV2: expansion, channels, blocks, stride of the first block (Sandler et al. 2018, table 2).
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))
AT_4X, AT_2X = 7, 14  # skip connections start from these layers, at 4 and 2 times the final resolution
CHANNELS = 1280  # of the backbone's final features
STRIDE = 32  # input pixels per cell of the final features, along each side

GAUSSIANS = 16  # prior maps
PRIOR_PEAK = 6.0
WIDTH = 256  # channels of the neck and of the recurrent unit
SMOOTHING = 41  # side of the smoothing kernel, in pixels
ENLARGED = 8  # input pixels per cell of the last features, along each side


class UnisalNetwork(nn.Module):
    """Maps standardised RGB images or videos to logits of the fixation density.

    `domain` is one of DOMAINS. Heights and widths of inputs must be multiples of 32.
    """

    def __init__(self) -> None:
        super().__init__()
        for domain in DOMAINS:
            setattr(self, f"coarse_gaussians_{domain.lower()}", nn.Parameter(_gaussians()))
        self.cnn = MobileNetV2()
        norm = partial(nn.BatchNorm2d, momentum=0.01)
        self.post_cnn = _block(CHANNELS + GAUSSIANS, WIDTH, expand=1, norm=norm)
        self.rnn = ConvGRU(WIDTH)
        self.post_rnn = DomainSequential(nn.Conv2d(WIDTH, WIDTH, 1, bias=False), DomainNorm(WIDTH), nn.ReLU6())
        self.upsampling_1 = _upsampling()
        self.skip_2x = Skip(160, 320, 128)
        self.upsampling_2 = _block(WIDTH + 128, 128, expand=2, norm=DomainNorm)
        self.upsampling_2.append(_upsampling())
        self.skip_4x = Skip(64, 128, 64)
        self.post_upsampling_2 = _block(128 + 64, 64, expand=2, norm=DomainNorm)
        for domain in DOMAINS:
            setattr(self, f"adaptation_{domain.lower()}", nn.Sequential(nn.Conv2d(64, 1, 1)))
            setattr(self, f"smoothing_{domain.lower()}", Smoothing())

    def forward(self, pictures: torch.Tensor, size: tuple[int, int], domain: str = PICTURES) -> torch.Tensor:
        """Logits (B, *size) of images (B, 3, H, W)."""
        return self.decode(*self.encode(pictures, domain), size, domain)

    def video(self, clips: torch.Tensor, size: tuple[int, int], domain: str) -> torch.Tensor:
        """Logits (B, T, *size) of clips (B, T, 3, H, W); each frame depends on the frames before it."""
        batch, frames = clips.shape[:2]
        neck, at_2x, at_4x = self.encode(clips.flatten(0, 1), domain)
        states = self.rnn(neck.unflatten(0, (batch, frames)), domain).flatten(0, 1)
        neck = neck + self.post_rnn(states, domain)
        return self.decode(neck, at_2x, at_4x, size, domain).unflatten(0, (batch, frames))

    def encode(self, pictures: torch.Tensor, domain: str) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features of the neck (B, 256, H / 32, W / 32), and of the backbone at 1/16 and 1/8 of the size.

        Raises:
            ValueError: a side of the images is not a multiple of 32.
        """
        size = tuple(pictures.shape[-2:])
        if any(length % STRIDE for length in size):
            raise ValueError(f"expected images with sides that are multiples of {STRIDE}, got {size}; resize them")
        features, at_2x, at_4x = self.cnn(pictures)
        priors = self.priors(features.shape[-2:], domain).expand(len(features), -1, -1, -1)
        return self.post_cnn(torch.cat([features, priors], 1), domain), at_2x, at_4x

    def priors(self, size: tuple[int, int], domain: str) -> torch.Tensor:
        """Prior maps (16, *size): Gaussians over coordinates from 0 to 1 along both axes."""
        parameters = getattr(self, f"coarse_gaussians_{domain.lower()}")
        mean, std = parameters[..., 0], parameters[..., 1].exp()  # (16, 2): y and x
        axes = (torch.linspace(0, 1, length, device=mean.device) for length in size)
        y, x = (torch.exp(-0.5 * ((axis - mean[:, i, None]) / std[:, i, None]) ** 2) for i, axis in enumerate(axes))
        return PRIOR_PEAK * y[:, :, None] * x[:, None, :]

    def decode(
        self, neck: torch.Tensor, at_2x: torch.Tensor, at_4x: torch.Tensor, size: tuple[int, int], domain: str
    ) -> torch.Tensor:
        """Logits (B, *size) of the features that `encode` returns."""
        x = torch.cat([self.upsampling_1(neck), self.skip_2x(at_2x, domain)], 1)
        x = torch.cat([self.upsampling_2(x, domain), self.skip_4x(at_4x, domain)], 1)
        x = self.post_upsampling_2(x, domain)
        x = getattr(self, f"adaptation_{domain.lower()}")(x)
        x = getattr(self, f"smoothing_{domain.lower()}")(x)
        return interpolate(x, size=size, mode="bilinear", align_corners=False)[:, 0]


class DomainNorm(nn.ModuleDict):
    """Batch normalisation, separate for each domain."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for domain in DOMAINS:
            self[f"bn_{domain}"] = nn.BatchNorm2d(channels, momentum=0.1 if domain == PICTURES else 0.01)

    def forward(self, x: torch.Tensor, domain: str) -> torch.Tensor:
        return self[f"bn_{domain}"](x)


class DomainSequential(nn.Sequential):
    """Layers in sequence; those that depend on the domain get it."""

    def forward(self, x: torch.Tensor, domain: str | None) -> torch.Tensor:
        for layer in self:
            x = layer(x, domain) if isinstance(layer, DomainNorm | InvertedResidual) else layer(x)
        return x


class InvertedResidual(nn.Module):
    """Expand channels, filter each, project back; the shortcut is optional (Sandler et al. 2018)."""

    def __init__(
        self, inside: int, outside: int, expand: int, norm: Callable[[int], nn.Module], *, shortcut: bool = False
    ) -> None:
        super().__init__()
        hidden = inside * expand
        expansion = [nn.Conv2d(inside, hidden, 1, bias=False), norm(hidden), nn.ReLU6()] if expand > 1 else []
        self.conv = DomainSequential(
            *expansion,
            nn.Conv2d(hidden, hidden, 3, padding=1, groups=hidden, bias=False), norm(hidden), nn.ReLU6(),
            nn.Conv2d(hidden, outside, 1, bias=False), norm(outside),
        )  # fmt: skip
        self.shortcut = shortcut

    def forward(self, x: torch.Tensor, domain: str | None) -> torch.Tensor:
        return x + self.conv(x, domain) if self.shortcut else self.conv(x, domain)


class MobileNetV2(nn.Module):
    """The backbone.

    As published, a block of stride two works at full resolution, and the next block gets every second row and column of
    its output. The skip connections start from the full output.
    """

    def __init__(self) -> None:
        super().__init__()
        layers, inside, self.halved = [_conv(3, 32, 3, 2)], 32, set()
        for expand, outside, blocks, stride in STAGES:
            if stride == 2:
                self.halved.add(len(layers))
            for i in range(blocks):
                layers.append(InvertedResidual(inside, outside, expand, nn.BatchNorm2d, shortcut=i > 0))
                inside = outside
        self.features = nn.Sequential(*layers, _conv(inside, CHANNELS, 1))

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Features of images (B, 3, H, W) at 1/32 (1280 channels), 1/16 (160) and 1/8 (64) of the size."""
        taps = {}
        for i, layer in enumerate(self.features):
            taps[i] = x = layer(x, None)
            if i in self.halved:
                x = x[..., ::2, ::2]
        return x, taps[AT_2X], taps[AT_4X]


class Skip(nn.Module):
    """Skip connection: expand channels, then reduce them without activation; training uses dropout in between."""

    def __init__(self, inside: int, hidden: int, outside: int) -> None:
        super().__init__()
        self.expansion = DomainSequential(nn.Conv2d(inside, hidden, 1, bias=False), DomainNorm(hidden), nn.ReLU6())
        self.dropout = nn.Dropout2d(0.6)
        self.reduction = DomainSequential(nn.Conv2d(hidden, outside, 1), DomainNorm(outside))

    def forward(self, x: torch.Tensor, domain: str) -> torch.Tensor:
        return self.reduction(self.dropout(self.expansion(x, domain)), domain)


class Smoothing(nn.Module):
    """Enlarges logits 8 times and smooths them with a learned kernel.

    As published, each value is repeated over 8 x 8 pixels, the border is extended by 20 pixels, and the result is
    convolved with a kernel of 41 x 41 weights. The kernel then covers only 7 x 7 different values. This code sums the
    weights that fall on the same value: one kernel of 7 x 7 sums for each of the 8 x 8 positions of a pixel among the
    repeated ones. The result is the same, with a thirtieth of the multiplications.
    """

    def __init__(self) -> None:
        super().__init__()
        profile = torch.exp(-0.5 * ((torch.linspace(0, 1, SMOOTHING) - 0.5) / math.exp(-2)) ** 2)
        profile = profile / profile.sum()
        self.weight = nn.Parameter(torch.outer(profile, profile)[None, None])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, 1, h, w) to (B, 1, 8 h, 8 w)."""
        weight = self.weight[0, 0]
        middle = SMOOTHING // 2
        margin = math.ceil(middle / ENLARGED)
        pixels = torch.arange(ENLARGED, device=x.device)[:, None] + torch.arange(-middle, middle + 1, device=x.device)
        falls_on = one_hot(pixels.div(ENLARGED, rounding_mode="floor") + margin).to(weight.dtype)  # (8, 41, 7)
        kernels = torch.einsum("pya,yx,qxb->pqab", falls_on, weight, falls_on).flatten(0, 1)[:, None]
        return pixel_shuffle(conv2d(pad(x, [margin] * 4, mode="replicate"), kernels), ENLARGED)


class ConvGRU(nn.Module):
    """Recurrent unit for videos."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.cell_list = nn.ModuleList([ConvGRUCell(channels)])

    def forward(self, frames: torch.Tensor, domain: str) -> torch.Tensor:
        """State after each frame, (B, T, C, h, w), the shape of `frames`."""
        (cell,) = self.cell_list
        state, states = torch.zeros_like(frames[:, 0]), []
        for frame in frames.unbind(1):
            state = cell(frame, state, domain)
            states.append(state)
        return torch.stack(states, 1)


class ConvGRUCell(nn.Module):
    """Gated recurrent unit of separable convolutions. Each is normalised and scaled by a factor per channel."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        for name in ("b_r", "b_z", "b_h"):
            setattr(self, name, nn.Parameter(torch.zeros(channels, 1, 1)))
        for name in ("a_r_x", "a_r_h", "a_z_x", "a_z_h", "a_h_x", "a_h_h"):
            setattr(self, name, nn.Parameter(torch.ones(channels, 1, 1)))
        # The checkpoint holds a dropout mask of the authors' training. Nothing reads it; it is here so the file loads.
        self.register_buffer("drop_mask_1", torch.ones(3, channels))
        for name in ("r_x", "r_h", "z_x", "z_h", "out_x", "out_h"):
            setattr(self, f"norm_{name}", DomainNorm(channels))
        for name in ("w_r", "u_r", "w_z", "u_z", "w", "u"):
            setattr(self, name, SeparableConv(channels))

    def forward(self, x: torch.Tensor, state: torch.Tensor, domain: str) -> torch.Tensor:
        """The state (B, C, h, w) after a frame `x` (B, C, h, w)."""
        r = torch.sigmoid(
            self.a_r_x * self.norm_r_x(self.w_r(x, domain), domain)
            + self.a_r_h * self.norm_r_h(self.u_r(state, domain), domain)
            + self.b_r
        )
        z = torch.sigmoid(
            self.a_z_x * self.norm_z_x(self.w_z(x, domain), domain)
            + self.a_z_h * self.norm_z_h(self.u_z(state, domain), domain)
            + self.b_z
        )
        candidate = torch.tanh(
            self.a_h_x * self.norm_out_x(self.w(x, domain), domain)
            + r * self.a_h_h * self.norm_out_h(self.u(state, domain), domain)
            + self.b_h
        )
        return (1 - z) * state + z * candidate


class SeparableConv(nn.Module):
    """Depthwise separable convolution: filter each channel, then mix the channels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv_dw = nn.Conv2d(channels, channels, 3, padding=1, groups=channels, bias=False)
        self.sep_bn = DomainNorm(channels)
        self.conv_sep = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, x: torch.Tensor, domain: str) -> torch.Tensor:
        return self.conv_sep(relu6(self.sep_bn(self.conv_dw(x), domain)))


def _conv(inside: int, outside: int, side: int, stride: int = 1) -> DomainSequential:
    conv = nn.Conv2d(inside, outside, side, stride, padding=side // 2, bias=False)
    return DomainSequential(conv, nn.BatchNorm2d(outside), nn.ReLU6())


def _block(inside: int, outside: int, expand: int, norm: Callable[[int], nn.Module]) -> DomainSequential:
    return DomainSequential(OrderedDict(inv_res=InvertedResidual(inside, outside, expand, norm)))


def _upsampling() -> nn.Upsample:
    return nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)


def _gaussians() -> torch.Tensor:
    """Random Gaussians (16, 2, 2): for y and x, the mean and the log of the standard deviation."""
    return torch.stack([torch.rand(GAUSSIANS, 2), torch.full((GAUSSIANS, 2), -1.5)], -1)
