"""mdsem: one map for each of three viewing durations: 0.5, 3 and 5 seconds.

Fosco et al., How Many Glances? Modeling Multi-duration Saliency, CVPR 2020. An image is resized to fit into 240 x 320
pixels and centred on black. The map is enlarged to the image's size, and the part that shows the image is cut out.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch.nn.functional import avg_pool2d

from salbench.registry import register
from salbench.sample import Sample
from salbench.training import Recipe
from salbench.weights import Checkpoint, matched

from .._caffe import bgr_without_mean
from .._letterboxed import Letterboxed
from .._opencv_resize import unletterboxed
from .keras import axes, keras_name, keras_shape
from .network import MDSEMNetwork

SECONDS = "0.5 s", "3 s", "5 s"
PREDICTED = slice(1, 2)  # 3 seconds, which the authors advise for saliency in general
EPS = 1e-7  # added before the logarithm, because the map has zeros


@register
class MDSEM(Letterboxed):
    """Published: an LSTM weighs Xception's channels by viewing duration (Fosco et al. 2020).

    A prediction is the map of 3 seconds; `features` draws those of all durations.

    The authors rely on Keras's default activation for the gates of the LSTM. It was hard_sigmoid up to Keras 2.2.5 and
    is sigmoid from 2.3.0. It is not known which version trained the published weights: compare the scores of
    `mdsem:hard_sigmoid`, the default here, with those of `mdsem:sigmoid`.

    The page links to the weights on multiduration-saliency.csail.mit.edu; that link was not tested.

    `fit` trains a new network on the map of 3 seconds alone, because samples do not say when people looked. The map is
    averaged over 2 x 2 pixels, to the size of the images, and these are squeezed to 240 x 320 instead of centred on
    black. The recipe is salbench's default, because the authors published none.
    """

    options = ("hard_sigmoid", "sigmoid")
    paper = "Fosco et al., How Many Glances? Modeling Multi-duration Saliency, CVPR 2020"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint(
            "mdsem_salicon_cameraready_weights.hdf5",
            source="https://github.com/diviz-mit/multiduration-saliency",
            licence="none stated",
            trained_on="SALICON-MD (images of SALICON)",
        ),
    )
    recipe = Recipe(size=(240, 320))

    def build_network(self) -> MDSEMNetwork:
        """A new network with random weights."""
        return MDSEMNetwork(self.option)

    def published(self, content: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The state dict from the weights that Keras saved."""
        with torch.device("meta"):
            ours = self.build_network().state_dict()
        counts = {name: torch.tensor(0) for name in ours if name.endswith("num_batches_tracked")}  # Keras has none
        names = {name: keras_name(name) for name in ours if name not in counts}
        found = matched(content, {theirs: keras_shape(theirs, ours[name].shape) for name, theirs in names.items()})
        return counts | {
            name: found[theirs].permute(axes(theirs, found[theirs].ndim)).contiguous() for name, theirs in names.items()
        }

    def setup(self) -> dict[str, str]:
        """The activation of the LSTM's gates."""
        return {"gate": self.option}

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Turn uint8 (B, H, W, 3) RGB into float (B, 3, H, W) BGR without ImageNet's mean."""
        return bgr_without_mean(images)

    def logits(self, network: MDSEMNetwork, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the map of 3 seconds at the images' size, (B, H, W)."""
        return torch.log(avg_pool2d(self.logits_of(network, images, samples), 2) + EPS)

    def logits_of(self, network: MDSEMNetwork, images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """The map of 3 seconds, (B, 2 H, 2 W), not negative."""
        return network(self.preprocess(images), PREDICTED)[:, 0].float()

    def finished(self, saliency: np.ndarray, sample: Sample) -> np.ndarray:
        """The part of the map that shows the image, at the image's size, float32. Not scaled, as published."""
        return unletterboxed(saliency, sample.size)

    def features(self, sample: Sample) -> dict[str, np.ndarray]:
        """The maps of the three durations, float32 (1, 480, 640) each."""
        images = self.images_of(sample).to(self.runtime.device)
        with torch.inference_mode():
            maps = self.network(self.preprocess(images))
        return {seconds: saliency[None] for seconds, saliency in zip(SECONDS, maps[0].cpu().numpy(), strict=True)}
