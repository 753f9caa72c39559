"""dsclrcn: LSTMs run along the rows and columns of ResNet-50's features and start from the context of the scene.

Liu and Han, A Deep Spatial Contextual Long-Term Recurrent Convolutional Network for Saliency Detection, IEEE TIP 2018:
the variant ResNet50_ML_DSCLSTM of github.com/nian-liu/DSCLRCN. The weights were published for Caffe; see `converted`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import nn
from torch.nn.functional import conv_transpose2d, relu

from salbench.maps import minmax, resize_matlab
from salbench.registry import register
from salbench.sample import Sample
from salbench.training import LearnedMethod, Recipe
from salbench.weights import Checkpoint, matched

from ._resnet import ResNet50, of_caffe

MEAN = 123.68, 116.779, 103.939  # RGB
STRIDE = 8  # pixels per cell of the map, along each side
SCENE = 227  # pixels of each side of the scene network's input
PLACES = 256  # pixels of each side of the mean image of Places205
HIDDEN = 128  # channels of an LSTM, and of the context
RENAMED = {  # layer in Caffe: our module
    "NormalizedFm": "conv_fm_norm",
    "NormalizedFm1_row_rnn": "rows1.lstm",
    "NormalizedFm1_col_rnn": "columns1.lstm",
    "NormalizedFm1_srnn1_row_rnn": "rows2.lstm",
    "NormalizedFm1_srnn1_col_rnn": "columns2.lstm",
    "context_row_raw": "row_context",
    "context_col_raw": "column_context",
    "global_feature_ip": "scene.global_feature_ip",
    "global_feature": "scene.global_feature",
}
PLACES_MEAN = Checkpoint(
    "places205CNN_mean.binaryproto", source="http://places.csail.mit.edu", licence="none stated", trained_on="Places205"
)


@register
class DSCLRCN(LearnedMethod):
    """Published: ResNet-50, spatial LSTMs and the context of the scene (Liu and Han 2018).

    The authors' script does not use the scene: its second network gets zeros, as here. `dsclrcn:scene` gives it the
    image minus the mean image of Places205, as in the authors' training. That needs a second file, the mean image that
    is published with Places205-CNN. Nothing tells which of the two made the published results. If the published weights
    were converted (`weights convert`), each of the two refuses the file that was converted for the other.

    The published column LSTMs read both copies of the columns from the bottom to the top; one of them was probably
    meant to read from top to bottom. The map is resized and stretched to [0, 1] as in the authors' script, but not
    rounded to 8 bits. How that script stretches is not in the repository; minimum to maximum is assumed.

    The repository links to the weights in two cloud folders; these links were not tested. It does not say whether the
    weights were fine-tuned on MIT1003, so they count as trained on it.

    `fit` trains all of a new network with the authors' loss, batch size and number of steps. The authors start from
    weights trained on ImageNet and Places205, use SGD with a learning rate of 0.01, and take the NSS of a sigmoid. Here
    the learning rate is our own, and the NSS is that of the density that predictions are made from.
    """

    output = "map"
    paper = (
        "Liu, Han, A Deep Spatial Contextual Long-Term Recurrent Convolutional Network for Saliency Detection, IEEE "
        "Transactions on Image Processing 27(7), 2018"
    )
    fit_options = "--dataset salicon_train"
    options = ("zero_scene", "scene")
    checkpoints = (
        Checkpoint(
            "EF_ResNet50_ML_DSCLSTM_best.caffemodel",
            source="https://github.com/nian-liu/DSCLRCN",
            licence="none stated",
            trained_on="ImageNet, Places205, SALICON, MIT1003",
        ),
    )
    recipe = Recipe(size=(480, 640), steps=5000, batch_size=20, learning_rate=1e-4, losses={"nss": 1.0})

    def __init__(self, place: str | None = None) -> None:
        """See `LearnedMethod`. The option "scene" needs one more published file."""
        super().__init__(place)
        if self.option == "scene":
            self.checkpoints = (*self.checkpoints, PLACES_MEAN)

    def build_network(self) -> "DSCLRCNNetwork":
        """A new network with random weights."""
        network = DSCLRCNNetwork(self.recipe.size, sees_scene=self.option == "scene")
        return network.to(memory_format=torch.channels_last)  # takes a seventh less time

    def published(self, blobs: Mapping[str, torch.Tensor], *mean: torch.Tensor) -> dict[str, torch.Tensor]:
        """The published weights by the names of our network, and the mean image of Places205 if the scene is used."""
        layers: dict[str, list[torch.Tensor]] = defaultdict(list)
        for name, blob in blobs.items():
            layers[name.rpartition(".")[0]].append(blob)
        layers.pop("upsample", None)  # the bilinear kernel of `upsampled`, which only training needs
        state = {name: tensor for layer, own in layers.items() for name, tensor in converted(layer, own).items()}
        state["resnet.bn1.running_mean"] = state["resnet.bn1.running_mean"] - state.pop("resnet.conv1.bias")
        for image in mean:
            state["places_mean"] = resized_mean(image)
        return state

    def inputs(self, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None]:
        """The inputs of the network from uint8 (B, H, W, 3) RGB.

        Returns:
            BGR minus its mean, float32 (B, 3, h, w) of the recipe's size, and BGR, float32 (B, 3, 227, 227), if the
            scene is used.
        """
        pictures, mean = images.cpu().numpy(), torch.tensor(MEAN[::-1], device=images.device).view(3, 1, 1)
        scenes = stretched(pictures, (SCENE, SCENE)).to(images.device) if self.option == "scene" else None
        return stretched(pictures, self.recipe.size).to(images.device) - mean, scenes

    def logits(self, network: "DSCLRCNNetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Logits (B, h, w) of the recipe's size: the log of the density, enlarged as in the authors' training."""
        cells = self.logits_of(network, images, samples).float()
        density = cells.flatten(1).softmax(1).view_as(cells)
        return upsampled(density).clamp(min=torch.finfo().tiny).log()

    def images_of(self, sample: Sample) -> torch.Tensor:
        """The image at its own size, uint8 (1, H, W, 3)."""
        return torch.from_numpy(np.array(sample.image))[None]

    def logits_of(self, network: "DSCLRCNNetwork", images: torch.Tensor, samples: Sequence[Sample]) -> torch.Tensor:
        """Logits (B, 60, 80) of the published density."""
        return network(*self.inputs(images))

    def finished(self, log_density: np.ndarray, sample: Sample) -> np.ndarray:
        """The density of the image's size, resized as in MATLAB and stretched to [0, 1], float64 (H, W)."""
        return minmax(resize_matlab(np.exp(log_density), sample.size))


class DSCLRCNNetwork(nn.Module):
    """Maps an image and its scene to logits, one for each cell of 8 x 8 pixels.

    Args:
        size: (height, width) of the images, multiples of 8.
        sees_scene: whether the scene network gets the scene, or else zeros.

    Raises:
        ValueError: a side is not a multiple of 8.
    """

    def __init__(self, size: tuple[int, int], sees_scene: bool) -> None:
        super().__init__()
        if any(side % STRIDE for side in size):
            raise ValueError(f"expected images with sides that are multiples of {STRIDE}, got {size}; resize them")
        self.resnet = ResNet50(dilated=True)
        self.resnet.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)  # of Caffe, without a margin
        self.conv4_g, self.conv5_d = nn.Conv2d(1024, 512, 1), nn.Conv2d(2048, 512, 1)
        self.conv4_g_norm, self.conv5_d_norm, self.conv_fm_norm = Normalise(), Normalise(), Normalise()
        self.conv_fm = nn.Conv2d(2 * 512, 512, 1)
        self.scene = SceneNetwork()
        self.row_context, self.column_context = (Context(2 * side // STRIDE) for side in size)
        self.rows1, self.columns1 = Rows(512), Columns(2 * HIDDEN)
        self.rows2, self.columns2 = Rows(2 * HIDDEN), Columns(2 * HIDDEN)
        self.rnn_FCN7 = nn.Conv2d(2 * HIDDEN, 1, 1)
        if sees_scene:
            self.register_buffer("places_mean", torch.zeros(3, SCENE, SCENE))

    def forward(self, images: torch.Tensor, scenes: torch.Tensor | None) -> torch.Tensor:
        """Logits (B, h, w).

        Args:
            images: (B, 3, 8 h, 8 w) BGR minus its mean.
            scenes: (B, 3, 227, 227) BGR from 0 to 255, or None for zeros in the place of the scene.
        """
        seen = images.new_zeros(1, 3, SCENE, SCENE) if scenes is None else scenes - self.places_mean
        return self.read_out(self.features(images), self.scene(seen).expand(len(images), -1))

    def features(self, images: torch.Tensor) -> torch.Tensor:
        """Local features, (B, 512, h, w)."""
        *_, middle, last = self.resnet.levels(images)
        middle = self.conv4_g_norm(relu(self.conv4_g(middle)))
        last = self.conv5_d_norm(relu(self.conv5_d(last)))
        return self.conv_fm_norm(relu(self.conv_fm(torch.cat([middle, last], 1))))

    def read_out(self, features: torch.Tensor, scene: torch.Tensor) -> torch.Tensor:
        """Logits (B, h, w) from local features and from features of the scene (B, 128)."""
        row_context, column_context = self.row_context(scene), self.column_context(scene)
        x = self.columns1(self.rows1(features, row_context), column_context)
        x = self.columns2(self.rows2(x, row_context), column_context)
        return self.rnn_FCN7(x)[:, 0]


class SceneNetwork(nn.Module):
    """The network of Krizhevsky et al. (2012) as trained on Places205, with one layer in place of its classifier."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1_s = nn.Conv2d(3, 96, 11, 4)
        self.conv2_s = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3_s = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4_s = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5_s = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.norm1, self.norm2 = nn.LocalResponseNorm(5), nn.LocalResponseNorm(5)
        self.global_feature_ip = nn.Linear(256 * 6 * 6, HIDDEN)
        self.global_feature = Normalise()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Features (B, 128) of BGR minus the mean image, (B, 3, 227, 227)."""
        x = self.norm1(self.pool(relu(self.conv1_s(x))))
        x = self.norm2(self.pool(relu(self.conv2_s(x))))
        x = relu(self.conv4_s(relu(self.conv3_s(x))))
        x = self.pool(relu(self.conv5_s(x)))
        return self.global_feature(relu(self.global_feature_ip(x.flatten(1))))


class Normalise(nn.Module):
    """Gives all values of an image together a learned Euclidean norm."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(400.0))  # where the authors' training starts

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        squares = x.float().square().flatten(1).sum(1) + 1e-6
        return x * (self.weight / squares.sqrt()).view(-1, *[1] * (x.ndim - 1))


class Context(nn.Module):
    """Features of the scene for each of `streams` sequences. The published factors are all one and were not trained."""

    def __init__(self, streams: int) -> None:
        super().__init__()
        self.register_buffer("weight", torch.ones(HIDDEN, 1, streams, 1))

    def forward(self, scene: torch.Tensor) -> torch.Tensor:
        """(B, streams, 128) from (B, 128)."""
        return scene[:, None] * self.weight[:, 0, :, 0].T


class Sweep(nn.Module):
    """One LSTM for many sequences, whose first steps also get the context."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(channels + HIDDEN, HIDDEN)
        with torch.no_grad():
            self.lstm.bias_hh_l0.copy_(opened())

    def hidden(self, sequences: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """Hidden states (steps, B, streams, 128).

        Args:
            sequences: (steps, B, streams, channels).
            context: (B, streams, 128).
        """
        given = sequences.new_zeros(*sequences.shape[:3], HIDDEN)
        given[0] = context
        hidden, _ = self.lstm(torch.cat([sequences, given], 3).flatten(1, 2))
        return hidden.unflatten(1, sequences.shape[1:3])


class Rows(Sweep):
    """Reads each row from left to right, and again from right to left."""

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """(B, 256, h, w) from (B, channels, h, w) and the context (B, 2 h, 128)."""
        rightward = x.permute(3, 0, 2, 1)
        hidden = self.hidden(torch.cat([rightward, rightward.flip(0)], 2), context)
        first, second = hidden.chunk(2, 2)
        return torch.cat([first, second.flip(0)], 3).permute(1, 3, 2, 0)


class Columns(Sweep):
    """Reads each column from the bottom to the top, twice; the second time, the columns are in reverse order."""

    def forward(self, x: torch.Tensor, context: torch.Tensor) -> torch.Tensor:
        """(B, 256, h, w) from (B, channels, h, w) and the context (B, 2 w, 128)."""
        upward = x.flip(2).permute(2, 0, 3, 1)
        hidden = self.hidden(torch.cat([upward, upward.flip(2)], 2), context)
        first, second = hidden.chunk(2, 2)
        return torch.cat([first, second.flip(2)], 3).permute(1, 3, 0, 2).flip(2)


def opened() -> torch.Tensor:
    """The second bias of an LSTM, (512,): the authors' forget gates get 1 more than their bias."""
    bias = torch.zeros(4, HIDDEN)
    bias[1] = 1
    return bias.flatten()


def stretched(pictures: np.ndarray, size: tuple[int, int]) -> torch.Tensor:
    """Resize uint8 (B, H, W, 3) RGB as MATLAB does, to float32 (B, 3, height, width) BGR."""
    resized = np.stack([resize_matlab(picture, size) for picture in pictures])
    return torch.from_numpy(resized[..., ::-1].astype(np.float32)).permute(0, 3, 1, 2)


def upsampled(cells: torch.Tensor) -> torch.Tensor:
    """Enlarge (B, h, w) to (B, 8 h, 8 w) by the bilinear kernel of the authors' training, with zeros around the map."""
    at = torch.arange(2 * STRIDE, device=cells.device) + 0.5 - STRIDE
    triangle = 1 - at.abs() / STRIDE
    kernel = torch.outer(triangle, triangle)[None, None]
    return conv_transpose2d(cells[:, None], kernel, stride=STRIDE, padding=STRIDE // 2)[:, 0]


def resized_mean(image: torch.Tensor) -> torch.Tensor:
    """The mean image of Places205, BGR (1, 3, 256, 256) as in its file, at the size of the scene, (3, 227, 227).

    Raises:
        LookupError: another shape.
    """
    (image,) = matched({"mean": image}, {"mean": (3, PLACES, PLACES)}).values()
    resized = resize_matlab(image.permute(1, 2, 0).numpy(), (SCENE, SCENE))
    return torch.from_numpy(resized.astype(np.float32)).permute(2, 0, 1)


def converted(layer: str, blobs: Sequence[torch.Tensor]) -> dict[str, torch.Tensor]:
    """A layer of Caffe as tensors by the names of our network."""
    if layer.endswith("_rnn"):
        tensors = lstm(*blobs)
    elif layer.startswith("bn"):
        tensors = statistics(*blobs)
    elif len(blobs) == 1 and blobs[0].numel() == 1:  # of `Normalise`; some files have a list of one number
        tensors = {"weight": blobs[0].reshape(())}
    else:
        tensors = dict(zip(("weight", "bias"), blobs, strict=False))
    return {f"{place_of(layer)}.{name}": tensor for name, tensor in tensors.items()}


def place_of(layer: str) -> str:
    """Our module for a layer of Caffe. Unknown layers keep their names."""
    if layer in RENAMED:
        return RENAMED[layer]
    if layer.endswith("_s"):
        return f"scene.{layer}"
    if layer == "conv1" or layer.startswith(("res", "bn", "scale")):  # a norm is two layers: statistics, and a scale
        return f"resnet.{of_caffe(layer.replace('scale', 'bn'))}"
    return layer


def statistics(mean: torch.Tensor, variance: torch.Tensor, factor: torch.Tensor) -> dict[str, torch.Tensor]:
    """Statistics of a norm. Caffe stores sums and what to divide them by; a factor of zero stands for zeros."""
    factor = torch.where(factor == 0, torch.inf, factor)
    count = torch.tensor(0)  # of batches, which only training in another mode of the norm would use
    return {"running_mean": mean / factor, "running_var": variance / factor, "num_batches_tracked": count}


def lstm(
    inputs: torch.Tensor, bias: torch.Tensor, context: torch.Tensor, recurrent: torch.Tensor
) -> dict[str, torch.Tensor]:
    """Weights of the authors' LSTM by torch's names, in torch's order of the gates."""
    own = torch.cat([inputs, context], 1), recurrent, bias
    weight_ih, weight_hh, bias_ih = (torch.cat([w.chunk(4)[gate] for gate in (0, 1, 3, 2)]) for w in own)
    return {"weight_ih_l0": weight_ih, "weight_hh_l0": weight_hh, "bias_ih_l0": bias_ih, "bias_hh_l0": opened()}
