"""bms: the authors' maps, with their signs of the singular vectors; each step against a plain version."""

import sys
import warnings

import numpy as np
import pytest
from classical_goldens import assert_agree, expected, noise, picture
from numpy.testing import assert_allclose, assert_array_equal
from scipy.ndimage import gaussian_filter, grey_dilation, label
from skimage.morphology import reconstruction

from salbench import registry
from salbench.maps import resize
from salbench.sample import Sample

Bms = registry.get("bms")
bms = sys.modules[Bms.__module__]
# popout is left out where planes are whitened: it has three colours, so its third plane is constant except for rounding
# errors, which the authors' code stretches to the whole range.
PICTURES = "noise", "osie1001", "osie1105"


def predict(image):
    return Bms().predict(Sample("image", image.shape[:2], lambda: image))


def planes_with_their_signs(name, image, settings="A"):
    """Whitened planes of a picture with the authors' signs of the singular vectors."""
    vectors, values = bms.principal_axes(image)
    theirs = expected("bms", f"{settings}__{name}__U")[:, ::-1]  # ours are in rising order
    return bms.whitened_planes(image, vectors * np.sign((vectors * theirs).sum(axis=0)), values)


def lab_of_opencv(rgb):
    """uint8 Lab of a uint8 picture in OpenCV's integer arithmetic: three bits of light, 15 bits of the cube root."""
    levels = np.arange(256) / 255
    curve = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    light = np.rint(8 * 255 * curve).astype(int)
    matrix = [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]]
    weights = np.rint(2**12 * np.array(matrix) / [[0.950456], [1], [1.088754]]).astype(int)
    share = np.arange(8 * 256 * 3 // 2) / (8 * 255)
    root = np.rint(2**15 * np.where(share < 0.008856, 7.787 * share + 16 / 116, np.cbrt(share))).astype(int)
    x, y, z = np.moveaxis(root[(light[rgb] @ weights.T + 2**11) >> 12], 2, 0)
    lightness = 296 * y - (16 * 255 * 2**15 + 50) // 100
    a, b = 500 * (x - y) + 2**22, 200 * (y - z) + 2**22
    return ((np.stack([lightness, a, b], axis=2) + 2**14) >> 15).clip(0, 255).astype(np.uint8)


class TestAuthors:
    @pytest.mark.parametrize("name", PICTURES)
    def test_axes(self, name):
        vectors, values = bms.principal_axes(picture(name)[..., ::-1])
        assert_allclose(values, expected("bms", f"A__{name}__w")[::-1], rtol=1e-5)
        assert_allclose(np.abs(vectors), np.abs(expected("bms", f"A__{name}__U"))[:, ::-1], atol=1e-5)

    @pytest.mark.parametrize("name", PICTURES)
    def test_maps(self, name):
        raw = bms.attention(planes_with_their_signs(name, picture(name)[..., ::-1]))
        assert_array_equal(raw, expected("bms", f"A__{name}__raw_u8"))
        assert_agree(bms.smooth(raw), "bms", f"A__{name}__map_u8", r=0.999, difference=0.03)

    @pytest.mark.parametrize("name", PICTURES)
    def test_map_at_the_working_size(self, name):
        image = picture(name)[..., ::-1]
        image = bms.resize_area(image, bms.working_size(image.shape[:2]))
        found = bms.smooth(bms.attention(planes_with_their_signs(name, image)))
        assert_agree(found, "bms", f"A400__{name}__map_u8_s2", r=0.999, difference=0.03)

    @pytest.mark.parametrize("name", ["popout", *PICTURES])
    def test_planes_of_lab(self, name, monkeypatch):
        """The settings B: Lab of the picture with red and blue swapped, not whitened."""
        settings = {"REGION_WIDTH": 3, "MAP_WIDTH": 11, "SIGMA": 20.0, "BLUR_SIZE": 51}
        for constant, value in settings.items():
            monkeypatch.setattr(bms, constant, value)
        lab = lab_of_opencv(picture(name)[..., ::-1])
        raw = bms.attention([bms.feature_plane(plane) for plane in np.moveaxis(lab, 2, 0)])
        assert_agree(raw, "bms", f"B__{name}__raw_u8", r=0.999, difference=0.03)
        assert_agree(bms.smooth(raw), "bms", f"B__{name}__map_u8", r=0.999, difference=0.03)

    @pytest.mark.parametrize("name", PICTURES)
    def test_whitened_planes_of_lab(self, name):
        """The settings C."""
        raw = bms.attention(planes_with_their_signs(name, lab_of_opencv(picture(name)[..., ::-1]), "C"))
        assert_agree(raw, "bms", f"C__{name}__raw_u8", r=0.999, difference=0.03)
        assert_agree(bms.smooth(raw), "bms", f"C__{name}__map_u8", r=0.999, difference=0.03)


class TestResize:
    def test_size(self):
        assert bms.working_size((600, 800)) == (300, 400)
        assert bms.working_size((427, 640)) == (266, 400)  # 266.9
        assert bms.working_size((9, 4000)) == (1, 400)

    def test_halving_takes_the_mean_of_four(self):
        image = noise(80, 100)
        means = image.reshape(40, 2, 50, 2, 3).sum(axis=(1, 3))
        assert_array_equal(bms.resize_area(image, (40, 50)), (means + 2) // 4)

    def test_doubling_repeats(self):
        image = noise(40, 50)
        assert_array_equal(bms.resize_area(image, (80, 100)), image.repeat(2, axis=0).repeat(2, axis=1))

    def test_shares_of_pixels(self):
        row = np.repeat(np.array([[[0], [60], [120]]], np.uint8), 3, axis=2)
        assert_array_equal(bms.resize_area(row, (1, 2))[0, :, 0], [20, 100])  # (2 * 0 + 60) / 3, (60 + 2 * 120) / 3
        assert_array_equal(bms.resize_area(row, (1, 4))[0, :, 0], [0, 40, 80, 120])  # 2/3 of 60, 1/3 of 120


class TestPlanes:
    def test_axes_by_hand(self):
        image = np.zeros((2, 2, 3), np.uint8)
        image[0, :, 0] = 20  # variance 100
        vectors, values = bms.principal_axes(image)
        assert_allclose(values, [50, 50, 150])
        assert_allclose(vectors[:, 2], [1, 0, 0], atol=1e-12)

    def test_the_largest_component_is_positive(self):
        for seed in range(5):
            vectors, _ = bms.principal_axes(np.random.default_rng(seed).integers(0, 256, (9, 9, 3), dtype=np.uint8))
            assert (vectors.max(axis=0) == np.abs(vectors).max(axis=0)).all()

    def test_whitening(self):
        image = noise(30, 40)
        vectors, values = bms.principal_axes(image)
        variances = np.cov((image @ (vectors / np.sqrt(values))).reshape(-1, 3).T, bias=True)
        assert_allclose(variances, np.diag(1 - 50 / values), atol=1e-9)

    def test_the_median_removes_a_dot(self):
        plane = np.zeros((9, 9))
        plane[:, 5:] = 1
        plane[4, 1] = 3
        found = bms.feature_plane(plane)
        assert_array_equal(found, np.where(plane == 1, 85, 0))


class TestRegions:
    @pytest.mark.parametrize("shape", [(40, 50), (3, 50), (2, 5), (1, 1)])
    def test_border_level_is_the_reconstruction_from_the_border(self, shape):
        plane = gaussian_filter(np.random.default_rng(0).normal(0, 500, shape), 1).clip(-128, 127) + 128
        plane = plane.astype(np.uint8)
        seed = plane.copy()
        seed[1:-1, 1:-1] = plane.min()
        assert_array_equal(bms.border_level(plane), reconstruction(seed, plane))

    def test_a_winding_path_is_followed(self):
        plane = np.zeros((21, 21), np.uint8)
        plane[1:-1:2, 1:-1] = 200
        plane[2:-2:4, -2] = plane[4:-2:4, 1] = 150
        plane[0, 1] = 180
        assert_array_equal(np.unique(bms.border_level(plane)[1:-1:2, 1:-1]), [150, 180])

    @pytest.mark.parametrize("turns", range(4))
    def test_a_path_from_one_side_is_followed(self, turns):
        plane = np.zeros((9, 9), np.uint8)
        plane[:6, 4] = 100
        plane = np.rot90(plane, turns)
        assert_array_equal(bms.border_level(plane), plane)

    @pytest.mark.parametrize("smoothness", [0.5, 2.0])
    def test_plain_version(self, smoothness):
        plane = bms.feature_plane(gaussian_filter(np.random.default_rng(1).random((40, 50)), smoothness))
        total = np.zeros(plane.shape)
        for threshold in range(plane.min(), plane.max(), 8):
            for mask in (plane > threshold, plane <= threshold):
                regions, _ = label(mask, np.ones((3, 3)))
                at_border = np.concatenate([regions[0], regions[-1], regions[:, 0], regions[:, -1]])
                kept = mask & ~np.isin(regions, at_border)
                dilated = grey_dilation(kept, size=(5, 5), mode="constant").astype(float)
                total += dilated / max(np.linalg.norm(dilated), 1)
        assert total.max() > 0
        assert_allclose(bms._surrounded(plane), total, rtol=1e-12)

    def test_smooth(self):
        dot = np.zeros((61, 71), np.uint8)
        dot[30, 35] = 255
        found = bms.smooth(dot)
        weights = np.exp(-0.5 * (np.arange(-18, 19) / 9) ** 2)
        weights /= weights.sum()
        assert found[30, 35] == pytest.approx(255 * weights[15:22].sum() ** 2)
        assert found[30, 35 + 21] == pytest.approx(255 * weights[15:22].sum() * weights[36])
        assert found[30, 35 + 22] == 0

    def test_borders_are_mirrored(self):
        edge = np.zeros((50, 60), np.uint8)
        edge[:, 0] = 255
        weights = np.exp(-0.5 * (np.arange(-18, 19) / 9) ** 2)
        assert bms.smooth(edge)[25, 0] == pytest.approx(255 * weights[15:22].sum() / weights.sum())  # columns -3 to 3


class TestProperties:
    @pytest.mark.parametrize("name", ["popout", "popout160"])
    def test_the_red_disc_is_found(self, name):
        found = resize(predict(picture(name)), picture(name).shape[:2])
        y, x = np.unravel_index(found.argmax(), found.shape)
        assert np.hypot(y - 60, x - 100) < 12

    def test_a_mirrored_picture_gives_the_mirrored_map(self):
        image = picture("noise")
        found = predict(image)
        for axis in (0, 1):
            assert_allclose(np.flip(predict(np.flip(image, axis)), axis), found, rtol=1e-9)

    def test_a_grey_picture_has_one_plane(self):
        image = np.repeat(noise(40, 50)[..., :1], 3, axis=2)
        planes = bms.whitened_planes(image, *bms.principal_axes(image))
        assert sorted(plane.max() > 0 for plane in planes) == [False, False, True]

    def test_a_flat_picture_gives_a_flat_map(self):
        with warnings.catch_warnings(action="error"):
            assert_array_equal(predict(np.full((32, 160, 3), 77, np.uint8)), np.zeros((80, 400)))
