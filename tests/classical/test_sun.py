"""SUN agrees with its authors' code, on filters made by a formula; fits recover the distribution that made the data."""

import sys

import numpy as np
import pytest
from classical_goldens import PHOTOGRAPHS, bank, expected, picture
from numpy.testing import assert_allclose
from scipy.stats import gennorm

from salbench import registry
from salbench.maps import resize
from salbench.sample import Sample

SUN = sys.modules[registry.get("sun").__module__]
K = np.arange(48)
BANK = {"filters": bank(11, 48), "sigma": 0.5 / (1 + 0.25 * K), "theta": 0.6 + 0.4 * (7 * K % 48) / 48}
KEYS = [f"{name}__map_s2" for name in ("popout", "noise", *PHOTOGRAPHS)]


def predicted(image, longest=None, bank=None):
    method = registry.create("sun")
    method.longest = longest or method.longest
    if bank is not None:
        method.bank = bank
    return method.predict(Sample("a", image.shape[:2], lambda: image))


@pytest.mark.parametrize("key", [*KEYS, "osie1001__half_s2"])
def test_agrees_with_the_authors(key):
    """As far as their maps are stored: single precision is 1e-5 away, and differs between libraries as much."""
    image, half = picture(key.partition("__")[0]), "half" in key
    found = predicted(image, image.shape[1] // 2 if half else image.shape[1], BANK)[5:-5, 5:-5]
    theirs = expected("sun", f"synth__{key}")
    assert np.abs(found[::2, ::2] - theirs).max() / theirs.max() < 1e-7  # not only up to scale


def test_rounding_does_not_move_the_map():
    """The order of a sum changes its rounding, and so many responses to a flat display that are almost zero."""
    image, bank = picture("popout"), registry.create("sun").bank
    mirrored = bank | {"filters": bank["filters"].reshape(-1, 3, 11, 11)[:, :, ::-1].reshape(-1, 363)}
    found = predicted(image[:, ::-1], image.shape[1], mirrored)[:, ::-1]
    assert_allclose(found, predicted(image, image.shape[1]), rtol=1e-9)


def test_novelty_by_hand():
    image = np.array([[[8.0, 3.0, 0.0], [-18.0, 0.0, 0.0]]])
    filters, sigma, theta = np.eye(3)[:2], np.array([2.0, 1.5]), np.array([0.5, 2.0])
    assert SUN.novelty(image, filters, sigma, theta) == pytest.approx(np.array([[2.0 + 4.0, 3.0]]))


def test_pictures_are_divided_by_their_standard_deviation():
    image = np.array([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]])
    assert SUN.standardised(image) == pytest.approx(image / 3.5**0.5)  # the squares sum to 17.5, and n - 1 is 5
    assert not SUN.standardised(np.full((4, 5, 3), 7.0)).any()


@pytest.mark.parametrize("theta", [0.6, 1.0, 2.0])
def test_fits_find_the_distribution_that_made_the_data(theta):
    values = gennorm.rvs(theta, scale=0.3, size=100_000, random_state=1)
    sigma, found = SUN.fit_generalised_gaussian(values)
    assert found == pytest.approx(theta, rel=0.02)
    assert sigma == pytest.approx(0.3, rel=0.04)


def test_fits_are_the_most_likely():
    values = gennorm.rvs(0.9, scale=2.0, size=1000, random_state=2)
    sigma, theta = SUN.fit_generalised_gaussian(values)
    best = gennorm.logpdf(values, theta, scale=sigma).sum()
    for factor in (0.99, 1.01):
        assert gennorm.logpdf(values, theta * factor, scale=sigma).sum() < best
        assert gennorm.logpdf(values, theta, scale=sigma * factor).sum() < best


def test_filters_come_with_their_distributions():
    responses = gennorm.rvs(1.2, scale=[[0.1], [5.0]], size=(2, 20_000), random_state=3)
    fitted = registry.create("sun").fit_responses(responses)
    assert fitted["sigma"] == pytest.approx([0.1, 5.0], rel=0.05)
    assert fitted["theta"] == pytest.approx([1.2, 1.2], rel=0.05)


def test_filters_do_not_see_the_mean():
    filters = registry.create("sun").bank["filters"]
    assert np.abs(filters.sum(axis=1)).max() < 0.01 * np.abs(filters).sum(axis=1).min()


def test_a_mirrored_picture_gives_the_mirrored_map():
    image = picture("noise")
    first = predicted(image, bank=BANK)
    assert predicted(image[:, ::-1], bank=BANK)[:, ::-1] == pytest.approx(first, rel=1e-5)


def test_contrast_does_not_matter():
    image = picture("noise").astype(np.float64)
    first = SUN.novelty(SUN.standardised(image), **BANK)
    assert SUN.novelty(SUN.standardised(3 * image), **BANK) == pytest.approx(first)


def test_discs_stand_out_from_their_surround():
    image = picture("popout160")
    found = resize(predicted(image), image.shape[:2])
    assert found[(image != 128).any(axis=2)].mean() > found[(image == 128).all(axis=2)].mean()
