"""transalnet_res and transalnet_dense: as their authors' code computes them, with seeded weights."""

import re
import sys
import warnings

import conformance
import numpy as np
import pytest
import torch
from blank_networks import blank_networks
from small_networks import small_networks
from torch import nn

from salbench import registry, weights
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.weights import WeightsProblem

pytestmark = pytest.mark.slow
TOLERANCE = 1e-4  # the kit's, whose noise is 3.5e-5
NAMES = "transalnet_res", "transalnet_dense"
LEVELS = {"transalnet_res": (5, 6, 7), "transalnet_dense": (6, 8, 10)}  # layers with the outputs x3, x4, x5
CASES = {"native_288x384": (288, 384, 0), "odd_437x331": (437, 331, 1)}  # height, width and variant of the picture
SEEN = {"transalnet_res": "native_288x384", "transalnet_dense": "odd_437x331"}  # by the networks; all else is shared
PARTS = "x3", "x4", "x5", "TransEncoder1", "TransEncoder2", "TransEncoder3", "bn3", "conv7"


def sample_of(image):
    return Sample("picture", image.shape[:2], lambda: image)


def close(ours, expected, tolerance=TOLERANCE):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


@pytest.fixture(scope="module", params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def kit(name):
    return conformance.load(name)


@pytest.fixture(scope="module")
def method(name, kit):
    return conformance.with_weights(name, kit.state)


@pytest.fixture(scope="module")
def samples(kit):
    return {case: sample_of(kit.picture(*size)[0].numpy()) for case, size in CASES.items()}


@pytest.fixture(scope="module")
def case(name):
    return SEEN[name]


@pytest.fixture(scope="module")
def outputs(name, method, samples, case):
    """{what the kit calls it: what we get}, with the prediction."""
    modules = {f"x{i}": f"encoder.encoder.{layer}" for i, layer in enumerate(LEVELS[name], 3)}
    modules |= {part: f"decoder.{part}" for part in PARTS if part.startswith("Trans")}
    modules |= {"bn3": "decoder.batchnorm3", "conv7": "decoder.conv7"}
    with conformance.traced(method.network, modules) as found:
        prediction = method.predict(samples[case].blind())
    changed = {"map": found["conv7"][:, 0].sigmoid(), "bn3": found["bn3"].relu()}
    return found | changed | {"prediction": prediction}


class TestNetwork:
    def test_has_the_published_names_in_their_order(self, kit, method):
        assert list(method.network.state_dict()) == kit.names

    @pytest.mark.parametrize("part", PARTS)
    def test_parts_are_as_published(self, kit, outputs, case, part):
        close(kit.summary(outputs[part]), kit.expected[f"{case}/stats/{part}"])
        close(outputs[part][0, :4, :4, :4], kit.expected[f"{case}/crop/{part}"])

    def test_map_is_as_published(self, kit, outputs, case):
        ours = outputs["map"]
        assert ours.shape == (1, 288, 384)
        close(kit.summary(ours), kit.expected[f"{case}/stats/map"])
        close(ours[0, ::3, ::3], kit.expected[f"{case}/map_sub3"])
        close(ours[0, 128:160, 176:208], kit.expected[f"{case}/map_crop"])

    @pytest.mark.parametrize("i", [1, 3])
    def test_transformer_is_as_published_for_tokens_near_zero(self, kit, method, i):
        """There the norms' epsilon matters."""
        branch = method.network.decoder.get_submodule(f"TransEncoder{i}")
        tokens = kit.tensor(f"transalnet_small_{i}", tuple(branch.position_embeddings.shape), 0.003)
        with torch.inference_mode():
            ours = branch.transformer_encoder(tokens)
        close(kit.summary(ours), kit.expected[f"unit/stats/transformer{i}_small_input"])
        close(ours[0, :8, :16], kit.expected[f"unit/rows/transformer{i}_small_input"])

    def test_another_size_is_refused(self, method):
        with pytest.raises(ValueError, match=r"expected images of 288 x 384 pixels.*, got 384 x 288; resize them"):
            method.network(torch.zeros(1, 3, 384, 288))


class TestBeforeAndAfterTheNetwork:
    def test_letterbox_is_as_published(self, kit, method, samples):
        for case, sample in samples.items():
            bgr = method.images_of(sample)[0].numpy()[..., ::-1]
            np.testing.assert_array_equal(bgr[::4, ::4], kit.expected[f"{case}/pre_u8_sub4"])
            np.testing.assert_array_equal(bgr.sum((0, 1), dtype=int), kit.expected[f"{case}/pre_sum"])

    def test_prediction_is_as_published(self, kit, outputs, case):
        """In 8 bits. The sum tells rounding down from rounding, which a grey level does not."""
        ours = outputs["prediction"]
        assert ours.shape == tuple(kit.expected[f"{case}/post_shape"])
        close(ours[::3, ::3], kit.expected[f"{case}/post_u8_sub3"], 1)
        close(ours.mean(dtype=float), kit.expected[f"{case}/post_sum"] / ours.size, 255 * TOLERANCE)

    def test_wide_picture_is_as_published(self, kit, method, outputs, case):
        sample = sample_of(kit.picture(201, 640, 1)[0].numpy())
        boxed = method.images_of(sample)[0, ::4, ::4].flip(2)
        np.testing.assert_array_equal(boxed, kit.expected["wide_201x640/pre_u8_sub4"])
        if case.startswith("native"):
            ours = method.finished(outputs["map"][0].numpy(), sample)
            close(ours[::4, ::4], kit.expected["wide_201x640/post_of_native_map_sub4"], 1)


class FirstChannel(nn.Module):
    """In place of a network: the first channel of the image, 0 to 1, is the logit."""

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, images):
        return self.scale * images[:, 0]


@pytest.fixture
def spot():
    """A portrait with a red spot at the left and a blue one at the right, and where the red one is."""
    image = np.zeros((400, 200, 3), np.uint8)
    image[90:110, 30:50, 0] = 255
    image[290:310, 150:170, 2] = 255
    return sample_of(image), (99.5, 39.5)


def centre(saliency):
    """(row, column) of the centre of a map's peak."""
    return np.argwhere(saliency > (saliency.min() + saliency.max()) / 2).mean(0)


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 3)])
def test_tiny_pictures(name, size):
    image, method = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8), registry.create(name)
    method._network = FirstChannel()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        prediction = method.predict(sample_of(image))
    assert prediction.shape == size
    assert np.isfinite(prediction).all()


class TestChannelOrder:
    """Published weights get BGR unless told otherwise, all others get RGB."""

    @pytest.mark.parametrize(("option", "first"), [("", "blue"), (":bgr", "blue"), (":rgb", "red")])
    def test_of_published_weights(self, name, spot, option, first):
        method = registry.create(name + option)
        method._network = FirstChannel()
        (row, column), peak = {"red": spot[1], "blue": (299.5, 159.5)}[first], method.predict(spot[0])
        close(centre(peak), (row, column), 1)
        assert method.label == (name if option != ":rgb" else f"{name}+rgb")

    def test_of_weights_trained_here(self, name, spot, tmp_path):
        method = registry.create(f"{name}:{tmp_path / 'best.safetensors'}")
        method._network = FirstChannel()
        close(centre(method.predict(spot[0])), spot[1], 1)

    def test_of_training(self, name, spot):
        """Its logits are the logarithm of the map; its log densities have the image's size and shape."""
        method, images = registry.create(name), torch.randint(0, 256, (2, 288, 384, 3), dtype=torch.uint8)
        with torch.inference_mode():
            logits = method.logits(FirstChannel(), images, [None, None])
        close(logits.exp(), (images[..., 0] / 255).sigmoid(), 1e-6)
        log_density = method.log_density(FirstChannel(), spot[0])
        assert log_density.shape == (400, 200)
        close(centre(log_density), spot[1], 1)


@pytest.fixture(scope="class")
def _small():
    with small_networks():
        yield


@pytest.mark.usefixtures("_small")
class TestSmall:
    """The same with fewer channels."""

    def test_a_constant_picture(self, name):
        method, black = registry.create(name, Runtime(init="random")), np.zeros((40, 50, 3), np.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            prediction = method.predict(sample_of(black))
        assert prediction.shape == (40, 50)
        assert np.isfinite(prediction).all()

    def test_all_learns(self, name):
        """But the biases of keys, which add the same to all scores of a query."""
        method = registry.create(name, Runtime(init="random"))
        network, generator = method.network, torch.Generator().manual_seed(0)
        images = torch.randint(0, 256, (1, 288, 384, 3), dtype=torch.uint8, generator=generator)
        (method.logits(network, images, [None]) * torch.randn(1, 288, 384, generator=generator)).sum().backward()
        still = {key for key, p in network.named_parameters() if p.grad is None or not p.grad.any()}
        assert not {key for key in still if not key.endswith("attn.key.bias")}

    def test_from_the_official_file_to_a_prediction(self, name, samples, tmp_path):
        method = registry.create(name, Runtime(weights_root=tmp_path))
        folder, network = weights.folder(name, tmp_path), method.build_network().eval()
        folder.mkdir()
        torch.save(network.state_dict(), folder / {NAMES[0]: "TranSalNet_Res.pth"}.get(name, "TranSalNet_Dense.pth"))
        sample = samples["native_288x384"]
        bgr = torch.from_numpy(sample.image[..., ::-1] / np.float32(255)).permute(2, 0, 1)
        with torch.inference_mode():
            expected = (network(bgr[None])[0].sigmoid() * 255).floor()
        np.testing.assert_array_equal(method.predict(sample.blind()), expected)

    @pytest.mark.parametrize(
        ("change", "what"),
        [
            (lambda state: {f"module.{key}": tensor for key, tensor in state.items()}, "missing"),
            (lambda state: {key: tensor for key, tensor in state.items() if "conv7" not in key}, "2 missing"),
        ],
        ids=["prefix", "incomplete"],
    )
    def test_another_file_is_refused(self, name, change, what, tmp_path):
        method = registry.create(name, Runtime(weights_root=tmp_path))
        path = weights.folder(name, tmp_path) / method.checkpoints[0].file
        path.parent.mkdir()
        with blank_networks():
            torch.save(change(method.build_network().state_dict()), path)
            with pytest.raises(WeightsProblem, match=what):
                _ = method.network


def torchvision(name):
    """The names in the file of ImageNet weights, in their order; those of norms that the encoder lacks come last."""
    module = sys.modules[registry.get(name).__module__]
    with torch.device("meta"):
        if name == "transalnet_res":
            return [*module.ResNet50(classifies=True).state_dict()]
        names = module.dense_features(module.DENSENET161).state_dict()
    old = [re.sub(r"(denselayer\d+\.)(norm|conv)(\d)", r"\1\2.\3", key) for key in names]
    return [*(f"features.{key}" for key in old if "num_batches" not in key), "classifier.weight", "classifier.bias"]


def test_imagenet_weights_have_their_places(name, kit):
    """By order; the files of DenseNet are older than the counters of norms."""
    encoder = [key.removeprefix("encoder.encoder.") for key in kit.names if key.startswith("encoder.")]
    names = torchvision(name)
    state = registry.create(name).encoder_state({key: torch.tensor(i) for i, key in enumerate(names)})
    assert sorted(state) == sorted(encoder)
    if name == "transalnet_dense":
        assert "features.denseblock1.denselayer1.norm.1.weight" in names
        assert all(state[key] == 0 for key in encoder if "num_batches" in key)
        encoder = [key for key in encoder if "num_batches" not in key]
    assert [state[key].item() for key in encoder] == list(range(len(encoder)))
    unused = {"transalnet_res": 2, "transalnet_dense": 6}[name]  # the classifier, and the last norm of DenseNet
    assert len(names) - len(encoder) == unused
