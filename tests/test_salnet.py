"""salnet: as its authors' code computes it, from an official file of seeded weights to the map."""

import math
import sys
from types import SimpleNamespace

import caffemodel_writer
import conformance
import numpy as np
import pytest
import torch
from blank_networks import blank_networks
from small_networks import small_networks

from salbench import registry, weights
from salbench.metrics import kl
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.weights import WeightsProblem

pytestmark = pytest.mark.slow
CASES = {"native_240x320": (240, 320, 0), "odd_333x517": (333, 517, 1)}  # height, width and variant of the picture
CASE = "odd_333x517"  # which the network sees; the other is as wide, but not shrunk
TAPS = ["relu1", "norm1", "pool1", "relu2", "pool2", "relu5", "relu7", "relu8"]
INPUT, TAP, OUTPUT, GREY_LEVEL = 1e-5, 2e-4, 1e-4, 0.01  # the kit's tolerances; its noise is 3e-5, 9e-6 and 4e-4


@pytest.fixture(scope="module")
def kit():
    return conformance.load("salnet")


@pytest.fixture(scope="module")
def root(kit, tmp_path_factory):
    """A weights root with the official file."""
    root = tmp_path_factory.mktemp("weights")
    weights.folder("salnet", root).mkdir()
    caffemodel_writer.write(weights.folder("salnet", root) / "deep_net_model.caffemodel", kit.state)
    return root


@pytest.fixture(scope="module")
def method(root):
    method = registry.create("salnet", Runtime(weights_root=root, progress=False))
    with blank_networks():
        assert method.network.training is False
    return method


@pytest.fixture(scope="module")
def outputs(kit, method):
    """{what the kit calls it: what we get}."""
    with conformance.traced(method.network, {name: name for name in (*TAPS, "conv9", "deconv1")}) as found:
        found["map"] = method.predict(sample_of(kit.picture(*CASES[CASE])[0].numpy()))
    return found


def sample_of(picture):
    return Sample("picture", picture.shape[:2], lambda: picture)


def noise(*size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


def close(ours, expected, tolerance):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


class TestAsPublished:
    @pytest.mark.parametrize("case", CASES)
    def test_input(self, case, kit, method):
        ours = method.preprocess(method.images_of(sample_of(kit.picture(*CASES[case])[0].numpy())))
        close(ours[0, :, ::4, ::4], kit.expected[f"{case}/input_sub4"], INPUT)
        close(kit.summary(ours), kit.expected[f"{case}/stats/input"], INPUT)

    @pytest.mark.parametrize("tap", TAPS)
    def test_features(self, tap, kit, outputs):
        close(outputs[tap][0, :4, :4, :4], kit.expected[f"{CASE}/crop/{tap}"], TAP)
        close(kit.summary(outputs[tap]), kit.expected[f"{CASE}/stats/{tap}"], TAP)

    def test_output(self, kit, outputs):
        conv9, deconv1 = outputs["conv9"], outputs["deconv1"]
        for name, ours in {"conv9": conv9, "deconv1": deconv1}.items():
            close(kit.summary(ours), kit.expected[f"{CASE}/stats/{name}"], OUTPUT)
        close(conv9[0, 0], kit.expected[f"{CASE}/conv9"], OUTPUT)
        close(deconv1[0, 0, ::2, ::2], kit.expected[f"{CASE}/deconv1_sub2"], OUTPUT)
        close(deconv1[0, 0, :24, :24], kit.expected[f"{CASE}/deconv1_corner"], OUTPUT)

    def test_map(self, kit, outputs):
        """The authors' map ends at 255, and is truncated to 8 bits before it is saved."""
        grey = outputs["map"] * 255
        assert grey.shape == (333, 517)
        close(grey[::3, ::3], kit.expected[f"{CASE}/post_float_sub3"], GREY_LEVEL)
        close(grey[:12, :12], kit.expected[f"{CASE}/post_float_corner"], GREY_LEVEL)
        close(np.trunc(grey)[::2, ::2], kit.expected[f"{CASE}/saved_uint8_sub2"], 1)


@pytest.fixture(scope="module")
def blobs(kit):
    """The official file's blobs without their numbers."""
    return {name: torch.empty(tensor.shape, device="meta") for name, tensor in kit.state.items()}


class TestFile:
    def test_every_blob_has_its_place_in_order(self, kit, method):
        state = method.network.state_dict()
        assert list(state) == [name.replace(".0", ".weight").replace(".1", ".bias") for name in kit.names]
        assert all(torch.equal(ours, kit.state[name]) for ours, name in zip(state.values(), kit.names, strict=True))

    def test_old_files_have_four_axes(self, blobs, method):
        old = {name: t.reshape(*[1] * (4 - t.ndim), *t.shape) for name, t in blobs.items()}
        assert [t.shape for t in method.published(old).values()] == [t.shape for t in blobs.values()]

    def test_other_names_are_matched_by_order(self, kit, method):
        renamed = {f"layer{i}": tensor for i, tensor in enumerate(kit.state.values())}
        with pytest.warns(UserWarning, match="19 of 19 tensors have other names"):
            state = method.published(renamed)
        assert all(torch.equal(tensor, kit.state[name]) for tensor, name in zip(state.values(), kit.names, strict=True))

    @pytest.mark.parametrize("blob", ["conv9.1", "deconv1.0"])
    def test_an_incomplete_one_is_refused(self, blob, blobs, method):
        with pytest.raises(LookupError, match=rf"expected 19 tensors, got 18, without {blob}"):
            method.published({name: tensor for name, tensor in blobs.items() if name != blob})

    def test_that_of_another_network_is_refused(self, kit, tmp_path):
        weights.folder("salnet", tmp_path).mkdir()
        file = weights.folder("salnet", tmp_path) / "deep_net_model.caffemodel"
        caffemodel_writer.write(file, {"conv1.0": kit.state["conv9.0"]})
        method = registry.create("salnet", Runtime(weights_root=tmp_path, progress=False))
        expected = r"net_model\.caffemodel: expected what https://github\.com/imatge-upc/saliency-2016-cvpr publishes"
        with pytest.raises(WeightsProblem, match=expected):
            method.predict(sample_of(noise(8, 8)))


class TestInput:
    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((480, 640), (240, 320)), ((640, 480), (320, 240)), ((481, 640), (240, 320)), ((483, 640), (242, 320)),
            ((100, 200), (100, 200)), ((320, 320), (320, 320)), ((2000, 3), (320, 4)), ((1, 1), (4, 4)),
        ],
    )  # fmt: skip
    def test_is_shrunk_to_320_pixels_but_never_enlarged(self, size, expected, method):
        """Ties are rounded to even; the network takes no fewer than four pixels."""
        input_size = sys.modules[type(method).__module__].input_size
        assert input_size(size, 320) == (expected, max(1, max(size) / 320))

    def test_a_small_one_is_copied(self, method):
        picture = noise(5, 7)
        assert torch.equal(method.images_of(sample_of(picture))[0], torch.from_numpy(picture).float())

    def test_the_border_of_a_tiny_one_is_repeated(self, method):
        expected = np.pad(noise(2, 9), [(0, 2), (0, 0), (0, 0)], mode="edge")
        np.testing.assert_array_equal(method.images_of(sample_of(noise(2, 9)))[0], expected)


class TestPrediction:
    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 3), (37, 90)])
    def test_any_size_gives_a_map_up_to_one(self, size, method):
        picture = np.full((1, 300, 3), 255, np.uint8) if size == (1, 300) else noise(*size)
        prediction = method.predict(sample_of(picture))
        assert prediction.shape == size
        assert np.isfinite(prediction).all()
        assert (prediction.min() >= 0, prediction.max()) == (True, pytest.approx(1, abs=1e-6))

    def test_depends_on_the_picture(self, method):
        one, other = (method.predict(sample_of(picture)) for picture in (noise(40, 60), 255 - noise(40, 60)))
        assert np.abs(one - other).max() > 0.1

    def test_a_map_of_zeros_stays_so(self, method):
        assert not method.finished(np.zeros((8, 8), np.float32), sample_of(noise(5, 9))).any()


@pytest.fixture(scope="module")
def network(method):
    """With fewer channels."""
    torch.manual_seed(0)
    with small_networks():
        return method.build_network()


class TestTraining:
    def test_logits_are_those_of_the_map(self, method, network):
        images = torch.from_numpy(noise(24, 32))[None]
        with torch.inference_mode():
            density = method.logits(network, images, [None]).flatten(1).softmax(1)
            saliency = method.logits_of(network, images, [None]).flatten(1)
        assert saliency.std() > 1
        close(density, saliency / saliency.sum(), 1e-6)

    def test_loss_is_that_of_the_map(self, method, network):
        density = torch.rand(1, 24, 32, dtype=torch.float64)
        batch = SimpleNamespace(
            images=torch.from_numpy(noise(24, 32))[None], samples=[None], density=density, counts=density, edits=None
        )
        with torch.inference_mode():
            loss = method.loss(network, batch).item()
            saliency = method.logits_of(network, batch.images, [None])[0].numpy()
        correlation = np.corrcoef(saliency.ravel(), density.numpy().ravel())[0, 1]
        assert loss == pytest.approx(kl(saliency, density[0].numpy()) - correlation, abs=1e-4)

    def test_all_of_it_learns(self, method, network):
        logits = method.logits(network, torch.from_numpy(np.stack([noise(24, 32)] * 2)), [None, None])
        (logits * torch.randn(2, 24, 32)).sum().backward()
        assert all(parameter.grad.any() for parameter in network.parameters())

    def test_a_new_network_enlarges_a_constant_to_itself(self, network):
        with torch.inference_mode():
            enlarged = network.deconv1(torch.full((1, 1, 5, 6), 2.0))
        assert math.prod(enlarged.shape) == 20 * 24
        close(enlarged[0, 0, 4:-4, 4:-4], 2, 1e-6)
