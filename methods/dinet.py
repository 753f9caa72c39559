"""dinet: a dilated ResNet-50 and three parallel convolutions of large dilation.

Yang, Lin, Jiang and Lin, A Dilated Inception Network for Visual Saliency Prediction, IEEE Transactions on Multimedia
2020. The file of github.com/ysyscool/DINet is a Keras model with convolutions of (rows, columns, in, out) and no bias.

An image is resized to fit into 320 x 480 pixels and centred on black. The map is brought back to the image's size and
stretched to [0, 1]. The authors' code does the same before it saves a map as JPEG; here it is not rounded to 8 bits.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import relu

from salbench.maps import blur, minmax
from salbench.registry import register
from salbench.sample import Sample
from salbench.training import Recipe
from salbench.weights import Checkpoint, matched

from ._caffe import bgr_without_mean
from ._letterboxed import Letterboxed
from ._opencv_resize import unletterboxed
from ._resnet import ResNet50, keras_layers, of_caffe
from ._tensorflow import enlarged, from_tensorflow, kernel_shape

CHANNELS = 256
DILATIONS = (4, 8, 16)
STRIDE = 8  # pixels per cell of the features
BLUR_SIGMA = 7.0  # pixels of the image
TINY = 1e-7  # keeps logarithms finite


@register
class DINet(Letterboxed):
    """Published: a dilated inception module on a dilated ResNet-50 (Yang et al. 2020).

    The authors save each map twice: as it is, and "for better visualisation" after a Gaussian of 7 pixels, which is
    `dinet:blurred`. Their page links the file on Google Drive; the link was not tested.

    `fit` trains a new network with the authors' batch size and epochs. Its loss is theirs, the total variation distance
    of the maps, which is one minus SIM. Their training differs: the backbone starts from ImageNet weights of a source
    that is not stated, and keeps their batch statistics; Adam divides its learning rate of 1e-4 by ten every two
    epochs; gradients are not clipped; images are padded instead of stretched.
    """

    paper = "Yang et al., A Dilated Inception Network for Visual Saliency Prediction, IEEE TMM 2020"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint(
            "DINet.TVdist.EXP0-Salicon-lr=0.0001-bs=10.05-0.2638-0.2038.pkl",
            source="https://github.com/ysyscool/DINet",
            licence="none stated",
            trained_on="SALICON",
        ),
    )
    options = ("sharp", "blurred")
    recipe = Recipe(
        size=(320, 480), epochs=20, batch_size=10, learning_rate=1e-4, weight_decay=0.0, warmup_steps=0, average=0.0,
        losses={"sim": 1.0}, criterion="sim", patience=20,
    )  # fmt: skip

    def build_network(self) -> "DINetwork":
        """A new network with random weights."""
        return DINetwork()

    def published(self, content: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The published weights by the names of our network."""
        names = published_names()
        with torch.device("meta"):
            own = self.build_network().state_dict()
        shapes = {theirs: kernel_shape(own[ours].shape) for theirs, ours in names.items()}
        found = {names[name]: from_tensorflow(tensor) for name, tensor in matched(content, shapes).items()}
        return {name: found.get(name, torch.tensor(0)) for name in own}  # files count no batches

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Turn uint8 (B, H, W, 3) RGB into float (B, 3, H, W) BGR without ImageNet's mean."""
        return bgr_without_mean(images)

    def logits(self, network: "DINetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the published map, (B, H, W): a softmax of it is the map, scaled to sum to one."""
        return torch.log(network(self.preprocess(images)) + TINY)

    def logits_of(self, network: "DINetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """The published map of the padded image, (B, H, W) in (0, 1)."""
        return network(self.preprocess(images))

    def finished(self, saliency: np.ndarray, sample: Sample) -> np.ndarray:
        """The map of the image's size, stretched to [0, 1] as published."""
        saliency = unletterboxed(saliency, sample.size)
        return minmax(blur(saliency, BLUR_SIGMA) if self.option == "blurred" else saliency)


class DINetwork(nn.Module):
    """The published network."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet50(dilated=True, eps=1e-3)
        self.backbone.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)  # TensorFlow pads below and on the right alone
        self.squeeze = nn.Conv2d(2048, CHANNELS, 1, bias=False)
        self.branches = nn.ModuleList(_conv(CHANNELS, dilation) for dilation in DILATIONS)
        self.decoder = nn.Sequential(_conv(CHANNELS), nn.ReLU(), _conv(CHANNELS), nn.ReLU(), _conv(1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map BGR without its mean, (B, 3, H, W), both multiples of 8, to saliency (B, H, W) in (0, 1)."""
        x = relu(self.squeeze(self.backbone(x)))
        x = sum(relu(branch(x)) for branch in self.branches)
        return enlarged(self.decoder(x).float().sigmoid(), STRIDE)[:, 0]


def _conv(channels: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(CHANNELS, channels, 3, padding=dilation, dilation=dilation, bias=False)


def published_names() -> dict[str, str]:
    """{name in the published file: our name}, in the order of the file, where moving statistics come after kernels."""
    layers = {layer: f"backbone.{of_caffe(layer)}" for layer in keras_layers()}
    norms = [layer for layer in layers if layer.startswith("bn")]
    names = {}
    for layer, ours in layers.items():
        kinds = {"gamma": "weight", "beta": "bias"} if layer in norms else {"kernel": "weight"}
        names |= {f"model_2/{layer}/{kind}:0": f"{ours}.{name}" for kind, name in kinds.items()}
    readout = ("squeeze", "branches.0", "branches.1", "branches.2", "decoder.0", "decoder.2", "decoder.4")
    kernels = [f"{ours}.weight" for ours in readout]
    names |= {f"model_2/conv2d_{i}/kernel:0": ours for i, ours in enumerate(kernels[:4], 1)}
    for layer in norms:
        names[f"model_2/{layer}/moving_mean:0"] = f"{layers[layer]}.running_mean"
        names[f"model_2/{layer}/moving_variance:0"] = f"{layers[layer]}.running_var"
    return names | {f"model_3/conv2d_{i}/kernel:0": ours for i, ours in enumerate(kernels[4:], 5)}
