"""msinet: as its authors' code computes it (TensorFlow 1.15), with seeded weights, and from a frozen graph."""

import sys
import warnings

import conformance
import frozen_graph_writer
import numpy as np
import pytest
import torch
from blank_networks import blank_networks
from torch.nn.functional import relu

from salbench import registry, weights
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.weights import WeightsProblem

pytestmark = pytest.mark.slow
FILE = "model_salicon_cpu.pb"
CASES = {"native_240x320": (240, 320, 0), "odd_437x331": (437, 331, 1), "small_97x151": (97, 151, 1)}
SEEN = "odd_437x331"  # by the network, with its parts; all have one size before it
MODULES = {f"conv{i}": f"vgg16.conv{i}" for i in ("3_3", "5_3")}
MODULES |= {f"aspp{i}": f"aspp.conv1_{i}" for i in (1, 4, 5)} | {"aspp_out": "aspp"}
MODULES |= {f"dec{i}": f"decoder.conv{i}" for i in (1, 3)} | {"logit": "decoder"}
RECTIFIED = "conv3_3", "conv5_3", "aspp1", "aspp4", "aspp5", "dec1", "dec3"
TAPS = ("conv3_3", "conv5_3", "encoder", "aspp1", "aspp4", "aspp_out", "up1", "dec1", "dec3", "logit")
TOLERANCE = 1e-4  # of taps and maps
INPUT_TOLERANCE, POST_TOLERANCE = 1e-3, 0.02  # of 255


def close(ours, expected, tolerance=TOLERANCE):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


def sample_of(kit, size):
    picture = kit.picture(*size)[0].numpy()
    return Sample("picture", picture.shape[:2], lambda: picture)


def create(root):
    return registry.create("msinet", Runtime(weights_root=root, progress=False))


@pytest.fixture(scope="module")
def kit():
    return conformance.load("msinet")


@pytest.fixture(scope="module")
def method(kit, tmp_path_factory):
    """From a frozen graph, which holds other constants, too."""
    root = tmp_path_factory.mktemp("weights")
    weights.folder("msinet", root).mkdir()
    means = {"means": torch.tensor([103.939, 116.779, 123.68])}
    frozen_graph_writer.write(weights.folder("msinet", root) / FILE, means | kit.state)
    method = create(root)
    with blank_networks():
        assert method.network.training is False
    return method


@pytest.fixture(scope="module")
def outputs(kit, method):
    """{what the kit calls it: what we get}."""
    network, entered = method.network, []
    enlarged = sys.modules[type(network).__module__].enlarged
    hook = network.aspp.register_forward_pre_hook(lambda module, inputs: entered.extend(inputs))
    with torch.inference_mode(), conformance.traced(network, MODULES) as taps:
        saliency = method.logits_of(network, method.images_of(sample_of(kit, CASES[SEEN])), [])[0]
    hook.remove()
    taps |= {name: relu(taps[name]) for name in RECTIFIED}
    return taps | {"encoder": entered[0], "up1": enlarged(taps["aspp_out"], 2), "map": saliency}


class TestNetwork:
    @pytest.mark.parametrize("tap", TAPS)
    def test_parts_are_as_published(self, kit, outputs, tap):
        ours = outputs[tap]
        close(kit.summary(ours), kit.expected[f"{SEEN}/stats/{tap}"])
        close(ours[0, :4, :4, :4], kit.expected[f"{SEEN}/crop/{tap}"])

    def test_branch_of_the_mean_is_as_published(self, kit, outputs):
        close(outputs["aspp5"][0, :, 0, 0], kit.expected[f"{SEEN}/vec/aspp5"])

    def test_map_is_as_published(self, kit, outputs):
        ours = outputs["map"]
        assert ours.shape == (240, 320)
        close(kit.summary(ours), kit.expected[f"{SEEN}/stats/map"])
        close(ours[::4, ::4], kit.expected[f"{SEEN}/map_sub4"])
        close(ours[104:136, 144:176], kit.expected[f"{SEEN}/map_crop"])

    def test_another_size_is_refused(self, method):
        with pytest.raises(ValueError, match=r"multiples of 8, got \(64, 90\); resize"):
            method.network(torch.zeros(1, 3, 64, 90))


class TestPictures:
    @pytest.mark.parametrize("case", CASES)
    def test_input_is_as_published(self, kit, method, case):
        ours = method.images_of(sample_of(kit, CASES[case]))
        close(ours[0, ::4, ::4], kit.expected[f"{case}/pre_rgb_sub4"], INPUT_TOLERANCE)
        close(kit.summary(ours), kit.expected[f"{case}/stats/pre"], INPUT_TOLERANCE)

    def test_finished_map_is_as_published(self, kit, method, outputs):
        ours = method.finished(outputs["map"].numpy(), sample_of(kit, CASES[SEEN]))
        np.testing.assert_array_equal(ours.shape, kit.expected[f"{SEEN}/post_shape"])
        close(ours[::4, ::4], kit.expected[f"{SEEN}/post_float_sub4"], POST_TOLERANCE)
        close(np.rint(ours[::4, ::4]), kit.expected[f"{SEEN}/post_u8_sub4"], 1)

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 3)])
    def test_any_size(self, method, outputs, size):
        sample = Sample("tiny", size, lambda: np.full((*size, 3), 200, np.uint8))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            images = method.images_of(sample)
            finished = method.finished(outputs["map"].numpy(), sample)
        assert images.shape == (1, 240, 320, 3)
        assert set(images.round().flatten().tolist()) == {126, 200}
        assert finished.shape == size
        assert 0 <= finished.min() <= finished.max() <= 255


RESIZES = np.load(conformance.KITS / "tensorflow_resize" / "expected.npz")


@pytest.fixture(scope="module")
def resized(method):
    return sys.modules[type(method).__module__].resized


class TestResized:
    @pytest.mark.parametrize("case", RESIZES.files)
    def test_is_that_of_tensorflow(self, method, resized, case):
        kind, *sizes = case.split("_")
        old, new = (tuple(map(int, size.split("x"))) for size in sizes)
        picture = np.random.RandomState(old[0] * 100 + old[1]).randint(0, 256, (*old, 2), dtype=np.uint8)
        if kind == "bilinear":
            enlarged = sys.modules[type(method.network).__module__].enlarged
            channels = torch.from_numpy(picture).permute(2, 0, 1)[None].float()
            close(enlarged(channels, new[0] // old[0])[0].permute(1, 2, 0), RESIZES[case], INPUT_TOLERANCE)
        else:
            close(resized(picture, new), RESIZES[case].clip(0, 255), INPUT_TOLERANCE)

    def test_the_kit_has_overshoot_to_clip(self):
        assert max(array.max() for array in RESIZES.values()) > 260
        assert min(array.min() for array in RESIZES.values()) < -5


class TestFile:
    @pytest.fixture
    def path(self, tmp_path):
        folder = weights.folder("msinet", tmp_path)
        folder.mkdir(parents=True)
        return folder / FILE

    def test_names_are_the_published_ones_in_their_order(self, kit, method):
        name_of = sys.modules[type(method).__module__].tensorflow_name
        assert list(map(name_of, method.network.state_dict())) == kit.names

    def test_from_the_frozen_graph_to_the_map(self, kit, method):
        prediction = method.predict(sample_of(kit, CASES["small_97x151"]).blind())
        close(prediction, kit.expected["small_97x151/post_float_sub1"], POST_TOLERANCE)

    def test_renamed(self, kit, method):
        renamed = {f"import/{name}/read": tensor for name, tensor in kit.state.items()}
        with pytest.warns(UserWarning, match=r"46 of 46 tensors have other names.*matched by their order"):
            state = method.published({"means": torch.ones(1, 1, 1, 3), "epsilon": torch.tensor(1e-7)} | renamed)
        loaded = method.network.state_dict()
        assert state.keys() == loaded.keys()
        assert all(torch.equal(state[name], loaded[name]) for name in loaded)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            (lambda state: dict([*state.items()][1:]), "expected 46 tensors, got 45, without conv1/conv1_1/kernel"),
            (lambda state: state | {"aspp/conv2/bias": torch.zeros(9)}, "got 45, without aspp/conv2/bias"),
            (lambda state: {f"{i}": t for i, t in enumerate(reversed(state.values()))}, "0: expected shape"),
        ],
        ids=["one less", "another shape", "another order"],
    )
    def test_another_layout_is_refused(self, kit, method, changed, message):
        with pytest.raises(LookupError, match=message):
            method.published(changed(kit.state))

    def test_another_file_is_refused(self, path, tmp_path):
        frozen_graph_writer.write(path, {"conv/kernel": torch.zeros(3, 3, 3, 8)})
        with pytest.raises(WeightsProblem, match=r"expected what https://github.com/alex.*publishes, got 1 entries"):
            _ = create(tmp_path).network


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (2, 48, 64, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class TestBatch:
    """Images of 48 x 64 pixels."""

    def test_images_of_a_batch_do_not_mix(self, method, images):
        with torch.inference_mode():
            both = method.logits_of(method.network, images, [])
            alone = [method.logits_of(method.network, image[None], [])[0] for image in images]
        assert both.shape == (2, 48, 64)
        close(both, torch.stack(alone))
        assert (both[0] - both[1]).abs().max() > 0.01

    def test_training_sees_the_map(self, method, images):
        with torch.inference_mode():
            density = method.logits(method.network, images, []).flatten(1).softmax(1)
            maps = method.logits_of(method.network, images, []).flatten(1)
        close(density, maps / maps.sum(1, keepdim=True), 1e-7)

    def test_every_parameter_learns(self, method, images):
        """The last bias aside: the map is stretched, whatever that is."""
        torch.manual_seed(0)
        network = method.network
        logits = method.logits(network, images, [])
        (logits * torch.randn(logits.shape)).sum().backward()
        learns = {name for name, p in network.named_parameters() if p.grad is not None and p.grad.any()}
        assert learns | {"decoder.conv4.bias"} == set(dict(network.named_parameters()))
