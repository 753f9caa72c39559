"""rinet: as its authors' code computes it, with seeded weights.

All pictures have one size before the network, so it sees only that of another shape.
"""

import warnings
from types import SimpleNamespace

import conformance
import numpy as np
import pytest
import torch

from salbench import weights
from salbench.metrics import cc, kl
from salbench.sample import Sample
from salbench.training import checkpoint

pytestmark = pytest.mark.slow
TOLERANCE = 1e-4  # the kit's, whose noise is 1.2e-5
CASES = {"native_288x384": (288, 384, 0), "odd_437x331": (437, 331, 1)}  # height, width and variant of the picture
CASE = "odd_437x331"
TAPS = {f"conv_layer{i}": f"encoder.transition{i}.conv" for i in (1, 2, 3)} | {"conv_layer4": "encoder.denseblock4"}
TAPS |= {name: name for name in ("attention2", "attention3", "attention4")}
TAPS |= {f"fusion_layer{i}": f"fusion_layer{i}" for i in (4, 3, 2, 1)} | {"readout5": "readout_layer.5"}


@pytest.fixture(scope="module")
def kit():
    return conformance.load("rinet")


@pytest.fixture(scope="module")
def method(kit):
    return conformance.with_weights("rinet", kit.state)


@pytest.fixture(scope="module")
def outputs(kit, method):
    """{what the kit calls it: what we get}, and the prediction."""
    with conformance.traced(method.network, TAPS | {"map": ""}) as found:
        (prediction,) = method.predict_batch([sample_of(kit, CASE).blind()])
    return found | {"prediction": prediction}


def sample_of(kit, case):
    picture = kit.picture(*CASES[case])[0].numpy()
    return Sample(case, picture.shape[:2], lambda: picture)


def close(ours, expected, tolerance=TOLERANCE):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


class TestAsPublished:
    @pytest.mark.parametrize("case", CASES)
    def test_image_is_resized(self, kit, method, case):
        image = method.images_of(sample_of(kit, case))
        assert image.shape == (1, 288, 384, 3)
        np.testing.assert_array_equal(image[0, ::4, ::4], kit.expected[f"{case}/pre_u8_sub4"])

    @pytest.mark.parametrize("tap", TAPS)
    def test_parts(self, kit, outputs, tap):
        ours = outputs[tap]
        close(kit.summary(ours), kit.expected[f"{CASE}/stats/{tap}"])
        close(ours[0, :4, :4, :4], kit.expected[f"{CASE}/crop/{tap}"])

    def test_map(self, kit, outputs):
        ours = outputs["map"]
        assert ours.shape == (1, 1, 288, 384)
        close(kit.summary(ours), kit.expected[f"{CASE}/stats/map"])
        close(ours[0, 0, ::3, ::3], kit.expected[f"{CASE}/map_sub3"])
        close(ours[0, 0, 128:160, 176:208], kit.expected[f"{CASE}/map_crop"])

    def test_prediction(self, kit, outputs):
        """Resized and stretched; the authors also round it to 8 bits, upwards."""
        ours = outputs["prediction"]
        assert (ours.shape, ours.min(), ours.max()) == ((437, 331), 0, 1)
        rounded = np.round(np.minimum(ours * 255 + 0.5, 255))
        differences = np.abs(rounded[::3, ::3] - kit.expected[f"{CASE}/post_u8_sub3"])
        assert differences.max() <= 1
        assert differences.mean() < 0.01


class TestFile:
    @pytest.mark.parametrize("prefix", ["", "module."])
    def test_names_in_their_order(self, kit, method, prefix):
        published = method.published({prefix + name: tensor for name, tensor in kit.state.items()})
        assert list(published) == list(method.network.state_dict())
        used = [name for name in kit.names if not name.startswith("dense.")]
        assert all(tensor is kit.state[name] for name, tensor in zip(used, published.values(), strict=True))

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"conv_layer2.4.weight": None}, "1 missing, such as encoder.transition2.conv.weight "),
            ({"attention3.v_conv.0.weight": None}, "1 missing, such as attention3.v_conv.0.weight "),
            ({"conv_layer5.0.weight": torch.ones(1)}, "1 unexpected, such as conv_layer5.0.weight "),
            ({"readout_layer.5.weight": torch.ones(2, 128, 3, 3)}, r"readout_layer.5.weight \(2, 128, 3, 3\) instead"),
        ],
    )
    def test_another_network_is_refused(self, kit, method, change, message):
        state = {name: tensor for name, tensor in (kit.state | change).items() if tensor is not None}
        with pytest.raises(checkpoint.CheckpointProblem, match=message):
            checkpoint.load_into(method.network, method.published(state), "file.pt")

    def test_a_file_without_names_is_refused(self, method, tmp_path):
        torch.save(torch.ones(3), tmp_path / "best_model_on_salicon.pt")
        with pytest.raises(weights.WeightsProblem, match=r"expected what https://github\.com/YingjieSong1/RINet "):
            weights.arranged(method.published, [tmp_path / "best_model_on_salicon.pt"], method.checkpoints)

    @pytest.mark.parametrize("is_old", [False, True])
    def test_imagenet_weights_of_torchvision(self, kit, method, is_old):
        """Old files do not count the batches that a norm has seen, and have other names in dense layers."""
        names = {name.removeprefix("dense."): name for name in kit.names if name.startswith("dense.")}
        state = {f"features.{name}": kit.state[theirs] for name, theirs in names.items()}
        if is_old:
            state = {name: tensor for name, tensor in state.items() if not name.endswith("num_batches_tracked")}
            for layer in ("norm1", "conv1", "norm2", "conv2"):
                old = f".{layer[:-1]}.{layer[-1]}."
                state = {name.replace(f".{layer}.", old): tensor for name, tensor in state.items()}
            assert "features.denseblock4.denselayer24.norm.2.running_var" in state
        ours = method.encoder_state(state | {"classifier.weight": torch.ones(1), "classifier.bias": torch.ones(1)})
        encoder = method.network.get_submodule(*method.encoders)
        assert ours.keys() == encoder.state_dict().keys()
        assert all(torch.equal(tensor, kit.state[names[name]]) for name, tensor in ours.items())


class TestAttention:
    """On features that leave nothing to stretch."""

    def test_of_a_constant_is_finite(self, method):
        attention = method.network.attention2
        with torch.inference_mode():
            assert torch.isfinite(attention(torch.zeros(1, 384, 3, 4))).all()
            assert torch.isfinite(attention(torch.ones(1, 384, 3, 4))).all()


class TestMethod:
    @pytest.fixture
    def small(self, method, monkeypatch):
        monkeypatch.setattr(method, "recipe", method.recipe.at((64, 64)))
        return method

    @pytest.mark.parametrize(("size", "value"), [((1, 1), 0), ((1, 300), 255), ((2000, 3), 0)])
    def test_any_picture(self, small, size, value):
        picture = np.full((*size, 3), value, np.uint8)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            prediction = small.predict(Sample("picture", size, lambda: picture))
        assert prediction.shape == size
        assert np.isfinite(prediction).all()

    def test_a_map_of_zeros_stays_zero(self, method):
        prediction = method.finished(np.zeros((64, 96), np.float32), Sample("picture", (5, 7), None))
        np.testing.assert_array_equal(prediction, np.zeros((5, 7)))

    def test_pictures_of_a_batch_do_not_mix(self, small, kit):
        pictures = [kit.picture(64, 64, variant)[0].numpy() for variant in (0, 1)]
        samples = [Sample("picture", (64, 64), lambda picture=picture: picture) for picture in pictures]
        together, alone = small.predict_batch(samples), [small.predict(sample) for sample in samples]
        close(together, alone, 1e-5)
        assert np.abs(together[0] - together[1]).max() > 0.1

    def test_another_size_is_refused(self, method):
        with pytest.raises(ValueError, match=r"multiples of 32, got \(64, 90\); resize"):
            method.network(torch.zeros(1, 3, 64, 90))

    def test_loss_is_that_of_the_map(self, method):
        """Also where the map is zero."""
        rng = np.random.default_rng(0)
        saliency, density = np.maximum(rng.normal(size=(8, 9)), 0), rng.random((8, 9))
        batch = SimpleNamespace(
            images=torch.zeros(1, 8, 9, 3),
            samples=[SimpleNamespace(caption=None)],
            density=torch.from_numpy(density)[None],
            counts=torch.ones(1, 8, 9),
            edits=None,
        )
        loss = method.loss(lambda images: torch.from_numpy(saliency)[None, None], batch)
        assert loss.item() == pytest.approx(kl(saliency + 1e-7, density, eps=0) - cc(saliency, density), abs=1e-5)


def test_all_of_it_learns(method):
    """At a small size."""
    torch.manual_seed(0)
    network = method.network
    images = torch.randint(0, 256, (1, 64, 64, 3), dtype=torch.uint8)
    (method.logits(network, images, [None]) * torch.randn(1, 64, 64)).sum().backward()
    still = [name for name, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert still == []
