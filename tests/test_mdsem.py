"""mdsem: as its authors' code computes it (Keras 2.2.5), with seeded weights, and from the file that Keras wrote."""

import re
import sys
import warnings

import conformance
import h5py
import numpy as np
import pytest
import torch
from blank_networks import blank_networks
from torch.nn.functional import avg_pool2d, relu

from salbench import registry, weights
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.weights import WeightsProblem

pytestmark = pytest.mark.slow
FILE = "mdsem_salicon_cameraready_weights.hdf5"
ODD = "odd_437x331"
CASES = {"native_240x320": (240, 320, 0), ODD: (437, 331, 1)}  # height, width and variant of the picture
# The network sees the odd picture; all have one size before it.
ENCODER = {f"block{i}_out": f"encoder.block{i}" for i in (2, 3, 4, 12, 13)} | {"encoder_out": "encoder"}
VECTORS = ("gap", "dense1", "lstm", "dense2")
DECODER = ("weighted", "dec2", "dec4", "dec6")
MODULES = ENCODER | {"dense1": "attention.dense1", "lstm": "attention.lstm", "dense2": "attention"}
MODULES |= {f"dec{i}": f"decoder.conv{i}" for i in (2, 4, 6)}
TOLERANCE = 1e-4
ENCODER_TOLERANCE = 3e-4  # values up to 71


def close(ours, expected, tolerance=TOLERANCE):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


def sample_of(kit, size):
    picture = kit.picture(*size)[0].numpy()
    return Sample("picture", picture.shape[:2], lambda: picture)


@pytest.fixture(scope="module")
def kit():
    return conformance.load("mdsem")


def save_keras(path, state):
    """A file as Keras 2 writes it."""
    with h5py.File(path, "w") as file:
        layers = list(dict.fromkeys(name.partition("/")[0] for name in state))
        file.attrs["layer_names"] = [layer.encode() for layer in layers]
        for layer in layers:
            names = [name.partition("/")[2] for name in state if name.startswith(f"{layer}/")]
            file.create_group(layer).attrs["weight_names"] = [name.encode() for name in names]
            for name in names:
                file[layer][name] = state[f"{layer}/{name}"].numpy()


def create(root):
    return registry.create("mdsem", Runtime(weights_root=root, progress=False))


@pytest.fixture(scope="module")
def method(kit, tmp_path_factory):
    """From the published file."""
    root = tmp_path_factory.mktemp("weights")
    weights.folder("mdsem", root).mkdir()
    save_keras(weights.folder("mdsem", root) / FILE, kit.state)
    method = create(root)
    with blank_networks():
        assert method.network.training is False
    return method


@pytest.fixture(scope="module")
def other(kit):
    """The variant whose gates are sigmoids."""
    return conformance.with_weights("mdsem:sigmoid", kit.state)


@pytest.fixture(scope="module")
def enlarged(method):
    """TensorFlow's upsampling."""
    return sys.modules[type(method.network).__module__].enlarged


@pytest.fixture(scope="module")
def outputs(kit, method, other):
    """{what the kit calls it: what we get}; what belongs to the decoder has a row for each duration."""
    images = method.images_of(sample_of(kit, CASES[ODD]))
    with torch.inference_mode():
        with conformance.traced(method.network, MODULES) as taps:
            maps = method.network(method.preprocess(images))[0]
        features = taps["encoder_out"]
        taps["gap"] = features.mean((2, 3)).expand(3, -1)[None]
        taps["dense1"] = relu(taps["dense1"]).expand(3, -1)[None]
        taps["weighted"] = features * taps["dense2"][0, :, :, None, None]
        taps |= {f"dec{i}": relu(taps[f"dec{i}"]) for i in (2, 4, 6)}
        with conformance.traced(other.network, {"lstm": "attention.lstm"}) as alt:
            factors = other.network.attention(features)[0, :, :, None, None]
    return taps | {"maps": maps, "alt_lstm": alt["lstm"], "alt_factors": factors}


class TestNetwork:
    def test_number_of_parameters_is_the_published_one(self, method):
        """The totals that the authors' notebook prints."""
        state = method.network.state_dict()
        kept = {name: tensor.numel() for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
        assert sum(kept.values()) == 30_922_729
        assert sum(number for name, number in kept.items() if "running" in name) == 54_528

    @pytest.mark.parametrize("tap", ENCODER)
    def test_encoder_is_as_published(self, kit, outputs, tap):
        ours = outputs[tap]
        close(kit.summary(ours), kit.expected[f"{ODD}/stats/{tap}"], ENCODER_TOLERANCE)
        close(ours[0, :4, :4, :4], kit.expected[f"{ODD}/crop/{tap}"], ENCODER_TOLERANCE)

    @pytest.mark.parametrize("tap", VECTORS)
    def test_attention_is_as_published(self, kit, outputs, tap):
        ours = outputs[tap]
        close(kit.summary(ours), kit.expected[f"{ODD}/stats/{tap}"])
        close(ours[0, :, :64], kit.expected[f"{ODD}/vec/{tap}"])

    @pytest.mark.parametrize("tap", DECODER)
    def test_decoder_is_as_published(self, kit, outputs, tap):
        ours = outputs[tap]
        close(kit.summary(ours), kit.expected[f"{ODD}/stats/{tap}"])
        close(ours[:, :4, :4, :4], kit.expected[f"{ODD}/crop/{tap}"])

    @pytest.mark.parametrize(("tap", "before", "factor"), [("dec_up1", "dec2", 2), ("dec_up3", "dec6", 4)])
    def test_upsampling_is_as_published(self, kit, outputs, enlarged, tap, before, factor):
        """Two channels at a time, because all of them are 236 MB."""
        parts = [kit.summary(enlarged(part, factor)) for part in outputs[before].split(2, 1)]
        mean, std, low, high, magnitude = np.array(parts).T
        std = np.sqrt(np.mean(std**2 + mean**2) - mean.mean() ** 2)
        ours = [mean.mean(), std, low.min(), high.max(), magnitude.mean()]
        close(ours, kit.expected[f"{ODD}/stats/{tap}"])
        close(enlarged(outputs[before][:, :4], factor)[..., :4, :4], kit.expected[f"{ODD}/crop/{tap}"])

    def test_maps_are_as_published(self, kit, outputs):
        maps = outputs["maps"]
        assert maps.shape == (3, 480, 640)
        close(maps[:, ::8, ::8], kit.expected[f"{ODD}/map_sub8"])
        close(maps[:, 224:256, 304:336], kit.expected[f"{ODD}/map_crop"])
        for i, saliency in enumerate(maps):
            close(kit.summary(saliency), kit.expected[f"{ODD}/stats/map_t{i}"])

    def test_sigmoid_is_that_of_later_versions_of_keras(self, kit, other, outputs):
        with torch.inference_mode():
            maps = other.network.decoder(outputs["encoder_out"] * outputs["alt_factors"])[:, 0]
        close(outputs["alt_lstm"][0, :, :64], kit.expected[f"{ODD}/alt_sigmoid_vec/lstm"])
        close(maps[:, ::16, ::16], kit.expected[f"{ODD}/alt_sigmoid_map_sub16"])

    def test_options(self, method, other):
        assert (method.option, method.variant) == ("hard_sigmoid", "")
        assert (other.option, other.variant, other.setup()) == ("sigmoid", "sigmoid", {"gate": "sigmoid"})

    def test_another_size_is_refused(self, method):
        with pytest.raises(ValueError, match=r"multiples of 8, got \(64, 90\); resize"):
            method.network(torch.zeros(1, 3, 64, 90))


class TestPictures:
    @pytest.mark.parametrize("case", CASES)
    def test_letterbox_is_as_published(self, kit, method, case):
        bgr = method.images_of(sample_of(kit, CASES[case]))[0].numpy()[..., ::-1]
        np.testing.assert_array_equal(bgr[::4, ::4], kit.expected[f"{case}/pre_bgr_u8_sub4"])
        np.testing.assert_array_equal(bgr.sum((0, 1), dtype=np.int64), kit.expected[f"{case}/pre_bgr_sum"])

    def test_wide_letterbox_is_as_published(self, kit, method):
        bgr = method.images_of(sample_of(kit, (201, 640, 1)))[0].numpy()[..., ::-1]
        np.testing.assert_array_equal(bgr[::4, ::4], kit.expected["wide_201x640/pre_u8_sub4"])

    def test_restored_map_is_as_published(self, kit, method, outputs):
        """That of a wide picture is restored by the same code as in dinet's tests."""
        sample = sample_of(kit, CASES[ODD])
        restored = np.stack([method.finished(saliency.numpy(), sample) for saliency in outputs["maps"]])
        np.testing.assert_array_equal(restored.shape, kit.expected[f"{ODD}/post_shape"])
        close(restored[:, ::8, ::8], kit.expected[f"{ODD}/post_sub8"])
        close(kit.summary(torch.from_numpy(restored)), kit.expected[f"{ODD}/stats/post"])

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 3)])
    def test_any_size(self, method, outputs, size):
        sample = Sample("tiny", size, lambda: np.full((*size, 3), 200, np.uint8))
        saliency = outputs["maps"][1].numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert method.images_of(sample).shape == (1, 240, 320, 3)
            restored = method.finished(saliency, sample)
        assert restored.shape == size
        assert saliency.min() <= restored.min() <= restored.max() <= saliency.max()


class TestFile:
    @pytest.fixture
    def path(self, tmp_path):
        folder = weights.folder("mdsem", tmp_path)
        folder.mkdir(parents=True)
        return folder / FILE

    def test_names_are_the_published_ones_in_their_order(self, kit, method):
        name_of = sys.modules[type(method).__module__].keras_name
        ours = [name for name in method.network.state_dict() if not name.endswith("num_batches_tracked")]
        assert list(map(name_of, ours)) == kit.names

    def test_from_the_file_to_the_map_of_three_seconds(self, kit, method, outputs, monkeypatch):
        """The encoder's features are known."""
        monkeypatch.setattr(method.network.encoder, "forward", lambda images: outputs["encoder_out"])
        prediction = method.predict(sample_of(kit, CASES[ODD]).blind())
        assert prediction.shape == (437, 331)
        close(prediction[::8, ::8], kit.expected[f"{ODD}/post_sub8"][1])

    def test_numbered_otherwise(self, kit, method):
        """A process that built other networks before numbers layers from where it was."""

        def later(match):
            return f"{match[1]}_{int(match[2]) + 44}/"

        pattern = r"(conv2d|batch_normalization|time_distributed|lstm)_(\d+)/"
        renamed = {re.sub(pattern, later, name): tensor for name, tensor in kit.state.items()}
        with pytest.warns(UserWarning, match=r"41 of 255 tensors have other names.*matched by their order"):
            state = method.published(renamed)
        loaded = method.network.state_dict()
        assert state.keys() == loaded.keys()
        assert all(torch.equal(state[name], loaded[name]) for name in loaded)

    @pytest.mark.parametrize(
        ("changed", "message"),
        [
            (lambda state: dict([*state.items()][:-1]), "expected 255 tensors, got 254, without time_distributed_13/"),
            (
                lambda state: state | {"lstm_1/lstm_1/bias:0": torch.zeros(512)},
                r"expected shape \(2048,\), got \(512,\)",
            ),
            (lambda state: {f"{i}": t for i, t in enumerate(reversed(state.values()))}, "0: expected shape"),
        ],
        ids=["one less", "another shape", "another order"],
    )
    def test_another_layout_is_refused(self, kit, method, changed, message):
        with pytest.raises(LookupError, match=message):
            method.published(changed(kit.state))

    def test_another_file_is_refused(self, path, tmp_path):
        save_keras(path, {"conv/conv/kernel:0": torch.zeros(3, 3, 3, 8)})
        with pytest.raises(WeightsProblem, match=r"expected what https://github.com/diviz-mit.*publishes, got 1 ent"):
            _ = create(tmp_path).network


@pytest.fixture(scope="module")
def small():
    """Random weights, images of 64 x 96 pixels."""
    torch.manual_seed(0)
    method = registry.create("mdsem")
    method.recipe = method.recipe.at((64, 96))
    method._network = method.build_network().eval()
    return method


@pytest.fixture(scope="module")
def images():
    return torch.randint(0, 256, (2, 64, 96, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


class TestSmall:
    def test_images_of_a_batch_do_not_mix(self, small, images):
        with torch.inference_mode():
            both = small.logits_of(small.network, images, [])
            alone = [small.logits_of(small.network, image[None], [])[0] for image in images]
        assert both.shape == (2, 128, 192)
        close(both, torch.stack(alone), 1e-5)
        assert (both[0] - both[1]).abs().max() > 1e-4

    def test_training_sees_the_map_averaged_over_two_pixels(self, small, images):
        with torch.inference_mode():
            density = small.logits(small.network, images, []).flatten(1).softmax(1)
            pooled = avg_pool2d(small.logits_of(small.network, images, []), 2).flatten(1)
        close(density, pooled / pooled.sum(1, keepdim=True), 1e-7)

    def test_features_are_the_maps_of_all_durations(self, small):
        picture = np.random.default_rng(0).integers(0, 256, (128, 192, 3), dtype=np.uint8)
        sample = Sample("picture", (128, 192), lambda: picture)
        features = small.features(sample)
        assert list(features) == ["0.5 s", "3 s", "5 s"]
        close(features["3 s"][0], small.predict(sample), 1e-6)
        assert not np.array_equal(features["0.5 s"], features["5 s"])

    def test_every_parameter_learns(self, small, images):
        network = small.network
        logits = small.logits(network, images[:1], [])
        (logits * torch.randn(logits.shape)).sum().backward()
        still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
        assert still == []
