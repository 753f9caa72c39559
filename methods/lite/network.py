"""The network of lite: four levels of inverted residuals, a decoder over the last three, a learned centre prior."""

import torch
from torch import nn
from torch.nn.functional import interpolate

WIDTHS = (24, 40, 64, 96)  # channels at 1/2, 1/4, 1/8 and 1/16 of the input
DECODER = 48
DROPOUT = 0.2
PRIOR = (9, 12)  # rows, columns of the centre prior; it is stretched to the image


class InvertedResidual(nn.Module):
    """Expand channels, filter each, project back; a shortcut if the shape stays (Sandler et al. 2018)."""

    def __init__(self, inside: int, outside: int, stride: int = 1, expand: int = 3, dilation: int = 1) -> None:
        super().__init__()
        hidden = inside * expand
        self.body = nn.Sequential(
            nn.Conv2d(inside, hidden, 1, bias=False), nn.BatchNorm2d(hidden), nn.SiLU(),
            nn.Conv2d(hidden, hidden, 3, stride, dilation, dilation, groups=hidden, bias=False),
            nn.BatchNorm2d(hidden), nn.SiLU(),
            nn.Conv2d(hidden, outside, 1, bias=False), nn.BatchNorm2d(outside),
        )  # fmt: skip
        self.shortcut = inside == outside and stride == 1

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inside, h, w) to (B, outside, h / stride, w / stride), sizes rounded up."""
        return x + self.body(x) if self.shortcut else self.body(x)


class LiteNetwork(nn.Module):
    """Maps standardised RGB (B, 3, H, W) to logits (B, H, W) of the fixation density."""

    def __init__(self) -> None:
        super().__init__()
        a, b, c, d = WIDTHS
        self.stem = nn.Sequential(nn.Conv2d(3, a, 3, 2, 1, bias=False), nn.BatchNorm2d(a), nn.SiLU())
        self.level1 = InvertedResidual(a, a, expand=2)
        self.level2 = nn.Sequential(InvertedResidual(a, b, 2), InvertedResidual(b, b))
        self.level3 = nn.Sequential(InvertedResidual(b, c, 2), InvertedResidual(c, c), InvertedResidual(c, c))
        self.level4 = nn.Sequential(
            InvertedResidual(c, d, 2), InvertedResidual(d, d), InvertedResidual(d, d, dilation=2)
        )
        self.lateral2, self.lateral3, self.lateral4 = (nn.Conv2d(w, DECODER, 1) for w in (b, c, d))
        self.scene = nn.Conv2d(d, DECODER, 1)  # global context: one vector per image, added everywhere
        self.decode3 = InvertedResidual(DECODER, DECODER, expand=2)
        self.decode2 = InvertedResidual(DECODER, DECODER, expand=2)
        self.dropout = nn.Dropout2d(DROPOUT)
        self.readout = nn.Conv2d(DECODER, 1, 1)
        self.prior = nn.Parameter(torch.zeros(1, 1, *PRIOR))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits of any image size from 1 x 1."""
        at2 = self.level2(self.level1(self.stem(x)))
        at3 = self.level3(at2)
        at4 = self.level4(at3)
        y = self.lateral4(self.dropout(at4)) + self.scene(at4.mean((2, 3), keepdim=True))
        y = self.decode3(_upsample(y, at3) + self.lateral3(self.dropout(at3)))
        y = self.decode2(_upsample(y, at2) + self.lateral2(at2))
        y = self.readout(self.dropout(y))
        return _upsample(y + _upsample(self.prior, y), x)[:, 0]


def _upsample(x: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """Resize `x` bilinearly to the height and width of `like`."""
    return interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
