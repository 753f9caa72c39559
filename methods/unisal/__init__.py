"""unisal: one small network for images and videos, with a few separate parts for each data set.

Droste, Jiao and Noble, Unified Image and Video Saliency Modeling, ECCV 2020. Parameters have the published names, so
the checkpoints of github.com/rdroste/unisal load strictly. Images skip the recurrent unit and use the parts of the
domain SALICON.
"""

import re
from collections.abc import Sequence

import numpy as np
import torch
from PIL import Image

from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint

from .._torchvision import standardised
from .network import DOMAINS, PICTURES, STRIDE, UnisalNetwork

CELLS, SIDES = (100, 120), range(7, 14)  # of an image: the allowed numbers of cells in all, and along each side


@register
class Unisal(LearnedMethod):
    """Published: MobileNetV2 with separate parts for each data set (Droste et al. 2020).

    An image is resized to a grid of 32 x 32 pixel cells as published, see `input_size`; the density has the image's own
    size. For SALICON's images of 480 x 640 pixels this rule gives 288 x 384, the size that the authors state for
    SALICON, so one rule serves all images.

    `fit` trains the image path of a new network. Loss, batch size, epochs, gradient clipping, weight decay (except that
    of the backbone) and the backbone's smaller learning rate are the authors'. Their training differs: it uses SGD with
    momentum (learning rate 0.04, times 0.8 per epoch), here it is AdamW with a learning rate of our own; the backbone
    starts from ImageNet weights (here with `--from imagenet`, and those of torchvision), is frozen for two epochs and
    keeps its batch statistics; videos alternate with images; maps have 480 x 640 pixels.
    """

    paper = "Droste et al., Unified Image and Video Saliency Modeling, ECCV 2020"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint(
            "weights_best.pth",
            source="https://github.com/rdroste/unisal",
            licence="Apache-2.0",
            trained_on="DHF1K, Hollywood-2, UCF Sports, SALICON",
        ),
    )
    imagenet = (
        Checkpoint(
            "mobilenet_v2-b0353104.pth",
            source="https://pytorch.org/vision/stable/models/mobilenetv2.html",
            licence="BSD-3-Clause",
            trained_on="ImageNet",
        ),
    )
    encoders = ("cnn",)
    recipe = Recipe(
        size=(288, 384), epochs=16, batch_size=32, learning_rate=1e-3, rates={"cnn.": 0.1}, weight_decay=1e-4,
        clip=2.0, average=0.0, losses={"kl": 1.0, "nss": 0.1, "cc": 0.1}, patience=16,
    )  # fmt: skip

    def build_network(self) -> UnisalNetwork:
        """A new network with random weights; only parameters that images use can be trained."""
        network = UnisalNetwork()
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(_is_for_pictures(name))
        return network

    def encoder_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """MobileNetV2's weights from torchvision's state dict, without the classifier."""
        return {_of_torchvision(name): t for name, t in state.items() if not name.startswith("classifier.")}

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Standardise uint8 (B, H, W, 3) RGB by ImageNet's mean and standard deviation: float (B, 3, H, W)."""
        return standardised(images)

    def logits(self, network: UnisalNetwork, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Logits (B, H, W) of the images' size."""
        return network(self.preprocess(images), images.shape[1:3])

    def images_of(self, sample: Sample) -> torch.Tensor:
        """The image as uint8 (1, H, W, 3), resized to `input_size` by a Lanczos filter as published."""
        height, width = input_size(*sample.size)
        resized = Image.fromarray(sample.image).resize((width, height), Image.Resampling.LANCZOS)
        return torch.from_numpy(np.array(resized))[None]

    def logits_of(self, network: UnisalNetwork, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Logits (B, height, width) of the samples' own size."""
        return network(self.preprocess(images), samples[0].size)


def input_size(height: int, width: int) -> tuple[int, int]:
    """The network's input size (height, width) for an image of any size, in pixels.

    Of all grids with 100 to 120 cells and 7 to 13 cells along each side, it is the one whose aspect ratio is closest to
    the image's. Of equally close ones, the one with the fewest rows, then the fewest columns, is taken.
    """
    grids = [(rows, columns) for rows in SIDES for columns in SIDES if CELLS[0] <= rows * columns <= CELLS[1]]

    def likeness(grid: tuple[int, int]) -> float:
        smaller, larger = sorted((grid[0] / grid[1], height / width))
        return smaller / larger

    rows, columns = max(grids, key=likeness)
    return STRIDE * rows, STRIDE * columns


def _of_torchvision(name: str) -> str:
    """Our name of a tensor of torchvision's MobileNetV2.

    Inside a block, torchvision makes one module of each convolution with its norm and ReLU, but two of the last
    convolution and its norm. Here all layers are in one row.
    """
    inner = re.fullmatch(r"features\.(\d+)\.conv\.(\d+)(?:\.(\d))?\.(\w+)", name)
    if inner is None:
        return name
    block, module, layer, parameter = inner.groups()
    last = 1 if block == "1" else 2  # index of the last convolution; the first block has no expansion
    index = 3 * min(int(module), last) + (int(layer) if layer else int(module) - last)
    return f"features.{block}.conv.{index}.{parameter}"


def _is_for_pictures(name: str) -> bool:
    """Whether images use a parameter: it is not recurrent, and belongs to SALICON or to all domains."""
    of_other = any(re.search(rf"_{domain}\b", name, re.IGNORECASE) for domain in DOMAINS if domain != PICTURES)
    return not of_other and not name.startswith(("rnn.", "post_rnn."))
