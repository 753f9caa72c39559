"""What scores are made of adds up to the scores."""

import numpy as np
import pytest

from salbench import metrics
from salbench.maps import density_from_fixations
from salbench.report import explain

SIZE = 37, 52


@pytest.fixture(params=range(3))
def image(request):
    """A map of 8 bits, fixations of which two are on one pixel, and densities of these and of others."""
    rng = np.random.default_rng(request.param)
    prediction = rng.integers(0, 256, SIZE, dtype=np.uint8).astype(np.float32)
    points = rng.uniform((0, 0), SIZE[::-1], (23, 2))
    points[1] = points[0]
    others = rng.uniform((0, 0), SIZE[::-1], (60, 2))
    return prediction, points, density_from_fixations(points, SIZE, 4), density_from_fixations(others, SIZE, 4) + 1e-4


def test_kl_is_paid_by_pixels(image):
    prediction, _, density, _ = image
    assert explain.kl_paid(prediction, density).sum() == pytest.approx(metrics.kl(prediction, density), rel=1e-9)


@pytest.mark.parametrize("ddof", [0, 1])
def test_nss_is_won_by_fixations(image, ddof):
    prediction, points, _, _ = image
    expected = metrics.nss(prediction, points, ddof=ddof)
    assert explain.nss_won(prediction, points, ddof).mean() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("floor", ["min", None])
def test_ig_is_won_by_fixations(image, floor):
    prediction, points, _, baseline = image
    expected = metrics.ig(prediction, points, baseline=baseline, floor=floor)
    assert explain.ig_won(prediction, baseline, points, floor).mean() == pytest.approx(expected, rel=1e-9)


def test_the_area_beneath_the_curve_is_the_auc(image):
    prediction, points, _, _ = image
    x, y = explain.roc(prediction, points)
    assert (x[0], y[0], x[-1], y[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(y, x) == pytest.approx(metrics.auc(prediction, points), rel=1e-9)


def test_a_constant_map():
    flat, points = np.full(SIZE, 7.0), np.array([[3.0, 4.0], [9.0, 9.0]])
    assert not explain.nss_won(flat, points).any()
    x, y = explain.roc(flat, points)
    assert np.trapezoid(y, x) == 0.5
    assert not explain.heat(flat, 60).any()


def test_heat_covers_the_pixels_that_hold_most_of_the_attention():
    density = density_from_fixations([[20, 10]], SIZE, 5)
    shown = explain.heat(density, 60) > 0
    outside = density[~shown]
    assert outside.max() <= density[shown].min() + 1e-12
    assert density[shown].sum() == pytest.approx(0.9, abs=0.02)
    assert np.unravel_index(explain.heat(density, 60).argmax(), SIZE) == (10, 20)


def test_what_is_paid_is_bright_and_what_is_gained_dark():
    density = density_from_fixations([[20, 10]], SIZE, 5)
    elsewhere = density_from_fixations([[40, 30]], SIZE, 5) + 1e-6
    drawn = explain.paid(elsewhere, density, 60)
    assert drawn[10, 20] == 255
    assert drawn.min() >= 126  # where nobody looks, nothing can be gained
    assert explain.paid(density, density, 60).tolist() == np.full(SIZE, 128).tolist()
    assert max(explain.paid(elsewhere, density, 26).shape) == 26
