"""The trained part of gaze_lite: readouts of the encoder's features, each with a centre prior for each data set."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, interpolate

TAPS = {4: 40, 7: 80, 10: 112, 14: 192, 15: 320}  # block of the encoder that is read: its channels
FINE, COARSE = (4,), (7, 10)  # blocks at 1/8 and at 1/16 of the image; the others are at 1/32
WIDTH, FINE_WIDTH = 96, 48  # channels of the readout at 1/16 and at 1/8
KERNEL = 5  # of its depthwise filters at 1/16; two of them see 9 cells, 144 pixels
DROPOUT = 0.2
MEMBERS = 3  # readouts that differ in their random start; a prediction is the mean of their densities
DATASETS = ("eyecrowd", "nus_scene", "osie", "salicon")  # with a centre prior of their own
PRIOR = (9, 12)  # rows, columns of a centre prior; it is stretched to the image


class Mixer(nn.Module):
    """Filter each channel, then mix channels at every place, with a shortcut (Liu et al. 2022)."""

    def __init__(self, width: int, kernel: int, dropout: float) -> None:
        super().__init__()
        self.filter = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
        self.norm, self.dropout = nn.GroupNorm(1, width), nn.Dropout2d(dropout)
        self.expand, self.project = nn.Conv2d(width, 2 * width, 1), nn.Conv2d(2 * width, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, h, w) to the same shape."""
        return x + self.project(gelu(self.expand(self.dropout(self.norm(self.filter(x))))))


class Readout(nn.Module):
    """Logits of the fixation density at 1/8 of the image, from features at 1/8, 1/16 and 1/32."""

    def __init__(self) -> None:
        super().__init__()
        self.laterals = nn.ModuleList(
            nn.Conv2d(channels, FINE_WIDTH if block in FINE else WIDTH, 1) for block, channels in TAPS.items()
        )
        self.scene = nn.Conv2d(TAPS[max(TAPS)], WIDTH, 1)  # one vector per image, added everywhere
        self.norm, self.fine_norm = nn.GroupNorm(1, WIDTH), nn.GroupNorm(1, FINE_WIDTH)
        self.mixers = nn.Sequential(Mixer(WIDTH, KERNEL, DROPOUT), Mixer(WIDTH, KERNEL, DROPOUT))
        self.to_fine = nn.Conv2d(WIDTH, FINE_WIDTH, 1)
        self.fine_mixer = Mixer(FINE_WIDTH, 3, 0.0)
        self.dropout, self.out = nn.Dropout2d(DROPOUT), nn.Conv2d(FINE_WIDTH, 1, 1)
        self.prior = nn.Parameter(torch.zeros(1, *PRIOR))  # of all data sets
        self.own_priors = nn.Parameter(torch.zeros(len(DATASETS), *PRIOR))  # what a data set adds; zero if unknown

    def forward(self, features: Sequence[Tensor], datasets: Sequence[str | None]) -> Tensor:
        """Logits (B, h / 8, w / 8).

        Args:
            features: of the blocks in `TAPS`, (B, C, h, w) each, standardised.
            datasets: name of each image's data set; others than `DATASETS` get the prior of all.
        """
        fine, coarse, coarsest = [], [], []
        for block, lateral, x in zip(TAPS, self.laterals, features, strict=True):
            level = fine if block in FINE else coarse if block in COARSE else coarsest
            level.append(lateral(self.dropout(x)))
        coarsest.append(self.scene(x.mean((2, 3), keepdim=True)))
        y = self.mixers(self.norm(sum(coarse) + _resized(sum(coarsest), coarse[0])))
        y = self.fine_norm(sum(fine) + _resized(self.to_fine(y), fine[0]))
        y = self.out(self.fine_mixer(y))
        return (y + _resized(self._priors(datasets), y))[:, 0]

    def _priors(self, datasets: Sequence[str | None]) -> Tensor:
        """Logits (B, 1, rows, columns) of the centre priors."""
        own = {name: prior for name, prior in zip(DATASETS, self.own_priors, strict=True)}
        return torch.stack([self.prior + own[name] if name in own else self.prior for name in datasets])


class Readouts(nn.Module):
    """Several readouts of the same features, standardised once for all of them."""

    def __init__(self) -> None:
        super().__init__()
        # Without scale and offset, which the laterals learn, no gradient is needed before the laterals.
        self.norms = nn.ModuleList(nn.BatchNorm2d(channels, affine=False) for channels in TAPS.values())
        self.members = nn.ModuleList(Readout() for _ in range(MEMBERS))

    def forward(self, features: Sequence[Tensor], datasets: Sequence[str | None]) -> Tensor:
        """Logits (B, MEMBERS, h / 8, w / 8); arguments as for `Readout`, with the features as they are."""
        standardised = [norm(x) for norm, x in zip(self.norms, features, strict=True)]
        return torch.stack([member(standardised, datasets) for member in self.members], 1)


def _resized(x: Tensor, like: Tensor) -> Tensor:
    """Resize `x` bilinearly to the height and width of `like`."""
    return interpolate(x, size=like.shape[-2:], mode="bilinear", align_corners=False)
