"""sam_resnet: attention that a recurrent unit refines in four steps, and learned Gaussian priors.

Cornia, Baraldi, Serra and Cucchiara, Predicting Human Eye Fixations via an LSTM-based Saliency Attentive Model, IEEE
Transactions on Image Processing 2018; the variant whose backbone is a ResNet-50. The file of
github.com/marcellacornia/sam holds a Keras model for Theano, whose convolutions flip their kernels.

An image is resized to fit into 240 x 320 pixels and centred on black. The map has twice that size. It is brought back
to the image's size, blurred and divided by its maximum. The authors' code does the same before it saves a map; here it
is not rounded to 8 bits.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import avg_pool2d, pad, relu

from salbench.maps import blur
from salbench.registry import register
from salbench.sample import Sample
from salbench.training import Recipe
from salbench.weights import Checkpoint, matched

from ._caffe import bgr_without_mean
from ._letterboxed import Letterboxed
from ._opencv_resize import unletterboxed
from ._resnet import ResNet50, keras_layers, of_caffe, without_biases
from ._tensorflow import enlarged

CHANNELS = 512
STEPS = 4  # of the recurrent unit
PRIORS = 16
SCALE = 16  # pixels of the map per cell of the features; the image has half as many
BLUR_SIGMA = 7.0  # pixels of the image
TINY = 1e-7  # keeps logarithms and quotients finite
# Ends of the priors' centres and widths, across and down, in widths of the padded image.
RANGES = (0.25, 0.75), (0.35, 0.65), (0.1, 0.9), (0.2, 0.8)

# Convolutions of the recurrent unit, in the order of the published file.
GATES = ("wa", "ua", "va", "wi", "ui", "wf", "uf", "wc", "uc", "wo", "uo")
# {layer in the published file: our name} of what follows the recurrent unit.
READOUT = {
    "learningprior_1": "prior1", "atrousconvolution2d_1": "fusion1",
    "learningprior_2": "prior2", "atrousconvolution2d_2": "fusion2", "convolution2d_13": "readout",
}  # fmt: skip
# {ending in the published file: our ending}; Keras 1 calls a variance "std".
CONVOLUTION = {"W": "weight", "b": "bias"}
NORM = {"gamma": "weight", "beta": "bias", "running_mean": "running_mean", "running_std": "running_var"}
PRIOR = {"W": "gaussians"}


@register
class SAMResNet(Letterboxed):
    """Published: an attentive convolutional LSTM and learned priors on a ResNet-50 (Cornia et al. 2018).

    The weights are those that the authors' code loads, trained on SALICON as released in 2015. A file trained on the
    release of 2017 is on the same page. The links were not tested.

    `fit` trains a new network with the authors' loss, batch size, learning rate, epochs and patience. Their training
    differs: the backbone starts from Keras's ImageNet weights; the optimiser is RMSprop with a constant learning rate;
    gradients are not clipped; the loss is computed on maps of twice the size; images are padded instead of stretched;
    the best epoch has the lowest loss.
    """

    paper = "Cornia et al., Predicting Human Eye Fixations via an LSTM-based Saliency Attentive Model, IEEE TIP 2018"
    fit_options = "--dataset salicon_train"
    checkpoints = (
        Checkpoint(
            "sam-resnet_salicon_weights.pkl",
            source="https://github.com/marcellacornia/sam",
            licence="MIT",
            trained_on="SALICON",
        ),
    )
    recipe = Recipe(
        size=(240, 320), epochs=10, batch_size=1, learning_rate=1e-4, weight_decay=0.0, warmup_steps=0, average=0.0,
        losses={"kl": 10.0, "cc": 2.0, "nss": 1.0}, patience=3,
    )  # fmt: skip

    def build_network(self) -> "SAMNetwork":
        """A new network with random weights."""
        return SAMNetwork()

    def published(self, content: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """The published weights by the names of our network."""
        names = published_names()
        with torch.device("meta"):
            own = self.build_network().state_dict()
        # Our backbone has no biases. Each is as long as its convolution has output channels.
        shapes = {
            theirs: own[ours].shape if ours in own else own[ours.replace("bias", "weight")].shape[:1]
            for theirs, ours in names.items()
        }
        found = {names[name]: tensor for name, tensor in matched(content, shapes).items()}
        found = without_biases({name: t.flip(2, 3) if t.ndim == 4 else t for name, t in found.items()})
        return {name: found.get(name, torch.tensor(0)) for name in own}  # files count no batches

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Turn uint8 (B, H, W, 3) RGB into float (B, 3, H, W) BGR without ImageNet's mean."""
        return bgr_without_mean(images)

    def logits(self, network: "SAMNetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Log of the published map at half its size, (B, H, W): a softmax of it is the map, scaled to sum to one."""
        return torch.log(avg_pool2d(network(self.preprocess(images)), 2) + TINY)

    def logits_of(self, network: "SAMNetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """The published map of the padded image, (B, 2 H, 2 W), zero or more."""
        return network(self.preprocess(images))

    def finished(self, saliency: np.ndarray, sample: Sample) -> np.ndarray:
        """The map of the image's size, blurred and divided by its maximum as published; zeros stay zeros."""
        blurred = blur(unletterboxed(saliency, sample.size), BLUR_SIGMA)
        highest = blurred.max()
        return blurred / highest if highest > 0 else np.zeros(sample.size)


class SAMNetwork(nn.Module):
    """The published network."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = ResNet50(dilated=True)
        self.features = nn.Conv2d(2048, CHANNELS, 3, padding=1)
        self.lstm = AttentiveConvLSTM()
        self.prior1, self.prior2 = LearnedPriors(), LearnedPriors()
        self.fusion1, self.fusion2 = _fusion(), _fusion()
        self.readout = nn.Conv2d(CHANNELS, 1, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map BGR without its mean, (B, 3, H, W), both multiples of 8, to saliency >= 0, (B, 2 H, 2 W)."""
        x = self.lstm(relu(self.features(self.backbone(x))))
        for prior, fusion in ((self.prior1, self.fusion1), (self.prior2, self.fusion2)):
            x = relu(fusion(torch.cat([x, prior(x)], 1)))
        return enlarged_by_theano(relu(self.readout(x)).float())[:, 0]


def _fusion() -> nn.Conv2d:
    return nn.Conv2d(CHANNELS + PRIORS, CHANNELS, 5, padding=8, dilation=4)


class AttentiveConvLSTM(nn.Module):
    """A convolutional LSTM that sees the same features at each step, weighted by its attention to places.

    Names are those of the paper: `w` reads the features and `u` the state, except that attention's `wa` reads the state
    and `ua` the features.
    """

    def __init__(self) -> None:
        super().__init__()
        for name in GATES:
            outside = 1 if name == "va" else CHANNELS
            self.add_module(name, nn.Conv2d(CHANNELS, outside, 3, padding=1, bias=name != "va"))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Map features (B, C, h, w) to the state after the last step, of the same shape."""
        state = cell = torch.zeros_like(features)
        of_features = self.ua(features)
        for _ in range(STEPS):
            scores = self.va(torch.tanh(self.wa(state) + of_features))
            x = features * scores.flatten(1).softmax(1).view_as(scores)
            gate_in, gate_forget, gate_out = (
                torch.sigmoid(w(x) + u(state)) for w, u in ((self.wi, self.ui), (self.wf, self.uf), (self.wo, self.uo))
            )
            cell = gate_forget * cell + gate_in * torch.tanh(self.wc(x) + self.uc(state))
            state = gate_out * torch.tanh(cell)
        return state


class LearnedPriors(nn.Module):
    """Gaussians whose centres and widths are learned."""

    def __init__(self) -> None:
        super().__init__()
        low, high = (torch.tensor(ends).repeat_interleave(PRIORS) for ends in zip(*RANGES, strict=True))
        self.gaussians = nn.Parameter(torch.lerp(low, high, torch.rand(len(low))))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """The priors for features (B, C, h, w): (B, 16, h, w), each with a maximum of one.

        The published code first scales each Gaussian to an integral of one, which makes no difference.
        """
        height, width = x.shape[2:]
        mu_x, mu_y, sigma_x, sigma_y = (
            values.clamp(*ends)[:, None, None] for values, ends in zip(self.gaussians.chunk(4), RANGES, strict=True)
        )
        margin = (1 - height / width) / 2
        across = torch.linspace(0, 1, width, device=x.device)
        down = torch.linspace(margin, 1 - margin, height, device=x.device)[:, None]
        distances = (across - mu_x) ** 2 / (2 * sigma_x**2 + TINY) + (down - mu_y) ** 2 / (2 * sigma_y**2 + TINY)
        priors = torch.exp(distances.amin((1, 2), keepdim=True) - distances)
        return priors.expand(len(x), -1, -1, -1)


def enlarged_by_theano(x: torch.Tensor) -> torch.Tensor:
    """Bilinear upsampling by 16 as Theano does it: output pixel i is at (i - 7) / 16 of the input.

    TensorFlow's is at i / 16. So the input gets one more row and column, and the output is cut.
    """
    height, width = (SCALE * side for side in x.shape[2:])
    start = SCALE // 2 + 1
    return enlarged(pad(x, (1, 0, 1, 0), mode="replicate"), SCALE)[:, :, start : start + height, start : start + width]


def published_names() -> dict[str, str]:
    """{name in the published file: our name}, in the order of the file."""
    backbone = [(layer, layer, f"backbone.{of_caffe(layer)}") for layer in keras_layers()]
    unit = [("attentiveconvlstm_1", f"convolution2d_{i}", f"lstm.{name}") for i, name in enumerate(GATES, 2)]
    head = [(layer, layer, ours) for layer, ours in READOUT.items()]
    names = {}
    for group, layer, ours in (*backbone, ("convolution2d_1", "convolution2d_1", "features"), *unit, *head):
        kinds = NORM if layer.startswith("bn") else PRIOR if layer.startswith("learning") else CONVOLUTION
        names |= {f"{group}/{layer}_{kind}": f"{ours}.{name}" for kind, name in kinds.items()}
    del names["attentiveconvlstm_1/convolution2d_4_b"]  # the scores of attention have no bias
    return names
