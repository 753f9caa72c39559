import numpy as np
import pytest
from numpy.testing import assert_allclose

from salbench.metrics import nss

RAMP = np.arange(6.0).reshape(2, 3)  # mean 2.5, variance 35 / 12


def test_by_hand():
    assert nss(RAMP, [[1, 1]]) == pytest.approx(1.5 / np.sqrt(35 / 12), rel=1e-15)


def test_ddof_by_hand():
    assert nss(RAMP, [[1, 1]], ddof=1) == pytest.approx(1.5 / np.sqrt(35 / 10), rel=1e-15)


def test_is_the_mean_over_fixations_with_repeats():
    assert nss(RAMP, [[1, 1], [1, 1], [0, 0]]) == pytest.approx((1.5 + 1.5 - 2.5) / 3 / np.sqrt(35 / 12), rel=1e-15)


def test_all_pixels_fixated_is_zero():
    assert nss(RAMP, np.ones((2, 3), int)) == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize("constant", [0, 0.1, -7, 1e90])
def test_a_constant_map_is_zero(constant):
    assert nss(np.full((3, 7), constant), [[1, 1]]) == 0


@pytest.mark.parametrize("nothing", [[], np.zeros((2, 3), int)])
def test_no_fixations_is_nan(nothing):
    assert np.isnan(nss(RAMP, nothing))


def test_negative_values_are_taken_as_they_are():
    assert nss(RAMP - 100, [[1, 1]]) == pytest.approx(nss(RAMP, [[1, 1]]), rel=1e-14)


def test_keeps_its_digits_on_a_map_that_varies_little():
    # In float64, 2**40 + k / 2**12 is exact, so the value must be that of k.
    assert nss(RAMP / 2**12 + 2**40, [[1, 1], [0, 0]]) == pytest.approx(nss(RAMP, [[1, 1], [0, 0]]), rel=1e-14)


def test_float32_is_computed_in_float64():
    noise = np.random.default_rng(3).random((200, 300), np.float32)
    assert nss(noise, [[5, 5]]) == nss(noise.astype(np.float64), [[5, 5]])


def test_a_blurred_map_is_refused():
    with pytest.raises(ValueError, match=r"fixations: expected points or a map of whole counts.*blurred"):
        nss(RAMP, np.array([[0, 0.2, 0], [0.1, 0, 0]]))


def test_a_float_map_of_whole_counts_is_taken():
    assert nss(RAMP, np.array([[0, 0, 0], [0, 2.0, 0]])) == nss(RAMP, [[1, 1]])


def test_nan_is_refused():
    with pytest.raises(ValueError, match="prediction: expected finite values"):
        nss(np.where(RAMP == 3, np.nan, RAMP), [[1, 1]])


def test_a_point_off_the_image_is_refused():
    with pytest.raises(ValueError, match="got 1 of 1 off the image, the first at x=1, y=2"):
        nss(RAMP, [[1, 2]])


def test_x_comes_first():
    assert nss(RAMP, [[2, 0]]) == pytest.approx(-0.5 / np.sqrt(35 / 12), rel=1e-14)


def test_equals_pysaliency(peer):
    theirs = peer.by_image(peer.model.NSSs(peer.stimuli, peer.fixations))
    ours = [nss(p, f) for p, f in zip(peer.predictions, peer.points, strict=True)]
    assert_allclose(ours, theirs, rtol=1e-11, atol=1e-12)
    overall = np.average(ours, weights=[len(p) for p in peer.points])
    assert overall == pytest.approx(peer.model.NSS(peer.stimuli, peer.fixations), rel=1e-11)
