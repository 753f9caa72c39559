"""PNASNet-5-Large and the decoder that SimpleNet and both branches of TempSAL share, with the published names.

Encoder: Liu et al., Progressive Neural Architecture Search, ECCV 2018. Decoder: Reddy et al., Tidying Deep
Saliency Prediction Architectures, IROS 2020; details as in their code, github.com/samyak0210/saliency.
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from functools import reduce
from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import pad

from salbench.weights import Checkpoint

SIZE = (256, 256)  # height, width of the images that the published weights were trained on
STATES = 5  # a cell concatenates this many of its states

# The ten operations of every cell: (input state, operation). States 0 and 1 come from the two previous cells. The first
# two operations sum to state 2, the next two to state 3, and so on.
OPERATIONS = (
    (0, "separable 5"), (0, "pool"),
    (1, "separable 7"), (1, "pool"),
    (1, "separable 5"), (1, "separable 3"),
    (4, "separable 3"), (1, "pool"),
    (0, "separable 3"), (1, "skip"),
)  # fmt: skip


# Replacements, in this order, that turn the names of Cadene's pretrained-models.pytorch into ours.
FROM_CADENE = (
    (r"^last_linear", "classifier"),
    (r"^conv_0\.conv", "conv0"), (r"^conv_0\.bn", "conv0_bn"),
    (r"^cell_stem_0\.comb_iter_0_right\.conv", "stem1._ops.1.1"),
    (r"^cell_stem_0\.comb_iter_0_right\.bn", "stem1._ops.1.2"),
    (r"^cell_stem_0", "stem1"), (r"^cell_stem_1", "stem2"), (r"^cell_", "cells."),
    (r"\.conv_prev_1x1", ".preprocess0"), (r"\.conv_1x1", ".preprocess1"),
    *((rf"\.comb_iter_{i}_left", f"._ops.{2 * i}") for i in range(5)),
    *((rf"\.comb_iter_{i}_right", f"._ops.{2 * i + 1}") for i in range(5)),
    (r"\.separable_1\.depthwise_conv2d", ".op.1"), (r"\.separable_1\.pointwise_conv2d", ".op.2"),
    (r"\.separable_2\.depthwise_conv2d", ".op.5"), (r"\.separable_2\.pointwise_conv2d", ".op.6"),
    (r"\.bn_sep_1", ".op.3"), (r"\.bn_sep_2", ".op.7"),
    (r"\.path_(\d)\.conv", r".conv_\1"),
    (r"\.conv\.", ".op.1."), (r"\.bn\.", ".op.2."),
    (r"\.final_path_bn", ".bn"),
)  # fmt: skip

# ImageNet weights of the encoder.
IMAGENET = Checkpoint(
    "pnasnet5large-bf079911.pth",
    source="https://github.com/Cadene/pretrained-models.pytorch",
    licence="BSD-3-Clause",
    trained_on="ImageNet",
)


class PNASNet5Large(nn.Module):
    """The encoder: maps RGB (B, 3, H, W) in [-1, 1] to features. H and W must be multiples of 32.

    The published weights include an ImageNet classifier. It is kept so they load, but it is neither used nor trained.
    """

    def __init__(self) -> None:
        super().__init__()
        self.conv0 = nn.Conv2d(3, 96, 3, stride=2, bias=False)
        self.conv0_bn = _norm(96)
        self.stem1 = Cell(nn.Identity(), _pointwise(96, 54), (96, 54), 54, stride=2, projects_pool=True)
        self.stem2 = Cell(FactorizedReduction(96, 108), _pointwise(270, 108), (108, 108), 108, stride=2)
        self.cells = nn.ModuleList()
        before, last = 270, 540
        for i in range(12):
            width = 216 * 2 ** (i // 4)
            first = FactorizedReduction if i in (0, 5, 9) else _pointwise  # the previous cell halved the size
            cell = Cell(first(before, width), _pointwise(last, width), (width, width), width, 2 if i in (4, 8) else 1)
            self.cells.append(cell)
            before, last = last, STATES * width
        self.classifier = nn.Linear(4320, 1001).requires_grad_(False)

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features at 1/2, 1/4, 1/8, 1/16 and 1/32 of the size, with 96, 270, 1080, 2160 and 4320 channels.

        Raises:
            ValueError: height or width is not a multiple of 32.
        """
        if x.shape[-2] % 32 or x.shape[-1] % 32:
            raise ValueError(f"expected height and width in multiples of 32, got {tuple(x.shape[-2:])}; resize first")
        x = self.conv0_bn(self.conv0(x))
        outputs = [x, x]
        for cell in (self.stem1, self.stem2, *self.cells):
            outputs.append(cell(*outputs[-2:]))
        _, half, quarter, _, *cells = outputs
        return [pad(half, (0, 1, 0, 1)), quarter, cells[3], cells[7], cells[11]]  # conv0 has no padding


class Cell(nn.Module):
    """The building block of the encoder: five sums of two operations each, concatenated.

    Args:
        preprocess0: makes state 0 from the output of the cell before the previous one.
        preprocess1: makes state 1 from the output of the previous cell.
        inside: channels of states 0 and 1.
        width: channels of every other state; the output has five times as many.
        stride: stride of the operations that read states 0 and 1.
        projects_pool: whether a convolution to `width` channels follows the first pooling.
    """

    def __init__(
        self,
        preprocess0: nn.Module,
        preprocess1: nn.Module,
        inside: tuple[int, int],
        width: int,
        stride: int,
        projects_pool: bool = False,
    ) -> None:
        super().__init__()
        self.preprocess0, self.preprocess1 = preprocess0, preprocess1
        self._ops = nn.ModuleList()
        for state, kind in OPERATIONS:
            channels, step = (inside[state], stride) if state < 2 else (width, 1)
            self._ops.append(_operation(kind, channels, width, step))
        if projects_pool:
            self._ops[1] = nn.Sequential(self._ops[1], _conv1x1(inside[0], width), _norm(width))

    def forward(self, before: torch.Tensor, last: torch.Tensor) -> torch.Tensor:
        """Output (B, 5 width, h, w) from the outputs of the two previous cells."""
        states = [self.preprocess0(before), self.preprocess1(last)]
        results = (operation(states[state]) for (state, _), operation in zip(OPERATIONS, self._ops, strict=True))
        for first, second in zip(results, results, strict=True):
            states.append(first + second)
        return torch.cat(states[2:], 1)


class FactorizedReduction(nn.Module):
    """Halve the size: every second pixel, concatenated with the pixels one right and one down (zero off the edge)."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.conv_1 = _conv1x1(inside, outside // 2, stride=2)
        self.conv_2 = _conv1x1(inside, outside // 2, stride=2)
        self.bn = _norm(outside)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inside, h, w) to (B, outside, h / 2, w / 2), sizes rounded up."""
        x = x.relu()
        shifted = pad(x, (-1, 1, -1, 1))
        return self.bn(torch.cat([self.conv_1(x), self.conv_2(shifted)], 1))


class PNASSaliency(nn.Module):
    """Encoder and decoder: RGB (B, 3, H, W) in [-1, 1] to K maps. H and W must be multiples of 32.

    Args:
        head: channels of the decoder's last convolutions; the very last is K.
    """

    def __init__(self, *head: int) -> None:
        super().__init__()
        self.pnas = PNASNet5Large()
        self.deconv_layer0 = upsampling(4320, 512)
        self.deconv_layer1 = upsampling(512 + 2160, 256)
        self.deconv_layer2 = upsampling(256 + 1080, 270)
        self.deconv_layer3 = upsampling(270 + 270, 96)
        self.deconv_layer4 = upsampling(96 + 96, 128)
        self.deconv_layer5 = convolutions(128, *head)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Logits (B, K, H, W), whose sigmoid gives the maps in (0, 1)."""
        return self.decode(self.encode(x))

    def encode(self, x: torch.Tensor) -> list[torch.Tensor]:
        """Features at 1/2, 1/4, 1/8 and 1/16 of the size, and those of 1/32, upsampled to 1/16 by the decoder."""
        *features, deepest = self.pnas(x)
        return [*features, self.deconv_layer0(deepest)]

    def decode(self, features: list[torch.Tensor]) -> torch.Tensor:
        """Logits (B, K, H, W) of the features that `encode` returns."""
        half, quarter, eighth, sixteenth, x = features
        x = self.deconv_layer1(torch.cat([x, sixteenth], 1))
        x = self.deconv_layer2(torch.cat([x, eighth], 1))
        x = self.deconv_layer3(torch.cat([x, quarter], 1))
        x = self.deconv_layer4(torch.cat([x, half], 1))
        return self.deconv_layer5(x)


def upsampling(inside: int, outside: int) -> nn.Sequential:
    """One decoder stage: 3x3 convolution, ReLU, twice the size."""
    upsample = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
    return nn.Sequential(nn.Conv2d(inside, outside, 3, padding=1), nn.ReLU(), upsample)


def convolutions(*widths: int) -> nn.Sequential:
    """3x3 convolutions with these numbers of channels, the input's first, and ReLU between them."""
    layers = [layer for pair in pairwise(widths) for layer in (nn.Conv2d(*pair, 3, padding=1), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def centred(images: torch.Tensor) -> torch.Tensor:
    """Scale uint8 (B, H, W, 3) RGB to float (B, 3, H, W) in [-1, 1], the encoder's input."""
    return (images.permute(0, 3, 1, 2).float() / 255 - 0.5) / 0.5


def unwrapped(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Remove every "module." that `nn.DataParallel` added to the names of a state dict."""
    return {".".join(part for part in name.split(".") if part != "module"): t for name, t in state.items()}


def of_cadene(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """State dict of `PNASNet5Large` from that of Cadene's pretrained-models.pytorch.

    Files saved before torch 0.4.1 do not count the batches that a norm has seen. As torch does, count from zero then.
    """
    named = {reduce(lambda name, change: re.sub(*change, name), FROM_CADENE, name): t for name, t in state.items()}
    norms = [name.removesuffix("running_mean") for name in named if name.endswith(".running_mean")]
    return {f"{norm}num_batches_tracked": torch.tensor(0) for norm in norms} | named


def _operation(kind: str, inside: int, outside: int, stride: int) -> nn.Module:
    name, _, kernel = kind.partition(" ")
    if name == "pool":
        return nn.MaxPool2d(3, stride, padding=1)
    if name == "skip":
        return nn.Identity() if stride == 1 else _pointwise(inside, outside, stride)
    return _op(
        nn.ReLU(), *_separable(inside, outside, int(kernel), stride), _norm(outside),
        nn.ReLU(), *_separable(outside, outside, int(kernel), 1), _norm(outside),
    )  # fmt: skip


def _separable(inside: int, outside: int, kernel: int, stride: int) -> tuple[nn.Conv2d, nn.Conv2d]:
    depthwise = nn.Conv2d(inside, inside, kernel, stride, padding=kernel // 2, groups=inside, bias=False)
    return depthwise, _conv1x1(inside, outside)


def _pointwise(inside: int, outside: int, stride: int = 1) -> nn.Sequential:
    return _op(nn.ReLU(), _conv1x1(inside, outside, stride), _norm(outside))


def _op(*layers: nn.Module) -> nn.Sequential:
    """Layers in sequence, inside a module named "op" as in the published weights."""
    return nn.Sequential(OrderedDict(op=nn.Sequential(*layers)))


def _conv1x1(inside: int, outside: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inside, outside, 1, stride, bias=False)


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-3)
