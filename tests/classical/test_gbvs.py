"""gbvs: the authors' maps; each step against a plain version or arithmetic by hand."""

import importlib

import numpy as np
import pytest
from classical_goldens import SHARED, assert_agree, expected, noise, picture, popout
from numpy.testing import assert_allclose, assert_array_equal

from salbench import registry
from salbench.maps import minmax, resize_matlab
from salbench.sample import Sample

PICTURES = {name: (f"{name}__map", "gbvs") for name in ("popout160", "noise", "osie1001", "osie1105")}
PICTURES |= {"popout480": ("gbvs_popout480_map", "big"), "noise480": ("gbvs_noise480_map", "big")}
CHANNELS = {"intensity": "intensity", "orientation": "orientation", "colour": "dklcolor"}


def module(name):
    """A module beside the methods."""
    return importlib.import_module(f"{registry.get('gbvs').__module__.rpartition('.')[0]}.{name}")


dkl, gabor, gbvs, toolbox = map(module, ("_dkl", "_gabor", "gbvs", "_gbvs_toolbox"))


def image_of(name):
    large = {"popout480": popout, "noise480": noise}
    return large[name](480, 640) if name in large else picture(name)


def predict(image):
    return registry.create("gbvs").predict(Sample("image", image.shape[:2], lambda: image))


def channel_maps(image):
    features = gbvs.feature_maps(image)
    return {name: gbvs.channel_map(maps, gbvs.distance_weights(maps.shape[1:])) for name, maps in features.items()}


class TestAuthors:
    @pytest.mark.parametrize("name", PICTURES)
    def test_map(self, name):
        key, file = PICTURES[name]
        assert_agree(predict(image_of(name)), file, key, r=0.99999, difference=1e-3)

    @pytest.mark.parametrize("name", ["popout160", "noise", "osie1001", "osie1105"])
    def test_channels(self, name):
        found = channel_maps(picture(name))
        for channel, theirs in CHANNELS.items():
            assert_agree(found[channel], "gbvs", f"{name}__chan_{theirs}", r=0.99999, difference=1e-3)

    def test_features_and_activations(self):
        features = np.concatenate(list(gbvs.feature_maps(picture("osie1001")).values()))
        # The readings, rounded to five digits, move a colour by 1.4e-5.
        assert_allclose(features, np.moveaxis(expected("gbvs", "osie1001__raw24"), 2, 0), atol=2e-5)
        nearness = gbvs.distance_weights(features.shape[1:])
        activations = [minmax(gbvs.activation(feature, nearness)) for feature in features]
        assert_allclose(activations, np.moveaxis(expected("gbvs", "osie1001__act24"), 2, 0), atol=1e-4)

    @pytest.mark.parametrize("name", ["popout160", "noise", "osie1001", "osie1105"])
    def test_resized_to_the_picture(self, name):
        image = picture(name)
        resized = minmax(resize_matlab(predict(image), image.shape[:2]))
        assert_agree(resized, "gbvs", f"{name}__resized_s2", r=0.99999, difference=1e-3)

    def test_light(self):
        if not SHARED.is_dir():
            pytest.skip(f"{SHARED} is absent")
        assert_allclose(dkl.LIGHT, np.load(SHARED / "dkl_lut.npz")["lut"], atol=1e-5)


class TestActivation:
    def plain(self, feature):
        """The chain with loops over pairs of nodes."""
        rows, columns = feature.shape
        nodes = [(i, j) for i in range(rows) for j in range(columns)]
        sigma = 0.15 * (rows + columns) / 2
        weights = {}
        for a in nodes:
            for b in nodes:
                squared = (a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2
                weights[a, b] = abs(feature[a] - feature[b]) * np.exp(-squared / (2 * sigma**2))
        before = dict.fromkeys(nodes, 1 / len(nodes))
        while True:
            after = dict.fromkeys(nodes, 0.0)
            for a in nodes:
                leaving = sum(weights[a, b] for b in nodes)
                for b in nodes:
                    after[b] += before[a] * weights[a, b] / leaving
            if sum((after[a] - before[a]) ** 2 for a in nodes) ** 0.5 <= 1e-4:
                break
            before = after
        return np.array([[after[i, j] for j in range(columns)] for i in range(rows)])

    def test_equals_a_plain_chain(self):
        feature = np.random.default_rng(1).random((4, 5))
        assert_allclose(gbvs.activation(feature, gbvs.distance_weights((4, 5))), self.plain(feature), atol=1e-12)

    def test_long_chains_visit_nodes_in_proportion_to_their_edges(self, monkeypatch):
        monkeypatch.setattr(gbvs, "TOLERANCE", 1e-13)
        feature, nearness = np.random.default_rng(2).random((5, 6)), gbvs.distance_weights((5, 6))
        edges = (np.abs(feature.reshape(-1, 1) - feature.ravel()) * nearness).sum(axis=1)
        assert_allclose(gbvs.activation(feature, nearness).ravel(), edges / edges.sum(), rtol=1e-9)

    def test_an_odd_node_attracts(self):
        feature = np.random.default_rng(3).normal(0, 0.01, (6, 8))
        feature[2, 5] = 1
        activation = gbvs.activation(feature, gbvs.distance_weights((6, 8)))
        assert np.unravel_index(activation.argmax(), (6, 8)) == (2, 5)
        assert activation.sum() == pytest.approx(1)

    def test_brightness_has_no_unit(self):
        feature, nearness = np.random.default_rng(4).random((6, 8)), gbvs.distance_weights((6, 8))
        assert_allclose(gbvs.activation(5 + feature / 100, nearness), gbvs.activation(feature, nearness), rtol=1e-9)

    def test_a_constant_feature_attracts_nowhere(self):
        flat = np.full((3, 4), 0.7) + np.linspace(0, 1e-12, 12).reshape(3, 4)
        assert_array_equal(gbvs.activation(flat, gbvs.distance_weights((3, 4))), np.full((3, 4), 1 / 12))


class TestToolbox:
    def test_halving(self):
        for n, last in ((14, [1, 5, 10, 10]), (15, [1, 5, 10, 10, 5])):
            weights = toolbox._halving_weights(n).toarray()
            assert weights.shape == (7, n)
            assert_allclose(weights[0, :5], np.array([10, 10, 5, 1, 0]) / 26)
            assert_allclose(weights[2, 2:8], np.array([1, 5, 10, 10, 5, 1]) / 32)
            assert_allclose(weights[6, -len(last) :], np.array(last) / sum(last))
            assert_allclose(weights.sum(axis=1), 1)

    def test_pyramid(self):
        image = np.random.default_rng(0).integers(0, 256, (50, 24, 3), dtype=np.uint8)
        levels = toolbox.pyramid(image, 3)
        assert {number: level.shape for number, level in levels.items()} == {
            1: (25, 12, 4), 2: (12, 6, 4), 3: (12, 6, 4),  # a side of 10 or less is not halved
        }  # fmt: skip
        assert_array_equal(levels[2], levels[3])
        down, across = (toolbox._halving_weights(n).toarray() for n in (50, 24))
        assert_allclose(levels[1][..., 0], down @ image.max(axis=2) @ across.T / 255, rtol=1e-6)
        assert_allclose(levels[1][..., 2], down @ image[..., 1] @ across.T / 255, rtol=1e-6)

    def test_gabor_filters(self):
        bank = gabor.gabor_bank(13, np.pi, (2, 4))
        rows, columns = np.mgrid[-13:14, -13:14]
        plain = np.cos(2 * rows + np.pi / 2) * np.exp(-(rows**2) / 8 - columns**2 / 32)  # angle 0, phase 90 degrees
        plain -= plain.mean()
        assert_allclose(bank[0, 1], plain / np.sqrt((plain**2).sum()), atol=1e-12)
        assert_allclose(bank.sum(axis=(2, 3)), 0, atol=1e-12)

    def test_stripes_excite_their_orientation(self):
        rows, columns = np.indices((60, 60))
        waves = rows, (rows - columns) / np.sqrt(2), columns, (rows + columns) / np.sqrt(2)  # across the stripes
        for i, wave in enumerate(waves):
            energy = toolbox.orientation_maps(np.cos(2 * wave))
            assert energy[:, 30, 30].argmax() == i

    def test_energy_is_a_convolution(self):
        rng = np.random.default_rng(5)
        plane, bank = rng.random((9, 8)), rng.random((4, 2, 3, 3))
        energy = gabor.orientation_energy(plane, bank)
        assert energy.shape == (4, 7, 6)
        patch = plane[2:5, 3:6][::-1, ::-1]
        assert energy[1, 2, 3] == pytest.approx(abs((patch * bank[1, 0]).sum()) + abs((patch * bank[1, 1]).sum()))

    def test_borders_fade(self):
        faded = toolbox.fade_borders(np.ones((4, 9)), 3)  # 3 is cut to 2
        assert_allclose(faded[:, 4] * 3, [1, 2, 2, 1])
        assert_allclose(faded[1] * 9, [2, 4, 6, 6, 6, 6, 6, 4, 2])

    def test_lattice(self):
        assert toolbox.lattice_shape((600, 800), 32) == (24, 32)
        assert toolbox.lattice_shape((150, 400), 20) == (8, 20)  # 7.5
        assert toolbox.lattice_shape((1, 800), 32) == (1, 32)

    def test_map_is_blurred_over_two_standard_deviations(self):
        activity = np.zeros((31, 31))
        activity[15, 15] = 1
        found = toolbox.saliency_map(activity, 0.05)  # sigma 1.55: 3 nodes
        bell = np.exp(-(np.arange(4) ** 2) / 2 / 1.55**2)
        assert_allclose(found[15, 15:20], [*bell, 0], atol=1e-12)


class TestDkl:
    def test_grey_axis(self):
        light = np.linalg.solve(dkl.LMS_OF_LIGHT, dkl.GREY)
        assert_allclose(light, 0.5, atol=0.01)  # the background is half light, so it has no contrast
        found = dkl._dkl_of_lms() @ dkl.GREY * 0.2  # a fifth brighter
        assert_allclose(found, [0.5774 * np.sqrt(3) * 0.2, 0, 0], atol=1e-12)

    def test_contrasts_of_single_cones(self):
        long, middle, _ = dkl.GREY
        by_long, _, by_short = (dkl._dkl_of_lms() * dkl.GREY).T
        total = long + middle
        red_green = 2.7525 * np.sqrt(long**2 + middle**2) / total
        assert_allclose(by_long, [0.5774 * np.sqrt(3) * long / total, red_green, -0.4526 * long / total])
        assert_allclose(by_short, [0, 0, 0.4526])

    def test_levels(self):
        rgb = np.array([[[0, 0, 0], [1 / 255] * 3, [1.5 / 255] * 3, [1] * 3]])
        assert_allclose(dkl.dkl(rgb)[0, 0], dkl.dkl(rgb)[0, 1])  # level 1 for both
        assert_allclose(dkl.dkl(rgb)[0, 2], dkl._dkl_of_lms() @ (dkl.LMS_OF_LIGHT @ dkl.LIGHT[1] - dkl.GREY))
        assert_allclose(dkl.dkl(rgb)[0, 3], dkl._dkl_of_lms() @ (dkl.LMS_OF_LIGHT @ dkl.LIGHT[254] - dkl.GREY))

    def test_opponents(self):
        red, green, blue = dkl.dkl(np.eye(3)[None])[0]
        assert red[1] > 0 > green[1]
        assert blue[2] > 0 > min(red[2], green[2])

    def test_light_rises(self):
        assert (np.diff(dkl.LIGHT, axis=0) > 0).all()
        assert_array_equal(dkl.LIGHT[-1], 1)
        assert (dkl.LIGHT[0] > 0).all()


class TestMap:
    def test_the_red_disc_stands_out(self):
        found = predict(popout(480, 640))
        row, column = np.unravel_index(found.argmax(), found.shape)
        assert np.hypot(row * 20 + 10 - 60, column * 20 + 10 - 100) < 40

    def test_a_mirrored_picture_has_the_mirrored_map(self):
        image = noise(128, 160)
        found = predict(image)
        assert_allclose(predict(image[:, ::-1])[:, ::-1], found, atol=1e-5)
        assert_allclose(predict(image[::-1])[::-1], found, atol=1e-5)

    def test_a_constant_picture_has_no_salient_place(self):
        found = predict(np.full((96, 128, 3), (128, 40, 200), np.uint8))
        assert_allclose(found[5:-5, 5:-5], 1)
