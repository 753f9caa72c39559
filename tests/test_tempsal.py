"""tempsal: as its authors' code computes it, with seeded weights; and each picture of a batch by itself.

The network sees the first picture of the kit. Pictures of a batch are small ones.
"""

from types import SimpleNamespace

import conformance
import numpy as np
import pytest
import torch
from small_networks import small_networks

from salbench import registry
from salbench.metrics import cc, kl
from salbench.runtime import Runtime
from salbench.sample import Sample

TOLERANCE = 1e-4  # the kit's, whose noise is 1.4e-5
SALIENCY, SLICES, TAPS, COARSE = "pnas_sal", "pnas_vol.deconv_layer5", "pnas_vol.pnas", "pnas_vol.deconv_layer0"
FUSION = {f"top_deconv{i}": f"deconv_layer{i}" for i in range(1, 5)} | {"mix_logit": "deconv_mix"}
BRANCHES = ["sal_map", "vol_before_max_division", *(f"vol_out{i}" for i in range(1, 6))]


@pytest.fixture(scope="module")
def kit():
    return conformance.load("tempsal")


@pytest.fixture(scope="module")
def method(kit):
    return conformance.with_weights("tempsal", kit.state)


@pytest.fixture(scope="module")
def picture(kit):
    return kit.picture(256, 256, 0)


@pytest.fixture(scope="module")
def outputs(method, picture):
    """What the network gives for the picture, and its parts, by the names of the kit."""
    modules = FUSION | {name: name for name in (SALIENCY, SLICES, TAPS, COARSE)}
    with torch.inference_mode(), conformance.traced(method.network, modules) as traced:
        _, slices = method.network(method.preprocess(picture))
    outputs = {name: traced[name] for name in FUSION} | {"slices": slices}
    outputs |= {"sal_map": traced[SALIENCY].sigmoid(), "vol_before_max_division": traced[SLICES].sigmoid()}
    return outputs | {f"vol_out{i + 1}": tap for i, tap in enumerate([*traced[TAPS][:4], traced[COARSE]])}


def close(ours, expected):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE)


class TestNetwork:
    @pytest.mark.parametrize("prefix", ["", "module."])
    @pytest.mark.parametrize("inside", ["module.module.", "module.", ""])
    def test_has_the_published_names_in_their_order(self, kit, method, prefix, inside):
        published = {prefix + name.replace("module.module.", inside): None for name in kit.names}
        assert list(method.published(published)) == list(method.network.state_dict())

    @pytest.mark.parametrize("part", [*BRANCHES, *FUSION])
    def test_parts_are_as_published(self, kit, outputs, part):
        close(kit.summary(outputs[part]), kit.expected[f"single/stats/{part}"])
        if part != "sal_map":
            close(outputs[part][0, :4, :4, :4], kit.expected[f"single/crop/{part}"])

    def test_maps_are_as_published(self, kit, outputs):
        ours, place = {name: output[0] for name, output in outputs.items()}, "single/image0"
        close(ours["mix_logit"][0].sigmoid()[::2, ::2], kit.expected[f"{place}/map_sub2"])
        close(ours["slices"][:, ::4, ::4], kit.expected[f"{place}/slices_sub4"])
        close(ours["sal_map"][0, ::4, ::4], kit.expected[f"{place}/single_branch_map_sub4"])

    def test_pictures_of_a_batch_do_not_mix(self, kit):
        """The authors' code divides slices by the maximum over the batch, ours each picture's by its own.

        Here the network has few weights. Its encoder is that of simplenet, whose tests look at batches.
        """
        with small_networks():
            method = registry.create("tempsal", Runtime(init="random"))
            network = method.network
        pictures = method.preprocess(torch.cat([kit.picture(64, 64, variant) for variant in (0, 1)]))
        with torch.inference_mode():
            maps, slices = network(pictures)
            of_the_first, its_slices = network(pictures[:1])
        close(maps[:1], of_the_first)
        close(slices[:1], its_slices)
        assert slices.amax((1, 2, 3)).tolist() == [1, 1]
        assert (maps[0] - maps[1]).abs().max() > 10 * TOLERANCE


class TestMethod:
    """On the kit's picture; its network's map is known."""

    @pytest.fixture
    def sample(self, picture):
        return Sample("picture", (256, 256), lambda: picture[0].numpy())

    @pytest.fixture
    def expected(self, outputs):
        return outputs["mix_logit"][0, 0].sigmoid().double().numpy()

    @pytest.fixture(autouse=True)
    def _known(self, method, picture, outputs, monkeypatch):
        """The network gives what it gave for the picture, once for each in a batch, without another pass."""
        inputs = method.preprocess(picture)

        def known(images):
            number = len(images)
            torch.testing.assert_close(images, inputs.expand(number, -1, -1, -1), rtol=0, atol=0)
            return [outputs[name].expand(number, -1, -1, -1) for name in ("mix_logit", "slices")]

        monkeypatch.setattr(method.network, "forward", known)

    def test_prediction_is_the_map_from_0_to_1(self, method, sample, expected):
        prediction = method.predict(sample.blind())
        assert (prediction.min(), prediction.max()) == (0, 1)
        close(prediction, (expected - expected.min()) / np.ptp(expected))

    def test_features_are_the_maps_of_the_seconds(self, method, sample, outputs):
        features = method.features(sample.blind())
        assert list(features) == ["0 to 1 s", "1 to 2 s", "2 to 3 s", "3 to 4 s", "4 to 5 s"]
        close(np.concatenate(list(features.values())), outputs["slices"][0])

    def test_loss_is_divergence_less_correlation_of_the_map(self, method, picture, expected):
        density = np.random.default_rng(1).random((2, 256, 256))
        batch = SimpleNamespace(
            images=picture.expand(2, -1, -1, -1),
            samples=[SimpleNamespace(caption=None)] * 2,
            density=torch.from_numpy(density),
            counts=torch.ones(2, 256, 256),
            edits=None,
        )
        with torch.inference_mode():
            loss = method.loss(method.network, batch)
        losses = [kl(expected, truth) - cc(expected, truth) for truth in density]
        assert loss.item() == pytest.approx(np.mean(losses), abs=1e-4)
