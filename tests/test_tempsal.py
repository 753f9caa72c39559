"""tempsal: as its authors' code computes it, with seeded weights; and each picture of a batch by itself."""

from types import SimpleNamespace

import conformance
import numpy as np
import pytest
import torch

from salbench.metrics import cc, kl
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
def pictures(kit):
    """Both of the kit, in one batch."""
    return torch.cat([kit.picture(256, 256, variant) for variant in (0, 1)])


@pytest.fixture(scope="module")
def together(method, pictures):
    """What the network gives for both pictures, and its parts, by the names of the kit."""
    modules = FUSION | {name: name for name in (SALIENCY, SLICES, TAPS, COARSE)}
    with torch.inference_mode(), conformance.traced(method.network, modules) as traced:
        _, slices = method.network(method.preprocess(pictures))
    outputs = {name: traced[name] for name in FUSION} | {"slices": slices}
    outputs |= {"sal_map": traced[SALIENCY].sigmoid(), "vol_before_max_division": traced[SLICES].sigmoid()}
    return outputs | {f"vol_out{i + 1}": tap for i, tap in enumerate([*traced[TAPS][:4], traced[COARSE]])}


@pytest.fixture(scope="module")
def by_batch(method, together):
    """The same with slices divided as the authors' code does it: by the maximum over both pictures."""
    slices = together["vol_before_max_division"] / together["vol_before_max_division"].max()
    features = [together[f"vol_out{i}"] for i in range(1, 6)]
    with torch.inference_mode(), conformance.traced(method.network, FUSION) as outputs:
        method.network.fuse(features, together["sal_map"], slices)
    return together | outputs | {"slices": slices}


@pytest.fixture(scope="module")
def cases(together, by_batch):
    return {"single": {name: output[:1] for name, output in together.items()}, "batch_of_two": by_batch}


def close(ours, expected):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=TOLERANCE)


class TestNetwork:
    @pytest.mark.parametrize("prefix", ["", "module."])
    @pytest.mark.parametrize("inside", ["module.module.", "module.", ""])
    def test_has_the_published_names_in_their_order(self, kit, method, prefix, inside):
        published = {prefix + name.replace("module.module.", inside): None for name in kit.names}
        assert list(method.published(published)) == list(method.network.state_dict())

    @pytest.mark.parametrize("case", ["single", "batch_of_two"])
    @pytest.mark.parametrize("part", [*BRANCHES, *FUSION])
    def test_parts_are_as_published(self, kit, cases, case, part):
        """A single picture is the first of our batch of two: what is beside it must not matter."""
        ours = cases[case][part]
        close(kit.summary(ours), kit.expected[f"{case}/stats/{part}"])
        if part != "sal_map":
            close(ours[0, :4, :4, :4], kit.expected[f"{case}/crop/{part}"])

    @pytest.mark.parametrize(("case", "index"), [("single", 0), ("batch_of_two", 0), ("batch_of_two", 1)])
    def test_maps_are_as_published(self, kit, cases, case, index):
        ours, place = {name: output[index] for name, output in cases[case].items()}, f"{case}/image{index}"
        close(ours["mix_logit"][0].sigmoid()[::2, ::2], kit.expected[f"{place}/map_sub2"])
        close(ours["slices"][:, ::4, ::4], kit.expected[f"{place}/slices_sub4"])
        close(ours["sal_map"][0, ::4, ::4], kit.expected[f"{place}/single_branch_map_sub4"])

    def test_the_slices_of_each_picture_have_a_maximum_of_one(self, together, by_batch):
        assert together["slices"].amax((1, 2, 3)).tolist() == [1, 1]
        assert by_batch["slices"].amax((1, 2, 3)).min() < 1 - TOLERANCE  # so that the two cases differ


class TestMethod:
    """On the kit's second picture; its network's map is known from the batch."""

    @pytest.fixture
    def sample(self, pictures):
        return Sample("picture", (256, 256), lambda: pictures[1].numpy())

    @pytest.fixture
    def expected(self, together):
        return together["mix_logit"][1, 0].sigmoid().double().numpy()

    @pytest.fixture(autouse=True)
    def _known(self, method, pictures, together, monkeypatch):
        """The network gives what it gave for both pictures, or for the second alone, without another pass."""
        inputs = method.preprocess(pictures)

        def known(images):
            torch.testing.assert_close(images, inputs[-len(images) :], rtol=0, atol=0)
            return together["mix_logit"][-len(images) :], together["slices"][-len(images) :]

        monkeypatch.setattr(method.network, "forward", known)

    def test_prediction_is_the_map_from_0_to_1(self, method, sample, expected):
        prediction = method.predict(sample.blind())
        assert (prediction.min(), prediction.max()) == (0, 1)
        close(prediction, (expected - expected.min()) / np.ptp(expected))

    def test_features_are_the_maps_of_the_seconds(self, method, sample, together):
        features = method.features(sample.blind())
        assert list(features) == ["0 to 1 s", "1 to 2 s", "2 to 3 s", "3 to 4 s", "4 to 5 s"]
        close(np.concatenate(list(features.values())), together["slices"][1])

    def test_loss_is_divergence_less_correlation_of_the_map(self, method, pictures, together):
        density = np.random.default_rng(1).random((2, 256, 256))
        maps = together["mix_logit"][:, 0].sigmoid().numpy()
        batch = SimpleNamespace(
            images=pictures,
            samples=[SimpleNamespace(caption=None)] * 2,
            density=torch.from_numpy(density),
            counts=torch.ones(2, 256, 256),
            edits=None,
        )
        with torch.inference_mode():
            loss = method.loss(method.network, batch)
        expected = np.mean([kl(ours, truth) - cc(ours, truth) for ours, truth in zip(maps, density, strict=True)])
        assert loss.item() == pytest.approx(expected, abs=1e-4)
