"""sam_resnet: as its authors' code computes it, with seeded weights by the names in their file."""

import importlib
import re
from types import SimpleNamespace

import conformance
import numpy as np
import pytest
import torch
from small_networks import small_networks

from salbench import registry
from salbench.metrics import cc, kl
from salbench.sample import Sample

TOLERANCE, FINISHED = 1e-4, 0.01  # the kit's, the second one for values up to 255
CASES = {"native_240x320": (240, 320, 0), "odd_437x331": (437, 331, 1)}  # height, width and variant of the picture
CASE = "odd_437x331"  # which the network sees; all have one size before it
TAPS = {"pool1": "backbone.maxpool", "convlstm": "lstm", "prior1": "prior1", "prior2": "prior2"}
TAPS |= {name: f"backbone.layer{i}" for i, name in enumerate(("res2c", "res3d", "res4f", "res5c"), 1)}
BEFORE_RELU = {"conv_feat": "features", "lp1": "fusion1", "lp2": "fusion2", "out_30x40": "readout"}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def kit():
    return conformance.load("sam_resnet")


@pytest.fixture(scope="module")
def method(kit):
    return conformance.with_weights("sam_resnet", kit.state)


@pytest.fixture(scope="module")
def sample_of(kit):
    def of(*size):
        image = kit.picture(*size)[0].numpy()
        return Sample("picture", size[:2], lambda: image)

    return of


@pytest.fixture(scope="module")
def outputs(method, sample_of):
    """{what the kit calls it: what we get}, and the prediction."""
    with conformance.traced(method.network, TAPS | BEFORE_RELU | {"map": ""}) as found:
        found["prediction"] = method.predict(sample_of(*CASES[CASE]))
    return found | {name: found[name].relu() for name in BEFORE_RELU}


def close(ours, expected, tolerance=TOLERANCE):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


class TestPublishedFile:
    def test_names_and_shapes_are_those_of_the_file(self, kit, method):
        assert list(importlib.import_module(type(method).__module__).published_names()) == kit.names
        empty = {name: torch.empty(tensor.shape, device="meta") for name, tensor in kit.state.items()}
        own = {name: tensor.shape for name, tensor in method.network.state_dict().items()}
        assert {name: tensor.shape for name, tensor in method.published(empty).items()} == own

    def test_other_numbers_of_layers_are_matched_by_order(self, kit, method):
        def later(name):
            return re.sub(r"convolution2d_(\d+)", lambda found: f"convolution2d_{int(found[1]) + 13}", name)

        with pytest.warns(UserWarning, match="29 of 349 tensors have other names"):
            found = method.published({later(name): tensor for name, tensor in kit.state.items()})
        own = method.network.state_dict()
        assert list(found) == list(own)
        assert all(torch.equal(found[name], tensor) for name, tensor in own.items())

    def test_an_incomplete_file_is_refused(self, kit, method):
        with pytest.raises(LookupError, match=r"expected 349 tensors, got 348, without convolution2d_13/.*_13_b"):
            method.published({name: kit.state[name] for name in kit.names[:-1]})


class TestParity:
    @pytest.mark.parametrize("case", CASES)
    def test_padded_picture_is_as_published(self, kit, method, sample_of, case):
        (ours,) = method.images_of(sample_of(*CASES[case])).numpy()[..., ::-1]
        close(ours[::4, ::4], kit.expected[f"{case}/pre_bgr_u8_sub4"], 0)
        close(ours.sum((0, 1), dtype=np.int64), kit.expected[f"{case}/pre_bgr_sum"], 0)

    @pytest.mark.parametrize("tap", [*TAPS, *BEFORE_RELU])
    def test_parts_are_as_published(self, kit, outputs, tap):
        close(kit.summary(outputs[tap]), kit.expected[f"{CASE}/stats/{tap}"])
        close(outputs[tap][0, :4, :4, :4], kit.expected[f"{CASE}/crop/{tap}"])

    def test_priors_are_as_published(self, kit, outputs):
        close(outputs["prior1"][0, :, ::3, ::4], kit.expected["prior1_full"])

    def test_map_is_as_published(self, kit, outputs):
        (ours,) = outputs["map"]
        close(outputs["out_30x40"][0, 0], kit.expected[f"{CASE}/out_30x40"])
        close(kit.summary(ours), kit.expected[f"{CASE}/stats/map"])
        close(ours[::6, ::6], kit.expected[f"{CASE}/map_sub6"])
        close(ours[:40, :40], kit.expected[f"{CASE}/map_crop_topleft"])
        close(ours[-40:, -40:], kit.expected[f"{CASE}/map_crop_bottomright"])

    def test_prediction_is_as_published(self, kit, outputs):
        ours = 255 * outputs["prediction"]
        assert ours.shape == tuple(kit.expected[f"{CASE}/post_shape"])
        close(kit.summary(torch.from_numpy(ours)), kit.expected[f"{CASE}/stats/post"], FINISHED)
        close(ours[::4, ::4], kit.expected[f"{CASE}/post_sub4"], FINISHED)

    def test_a_wide_picture_is_padded(self, kit, method, sample_of):
        (padded,) = method.images_of(sample_of(201, 640, 1)).numpy()[..., ::-1]
        close(padded[::4, ::4], kit.expected["wide_201x640/pre_u8_sub4"], 0)


class Blue(torch.nn.Module):
    """A network whose map is the blue channel of its input, from 0.1 to 0.9, at twice its size."""

    def __init__(self):
        super().__init__()
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, x):
        saliency = 0.1 + 0.8 * (x[:, 0] + 103.939) / 255
        return saliency.repeat_interleave(2, 1).repeat_interleave(2, 2)


class TestPrediction:
    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (700, 3)])
    def test_any_size(self, size):
        method = registry.create("sam_resnet")
        method._network = Blue()
        picture = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
        prediction = method.predict(Sample("picture", size, lambda: picture))
        assert prediction.shape == size
        assert 0 < prediction.min() <= prediction.max() == 1

    def test_a_map_of_zeros_stays_zero(self):
        sample = Sample("picture", (30, 50), lambda: np.zeros((30, 50, 3), np.uint8))
        found = registry.create("sam_resnet").finished(np.zeros((480, 640), np.float32), sample)
        np.testing.assert_array_equal(found, np.zeros((30, 50)))

    def test_validation_sees_the_part_that_shows_the_picture(self):
        ramp = np.zeros((437, 331, 3), np.uint8)
        ramp[..., 2] = np.linspace(0, 255, 437)[:, None]
        found = registry.create("sam_resnet").log_density(Blue(), Sample("picture", (437, 331), lambda: ramp))
        found, expected = np.exp(found), 0.1 + 0.8 * np.linspace(0, 1, 437)
        inner = found[5:-5, 5:-5] / found[5:-5, 5:-5].sum()
        expected = np.broadcast_to(expected[5:-5, None], inner.shape)
        np.testing.assert_allclose(inner * expected.sum(), expected, atol=0.01)


class TestTraining:
    def test_loss_is_that_of_the_authors(self):
        method, rng = registry.create("sam_resnet"), np.random.default_rng(1)
        picture, density = rng.integers(0, 256, (1, 16, 24, 3), dtype=np.uint8), rng.random((1, 16, 24))
        counts = rng.integers(0, 3, (1, 16, 24))
        truth = {"density": torch.from_numpy(density), "counts": torch.from_numpy(counts)}
        batch = SimpleNamespace(images=torch.from_numpy(picture), samples=[None], edits=None, **truth)
        saliency = 0.1 + 0.8 * picture[0, ..., 2] / 255
        nss = np.average((saliency - saliency.mean()) / saliency.std(), weights=counts[0])
        expected = 10 * kl(saliency, density[0]) - 2 * cc(saliency, density[0]) - nss
        assert method.loss(Blue(), batch).item() == pytest.approx(expected, abs=1e-4)

    def test_everything_learns(self):
        """With fewer channels."""
        method = registry.create("sam_resnet")
        torch.manual_seed(0)
        with small_networks():
            network = method.build_network()
        images = torch.randint(0, 256, (2, 64, 80, 3), dtype=torch.uint8)
        (method.logits(network, images, [None, None]) * torch.randn(2, 64, 80)).sum().backward()
        assert all(parameter.grad.any() for parameter in network.parameters())
