"""dinet: from its authors' file to its map, as their code computes it, with seeded weights."""

import importlib
import re
from types import SimpleNamespace

import conformance
import numpy as np
import pytest
import torch
from blank_networks import blank_networks
from keras_writer import write_keras
from small_networks import small_networks

from salbench import registry, weights
from salbench.registry import MethodProblem
from salbench.runtime import Runtime
from salbench.sample import Sample

TAP, MAP, FINISHED = 1e-4, 1e-5, 5e-3  # the kit's tolerances, the last one for values up to 255
CASES = {"native_320x480": (320, 480, 0), "odd_437x331": (437, 331, 1)}  # height, width and variant of the picture
CASE = "native_320x480"  # which the network sees; all have one size before it
TAPS = {"pool1": "backbone.maxpool", "squeeze": "squeeze", "dec2": "decoder.3"}
TAPS |= {name: f"backbone.layer{i}" for i, name in enumerate(("res2c", "res3d", "res4f", "res5c"), 1)}
TAPS |= {f"branch_d{dilation}": f"branches.{i}" for i, dilation in enumerate((4, 8, 16))}
ALL = TAPS | {"sigmoid_40x60": "decoder", "map": ""}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kit():
    return conformance.load("dinet")


@pytest.fixture(scope="module")
def method(kit, tmp_path_factory):
    """The method with a file that holds a whole model, as its authors' training saved it."""
    root = tmp_path_factory.mktemp("weights")
    folder = weights.folder("dinet", root)
    folder.mkdir()
    (published,) = registry.get("dinet").checkpoints
    write_keras(folder / published.file, kit.state, group="model_weights")
    method = registry.create("dinet", Runtime(weights_root=root, progress=False))
    with blank_networks():
        assert method.network.training is False
    return method


@pytest.fixture(scope="module")
def sample_of(kit):
    def of(*size):
        image = kit.picture(*size)[0].numpy()
        return Sample("picture", size[:2], lambda: image)

    return of


@pytest.fixture(scope="module")
def outputs(method, sample_of):
    """{what the kit calls it: what we get}, and the prediction."""
    with conformance.traced(method.network, ALL) as found:
        found["prediction"] = method.predict(sample_of(*CASES[CASE]))
    found |= {name: found[name].relu() for name in TAPS if name != "pool1"}
    return found | {"sigmoid_40x60": found["sigmoid_40x60"].sigmoid()}


def close(ours, expected, tolerance):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


class TestPublishedFile:
    def test_names_and_shapes_are_those_of_the_file(self, kit, method):
        assert list(importlib.import_module(type(method).__module__).published_names()) == kit.names
        empty = {name: torch.empty(tensor.shape, device="meta") for name, tensor in kit.state.items()}
        own = {name: tensor.shape for name, tensor in method.network.state_dict().items()}
        assert {name: tensor.shape for name, tensor in method.published(empty).items()} == own

    def test_other_numbers_of_layers_are_matched_by_order(self, kit, method):
        def later(name):
            name = re.sub(r"conv2d_(\d)", lambda found: f"conv2d_{int(found[1]) + 7}", name)
            return name.replace("model_2", "model_5").replace("model_3", "model_6")

        with pytest.warns(UserWarning, match="272 of 272 tensors have other names"):
            found = method.published({later(name): tensor for name, tensor in kit.state.items()})
        own = method.network.state_dict()
        assert list(found) == list(own)
        assert all(torch.equal(found[name], tensor) for name, tensor in own.items())

    def test_an_incomplete_file_is_refused(self, kit, method):
        with pytest.raises(LookupError, match=r"expected 272 tensors, got 271, without model_3/conv2d_7/kernel:0"):
            method.published({name: kit.state[name] for name in kit.names[:-1]})


class TestParity:
    @pytest.mark.parametrize("size", [*CASES.values(), (201, 640, 1)])
    def test_padded_picture_is_as_published(self, kit, method, sample_of, size):
        (ours,) = method.images_of(sample_of(*size)).numpy()[..., ::-1]
        case = f"odd_{size[0]}x{size[1]}" if size[0] == 437 else "native_320x480"
        if size[0] == 201:
            close(ours[::4, ::4], kit.expected["wide_201x640/pre_u8_sub4"], 0)
        else:
            close(ours[::4, ::4], kit.expected[f"{case}/pre_bgr_u8_sub4"], 0)
            close(ours.sum((0, 1), dtype=np.int64), kit.expected[f"{case}/pre_bgr_sum"], 0)

    @pytest.mark.parametrize("tap", [*TAPS, "sigmoid_40x60"])
    def test_parts_are_as_published(self, kit, outputs, tap):
        close(kit.summary(outputs[tap]), kit.expected[f"{CASE}/stats/{tap}"], TAP)
        close(outputs[tap][0, :4, :4, :4], kit.expected[f"{CASE}/crop/{tap}"], TAP)

    def test_map_is_as_published(self, kit, outputs):
        (ours,) = outputs["map"]
        close(outputs["sigmoid_40x60"][0, 0], kit.expected[f"{CASE}/sigmoid_40x60"], MAP)
        close(kit.summary(ours), kit.expected[f"{CASE}/stats/map"], MAP)
        close(ours[::4, ::4], kit.expected[f"{CASE}/map_sub4"], MAP)
        close(ours[:32, -32:], kit.expected[f"{CASE}/map_crop"], MAP)

    def test_prediction_is_as_published(self, kit, outputs):
        self._check(kit, outputs["prediction"], "post")

    def test_blurred_prediction_is_as_published(self, kit, outputs, sample_of):
        blurred = registry.create("dinet:blurred").finished(outputs["map"][0].numpy(), sample_of(*CASES[CASE]))
        self._check(kit, blurred, "post3")

    def _check(self, kit, ours, name):
        assert ours.shape == tuple(kit.expected[f"{CASE}/{name}_shape"])
        close(kit.summary(torch.from_numpy(255 * ours)), kit.expected[f"{CASE}/stats/{name}"], FINISHED)
        close(255 * ours[::4, ::4], kit.expected[f"{CASE}/{name}_sub4"], FINISHED)

    def test_a_wide_picture(self, kit, method, outputs, sample_of):
        """That of sam_resnet's tests is tall; both are finished by the same code."""
        ours = method.finished(outputs["map"][0].numpy(), sample_of(201, 640, 1))
        close(255 * ours[::4, ::4], kit.expected["wide_201x640/post_of_native_map_sub4"], FINISHED)


class Blue(torch.nn.Module):
    """A network whose map is the blue channel of its input, from 0.1 to 0.9."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        return 0.1 + 0.8 * (x[:, 0] + 103.939) / 255


class TestPrediction:
    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (700, 3)])
    @pytest.mark.parametrize("option", ["sharp", "blurred"])
    def test_any_size(self, size, option):
        method = registry.create(f"dinet:{option}")
        method._network = Blue()
        picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        prediction = method.predict(Sample("picture", size, lambda: picture))
        assert prediction.shape == size
        assert (prediction.min(), prediction.max()) == ((0, 0) if size == (1, 1) else (0, 1))

    def test_validation_sees_the_part_that_shows_the_picture(self):
        ramp = np.zeros((437, 331, 3), np.uint8)
        ramp[..., 2] = np.linspace(0, 255, 437)[:, None]
        found = registry.create("dinet").log_density(Blue(), Sample("picture", (437, 331), lambda: ramp))
        found, expected = np.exp(found), 0.1 + 0.8 * np.linspace(0, 1, 437)
        inner = found[5:-5, 5:-5] / found[5:-5, 5:-5].sum()
        expected = np.broadcast_to(expected[5:-5, None], inner.shape)
        np.testing.assert_allclose(inner * expected.sum(), expected, atol=0.01)


class TestTraining:
    def test_loss_is_the_total_variation_distance(self):
        method, rng = registry.create("dinet"), np.random.default_rng(1)
        picture, density = rng.integers(0, 256, (1, 16, 24, 3), dtype=np.uint8), rng.random((1, 16, 24))
        batch = SimpleNamespace(
            images=torch.from_numpy(picture), samples=[None], density=torch.from_numpy(density), counts=None, edits=None
        )
        saliency = 0.1 + 0.8 * picture[..., 2] / 255
        distance = np.abs(saliency / saliency.sum() - density / density.sum()).sum() / 2
        assert method.loss(Blue(), batch).item() == pytest.approx(distance - 1, abs=1e-6)

    def test_everything_learns(self):
        """With fewer channels."""
        method = registry.create("dinet")
        torch.manual_seed(0)
        with small_networks():
            network = method.build_network()
        images = torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8)
        (method.logits(network, images, [None, None]) * torch.randn(2, 64, 96)).sum().backward()
        assert all(parameter.grad.any() for parameter in network.parameters())


class TestVariants:
    def test_their_names_are_in_the_row_also_with_random_weights(self):
        labels = [registry.create(spec, Runtime(init="random")).label for spec in ("dinet", "dinet:blurred")]
        assert labels == ["dinet+random-init", "dinet+blurred+random-init"]
        assert registry.create("dinet:blurred").label == "dinet+blurred"
        assert registry.create("dinet:sharp").label == "dinet"

    def test_an_unknown_one_is_told(self):
        with pytest.raises(
            MethodProblem, match=r"unknown variant 'blured'. Did you mean 'blurred'\? .*a folder that fit"
        ):
            registry.create("dinet:blured")
