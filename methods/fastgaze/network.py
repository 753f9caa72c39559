"""The network of fastgaze: what the published file says of its 19 layers."""

import torch
from torch import nn
from torch.nn.functional import conv2d, interpolate, pad

STAGES = ((43, 44), (49, 56), (44, 38), (31, 20), (18, 10))  # channels of 3 x 3 convolutions; pooling between stages
READOUT = (7, 7, 2, 1)  # channels of 1 x 1 convolutions, each with a leaky rectifier
STRIDE = 2 ** (len(STAGES) - 1)  # input pixels per cell of the readout, along each side
DEVIATION, RADIUS = 3, 9  # of the Gaussian, in pixels


class FastGazeNetwork(nn.Sequential):
    """Maps images to coarse logits of the fixation density. Layers 0 to 17 of the file."""

    def __init__(self) -> None:
        layers: list[nn.Module] = []
        inside = 3
        for stage in STAGES:
            layers += [nn.MaxPool2d(2)] if layers else []
            for outside in stage:
                layers += [nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU()]
                inside = outside
        for outside in READOUT:
            layers += [nn.Conv2d(inside, outside, 1), nn.PReLU()]
            inside = outside
        super().__init__(*layers)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        """Logits (B, H / 16, W / 16) of pictures (B, 3, H, W)."""
        return super().forward(pictures)[:, 0]


def enlarged(logits: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Logits (B, h, w) resized to (B, *size), bilinear."""
    return interpolate(logits[:, None], size=size, mode="bilinear", align_corners=False)[:, 0]


def smoothed(logits: torch.Tensor) -> torch.Tensor:
    """Logits (B, h, w) after a Gaussian that repeats the border. Layer 18 of the file."""
    taps = torch.arange(-RADIUS, RADIUS + 1, device=logits.device)
    kernel = torch.exp(-(taps**2) / (2 * DEVIATION**2)).to(logits)
    kernel = (kernel / kernel.sum()).view(1, 1, -1, 1)
    x = pad(logits[:, None], [RADIUS] * 4, mode="replicate")
    return conv2d(conv2d(x, kernel), kernel.transpose(2, 3))[:, 0]
