"""opensalicon: as its authors' code computes it, with seeded weights in a file of Caffe.

At its own size, the network takes half a minute for a picture, so its fine stream sees the lowest fifth of the odd
picture with the mirrored spline. Of the other cases, it sees the corner that the kit's crops depend on.
"""

import sys
import warnings

import caffemodel_writer
import conformance
import numpy as np
import pytest
import torch
from blank_networks import blank_networks
from torch import nn
from torch.nn.functional import interpolate, pad, relu

from salbench import registry, weights
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.weights import WeightsProblem

pytestmark = pytest.mark.slow
ODD = (333, 517)
FINE = {"pool1": "fine.pools.0", "relu3_3": "fine.conv3_3", "pool5": "fine.pools.4"}
COARSE = {"sec_relu3_3": "coarse.conv3_3", "sec_pool5": "coarse.pools.4"}
CUT, KNOWN = 960, 34  # the fine stream sees the rows from the first on; cells from the second on depend on no others
CORNER = 224  # pixels of each side; what the crops depend on ends before
INPUT, FEATURE, LOGIT, MAP = 1e-5, 1e-3, 1e-4, 2e-5  # the kit's tolerances


def close(ours, expected, tolerance):
    np.testing.assert_allclose(ours, expected, rtol=0, atol=tolerance)


@pytest.fixture(scope="module")
def kit():
    return conformance.load("salicon")


@pytest.fixture(scope="module")
def root(kit, tmp_path_factory):
    """A weights root with the official file."""
    root = tmp_path_factory.mktemp("weights")
    weights.folder("opensalicon", root).mkdir()
    (published,) = registry.get("opensalicon").checkpoints
    caffemodel_writer.write(weights.folder("opensalicon", root) / published.file, kit.state)
    return root


@pytest.fixture(scope="module")
def method(root):
    method = registry.create("opensalicon", Runtime(weights_root=root))
    with blank_networks():
        assert method.network.training is False
    return method


@pytest.fixture(scope="module")
def nearest(method):
    nearest = registry.create("opensalicon:nearest")
    nearest._network = method.network
    return nearest


class LowestFifth(nn.Module):
    """The fine stream, with zeros in the cells above those that it sees."""

    def __init__(self, stream):
        super().__init__()
        self.stream = stream

    def forward(self, fine):
        return pad(self.stream(fine[..., CUT:, :]), (0, 0, CUT // 32, 0))


@pytest.fixture(scope="module")
def odd(kit, method):
    """The odd picture from the official file to the map: {name in the kit: what we get}."""
    picture, network = kit.picture(*ODD, 1), method.network
    found = {}

    def keep(network, inputs, cells):
        found.update(zip(("fine", "coarse"), inputs, strict=True), saliency_map=cells, saliency_map_out=cells.sigmoid())

    hook = network.register_forward_hook(keep)
    with pytest.MonkeyPatch.context() as patch, conformance.traced(network, COARSE) as features:
        patch.setitem(network._modules, "fine", LowestFifth(network.fine))
        network.fine.register_forward_hook(lambda stream, inputs, cells: found.update(pool5=cells))
        found["final"] = method.predict(Sample("odd", ODD, lambda: picture[0].numpy()).blind())
    hook.remove()
    return found | rectified(features) | {"interpolated_data": interpolated(features["sec_pool5"])}


def rectified(features):
    return {name: relu(tensor) if "relu" in name else tensor for name, tensor in features.items()}


def interpolated(coarse):
    return interpolate(coarse, (38, 50), mode="bilinear", align_corners=True)


def compare(kit, case, name, ours, tolerance):
    """Statistics and crop of an array, as far as the kit has them."""
    compared = 0
    for kind, value in (("stats", lambda: kit.summary(ours)), ("crop", lambda: ours[0, :4, :4, :4])):
        if f"{case}/{kind}/{name}" in kit.expected:
            close(value(), kit.expected[f"{case}/{kind}/{name}"], tolerance)
            compared += 1
    assert compared


@pytest.fixture(scope="module")
def inputs(kit, method, nearest, odd):
    """{case: the inputs of both streams}. In the native case, each gets the values of a picture of its size.

    Those of the odd picture are what the network got.
    """
    coarse = registry.create("opensalicon")
    coarse.recipe = coarse.recipe.at((600, 800))
    native = (method, (1200, 1600)), (coarse, (600, 800))
    return {
        "native": [of_one_size.inputs(kit.picture(*size, 0))[0] for of_one_size, size in native],
        "odd_333x517_mirror": (odd["fine"], odd["coarse"]),
        "odd_333x517_nearest": nearest.inputs(kit.picture(*ODD, 1)),
    }


class TestInputs:
    @pytest.mark.parametrize("case", ["native", "odd_333x517_mirror", "odd_333x517_nearest"])
    def test_as_published(self, kit, inputs, case):
        for name, ours, shape in zip(("fine", "coarse"), inputs[case], ((1200, 1600), (600, 800)), strict=True):
            assert ours.shape == (1, 3, *shape)
            compare(kit, case, name, ours, INPUT)
            corner = kit.expected[f"{case}/{name}_corner"]
            close(ours[0, :, : corner.shape[1], : corner.shape[2]], corner, INPUT)

    @pytest.mark.parametrize("case", ["odd_333x517_mirror", "odd_333x517_nearest"])
    def test_everywhere(self, kit, inputs, case):
        for name, ours, step in zip(("fine", "coarse"), inputs[case], (24, 12), strict=True):
            close(ours[0, :, ::step, ::step], kit.expected[f"{case}/{name}_sub{step}"], INPUT)


class TestNetwork:
    @pytest.mark.parametrize("name", [*COARSE, "interpolated_data"])
    def test_coarse_features(self, kit, odd, name):
        compare(kit, "odd_333x517_mirror", name, odd[name], FEATURE)
        if "relu" not in name:
            close(odd[name][0, 0], kit.expected[f"odd_333x517_mirror/{name.removesuffix('_data')}_ch0"], FEATURE)

    def test_fine_features(self, kit, odd):
        close(odd["pool5"][0, 0, KNOWN:], kit.expected["odd_333x517_mirror/pool5_ch0"][KNOWN:], FEATURE)

    def test_map(self, kit, odd):
        for name, tolerance in (("saliency_map", LOGIT), ("saliency_map_out", MAP)):
            close(odd[name][0, KNOWN:], kit.expected[f"odd_333x517_mirror/{name}"][KNOWN:], tolerance)
        assert odd["final"].shape == ODD

    @pytest.mark.parametrize("case", ["native", "odd_333x517_nearest"])
    def test_crops(self, kit, method, inputs, case):
        fine, coarse = (ours[..., :CORNER, :CORNER] for ours in inputs[case])
        with torch.inference_mode(), conformance.traced(method.network, FINE | COARSE) as features:
            method.network(fine, coarse)
        names = [*FINE, *COARSE] if case == "native" else ["pool5", "sec_pool5"]
        for name in names:
            close(rectified(features)[name][0, :4, :4, :4], kit.expected[f"{case}/crop/{name}"], FEATURE)


class TestFinished:
    @pytest.mark.parametrize("spline", ["mirror", "nearest"])
    def test_of_the_published_map(self, kit, method, nearest, spline):
        case = f"odd_333x517_{spline}"
        cells, sample = kit.expected[f"{case}/saliency_map_out"], Sample("odd", ODD, lambda: None)
        final = {"mirror": method, "nearest": nearest}[spline].finished(cells, sample)
        compare(kit, case, "final", torch.from_numpy(final), 1e-6)
        close(final[::4, ::4], kit.expected[f"{case}/final_sub4"], 1e-6)
        close(final[:12, :12], kit.expected[f"{case}/final_corner"], 1e-6)

    def test_a_constant_map(self, method):
        final = method.finished(np.full((38, 50), 0.3, np.float32), Sample("a", (40, 30), lambda: None))
        np.testing.assert_array_equal(final, np.zeros((40, 30)))


class TestOfficialFile:
    def test_names_are_those_of_the_network(self, kit, method):
        in_caffe = sys.modules[type(method).__module__].in_caffe
        assert [in_caffe(name) for name in method.network.state_dict()] == kit.names

    def test_old_shapes(self, kit, method):
        """Caffe used to give a bias four axes."""
        old = {name: blob.reshape(1, 1, 1, -1) if blob.ndim == 1 else blob for name, blob in kit.state.items()}
        found, expected = method.published(old), method.published(kit.state)
        assert all(torch.equal(tensor, expected[name]) for name, tensor in found.items())

    def test_other_layers_are_ignored_in_any_order(self, kit, method):
        more = dict(reversed(kit.state.items())) | {"data.0": torch.ones(2)}
        assert list(method.published(more)) == list(method.network.state_dict())

    @pytest.mark.parametrize("change", ["lacks a layer", "another name", "another shape"])
    def test_other_layers_are_refused(self, kit, method, change):
        blobs = dict(kit.state)
        blob = blobs.pop("sec_conv5_3.1")
        if change != "lacks a layer":
            blobs |= {"coarse_conv5_3.1": blob} if change == "another name" else {"sec_conv5_3.1": blob[:-1]}
        with pytest.raises(LookupError, match=r"sec_conv5_3\.1|coarse\.conv5_3\.bias: expected .* got \(511,\)"):
            method.published(blobs)

    def test_another_file_is_refused(self, kit, root, tmp_path):
        (published,) = registry.get("opensalicon").checkpoints
        folder = weights.folder("opensalicon", tmp_path)
        folder.mkdir()
        caffemodel_writer.write(folder / published.file, {name: kit.state[name] for name in kit.names[:2]})
        with pytest.raises(WeightsProblem, match=r"osie\.caffemodel: expected what .*/OpenSALICON publishes"):
            registry.create("opensalicon", Runtime(weights_root=tmp_path)).predict(noise((5, 5)))

    def test_the_images_of_osie_count_as_seen(self, method):
        osie, other = (Sample("1001", ODD, lambda: None, dataset=name) for name in ("osie", "popout"))
        assert method.seen([osie, other]) == [osie]
        assert registry.create("opensalicon", Runtime(init="random")).seen([osie]) == []


@pytest.fixture(scope="module")
def small(method):
    """At a small size."""
    small = registry.create("opensalicon")
    small.recipe, small._network = small.recipe.at((64, 96)), method.network
    return small


def noise(size, seed=0):
    picture = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    return Sample(f"noise {seed}", size, lambda: picture)


class TestProperties:
    def test_pictures_of_a_batch_do_not_mix(self, small):
        samples = noise((50, 40)), noise((50, 40), 1)
        first, second = small.predict_batch(samples)
        close(first, small.predict(samples[0]), 1e-4)
        assert np.abs(first - second).max() > 0.05

    @pytest.mark.parametrize("size", [(1, 1), (1, 300), (2000, 3)])
    def test_any_size(self, small, size):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            prediction = small.predict(noise(size))
        assert prediction.shape == size
        assert np.isfinite(prediction).all()

    def test_all_parameters_learn(self, small):
        torch.manual_seed(0)
        network = small.network
        images = torch.randint(0, 256, (1, 64, 96, 3), dtype=torch.uint8)
        logits = small.logits(network, images, [None])
        assert logits.shape == (1, 64, 96)
        (logits * torch.randn(64, 96)).sum().backward()
        assert all(parameter.grad.any() for parameter in network.parameters())

    def test_logits_are_the_log_of_the_map(self, small):
        """Bilinear, as seen in the middle of four cells: the mean of their logits."""
        cells = torch.tensor([[[0.0, 1.0], [2.0, 4.0]]])
        images = torch.zeros(1, 9, 9, 3, dtype=torch.uint8)
        logits = small.logits(lambda fine, coarse: cells, images, [None])
        assert logits[0, 4, 4].sigmoid() != logits[0, 4, 4]
        close(logits[0, 4, 4].exp(), torch.tensor(1.75).sigmoid(), 1e-6)
