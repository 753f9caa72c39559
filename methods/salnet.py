"""salnet: ten layers with large kernels, one of the first networks that were trained for saliency.

Pan et al., Shallow and Deep Convolutional Networks for Saliency Prediction, CVPR 2016 (the deep one). Layers have the
names of the Caffe file of github.com/imatge-upc/saliency-2016-cvpr. An image is shrunk to fit into 320 x 320 pixels,
without antialiasing. The map is resized back, blurred and divided by its maximum, as the authors' code does before it
saves a map, but it is not rounded to 8 bits.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint, matched

from ._he import he_initialised
from ._opencv_blur import blurred
from ._opencv_resize import cubic, resized

MEAN, SCALE = (100.0, 110.0, 118.0), 0.0078431372549  # BGR; 2 / 255
KERNELS, FILTERS = (7, 5, 3, 5, 5, 7, 11, 11, 13), (96, 256, 512, 512, 512, 256, 128, 32, 1)  # of the convolutions
SMALLEST = 4  # pixels; two poolings make one of them
FLOOR = 1e-7  # what is added to a map from 0 to 1 before its logarithm


@register
class SalNet(LearnedMethod):
    """Published: the deep network of ten layers, trained as a regression (Pan et al. 2016).

    The link to the weights in the authors' repository was not tested. The network needs at least four pixels along each
    side; the border of a smaller input is repeated.

    `fit` trains a new network at the authors' input size, 240 x 320. Everything else differs: the authors minimise the
    Euclidean distance to the ground truth map by SGD and start the first three layers from a classification network.
    Here the losses are KL and CC, the optimiser is AdamW, and all layers start from random weights.
    """

    output = "map"
    paper = "Pan et al., Shallow and Deep Convolutional Networks for Saliency Prediction, CVPR 2016"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint(
            "deep_net_model.caffemodel",
            source="https://github.com/imatge-upc/saliency-2016-cvpr",
            licence="MIT",
            trained_on="SALICON",
        ),
    )
    recipe = Recipe(size=(240, 320), learning_rate=1e-4)
    absolute = True

    def build_network(self) -> nn.Sequential:
        """A new network with random weights, whose last layer interpolates: (B, 3, H, W) -> (B, 1, h, w).

        h and w are H and W if these are multiples of four, otherwise smaller.
        """
        network = he_initialised(nn.Sequential(_layers()))
        triangle = (4 - torch.arange(-3.5, 4).abs()) / 4
        with torch.no_grad():
            network.deconv1.weight.copy_(triangle[:, None] * triangle)
        return network

    def published(self, blobs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The network's state dict from Caffe's blobs."""
        with torch.device("meta"):
            ours = {_blob(name): (name, tensor.shape) for name, tensor in self.build_network().state_dict().items()}
        found = matched(blobs, {blob: shape for blob, (_, shape) in ours.items()})
        return {name: found[blob] for blob, (name, _) in ours.items()}

    def images_of(self, sample: Sample) -> torch.Tensor:
        """The image as float (1, h, w, 3), 0 to 255, shrunk so that its longer side is that of the recipe's size."""
        size, step = input_size(sample.size, max(self.recipe.size))
        return torch.from_numpy(resized(sample.image.astype(np.float32), size, step))[None]

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Scale (B, H, W, 3) RGB to float (B, 3, H, W) BGR, from about -1 to 1."""
        mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1)
        return (images.flip(-1).permute(0, 3, 1, 2) - mean) * SCALE

    def logits_of(self, network: nn.Module, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """The published map, (B, h, w), 0 to 255, at the size of the network's output."""
        return (128 * network(self.preprocess(images)).float() + 127).clamp(0, 255)[:, 0]

    def logits(self, network: nn.Module, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the published map, (B, h, w): a softmax of it is the map, scaled to sum to one."""
        return torch.log(self.logits_of(network, images, samples) / 255 + FLOOR)

    def finished(self, saliency: np.ndarray, sample: Sample) -> np.ndarray:
        """The map of the image's size, resized, blurred and divided by its maximum as published."""
        large = blurred(cubic(saliency, sample.size)).clip(0, 255)
        return large / (large.max() or 1)


def input_size(size: tuple[int, int], longest: int) -> tuple[tuple[int, int], float]:
    """The network's input for an image.

    Args:
        size: (height, width) of the image.
        longest: largest height or width of the input. No image is enlarged to it.

    Returns:
        (height, width) of the input, and how many pixels of the image are one pixel of it.
    """
    step = max(1.0, *(side / longest for side in size))
    height, width = (max(round(side / step), SMALLEST) for side in size)
    return (height, width), step


def _layers() -> OrderedDict[str, nn.Module]:
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inside = 3
    for i, (kernel, filters) in enumerate(zip(KERNELS, FILTERS, strict=True), 1):
        layers[f"conv{i}"] = nn.Conv2d(inside, filters, kernel, padding=kernel // 2)
        if i < len(KERNELS):
            layers[f"relu{i}"] = nn.ReLU(inplace=True)
        if i == 1:
            layers["norm1"] = nn.LocalResponseNorm(5, alpha=1e-4, beta=0.75, k=1)
        if i <= 2:
            layers[f"pool{i}"] = nn.MaxPool2d(3, 2, ceil_mode=True)
        inside = filters
    layers["deconv1"] = nn.ConvTranspose2d(1, 1, 8, stride=4, padding=2, bias=False)
    return layers


def _blob(name: str) -> str:
    """Caffe's name of a parameter: conv1.0 for conv1.weight, conv1.1 for conv1.bias."""
    layer, _, kind = name.rpartition(".")
    return f"{layer}.{('weight', 'bias').index(kind)}"
