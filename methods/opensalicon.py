"""opensalicon: one VGG-16 sees the image at 1200 x 1600 pixels, another at half that size.

Huang et al., SALICON, ICCV 2015, as re-implemented by Thomas (OpenSALICON, 2016). The weights of the original are not
published. An image of any aspect ratio is stretched to both sizes by cubic splines, and so is the map of 38 x 50 cells
to the size of the image.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache

import numpy as np
import torch
from scipy.ndimage import zoom
from torch import nn
from torch.nn.functional import interpolate, logsigmoid

from salbench.maps import minmax
from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint, matched

from ._vgg16 import VGG16

MEAN = 123.68, 116.779, 103.939  # RGB
BLOBS = "weight", "bias"  # of a layer of Caffe


@register
class OpenSALICON(LearnedMethod):
    """Published: SALICON as re-implemented in OpenSALICON, VGG-16 at two scales (Huang et al. 2015).

    The weights were trained on all 700 images of OSIE. Predictions are stretched to [0, 1] before they are enlarged and
    are not clipped afterwards, as in the authors' code, so a spline can overshoot. A constant map becomes zeros; the
    authors' code divides by zero.

    `opensalicon` continues images and maps beyond their borders by mirroring, as SciPy did when the network was
    published. `opensalicon:nearest` repeats their border, as the authors' code does with SciPy 1.6 or later. The final
    maps differ by up to 0.06 near the border.

    `fit` trains all layers with AdamW on the KL divergence. The authors start from VGG-16 trained on ImageNet, keep the
    first four convolutions of each stream unchanged, and minimise the binary cross-entropy to fixation maps of 38 x 50
    cells, with one image per step as here. The learning rate is our own.

    The repository links to the weights on a personal page of 2016; that link was not tested.
    """

    paper = (
        "Huang et al., SALICON: Reducing the Semantic Gap in Saliency Prediction by Adapting Deep Neural Networks, "
        "ICCV 2015; Thomas, OpenSalicon: An Open Source Implementation of the Salicon Saliency Model, 2016"
    )
    options = ("mirror", "nearest")
    output = "map"
    absolute = True
    checkpoints = (
        Checkpoint(
            "salicon_osie.caffemodel",
            source="https://github.com/CLT29/OpenSALICON",
            licence="none stated",
            trained_on="ImageNet, OSIE",
            seen=("osie",),
        ),
    )
    recipe = Recipe(size=(1200, 1600), batch_size=1, learning_rate=1e-5, losses={"kl": 1.0})

    def build_network(self) -> "OpenSALICONNetwork":
        """A new network with random weights."""
        return OpenSALICONNetwork().to(memory_format=torch.channels_last)  # takes a seventh less time

    def published(self, blobs: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The published weights by the names of our network. Caffe matches layers by name, so names must agree."""
        with torch.device("meta"):
            shapes = {name: tensor.shape for name, tensor in self.build_network().state_dict().items()}
        theirs = {name: in_caffe(name) for name in shapes}
        found = {name: blobs[theirs[name]] for name in shapes}
        return matched(found, shapes)

    def inputs(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The inputs of both streams from uint8 (B, H, W, 3) RGB: float32 (B, 3, h, w) and (B, 3, h / 2, w / 2) BGR.

        (h, w) is the recipe's size.
        """
        mean = torch.tensor(MEAN, dtype=torch.float64, device=images.device)
        scaled = ((images - mean) / 255).flip(3).permute(0, 3, 1, 2)
        height, width = self.recipe.size
        fine, coarse = (splined(scaled, size, self.option) for size in ((height, width), (height // 2, width // 2)))
        return fine.float(), coarse.float()

    def logits(self, network: "OpenSALICONNetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the map at the size of the images, (B, H, W)."""
        cells = network(*self.inputs(images)).float()
        return logsigmoid(interpolate(cells[:, None], images.shape[1:3], mode="bilinear")[:, 0])

    def images_of(self, sample: Sample) -> torch.Tensor:
        """The image at its own size, uint8 (1, H, W, 3)."""
        return torch.from_numpy(np.array(sample.image))[None]

    def logits_of(self, network: "OpenSALICONNetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """The network's map, (B, 38, 50) in [0, 1]."""
        return network(*self.inputs(images)).float().sigmoid()

    def finished(self, saliency: np.ndarray, sample: Sample) -> np.ndarray:
        """The map stretched to [0, 1], then enlarged to the image's size by a spline, float32 (H, W)."""
        return splined(torch.from_numpy(minmax(saliency)), sample.size, self.option).float().numpy()


class OpenSALICONNetwork(nn.Module):
    """Two VGG-16 with weights of their own, down to cells of 32 pixels, and a layer that weighs all their features."""

    def __init__(self) -> None:
        super().__init__()
        self.fine, self.coarse = stream(), stream()
        self.saliency_map = nn.Conv2d(2 * 512, 1, 1)

    def forward(self, fine: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
        """Logits (B, h / 32, w / 32) of the map from the image at (h, w) and at a smaller size.

        Args:
            fine: (B, 3, h, w) BGR, standardised.
            coarse: (B, 3, h', w').
        """
        near = self.fine(fine)
        far = interpolate(self.coarse(coarse), near.shape[-2:], mode="bilinear", align_corners=True)
        return self.saliency_map(torch.cat([far, near], 1))[:, 0]


def stream() -> VGG16:
    """VGG-16 with all five pools. As in Caffe, they round sizes up."""
    return VGG16([nn.MaxPool2d(2, ceil_mode=True) for _ in range(5)])


def in_caffe(name: str) -> str:
    """The published name of one of our tensors: "coarse.conv1_1.bias" is "sec_conv1_1.1"."""
    prefix = "sec_" if name.startswith("coarse.") else ""
    layer, kind = name.split(".")[-2:]
    return f"{prefix}{layer}.{BLOBS.index(kind)}"


def splined(x: torch.Tensor, size: tuple[int, int], mode: str) -> torch.Tensor:
    """Resize by the cubic spline through all values, with aligned corners and without antialiasing.

    Args:
        x: float64 (..., h, w).
        size: the new (height, width).
        mode: how `scipy.ndimage.zoom` continues x beyond its borders.

    Returns:
        float64 (..., height, width).
    """
    rows, columns = (spline(old, new, mode).to(x.device) for old, new in zip(x.shape[-2:], size, strict=True))
    return rows @ x @ columns.mT


@lru_cache(maxsize=8)  # the four for images of one size, and the two for their maps
def spline(old: int, new: int, mode: str) -> torch.Tensor:
    """Weights of `old` values in each of `new` ones, float64 (new, old), see `splined`.

    Splines are linear in the values, so the weights are the splines through unit vectors.
    """
    return torch.from_numpy(zoom(np.eye(old), (new / old, 1), order=3, mode=mode))
