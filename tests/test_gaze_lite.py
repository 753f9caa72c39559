"""The encoder computes what another implementation computes; the readout's priors, mirror images and cache."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import scipy.special
import torch
from efficientnet_lite_pytorch import EfficientNet

from salbench import registry, weights
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.training import checkpoint
from salbench.training.feature_cache import FeatureCache
from salbench.training_plan import Plan

GazeLite = registry.get("gaze_lite")
MODULE = sys.modules[GazeLite.__module__]
network = sys.modules[f"{GazeLite.__module__}.network"]


@pytest.fixture(scope="module")
def method():
    """With random weights, for small images."""
    method = registry.create("gaze_lite", Runtime(init="random"))
    method.recipe = method.recipe.at((96, 128))
    return method


def picture(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), np.uint8)


def sample_of(image, **facts):
    return Sample("a", image.shape[:2], lambda: image, **facts)


@pytest.fixture(scope="module")
def peer():
    """The network of the package that publishes the weights, padded as in TensorFlow at every size."""
    peer = EfficientNet.from_name("efficientnet-lite0", image_size=None).eval()
    peer.load_state_dict(weights.read(MODULE.weights_file()))
    return peer


class TestEncoder:
    @pytest.mark.parametrize("size", [(64, 96), (97, 131), (33, 224)], ids=str)
    def test_agrees_with_another_implementation(self, method, peer, size):
        images = torch.from_numpy(picture(size))[None]
        expected = {}
        with torch.no_grad():
            x = (images.permute(0, 3, 1, 2).float() - 127) / 128
            x = torch.nn.functional.relu6(peer._bn0(peer._conv_stem(x)))
            for i, block in enumerate(peer._blocks):
                x = expected[i] = block(x)
            found = method.encoder(images, range(16))
        for i, of_block in enumerate(found):
            assert of_block.shape == expected[i].shape
            torch.testing.assert_close(of_block, expected[i], rtol=1e-4, atol=1e-4 * expected[i].abs().max().item())

    def test_is_frozen(self, method):
        assert not method.encoder.training
        assert not any(parameter.requires_grad for parameter in method.encoder.parameters())

    def test_another_file_is_refused(self, monkeypatch):
        monkeypatch.setattr(MODULE, "HASH", "0123456789abcdef")
        with pytest.raises(weights.WeightsProblem, match=r"expected the file of version 0\.1\.0, hash 0123"):
            _ = registry.create("gaze_lite").encoder


class TestPrediction:
    def test_is_the_mean_of_the_densities_of_the_readouts(self, method):
        images, samples = torch.from_numpy(picture((64, 96)))[None], [sample_of(picture((64, 96)))]
        with torch.no_grad():
            log_density = method.logits(method.network, images, samples)
            members = method._logits_of_members(method.network, images, samples)[0].flatten(1)
        expected = scipy.special.softmax(members.double().numpy(), axis=1).mean(0)
        found = scipy.special.softmax(log_density.double().numpy())
        assert found.shape == (1, 64 // MODULE.CELL, 96 // MODULE.CELL)
        np.testing.assert_allclose(found.ravel(), expected, rtol=1e-4)

    def test_is_a_log_density(self, method):
        assert np.exp(method.predict(sample_of(picture((300, 200)))).astype(float)).sum() == pytest.approx(1, abs=1e-4)

    def test_does_not_depend_on_the_batch(self, method):
        samples = [sample_of(picture((60, 80), seed), dataset=name) for seed, name in enumerate(("osie", None, "osie"))]
        for sample, together in zip(samples, method.predict_batch(samples), strict=True):
            np.testing.assert_allclose(method.predict(sample), together, atol=1e-4)


class TestPriors:
    @pytest.fixture
    def readout(self):
        torch.manual_seed(0)
        readout = network.Readout().eval()
        with torch.no_grad():
            readout.prior += 1.0
            readout.own_priors[network.DATASETS.index("osie"), 0] = 2.0  # more at the top
        return readout

    def test_a_data_set_adds_its_own(self, readout):
        features = [torch.zeros(3, channels, *network.PRIOR) for channels in network.TAPS.values()]
        osie, unknown, none = readout(features, ["osie", "unknown", None])
        torch.testing.assert_close(unknown, none)
        difference = (osie - unknown).detach()
        torch.testing.assert_close(difference[0], torch.full((12,), 2.0))
        torch.testing.assert_close(difference[-1], torch.zeros(12))


class TestFit:
    def fitted(self, samples, folder):
        plan = Plan(folder, recipe={"size": (64, 96), "steps": 2, "batch_size": 2, "validation_share": 0.2})
        return registry.create("gaze_lite", Runtime(progress=False)).fit(samples, plan)

    def test_kept_features_give_the_same_weights(self, make_samples, tmp_path, monkeypatch):
        monkeypatch.setattr(MODULE, "FeatureCache", lambda key, keep: FeatureCache(key, tmp_path / "kept", keep=keep))
        samples = [replace(sample, dataset="osie") for sample in make_samples([(60, 80)] * 6)]
        first = self.fitted(samples, tmp_path / "first")
        kept = list((tmp_path / "kept").rglob("*.safetensors"))
        assert kept
        self.fitted(samples, tmp_path / "second")
        monkeypatch.setattr(MODULE, "shows_images_again", lambda *_: False)
        self.fitted(samples, tmp_path / "third")
        files = [checkpoint.read(tmp_path / run / "last.safetensors") for run in ("first", "second", "third")]
        for other in files[1:]:
            assert all(torch.equal(tensor, other.tensors[name]) for name, tensor in files[0].tensors.items())
        assert first.trained.record.identity["setup"] == {"encoder": MODULE.HASH}

    def test_ships_nothing_of_the_encoder(self, method):
        assert sum(parameter.numel() for parameter in method.build_network().parameters()) < 750_000  # 3 MB of float32
