"""deepgaze_iie: as its authors' code computes it, with seeded weights; the centre bias; which parts are trained.

Of the kit's pictures, the network sees the one with odd sides, because the other one has five times as many pixels.
"""

import runpy
import sys
from pathlib import Path

import conformance
import numpy as np
import pytest
import torch
from blank_networks import blank_networks
from scipy.ndimage import zoom
from scipy.special import logsumexp

from salbench import registry
from salbench.registry import MethodUnavailable
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.training_plan import Plan

CASE, SIZE = "odd_333x499", (333, 499)
MEMBERS = "shapenet_c", "efficientnet_b5", "densenet201", "resnext50"
COMPONENTS = 0, 29  # those that the kit holds
PARTS = {"saliency_network": "saliency_networks", "readout": "fixation_selection_networks"}


@pytest.fixture(scope="module")
def kit():
    return conformance.load("deepgaze2e")


@pytest.fixture(scope="module")
def smooth():
    """A function of a name and a shape: the kit's tensor."""
    return runpy.run_path(str(conformance.KITS / "weights.py"))["smooth_tensor"]


@pytest.fixture(scope="module")
def template():
    """A centre bias whose neighbours differ, and whose sum, rows and columns do too."""
    rows, columns = np.mgrid[-1:1:1024j, -1:1:1024j]
    noise = np.random.default_rng(0).normal(0, 0.1, (1024, 1024))
    return torch.from_numpy(-2 * (rows - 0.1) ** 2 - columns**2 + noise)


@pytest.fixture(scope="module")
def method(kit, template):
    return conformance.with_weights("deepgaze_iie", kit.state, template)


@pytest.fixture(scope="module")
def code(method):
    """A function of the name of a file of the method: its module."""
    return lambda name: sys.modules[f"{type(method).__module__}.{name}"]


@pytest.fixture(scope="module")
def outputs(kit, method):
    """{name of a module: its output}, and the log density (H, W) by the name ""."""
    names = [f"models.{i}{part}" for i in range(4) for part in ("", ".features")]
    names += [f"models.{i}.{p}.{k}" for i in range(4) for p in (*PARTS.values(), "finalizers") for k in COMPONENTS]
    images = method.preprocess(kit.picture(*SIZE, 1))
    with torch.inference_mode(), conformance.traced(method.network, {n: n for n in names}) as found:
        found[""] = method.network(images, center_bias(*SIZE))[0]
    return found


def center_bias(height, width):
    """The kit's: a log density (1, height, width)."""
    y, x = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    values = -0.5 * ((y / 0.5) ** 2 + ((x - 0.1) / 0.6) ** 2)
    return torch.from_numpy(values - logsumexp(values)).float()[None]


def close(ours, expected, rtol=1e-5, atol=5e-4):
    """Within the kit's noise (3e-4, on values of up to 136); it allows 2e-3, or 1e-4 relative."""
    np.testing.assert_allclose(ours, expected, rtol=rtol, atol=atol)


@pytest.mark.parametrize(("i", "name"), list(enumerate(MEMBERS)))
class TestMembers:
    def test_features_are_as_published(self, kit, method, outputs, i, name):
        features = outputs[f"models.{i}.features"]
        layers = method.network.models[i].features.layers
        kept = [key for key in kit.expected if key.startswith(f"{CASE}/{name}/feature_stats/")]
        assert [f"{CASE}/{name}/feature_stats/1.{layer}" for layer in layers] == kept
        for layer, output in zip(layers, features, strict=True):
            close([*output.shape[1:], *kit.summary(output)], kit.expected[f"{CASE}/{name}/feature_stats/1.{layer}"])
            crop = f"{CASE}/{name}/feature_crop/1.{layer}"
            if crop in kit.expected:
                close(output[0, :3, :3, :3], kit.expected[crop])

    @pytest.mark.parametrize("k", COMPONENTS)
    def test_components_are_as_published(self, kit, code, outputs, i, name, k):
        for part, modules in PARTS.items():
            close(outputs[f"models.{i}.{modules}.{k}"][0, 0], kit.expected[f"{CASE}/{name}/component{k}/{part}"])
        full = code("readout").enlarged(outputs[f"models.{i}.finalizers.{k}"], SIZE)[0]
        close(full[::16, ::16], kit.expected[f"{CASE}/{name}/component{k}/log_density_sub16"])

    def test_averages_are_as_published(self, kit, code, outputs, i, name):
        full = code("readout").enlarged(outputs[f"models.{i}"], SIZE)[0]
        close(full[::8, ::8], kit.expected[f"{CASE}/{name}/log_density_sub8"])
        close(kit.summary(full), kit.expected[f"{CASE}/{name}/log_density_stats"])


@pytest.fixture
def one_member(method, monkeypatch):
    """The method with one of its members alone."""
    monkeypatch.setitem(method.network._modules, "models", method.network.models[3:])
    return method


class TestNetwork:
    def test_has_the_published_names_in_their_order(self, kit, method):
        assert list(method.network.state_dict()) == ["center_bias", *kit.names]

    def test_log_density_is_as_published(self, kit, outputs):
        ours = outputs[""]
        assert ours.shape == SIZE
        close(ours[::4, ::4], kit.expected[f"{CASE}/log_density_sub4"])
        close(ours[:24, :24], kit.expected[f"{CASE}/log_density_corner"])
        close(kit.summary(ours), kit.expected[f"{CASE}/log_density_stats"])
        assert logsumexp(ours.double()) == pytest.approx(0, abs=1e-4)

    def test_images_of_a_batch_do_not_see_each_other(self, kit, one_member):
        network = one_member.network
        images = one_member.preprocess(torch.cat([kit.picture(128, 170, variant) for variant in (0, 1)]))
        with torch.inference_mode():
            together = network(images)
            alone = torch.cat([network(image[None]) for image in images])
        close(together, alone)
        assert (alone[0] - alone[1]).abs().max() > 0.1

    @pytest.mark.parametrize("size", [(127, 300), (300, 127), (1, 1)])
    def test_small_pictures_are_refused(self, method, size):
        with pytest.raises(ValueError, match=rf"at least 128 pixels .* got \({size[0]}, {size[1]}\); enlarge"):
            method.network(torch.zeros(1, 3, *size))


class TestReadout:
    def test_norm_is_as_published(self, kit, method, smooth):
        norm = method.network.models[0].saliency_networks[0].layernorm1
        with torch.inference_mode():
            close(norm(smooth("deepgaze.ln", (1, 8, 5, 7)))[0], kit.expected["parts/layernorm8_out"], 0, 1e-5)

    def test_blur_is_as_published(self, kit, method, smooth):
        gauss = method.network.models[0].finalizers[0].gauss
        with torch.inference_mode():
            blurred = gauss(smooth("deepgaze.gauss", (1, 1, 40, 52)), (40, 52))
        close(blurred[0, 0], kit.expected["parts/gauss_out"], 0, 1e-5)

    def test_finalizer_is_as_published(self, kit, method, code, smooth):
        finalizer, given = method.network.models[0].finalizers[0], center_bias(333, 499)
        close(given[0, ::8, ::8], kit.expected["parts/centerbias_333x499_sub8"], 0, 1e-5)
        with torch.inference_mode():
            reduced = finalizer(smooth("deepgaze.readout", (1, 1, 11, 16)), given)
        full = code("readout").enlarged(reduced, (333, 499))
        close(full[0, ::4, ::4], kit.expected["parts/finalizer_out_sub4"], 0, 1e-5)


class TestPrediction:
    @pytest.mark.parametrize("size", [(333, 499), (128, 2000), (1024, 1024), (1023, 1025)])
    def test_center_bias_is_resized_as_published(self, code, template, size):
        expected = zoom(template.numpy(), (size[0] / 1024, size[1] / 1024), order=0, mode="nearest")
        np.testing.assert_array_equal(code("network").resized(template, size), expected)

    def test_is_that_of_the_picture_as_it_is_with_the_center_bias(self, kit, one_member, template):
        image, network = kit.picture(128, 193, 0)[0].numpy(), one_member.network
        ours = one_member.predict(Sample("picture", (128, 193), lambda: image).blind())
        assert ours.shape == (128, 193)
        given = zoom(template.float().numpy(), (128 / 1024, 193 / 1024), order=0, mode="nearest")
        with torch.inference_mode():
            pixels = torch.from_numpy(image.transpose(2, 0, 1)[None].astype(np.float32))
            expected = network(pixels, torch.from_numpy(given - logsumexp(given))[None])[0]
            without = network(pixels, torch.full((1, 128, 193), -np.log(128 * 193)))[0]
        close(ours, expected, atol=1e-4)
        assert (expected - without).abs().max() > 0.1

    def test_without_the_center_bias_is_told(self, tmp_path, kit):
        method = registry.create("deepgaze_iie", Runtime(weights_root=tmp_path))
        (tmp_path / "deepgaze_iie").mkdir()
        (tmp_path / "deepgaze_iie" / "deepgaze2e.pth").touch()
        sample = Sample("picture", (128, 193), lambda: kit.picture(128, 193, 0)[0].numpy())
        with pytest.raises(MethodUnavailable, match=r"download centerbias_mit1003\.npy from https"):
            method.predict(sample)

    def test_readouts_keep_full_precision_under_autocast(self, kit, one_member):
        taps = {"features": "models.0.features", "readout": "models.0.fixation_selection_networks.0"}
        images = one_member.preprocess(kit.picture(128, 192, 0))
        traced = conformance.traced(one_member.network, taps)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16), traced as outputs:
            one_member.network(images)
        assert [f.dtype for f in outputs["features"]] == [torch.bfloat16] * 4
        assert outputs["readout"].dtype == torch.float32


@pytest.fixture(scope="module")
def new_network(method, code):
    """The network that `fit` trains, with two readouts on each backbone."""
    networks, fitted = [], registry.create("deepgaze_iie")
    fitted.published_network = lambda: method.network
    backbones = code("network")._backbones

    def blank_backbones():
        with blank_networks():
            return backbones()

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(code("network"), "_backbones", blank_backbones)
        patch.setattr(code("network"), "COMPONENTS", 2)
        patch.setattr("salbench.training.loop.Trainer", lambda network, *rest: networks.append(network) or Run)
        fitted.fit([], Plan("nowhere"))
    return networks[0]


class TestTraining:
    def test_starts_from_the_published_backbones_and_center_bias(self, kit, new_network, template):
        state = new_network.state_dict()
        torch.testing.assert_close(state["center_bias"], template.float())
        same = {name for name in kit.names if name in state and torch.equal(state[name], kit.state[name])}
        assert {name for name in kit.names if ".features." in name} <= same
        assert not any("conv" in name for name in same if ".features." not in name)

    def test_all_readouts_learn_and_no_backbone(self, kit, method, new_network):
        new_network.train()
        before = {name: tensor.clone() for name, tensor in new_network.named_buffers()}
        logits = method.logits(new_network, kit.picture(128, 160, 0), [None])
        (logits * torch.randn(1, 128, 160)).sum().backward()
        parameters = dict(new_network.named_parameters())
        still = {name for name, p in parameters.items() if p.grad is None or not p.grad.any()}
        assert still == {name for name in parameters if ".features." in name}
        assert all(torch.equal(before[name], tensor) for name, tensor in new_network.named_buffers())


class Run:
    """A training that ends at once."""

    folder = Path("nowhere")

    @staticmethod
    def run():
        pass
