"""salgan: VGG-16 and its mirror image as decoder, trained against a network that tells its maps from true ones.

Pan et al., SalGAN: Visual Saliency Prediction with Generative Adversarial Networks, 2017. Only the generator predicts;
its Lasagne file is that of github.com/imatge-upc/saliency-salgan-2017. Every image is resized to 192 x 256. The map is
truncated to 8 bits, resized back and blurred, as the authors' code does before it saves a map, but the blurred map is
not rounded to 8 bits.
"""

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import logsigmoid

from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint, matched

from ._caffe import bgr_without_mean
from ._he import he_initialised
from ._opencv_blur import blurred
from ._opencv_resize import area, cubic
from ._vgg16 import GROUPS, IMAGENET, STD, VGG16, of_torchvision


@register
class SalGAN(LearnedMethod):
    """Published: VGG-16 with a mirrored decoder, trained against an adversary (Pan et al. 2017).

    The link to the weights in the authors' repository was not tested.

    `fit` trains a new network at the authors' input size, 192 x 256, with their batch size and weight decay. The rest
    differs: the authors minimise binary cross-entropy by AdaGrad, and later the loss of an adversary too. They start
    the encoder from ImageNet weights and train only its last two groups of layers. Here the losses are KL and CC, there
    is no adversary, the optimiser is AdamW, and all layers are trained. With `--from imagenet`, the encoder starts from
    torchvision's ImageNet weights.
    """

    output = "map"
    paper = "Pan et al., SalGAN: Visual Saliency Prediction with Generative Adversarial Networks, 2017"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint(
            "gen_modelWeights0090.npz",
            source="https://github.com/imatge-upc/saliency-salgan-2017",
            licence="MIT",
            trained_on="SALICON",
        ),
    )
    imagenet = (IMAGENET,)
    encoders = ("encoder",)
    recipe = Recipe(size=(192, 256), batch_size=32, learning_rate=1e-4, weight_decay=1e-4)
    absolute = True

    def build_network(self) -> nn.Sequential:
        """A new network with random weights: (B, 3, H, W) -> logits (B, 1, H, W) of the map, H and W in sixteens."""
        pools = [nn.MaxPool2d(2) for _ in GROUPS[1:]]
        network = nn.Sequential(OrderedDict(encoder=VGG16([*pools, None]), decoder=nn.Sequential(_decoder_layers())))
        he_initialised(network)
        with torch.no_grad():  # the input goes from 0 to 255, and He's weights keep its scale up to the logits
            network.encoder.conv1_1.weight.div_(torch.tensor(STD).view(3, 1, 1))
        return network

    def published(self, arrays: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The network's state dict from Lasagne's arrays.

        Raises:
            LookupError: other arrays. As they have no names but numbers, there may be no more of them either.
        """
        with torch.device("meta"):
            ours = self.build_network().state_dict()
        if len(arrays) != len(ours):
            raise LookupError(f"expected {len(ours)} arrays, got {len(arrays)}")
        found = matched(arrays, {f"arr_{i}": tensor.shape for i, tensor in enumerate(ours.values())})
        return {name: _torch_kernel(name, array) for name, array in zip(ours, found.values(), strict=True)}

    def encoder_state(self, state: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The encoder's weights from torchvision's state dict."""
        return of_torchvision(state)

    def images_of(self, sample: Sample) -> torch.Tensor:
        """The image as uint8 (1, H, W, 3) of the recipe's size, by OpenCV's area filter as published."""
        return torch.from_numpy(area(sample.image, self.recipe.size))[None]

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Turn uint8 (B, H, W, 3) RGB into float (B, 3, H, W) BGR without VGG's mean."""
        return bgr_without_mean(images)

    def logits_of(self, network: nn.Module, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """The map of the network, (B, H, W), 0 to 1, at the images' size."""
        return network(self.preprocess(images)).float().sigmoid()[:, 0]

    def logits(self, network: nn.Module, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the map, (B, H, W): a softmax of it is the map, scaled to sum to one."""
        return logsigmoid(network(self.preprocess(images)).float())[:, 0]

    def finished(self, saliency: np.ndarray, sample: Sample) -> np.ndarray:
        """The map of the image's size, 0 to 255: truncated to 8 bits, resized, rounded to 8 bits and blurred."""
        return blurred(np.rint(cubic(np.trunc(saliency * 255), sample.size)).clip(0, 255))


def _decoder_layers() -> OrderedDict[str, nn.Module]:
    """The encoder's layers in reverse order, repeated pixels in place of pools, and one layer that makes the map."""
    layers: OrderedDict[str, nn.Module] = OrderedDict()
    inside = GROUPS[-1][0]
    for group in range(len(GROUPS), 0, -1):
        channels, convolutions = GROUPS[group - 1]
        for layer in range(convolutions, 0, -1):
            layers[f"uconv{group}_{layer}"] = nn.Conv2d(inside, channels, 3, padding=1)
            layers[f"relu{group}_{layer}"] = nn.ReLU(inplace=True)
            inside = channels
        if group > 1:
            layers[f"upool{group - 1}"] = nn.Upsample(scale_factor=2)
    layers["output"] = nn.Conv2d(inside, 1, 1)
    return layers


def _torch_kernel(name: str, array: torch.Tensor) -> torch.Tensor:
    """A kernel or bias. Lasagne flips the decoder's kernels before it uses them; the encoder's come from Caffe."""
    return array.flip(2, 3) if name.startswith("decoder.") and array.ndim == 4 else array
