"""itti_koch: the maps of both toolboxes; each step against a plain version or arithmetic by hand."""

import importlib

import numpy as np
import pytest
from classical_goldens import assert_agree, noise, picture, popout
from numpy.testing import assert_allclose, assert_array_equal

from salbench import registry
from salbench.maps import minmax, resize_matlab
from salbench.sample import Sample

LARGE = {"popout480": popout, "noise480": noise}
GBVS_TOOLBOX = "popout160", "noise", "osie1001", "osie1105"
SALIENCYTOOLBOX = "popout", "noise", "osie1001", "osie1105"
TOLERANCE = {"r": 0.9999, "difference": 5e-3}
VARIANTS = {"iterative": "saliencytoolbox", "localmax": "saliencytoolbox_localmax"}


def module(name):
    """A module beside the methods."""
    return importlib.import_module(f"{registry.get('itti_koch').__module__.rpartition('.')[0]}.{name}")


gbvs_toolbox, stb, peaks = map(module, ("_itti_gbvs_toolbox", "_saliencytoolbox", "_local_maxima"))


def predict(image, variant="gbvs_toolbox"):
    return registry.create(f"itti_koch:{variant}").predict(Sample("image", image.shape[:2], lambda: image))


class TestAuthors:
    @pytest.mark.parametrize("name", GBVS_TOOLBOX)
    def test_gbvs_toolbox(self, name):
        image = picture(name)
        found = predict(image)
        assert_agree(found, "itti_gbvs_toolbox", f"{name}__map", **TOLERANCE)
        resized = minmax(resize_matlab(found, image.shape[:2]))
        assert_agree(resized, "itti_gbvs_toolbox", f"{name}__resized_s2", **TOLERANCE)

    @pytest.mark.parametrize("name", GBVS_TOOLBOX)
    def test_channels(self, name):
        for channel, found in gbvs_toolbox.channel_maps(picture(name)).items():
            key = f"{name}__chan_{channel.replace('colour', 'color')}"
            assert_agree(found, "itti_gbvs_toolbox", key, **TOLERANCE)

    @pytest.mark.parametrize("name", LARGE)
    def test_deep_pyramid(self, name):
        assert_agree(predict(LARGE[name](480, 640)), "big", f"itti_{name}_map", **TOLERANCE)

    @pytest.mark.parametrize("mode", VARIANTS)
    @pytest.mark.parametrize("name", SALIENCYTOOLBOX)
    def test_saliencytoolbox(self, name, mode):
        found = predict(picture(name), VARIANTS[mode])
        assert_agree(found, "itti_saliencytoolbox", f"repaired_{mode}__{name}__map", **TOLERANCE)

    @pytest.mark.parametrize("name", SALIENCYTOOLBOX)
    def test_saliencytoolbox_resized(self, name):
        image = picture(name)
        resized = minmax(resize_matlab(predict(image, "saliencytoolbox"), image.shape[:2]))
        assert_agree(resized, "itti_saliencytoolbox", f"repaired_iterative__{name}__resized_s2", **TOLERANCE)

    @pytest.mark.parametrize("name", SALIENCYTOOLBOX)
    def test_saliencytoolbox_without_competition(self, name):
        found = stb.saliency(picture(name), stb.rescale)
        assert_agree(found, "itti_saliencytoolbox", f"repaired_none__{name}__map", **TOLERANCE)

    @pytest.mark.parametrize("mode", VARIANTS)
    @pytest.mark.parametrize("name", LARGE)
    def test_saliencytoolbox_deep_pyramid(self, name, mode):
        found = predict(LARGE[name](480, 640), VARIANTS[mode])
        assert_agree(found, "big", f"stb_{mode}_{name}_map", **TOLERANCE)


def test_local_maxima():
    array = np.array([
        [9, 9, 9, 9, 9, 9, 9],
        [0, 9, 0, 3, 3, 0, 0],  # 9 has an equal above; the plateau of 3 lies below 9
        [0, 0, 0, 0, 0, 0, 0],
        [0, 4, 0, 2, 2, 0, 7],  # 7 is in the last column
        [0, 0, 5, 0, 0, 1, 0],  # corners do not touch: 4 and 5 are both maxima
        [0, 0, 0, 0, 0, 0, 0],
    ])  # fmt: skip
    assert_array_equal(np.sort(peaks.local_maxima(array, 2)), [2, 2, 4, 5, 9])
    assert peaks.local_maxima(np.ones((2, 1)), 0).size == 0


def test_favour_single_peak():
    array = np.zeros((5, 9))
    array[2, 2] = 4
    once = gbvs_toolbox.favour_single_peak(array)
    assert once[2, 2] == 10 * 10**2
    assert_allclose(stb.favour_single_peak(array, 10), once)
    assert stb.favour_single_peak(array, 0)[2, 2] == 4 * 4**2
    array[2, 6] = 1  # 2.5 when the range is 0 to 10
    twice = gbvs_toolbox.favour_single_peak(array)
    assert_allclose(twice[2, [2, 6]], np.array([10, 2.5]) * (10 - 6.25) ** 2)
    assert_allclose(stb.favour_single_peak(array, 10), twice)
    assert_allclose(stb.favour_single_peak(array, 0)[2, [2, 6]], np.array([4, 1]) * (4 - 2.5) ** 2)
    edge = np.zeros((3, 3))
    edge[0] = 1  # no maximum inside
    assert_allclose(gbvs_toolbox.favour_single_peak(edge), 10 * edge)
    assert_allclose(stb.favour_single_peak(edge, 10), 10 * edge)


class TestGbvsToolbox:
    def test_colours(self):
        level = np.zeros((1, 2, 4))
        level[0, 0] = 0.5, 0.4, 0.1, 0.3  # intensity, red, green, blue
        features = gbvs_toolbox._features(level)
        assert_allclose(features["colour"][0], [[0.4, 0.6], [0, 0]])
        assert_allclose(features["intensity"][0], [[0.5], [0]])

    def test_contrast(self):
        centre, surround = np.full((4, 4, 1), 0.7), np.full((2, 2, 1), 0.4)
        assert_allclose(gbvs_toolbox._contrast(centre, surround), 0.09)
        assert_array_equal(gbvs_toolbox._contrast(centre, np.full((2, 2, 1), 0.7 + 1e-8)), 0)

    def test_exposure_does_not_matter(self):
        image = picture("noise") // 2 * 2
        assert_allclose(predict(image // 2), predict(image), atol=1e-5)

    def test_a_mirrored_picture_has_the_mirrored_map(self):
        image = noise(128, 160)
        assert_allclose(predict(image[:, ::-1])[:, ::-1], predict(image), atol=1e-5)
        assert_allclose(predict(image[::-1])[::-1], predict(image), atol=1e-5)

    def test_a_side_below_44_pixels_leaves_no_level_for_the_surround(self):
        assert_array_equal(predict(noise(43, 90)), 0)
        assert predict(noise(44, 90)).max() == 1

    def test_a_constant_picture_has_a_constant_map(self):
        assert_array_equal(predict(np.full((96, 128, 3), (128, 40, 200), np.uint8)), np.zeros((12, 16)))


class TestSaliencyToolbox:
    def test_colours(self):
        image = np.array([[[100, 50, 25], [50, 100, 200], [20, 25, 0], [0, 0, 0]]], np.uint8)  # 25 / 255 is below 0.1
        red_green, blue_yellow, intensity = stb.colours_and_intensity(image)
        assert_allclose(red_green, [[0.5, -0.25, 0, 0]])
        assert_allclose(blue_yellow, [[-0.25, 0.75, 0, 0]])
        assert intensity[0, 2] == pytest.approx((0.298936 * 20 + 0.587043 * 25) / 255)

    def test_halving_by_hand(self):
        spike = np.zeros((40, 9))
        spike[20] = 33
        halved = stb._halve(spike, axis=0)[:, 0]
        assert halved.shape == (20,)
        # Row 2k gets the weight of tap 2k + 3 - 20.
        assert_allclose(halved[[8, 9, 10, 11, 12]], [0, 5, 10, 1, 0], atol=1e-12)
        assert_allclose(stb._halve(np.ones((11, 8)), axis=0), np.ones((5, 8)))  # borders lose nothing
        line = np.arange(8.0)[:, None]
        assert stb._halve(line, axis=0)[0, 0] == pytest.approx((5 * 2 + 10 * 1 + 1 * 3) / 26)

    @pytest.mark.parametrize(("line", "halved"), [([7], 7), ([4, 8], 6), ([4, 8, 4], 6)])
    def test_short_sides(self, line, halved):
        assert_allclose(stb._halve(np.array([line]), axis=1), [[halved]])

    def test_pyramid_ends_at_a_side_of_one(self):
        shapes = [level.shape for level in stb.pyramid(np.zeros((37, 90))).values()]
        assert shapes == [(37, 90), (18, 45), (9, 22), (4, 11), (2, 5), (1, 2)]

    def test_convolution_ignores_what_is_outside(self):
        array, kernel = np.random.default_rng(0).random((5, 3)), np.array([1, 2, 4, 2, 1.5, 7, 3])
        found = stb._convolve(array, kernel, 0)
        for i in range(5):
            taps = [k for k in range(7) if 0 <= i + 3 - k < 5]
            inside = sum(kernel[k] for k in taps)
            plain = sum(kernel[k] * array[i + 3 - k] for k in taps) * kernel.sum() / inside
            assert_allclose(found[i], plain)

    def test_nearest(self):
        plane = np.arange(5)[None] + np.zeros((2, 1))
        assert_array_equal(stb._nearest(plane, (1, 2)), [[1, 3]])
        assert_array_equal(stb._nearest(plane, (2, 10))[0], np.repeat(np.arange(5), 2))

    def test_rescale(self):
        assert_allclose(stb.rescale(np.array([[2.0, 4], [3, 2]]), 10), [[0, 10], [5, 0]])
        assert_array_equal(stb.rescale(np.full((2, 2), 3.0), 10), np.full((2, 2), 5))
        assert_array_equal(stb.rescale(np.array([[2.0, 4]]), 0), [[2, 4]])

    def test_iterations_by_hand(self):
        array = np.random.default_rng(6).random((6, 8)) - 0.1
        plain = np.maximum(array, 0)
        plain = 10 * (plain - plain.min()) / (plain.max() - plain.min())
        # sigma 0.16: a single weight. sigma 2: 6 pixels, at most 6 // 2 - 1 = 2.
        peak = (0.5 / (0.16 * np.sqrt(2 * np.pi))) ** 2
        wide = 1.5 / (2 * np.sqrt(2 * np.pi)) * np.exp(-(np.arange(-2, 3) ** 2) / 8)
        for _ in range(3):
            inhibited = stb._convolve(stb._convolve(plain, wide, 1), wide, 0)
            plain = np.maximum(0, plain + peak * plain - inhibited - 0.02 * plain.max())
        assert_allclose(stb.iterative(array, 10), plain, atol=1e-9)

    @pytest.mark.parametrize(("width", "reach"), [(165, 10), (148, 8)])
    def test_kernels_end_at_a_hundredth_of_their_peak(self, width, reach):
        """That is sqrt(2 ln 100) = 3.0349 standard deviations, of 0.02 * 165 and 0.02 * 148 pixels: 10.02 and 8.98."""
        spike = np.zeros((60, width))
        spike[30, 70] = 1
        rows, columns = np.nonzero(stb._spread(spike, 0.5, 0.02))
        assert (rows.min(), rows.max()) == (30 - reach, 30 + reach)
        assert (columns.min(), columns.max()) == (70 - reach, 70 + reach)

    def test_orientations(self):
        level = np.random.default_rng(7).random((20, 30))
        found = stb.orientations({1: level, 2: level, 3: level})
        assert [set(pyramid) for pyramid in found] == [{3}] * 4
        assert_array_equal(found[2][3][[0, 3, -4, -1], 4:-4], 0)
        assert (found[2][3][4:-4] > 0).all()
        assert (found[2][3][0, [0, 3, -4, -1]] > 0).all()

    @pytest.mark.parametrize("shape", [(1, 1), (24, 1), (8, 8), (33, 160)])
    @pytest.mark.parametrize("variant", VARIANTS.values())
    def test_small_pictures(self, shape, variant):
        assert np.isfinite(predict(np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8), variant)).all()


@pytest.mark.parametrize("variant", ["gbvs_toolbox", *VARIANTS.values()])
def test_the_red_disc_stands_out(variant):
    found = predict(popout(480, 640), variant)
    place = (np.array(np.unravel_index(found.argmax(), found.shape)) + 0.5) * 480 / len(found)
    assert np.abs(place - (60, 100)).max() < 24
