"""The network of mdsem: Xception, an LSTM that weighs its channels for each viewing duration, and a decoder.

Encoder: Chollet, Xception, CVPR 2017, with the last three strides set to one. Layers have the names of Keras's
Xception; a shortcut and its norm have names of ours. Modules stand in the order of the published file.
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn.functional import relu

from .._tensorflow import enlarged

STRIDE = 8  # input pixels per cell of the features
FEATURES, UNITS = 2048, 512
EPS = 1e-3  # of the norms
DURATIONS = 3  # steps of the LSTM: 0.5, 3 and 5 seconds
GATES = {"hard_sigmoid": lambda x: (0.2 * x + 0.5).clamp(0, 1), "sigmoid": torch.sigmoid}  # Keras's; torch's differs


class MDSEMNetwork(nn.Module):
    """Maps BGR images (B, 3, H, W), values less Caffe's means, to one map for each viewing duration.

    Args:
        gate: activation of the LSTM's gates, one of GATES.
    """

    def __init__(self, gate: str) -> None:
        super().__init__()
        self.encoder = Xception()
        self.attention = TemporalAttention(gate)
        self.decoder = Decoder()

    def forward(self, x: torch.Tensor, durations: slice = slice(None)) -> torch.Tensor:
        """Maps of some of the three durations, (B, T, 2 H, 2 W), not negative.

        Raises:
            ValueError: H or W is not a multiple of 8.
        """
        size = tuple(x.shape[-2:])
        if any(length % STRIDE for length in size):  # otherwise TensorFlow pads the strided pools on one side only
            raise ValueError(f"expected images with sides that are multiples of {STRIDE}, got {size}; resize them")
        features = self.encoder(x)
        weighted = features[:, None] * self.attention(features)[:, durations, :, None, None]
        return self.decoder(weighted.flatten(0, 1)).unflatten(0, weighted.shape[:2])[:, :, 0]


class SeparableConv(nn.Module):
    """3x3 convolution of each channel, then a 1x1 convolution."""

    def __init__(self, inside: int, outside: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv2d(inside, inside, 3, padding=1, groups=inside, bias=False)
        self.pointwise = nn.Conv2d(inside, outside, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, inside, h, w) to (B, outside, h, w)."""
        return self.pointwise(self.depthwise(x))


class Stem(nn.Module):
    """Block 1: two convolutions without padding."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, 2, bias=False)
        self.conv1_bn = nn.BatchNorm2d(32, EPS)
        self.conv2 = nn.Conv2d(32, 64, 3, bias=False)
        self.conv2_bn = nn.BatchNorm2d(64, EPS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, 3, H, W) to (B, 64, H / 2 - 3, W / 2 - 3)."""
        return relu(self.conv2_bn(self.conv2(relu(self.conv1_bn(self.conv1(x))))))


class Block(nn.Module):
    """Separable convolutions with norms, and ReLUs between them.

    Args:
        channels: of the input, and of the output of each convolution.
        stride: of the max-pool at the end and of the projected shortcut; None for neither.
        starts_with_relu: whether the first convolution has a ReLU before it, too.
    """

    def __init__(self, *channels: int, stride: int | None = None, starts_with_relu: bool = True) -> None:
        super().__init__()
        self.starts_with_relu, self.layers = starts_with_relu, len(channels) - 1
        for i, (inside, outside) in enumerate(pairwise(channels), 1):
            self.add_module(f"sepconv{i}", SeparableConv(inside, outside))
            self.add_module(f"sepconv{i}_bn", nn.BatchNorm2d(outside, EPS))
        self.shortcut = None
        if stride is not None:
            self.pool = nn.MaxPool2d(3, stride, 1)
            self.shortcut = nn.Conv2d(channels[0], channels[-1], 1, stride, bias=False)
            self.shortcut_bn = nn.BatchNorm2d(channels[-1], EPS)

    def convolved(self, x: torch.Tensor) -> torch.Tensor:
        """The convolutions alone, (B, channels[-1], h, w)."""
        for i in range(1, self.layers + 1):
            x = relu(x) if i > 1 or self.starts_with_relu else x
            x = self.get_submodule(f"sepconv{i}_bn")(self.get_submodule(f"sepconv{i}")(x))
        return x

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, channels[0], h, w) to (B, channels[-1], h / stride, w / stride), rounded up."""
        if self.shortcut is None:
            return self.convolved(x) + x
        return self.pool(self.convolved(x)) + self.shortcut_bn(self.shortcut(x))


class Head(Block):
    """Block 14: no shortcut, and a ReLU at the end."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, channels[0], h, w) to (B, channels[-1], h, w)."""
        return relu(self.convolved(x))


class Xception(nn.Module):
    """Maps (B, 3, H, W) to features (B, 2048, H / 8, W / 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.block1 = Stem()
        self.block2 = Block(64, 128, 128, stride=2, starts_with_relu=False)
        self.block3 = Block(128, 256, 256, stride=2)
        self.block4 = Block(256, 728, 728, stride=1)
        for number in range(5, 13):
            self.add_module(f"block{number}", Block(728, 728, 728, 728))
        self.block13 = Block(728, 728, 1024, stride=1)
        self.block14 = Head(1024, 1536, FEATURES, starts_with_relu=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in self.children():
            x = block(x)
        return x


class TemporalAttention(nn.Module):
    """A factor from 0 to 1 for each channel and viewing duration, from the features' spatial mean."""

    def __init__(self, gate: str) -> None:
        super().__init__()
        self.dense1 = nn.Linear(FEATURES, UNITS)
        self.lstm = LSTM(gate)
        self.dense2 = nn.Linear(UNITS, FEATURES)

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Factors (B, 3, 2048) for features (B, 2048, h, w)."""
        return torch.sigmoid(self.dense2(self.lstm(relu(self.dense1(features.mean((2, 3)))))))


class LSTM(nn.Module):
    """Keras's LSTM with ReLU in place of tanh, whose input is the same at every step."""

    def __init__(self, gate: str) -> None:
        super().__init__()
        self.gate = GATES[gate]
        self.input = nn.Linear(UNITS, 4 * UNITS, bias=False)
        self.recurrent = nn.Linear(UNITS, 4 * UNITS)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs (B, 3, 512) for an input (B, 512)."""
        x = self.input(x)
        output = memory = x.new_zeros(len(x), UNITS)
        outputs = []
        for _ in range(DURATIONS):
            enters, stays, candidate, leaves = (x + self.recurrent(output)).chunk(4, 1)
            memory = self.gate(stays) * memory + self.gate(enters) * relu(candidate)
            output = self.gate(leaves) * relu(memory)
            outputs.append(output)
        return torch.stack(outputs, 1)


class Decoder(nn.Module):
    """Dilated convolutions between bilinear upsamplings by 2, 2 and 4."""

    def __init__(self) -> None:
        super().__init__()
        channels = FEATURES, 256, 256, 128, 128, 64, 64
        for i in range(1, len(channels)):
            self.add_module(f"conv{i}", nn.Conv2d(channels[i - 1], channels[i], 3, padding=2, dilation=2))
        self.conv7 = nn.Conv2d(channels[-1], 1, 1)
        nn.init.ones_(self.conv7.bias)  # otherwise a new network may give, and keep giving, zeros alone

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (B, 2048, h, w) to (B, 1, 16 h, 16 w)."""
        x = enlarged(relu(self.conv2(relu(self.conv1(x)))), 2)
        x = enlarged(relu(self.conv4(relu(self.conv3(x)))), 2)
        x = relu(self.conv6(relu(self.conv5(x))))
        return relu(enlarged(self.conv7(x), 4))  # published the other way round, which is the same but slower
