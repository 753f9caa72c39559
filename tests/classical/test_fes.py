"""fes: the authors' maps; the posterior against a plain version; the prior against the fixations it was fitted to."""

import importlib
import sys
import warnings

import numpy as np
import pytest
from classical_goldens import assert_agree, expected, picture
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import curve_fit
from skimage.color import xyz2lab

from salbench import datasets, registry
from salbench.maps import blur, resize_matlab
from salbench.sample import Sample

Fes = registry.get("fes")
fes = sys.modules[Fes.__module__]
lab = importlib.import_module(f"{Fes.__module__.rpartition('.')[0]}._rgb2lab")


def predict(image, option=""):
    return Fes(option).predict(Sample("image", image.shape[:2], lambda: image))


@pytest.fixture
def small_lab():
    return np.random.default_rng(0).uniform(-10, 10, (30, 41, 3))


class TestAuthors:
    @pytest.mark.parametrize("name", ["popout", "noise", "osie1001", "osie1105"])
    def test_map(self, name):
        found = predict(picture(name), "uniform")
        assert_agree(found, "fes", f"uniform__{name}__map_s2", r=0.9999, difference=5e-3)
        assert np.abs(found[::2, ::2] - expected("fes", f"uniform__{name}__map_s2")).max() < 1e-6

    @pytest.mark.parametrize("name", ["noise", "osie1001", "osie1105"])
    def test_map_as_large_as_the_picture(self, name):
        found = resize_matlab(predict(picture(name), "uniform"), picture(name).shape[:2])
        assert_agree(found, "fes", f"uniform__{name}__resized_s2", r=0.9999, difference=5e-3)


class TestLab:
    def test_grey(self):
        grey = np.array([[[0.0] * 3, [0.001] * 3, [0.2] * 3, [1.0] * 3]])
        lightness = [0, 903.3 * 0.001, 116 * np.cbrt(0.2) - 16, 100]
        assert_allclose(lab.rgb2lab(grey)[0, :, 0], lightness, atol=2e-4)  # the middle row sums to 1.000001
        assert_allclose(lab.rgb2lab(grey)[0, :, 1:], 0, atol=2e-3)

    def test_colours(self, monkeypatch):
        monkeypatch.setattr(lab, "WHITE", (0.95047, 1.0, 1.08883))  # that of scikit-image, for D65
        rgb = np.random.default_rng(0).uniform(0, 1, (9, 11, 3)) ** 3
        assert_allclose(lab.rgb2lab(rgb), xyz2lab(rgb @ lab.TO_XYZ.T), atol=5e-3)

    def test_negative_values_are_on_the_line(self):
        lightness, a, _ = lab.rgb2lab(np.array([[[-0.1, 0, 0]]]))[0, 0]
        x, y = -0.1 * 0.412453 / 0.950456, -0.1 * 0.212671
        assert lightness == pytest.approx(903.3 * y)
        assert a == pytest.approx(500 * 7.787 * (x - y))


class TestPosterior:
    @pytest.mark.parametrize("radius", fes.RADII)
    def test_plain_version(self, small_lab, radius):
        height, width, _ = small_lab.shape
        prior = np.random.default_rng(1).uniform(0.1, 0.9, (height, width))
        plain = np.zeros((height, width))
        for y, x in np.ndindex(height, width):
            rare = 0.0
            for angle in np.arange(8) * np.pi / 4:
                row = min(max(y + round(radius * np.cos(angle)), 0), height - 1)
                column = min(max(x + round(radius * np.sin(angle)), 0), width - 1)
                rare += np.exp(-np.sum((small_lab[row, column] - small_lab[y, x]) ** 2) / 200) / 80
            plain[y, x] = prior[y, x] / (prior[y, x] + (1 - prior[y, x]) * rare)
        assert_allclose(fes.posterior(small_lab, radius, prior), plain, rtol=1e-12)

    def test_a_mirrored_picture_gives_the_mirrored_posterior(self, small_lab):
        found = fes.posterior(small_lab, 13, 0.5)
        for axis in (0, 1):
            assert_allclose(np.flip(fes.posterior(np.flip(small_lab, axis), 13, 0.5), axis), found, rtol=1e-12)

    def test_flat(self):
        assert_allclose(fes.posterior(np.ones((9, 9, 3)), 13, 0.5), 1 / (1 + 8 / 80))


class TestPrior:
    def test_variants(self):
        image = picture("noise")
        assert_array_equal(predict(image), predict(image, "prior"))
        assert np.corrcoef(predict(image).ravel(), predict(image, "uniform").ravel())[0, 1] < 0.99
        assert Fes("uniform").notes() == []
        assert Fes().notes() == ["trained (only the prior, 5 constants) on 500 images of osie_train."]

    def test_is_used(self):
        found = predict(picture("noise"))
        image_lab = resize_matlab(lab.rgb2lab(picture("noise") / 255), fes.SHAPE)
        assert_array_equal(found, fes.saliency(image_lab, fes.gaussian_prior()))

    def test_shape(self):
        prior = fes.gaussian_prior()
        assert prior.shape == (128, 171)
        assert np.unravel_index(prior.argmax(), prior.shape) == (58, 85)  # 0.4561 * 128 = 58.4, 0.4971 * 171 = 85.0
        assert prior.max() == pytest.approx(0.4, rel=1e-3)
        one_sigma_below, one_sigma_right = prior[58 + 28, 85], prior[58, 85 + 44]  # 0.2156 * 128 = 27.6, 43.9
        assert one_sigma_below == pytest.approx(0.4 * np.exp(-0.5), rel=0.03)
        assert one_sigma_right == pytest.approx(0.4 * np.exp(-0.5), rel=0.03)

    def test_is_the_best_gaussian_of_the_training_fixations(self, shared):
        samples = datasets.load("osie_train", shared / "data").samples
        counts = np.zeros((600, 800))
        for sample in samples:
            x, y = sample.fixations.astype(int).T
            np.add.at(counts, (y, x), 1 / len(x))
        y, x = np.meshgrid((np.arange(600) + 0.5) / 600, (np.arange(800) + 0.5) / 800, indexing="ij")

        def gaussian(_, peak, *shape):
            centre_y, sigma_y, centre_x, sigma_x = shape
            return (peak * np.exp(-0.5 * (((y - centre_y) / sigma_y) ** 2 + ((x - centre_x) / sigma_x) ** 2))).ravel()

        density = blur(counts, 24.0)
        (_, *found), _ = curve_fit(gaussian, None, (density / density.max()).ravel(), [1, 0.5, 0.2, 0.5, 0.2])
        shape = fes.PRIOR_Y, fes.PRIOR_SIGMA_Y, fes.PRIOR_X, fes.PRIOR_SIGMA_X
        assert_allclose(found, shape, atol=6e-5)


@pytest.mark.parametrize("option", Fes.options)
def test_the_red_disc_is_found(option):
    y, x = np.array(np.unravel_index(predict(picture("popout"), option).argmax(), fes.SHAPE)) / fes.SHAPE
    assert np.hypot(y * 120 - 60, x * 160 - 100) < 6


@pytest.mark.parametrize("option", Fes.options)
def test_a_flat_picture_gives_a_finite_map(option):
    with warnings.catch_warnings(action="error"):
        assert np.isfinite(predict(np.full((32, 160, 3), 77, np.uint8), option)).all()
