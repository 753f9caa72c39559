"""msinet: VGG-16 with context from dilated convolutions at several scales.

Kroner, Senden, Driessens and Goebel, Contextual encoder-decoder network for visual saliency prediction, Neural Networks
129, 2020. An image is resized to fit into 240 x 320 pixels and centred on grey. The map is enlarged to cover the
image's size, and its middle is the prediction. It is in 0 to 255 and not rounded to 8 bits.
"""

import re
from collections.abc import Mapping, Sequence

import numpy as np
import torch

from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint, matched

from .._tensorflow import from_tensorflow, kernel_shape
from .network import EPS, MSINetwork
from .resize import resized

MEANS = (103.939, 116.779, 123.68)  # Caffe's means of ImageNet are in the order BGR; the authors use them for RGB
GREY = 126.0
PEAK = 255.0  # of the map before it is resized


@register
class MSINet(LearnedMethod):
    """Published: VGG-16 and dilated convolutions at several scales (Kroner et al. 2020).

    The weights are those of the authors' TensorFlow 1 network for the CPU, in a ZIP archive that download.py of the
    page gets; that link was not tested. The later TensorFlow 2 release prepares images in another way.

    `fit` trains a new network with the authors' loss, batch size, epochs and learning rate. The authors' training
    differs: VGG-16 starts from weights of ImageNet and Places, and the learning rate is constant. Training here
    squeezes images to 240 x 320 instead of centring them on grey.
    """

    output = "map"
    absolute = True
    paper = "Kroner et al., Contextual encoder-decoder network for visual saliency prediction, Neural Networks 2020"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint(
            "model_salicon_cpu.pb",
            source="https://github.com/alexanderkroner/saliency",
            licence="MIT",
            trained_on="SALICON",
        ),
    )
    recipe = Recipe(
        size=(240, 320), epochs=10, batch_size=1, learning_rate=1e-5, weight_decay=0.0, warmup_steps=0, average=0.0,
        losses={"kl": 1.0}, patience=10,
    )  # fmt: skip

    def build_network(self) -> MSINetwork:
        """A new network with random weights."""
        return MSINetwork()

    def published(self, constants: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The state dict from the constants of the frozen graph, which holds others, too."""
        with torch.device("meta"):
            ours = self.build_network().state_dict()
        shapes = {tensorflow_name(name): kernel_shape(tensor.shape) for name, tensor in ours.items()}
        parameters = {name: t for name, t in constants.items() if tuple(t.shape) in set(shapes.values())}
        return dict(zip(ours, map(from_tensorflow, matched(parameters, shapes).values()), strict=True))

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """RGB less the means, float (B, 3, H, W), from (B, H, W, 3) RGB of 0 to 255."""
        return (images - torch.tensor(MEANS, device=images.device)).permute(0, 3, 1, 2)

    def logits(self, network: MSINetwork, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the published map, (B, H, W)."""
        return torch.log(self.logits_of(network, images, samples) + EPS)

    def images_of(self, sample: Sample) -> torch.Tensor:
        """The image on grey, float32 (1, 240, 320, 3) of 0 to 255: whole numbers are not enough."""
        factor = min(new / old for new, old in zip(self.recipe.size, sample.size, strict=True))
        inner = [max(round(length * factor), 1) for length in sample.size]
        canvas = np.full((*self.recipe.size, 3), GREY, np.float32)
        canvas[_middle(self.recipe.size, inner)] = resized(sample.image, inner)
        return torch.from_numpy(canvas)[None]

    def logits_of(self, network: MSINetwork, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """The map, (B, H, W), 0 to 1."""
        return network(self.preprocess(images))

    def finished(self, saliency: np.ndarray, sample: Sample) -> np.ndarray:
        """The map at the image's size, float32 of 0 to 255; the authors round it to 8 bits to save it."""
        factor = max(old / new for new, old in zip(saliency.shape, sample.size, strict=True))
        whole = [max(round(length * factor), 1) for length in saliency.shape]
        return resized(saliency * PEAK, whole)[_middle(whole, sample.size)]


def tensorflow_name(name: str) -> str:
    """The published name of a parameter of ours: "vgg16.conv1_2.weight" is "conv1/conv1_2/kernel"."""
    return re.sub(r"^vgg16/(conv\d)", r"\1/\1", name.replace(".", "/")).replace("weight", "kernel")


def _middle(size: Sequence[int], inner: Sequence[int]) -> tuple[slice, slice]:
    """Rows and columns of the middle of an array."""
    rows, columns = ((outer - length) // 2 for outer, length in zip(size, inner, strict=True))
    return slice(rows, rows + inner[0]), slice(columns, columns + inner[1])
