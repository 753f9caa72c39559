"""ssr: the authors' maps; kernels by hand; resemblance against a plain version."""

import sys
import warnings
from functools import cache

import numpy as np
import pytest
from classical_goldens import assert_agree, picture
from numpy.testing import assert_allclose
from skimage.color import rgb2lab

from salbench import registry
from salbench.maps import minmax, resize_matlab
from salbench.sample import Sample

Ssr = registry.get("ssr")
ssr = sys.modules[Ssr.__module__]


def predict(image, option=""):
    return Ssr(option).predict(Sample("image", image.shape[:2], lambda: image))


@cache
def predicted(name, option):
    return predict(picture(name), option)


class TestAuthors:
    @pytest.mark.parametrize("name", ["popout", "noise", "osie1001", "osie1105"])
    @pytest.mark.parametrize("option", Ssr.options)
    def test_map(self, option, name):
        assert_agree(predicted(name, option), "ssr", f"{option}__{name}__map", r=0.9999, difference=5e-3)

    @pytest.mark.parametrize("name", ["popout", "noise", "osie1001", "osie1105"])
    def test_map_as_large_as_the_picture(self, name):
        resized = resize_matlab(minmax(predicted(name, "local")), picture(name).shape[:2], "bilinear")
        assert_agree(resized, "ssr", f"local__{name}__resized_s2", r=0.9999, difference=5e-3)


def test_lab_is_near_that_of_srgb():
    """The curve of BT.709 differs from that of sRGB, but grey is grey, and light ends at 100."""
    grey = np.repeat(np.arange(256, dtype=np.uint8)[:, None, None], 3, axis=2)
    found = ssr.rgb2lab(grey)[:, 0]
    assert_allclose(found[[0, 255], 0], [0, 100], atol=1e-3)
    assert np.abs(found[:, 1:]).max() < 0.01
    colours = np.random.default_rng(0).integers(60, 256, (9, 9, 3), dtype=np.uint8)
    assert np.abs(ssr.rgb2lab(colours) - rgb2lab(colours)).max() < 12


class TestKernels:
    def test_ramp(self):
        """Gradient 0.1 along the columns alone: the singular values are 0.1 |K| and 0, the vectors the axes."""
        corner, side, centre = 0.0250785, 0.1453440, 0.3183099
        size = 0.1 * np.sqrt(4 * corner**2 + 4 * side**2 + centre**2) / centre
        energy = (1e-7 / ((4 * corner + 4 * side + centre) / centre)) ** 0.42
        c11, c22 = energy * (size + 1), energy / (size + 1)
        found = ssr.steering_kernels(np.tile(0.1 * np.arange(9), (7, 1)))
        offsets = np.array([-1, 0, 1])
        by_hand = np.exp(-(c11 * offsets[:, None] ** 2 + c22 * offsets**2) / 0.08)
        assert_allclose(found[3, 4].reshape(3, 3), by_hand, rtol=1e-9)
        assert by_hand[0, 1] < by_hand[1, 0]  # column gradients shorten the rows

    def test_mixed_gradients(self):
        """In the middle of x y, with gradients x along the rows and y along the columns."""
        offsets = np.array([-1.0, 0.0, 1.0])
        weights = np.outer([1, 0, 1], [1, 0, 1]) * 0.0250785 + np.diag([0, 0.3183099, 0])
        weights[[0, 1, 1, 2], [1, 0, 2, 1]] = 0.1453440
        weights /= 0.3183099
        y, x = np.meshgrid(offsets + 0.3, offsets + 0.2, indexing="ij")  # the centre is at (0.3, 0.2)
        _, (s1, s2), (v1, v2) = np.linalg.svd(np.stack([(weights * y).ravel(), (weights * x).ravel()], axis=1))
        energy = ((s1 * s2 + 1e-7) / weights.sum()) ** 0.42
        c = energy * ((s1 + 1) / (s2 + 1) * np.outer(v1, v1) + (s2 + 1) / (s1 + 1) * np.outer(v2, v2))
        rows, columns = np.arange(9) - 4 + 0.3, np.arange(9) - 4 + 0.2
        assert_allclose(ssr._steering_matrices(np.outer(rows, columns))[4, 4], c, rtol=1e-12)

    def test_the_matrix_is_that_of_the_shifted_pixel(self):
        channel = np.random.default_rng(0).random((8, 9))
        (c11, c12), (_, c22) = ssr._steering_matrices(channel)[4, 6]  # of the pixel above, to the right of (5, 5)
        found = ssr.steering_kernels(channel)[5, 5].reshape(3, 3)[0, 2]
        assert found == pytest.approx(np.exp(-(c11 - 2 * c12 + c22) / 0.08))


@pytest.mark.parametrize(("patch", "surround"), [(5, 3), (3, 5), (3, None)])
def test_resemblance_by_a_plain_version(patch, surround):
    features = np.random.default_rng(0).uniform(0.5, 1, (9, 9, 4))
    half, beyond = patch // 2, (surround or 1) // 2
    padded = np.pad(features, [(half, half), (half, half), (0, 0)], mode="reflect")
    padded = np.pad(padded, [(beyond, beyond), (beyond, beyond), (0, 0)], mode="reflect")

    def direction(y, x):
        vector = padded[y : y + patch, x : x + patch].ravel()
        return vector / np.linalg.norm(vector)

    plain = np.zeros((9, 9))
    for y, x in np.ndindex(9, 9):
        around = np.ndindex(9, 9) if surround is None else ((y + i, x + j) for i, j in np.ndindex(surround, surround))
        own = direction(y + beyond, x + beyond)
        plain[y, x] = 1 / sum(np.exp((own @ direction(*other) - 1) / 0.07**2) for other in around)
    assert_allclose(ssr.self_resemblance(features, patch, surround), plain, rtol=1e-9)


@pytest.mark.parametrize("option", Ssr.options)
class TestProperties:
    def test_the_red_disc_is_found(self, option):
        found = resize_matlab(predicted("popout", option), (120, 160), "bilinear")
        y, x = np.unravel_index(found.argmax(), found.shape)
        assert np.hypot(y - 60, x - 100) < 14  # its radius is 12

    def test_a_mirrored_picture_gives_the_mirrored_map(self, option):
        image = picture("noise")
        for axis in (0, 1):
            assert_allclose(np.flip(predict(np.flip(image, axis), option), axis), predicted("noise", option), rtol=1e-8)

    def test_a_flat_picture_gives_a_flat_map(self, option):
        with warnings.catch_warnings(action="error"):
            found = predict(np.full((33, 150, 3), 77, np.uint8), option)
        assert_allclose(found, 1 / 49 if option == "local" else 1 / 4096)
