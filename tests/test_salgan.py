"""salgan: as its authors' code computes it, from an official file of seeded weights to the map."""

from collections import OrderedDict
from types import SimpleNamespace

import conformance
import numpy as np
import pytest
import torch
from blank_networks import blank_networks
from small_networks import small_networks
from torch import nn
from torch.nn.functional import relu

from salbench import registry, weights
from salbench.metrics import kl
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.weights import WeightsProblem

pytestmark = pytest.mark.slow
CASE, SIZE = "odd_333x517", (333, 517)  # of the kit's pictures, the one that is resized before the network
TAPS = {name: f"encoder.{name}" for name in ("conv1_1", "conv5_3")}
TAPS |= {"pool1": "encoder.pools.0", "pool3": "encoder.pools.2", "upool4": "decoder.upool4"}
TAPS |= {name: f"decoder.{name}" for name in ("uconv5_3", "uconv4_1", "uconv3_1", "uconv2_1", "uconv1_1")}
TAP, OUTPUT = 2e-3, 5e-5  # the kit's tolerances; its noise is 3e-4 and 5e-6


@pytest.fixture(scope="module")
def kit():
    return conformance.load("salgan")


@pytest.fixture(scope="module")
def method(kit, tmp_path_factory):
    """With the official file on disk."""
    root = tmp_path_factory.mktemp("weights")
    weights.folder("salgan", root).mkdir()
    arrays = {name: tensor.numpy() for name, tensor in kit.state.items()}
    np.savez(weights.folder("salgan", root) / "gen_modelWeights0090.npz", **arrays)
    method = registry.create("salgan", Runtime(weights_root=root, progress=False))
    with blank_networks():
        assert method.network.training is False
    return method


@pytest.fixture(scope="module")
def outputs(kit, method):
    """{what the kit calls it: what we get}; features are those after the ReLU."""
    sample = sample_of(kit.picture(*SIZE, 1)[0].numpy())
    with conformance.traced(method.network, TAPS | {"output": "decoder.output"}) as traced:
        prediction = method.predict(sample)
    features = {name: relu(tensor) for name, tensor in traced.items()}
    return features | {"output": traced["output"].sigmoid(), "map": prediction, "input": method.images_of(sample)}


def sample_of(picture):
    return Sample("picture", picture.shape[:2], lambda: picture)


def noise(*size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def close(ours, expected, tolerance):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


class TestAsPublished:
    def test_input_in_whole_grey_levels(self, kit, method, outputs):
        """A picture of 192 x 256 pixels is its own input."""
        ours = outputs["input"]
        assert ours.dtype == torch.uint8
        np.testing.assert_array_equal(ours[0, ::8, ::8].permute(2, 0, 1), kit.expected[f"{CASE}/input_sub8"])
        close(kit.summary(ours.permute(0, 3, 1, 2)), kit.expected[f"{CASE}/stats/input"], 1e-9)
        native = kit.picture(192, 256, 0)
        assert torch.equal(method.images_of(sample_of(native[0].numpy())), native)

    @pytest.mark.parametrize("tap", TAPS)
    def test_features(self, tap, kit, outputs):
        close(outputs[tap][0, :4, :4, :4], kit.expected[f"{CASE}/crop/{tap}"], TAP)
        close(kit.summary(outputs[tap]), kit.expected[f"{CASE}/stats/{tap}"], TAP)

    def test_output(self, kit, outputs):
        ours = outputs["output"]
        close(ours[0, 0, ::2, ::2], kit.expected[f"{CASE}/output_sub2"], OUTPUT)
        close(ours[0, 0, :16, :16], kit.expected[f"{CASE}/output_corner"], OUTPUT)
        close(kit.summary(ours), kit.expected[f"{CASE}/stats/output"], OUTPUT)

    def test_map(self, kit, outputs):
        """The authors' blurred map is rounded to 8 bits. All but a few in ten thousand pixels are equal."""
        rounded = np.floor(outputs["map"] + 0.5)
        assert rounded.shape == SIZE
        for ours, name in (rounded[::2, ::2], "saved_uint8_sub2"), (rounded[:16, :16], "saved_uint8_corner"):
            close(ours, kit.expected[f"{CASE}/{name}"], 1)
            assert np.mean(ours != kit.expected[f"{CASE}/{name}"]) < 1e-3
        close(kit.summary(torch.from_numpy(rounded)), kit.expected[f"{CASE}/stats/saved"], 1e-3)


@pytest.fixture(scope="module")
def arrays(kit):
    """The official file's arrays without their numbers."""
    return {name: torch.empty(tensor.shape, device="meta") for name, tensor in kit.state.items()}


class TestFile:
    def test_every_array_has_its_place_in_order(self, kit, method):
        """Kernels of the decoder are reversed along both sides."""
        names = [name for name, _ in method.network.named_parameters()]
        assert (names[0], names[25], names[26], names[53]) == (
            "encoder.conv1_1.weight", "encoder.conv5_3.bias", "decoder.uconv5_3.weight", "decoder.output.bias",
        )  # fmt: skip
        for i, (name, ours) in enumerate(method.network.named_parameters()):
            theirs = kit.state[f"arr_{i}"].numpy()
            flipped = name.startswith("decoder.") and name.endswith(".weight")
            np.testing.assert_array_equal(ours.detach(), theirs[:, :, ::-1, ::-1] if flipped else theirs)

    def test_numbers_decide_not_the_order(self, kit, method):
        shuffled = method.published(dict(reversed(kit.state.items())))
        assert all(torch.equal(tensor, shuffled[name]) for name, tensor in method.network.state_dict().items())

    def test_another_number_of_arrays_is_refused(self, arrays, method):
        for other in ({**arrays, "arr_54": arrays["arr_53"]}, {n: t for n, t in arrays.items() if n != "arr_7"}):
            with pytest.raises(LookupError, match=f"expected 54 arrays, got {len(other)}"):
                method.published(other)

    def test_arrays_that_start_with_another_number_are_refused(self, arrays, method):
        shifted = {f"arr_{i}": tensor for i, tensor in enumerate(list(arrays.values())[2:] + list(arrays.values())[:2])}
        with pytest.raises(LookupError, match=r"arr_0: expected shape \(64, 3, 3, 3\), got \(64, 64, 3, 3\)"):
            method.published(shifted)

    def test_that_of_the_adversary_is_refused(self, tmp_path):
        weights.folder("salgan", tmp_path).mkdir()
        np.savez(weights.folder("salgan", tmp_path) / "gen_modelWeights0090.npz", np.zeros((32, 4, 3, 3)))
        method = registry.create("salgan", Runtime(weights_root=tmp_path, progress=False))
        expected = r"Weights0090\.npz: expected what https://github\.com/imatge-upc/saliency-salgan-2017 publishes"
        with pytest.raises(WeightsProblem, match=expected):
            method.predict(sample_of(noise(8, 8)))


@pytest.fixture(scope="module")
def small():
    """With fewer channels and random weights."""
    with small_networks():
        small = registry.create("salgan", Runtime(init="random"))
        assert small.network.training is False
    return small


class TestPrediction:
    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 3)])
    def test_any_size(self, size, method):
        """The input is what the area filter makes; the map has the picture's size."""
        assert method.images_of(sample_of(noise(*size))).shape == (1, 192, 256, 3)
        saliency = np.random.default_rng(1).random((192, 256), dtype=np.float32)
        finished = method.finished(saliency, sample_of(noise(*size)))
        assert finished.shape == size
        assert 0 <= finished.min() <= finished.max() <= 255

    def test_a_constant_picture(self, small):
        prediction = small.predict(sample_of(np.zeros((7, 5, 3), np.uint8)))
        assert prediction.shape == (7, 5)
        assert np.isfinite(prediction).all()

    def test_is_truncated_and_resized_to_whole_grey_levels(self, method):
        """A constant map shows the first; that blurred whole numbers are sixteenths along one side shows the second."""
        constant = method.finished(np.full((192, 256), 0.654, np.float32), sample_of(noise(3, 3)))
        np.testing.assert_array_equal(constant, np.full((3, 3), 166.0))  # 0.654 * 255 = 166.77
        row = method.finished(np.random.default_rng(1).random((192, 256), dtype=np.float32), sample_of(noise(40, 1)))
        np.testing.assert_array_equal(row * 16, np.rint(row * 16))


@pytest.fixture(scope="module")
def network(method):
    torch.manual_seed(0)
    return method.build_network()


class TestTraining:
    def test_logits_are_those_of_the_map(self, small):
        images = torch.from_numpy(noise(32, 48))[None]
        with torch.inference_mode():
            density = small.logits(small.network, images, [None]).flatten(1).softmax(1)
            saliency = small.logits_of(small.network, images, [None]).flatten(1)
        assert saliency.std() > 0.01
        close(density, saliency / saliency.sum(), 1e-6)

    def test_loss_is_that_of_the_map(self, small):
        density = torch.rand(1, 32, 48, dtype=torch.float64)
        batch = SimpleNamespace(
            images=torch.from_numpy(noise(32, 48))[None], samples=[None], density=density, counts=density, edits=None
        )
        with torch.inference_mode():
            loss = small.loss(small.network, batch).item()
            saliency = small.logits_of(small.network, batch.images, [None])[0].numpy()
        correlation = np.corrcoef(saliency.ravel(), density.numpy().ravel())[0, 1]
        assert loss == pytest.approx(kl(saliency, density[0].numpy()) - correlation, abs=1e-4)

    def test_a_new_network_is_not_saturated_and_all_of_it_learns(self, method, network):
        images = torch.from_numpy(np.stack([noise(32, 48), 255 - noise(32, 48)]))
        logits = method.logits(network, images, [None, None])
        assert 0.01 < logits.exp().std(dim=(1, 2)).min() < logits.exp().std(dim=(1, 2)).max() < 0.45
        assert (logits[0] - logits[1]).abs().max() > 0.01
        (logits * torch.randn(2, 32, 48)).sum().backward()
        assert all(parameter.grad.any() for parameter in network.parameters())


@pytest.fixture(scope="module")
def features():
    """The features of torchvision's VGG-16 with its names."""
    torch.manual_seed(0)
    layers, inside = [], 3
    for group in ([64] * 2, [128] * 2, [256] * 3, [512] * 3, [512] * 3):
        for channels in group:
            convolution = nn.Conv2d(inside, channels, 3, padding=1)
            nn.init.kaiming_normal_(convolution.weight, nonlinearity="relu")
            layers += [convolution, nn.ReLU()]
            inside = channels
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


@pytest.fixture(scope="module")
def encoder(features, method):
    """Ours, with the weights of `features`."""
    state = nn.Sequential(OrderedDict(features=features)).state_dict() | {"classifier.0.bias": torch.zeros(4096)}
    with torch.device("meta"):
        encoder = method.build_network().encoder
    encoder.load_state_dict(method.encoder_state(state), strict=True, assign=True)
    return encoder


class TestImageNet:
    def test_features_are_those_of_torchvision(self, encoder, features, kit):
        """It takes RGB from 0 to 1, standardised; here without its last pool."""
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
        unit = kit.picture(64, 96, 0).permute(0, 3, 1, 2) / 255
        with torch.inference_mode():
            theirs, ours = features[:-1]((unit - mean) / std), encoder(((unit - mean) * 255).flip(1))
        assert theirs.std() > 0.1
        close(ours, theirs, 1e-4)

    def test_the_input_has_the_mean_of_caffe(self, method, kit):
        picture = kit.picture(8, 8, 0)
        ours = method.preprocess(picture)
        for channel, mean in enumerate((103.939, 116.779, 123.68)):  # blue, green, red
            close(ours[0, channel], picture[0, ..., 2 - channel].float() - mean, 1e-5)

    def test_an_incomplete_file_is_refused(self, method):
        with pytest.raises(LookupError, match=r"features\.0\.weight"):
            method.encoder_state({})
