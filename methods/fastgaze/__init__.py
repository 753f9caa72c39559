"""fastgaze: the pruned network with which Twitter cropped images.

Theis et al. (2018) distilled DeepGaze II into a network of VGG's kind and pruned it; Twitter published one such network
with its analysis of image cropping (Yee et al. 2021). The published file states the layers. It does not state what they
expect and what becomes of their output, and the authors' program was not run. So these choices are inferred from
training images, or are those usual for VGG where the images do not decide (results/fastgaze_preprocessing.md):

| choice | here | candidates |
|---|---|---|
| channels | blue, green, red | this order, or the reverse |
| subtracted mean (undecided) | VGG's | VGG's, 127.5, or none |
| longer side of the input | 512 pixels | 256, 320, 384 (all worse), 448 or 640 pixels (undecided) |
| filters (undecided) | as stored | as stored, or flipped |
| beyond the border of a layer (undecided) | zeros | zeros, or the border repeated |
| pooling | maximum | maximum or mean |
| Gaussian of the last layer | at the input's size | 1, 2, 4 or 16 (the input's) times that of the cells, or none |
| output | a log density | a log density, a density, or the logit of a density |
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe

from .network import STRIDE, FastGazeNetwork, enlarged, smoothed

MEAN = (103.939, 116.779, 123.68)  # BGR of VGG's training images
LENGTH = 512  # pixels of the longer side of the input


@register
class FastGaze(LearnedMethod):
    """Published: the pruned network with which Twitter cropped images (Theis et al. 2018).

    `fit` trains a new network of the same layers by salbench's default recipe. The authors distilled a larger network
    and pruned the result.
    """

    paper = "Theis et al., Faster gaze prediction with dense networks and Fisher pruning, 2018"
    recipe = Recipe(size=(384, 512))
    weights = Path(__file__).parent / "fastgaze.safetensors"

    def build_network(self) -> FastGazeNetwork:
        """A new network with random weights."""
        return FastGazeNetwork()

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Turn uint8 (B, H, W, 3) RGB into float (B, 3, H, W) BGR without VGG's mean."""
        mean = torch.tensor(MEAN, device=images.device).view(3, 1, 1)
        return images.flip(-1).permute(0, 3, 1, 2).float() - mean

    def logits(self, network: FastGazeNetwork, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Logits (B, H, W) of the images' size."""
        return smoothed(enlarged(network(self.preprocess(images)), images.shape[1:3]))

    def images_of(self, sample: Sample) -> torch.Tensor:
        """The image as uint8 (1, H, W, 3), resized to `input_size` by a bilinear filter."""
        height, width = input_size(*sample.size)
        resized = Image.fromarray(sample.image).resize((width, height), Image.Resampling.BILINEAR)
        return torch.from_numpy(np.array(resized))[None]


def input_size(height: int, width: int) -> tuple[int, int]:
    """The network's input size (height, width) for an image of any size: whole cells, the longer side 512 pixels."""
    longer = max(height, width)
    sides = (max(1, round(LENGTH * side / (longer * STRIDE))) * STRIDE for side in (height, width))
    return tuple(sides)
