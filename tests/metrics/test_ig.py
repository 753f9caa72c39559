import numpy as np
import pytest

from salbench.metrics import ig

P, B = np.array([[0.0, 1, 3]]), np.array([[0.0, 2, 2]])
EPS = 2.0**-52


def test_by_hand():
    # p = (0, 1/4, 3/4), b = (0, 1/2, 1/2): log2(3/2) at the third pixel, -1 at the second.
    assert ig(P, [[2, 0]], baseline=B) == pytest.approx(np.log2(3 / 2), rel=1e-14)
    assert ig(P, [[1, 0]], baseline=B) == pytest.approx(-1, rel=1e-14)


def test_is_the_mean_over_fixations_with_repeats():
    expected = (2 * np.log2(3 / 2) - 1) / 3
    assert ig(P, [[2, 0], [2, 0], [1, 0]], baseline=B) == pytest.approx(expected, rel=1e-14)


def test_the_floor_is_taken_off_both_maps():
    assert ig(P + 1, [[2, 0]], baseline=B + 7) == pytest.approx(np.log2(3 / 2), rel=1e-14)


def test_without_the_floor_it_is_the_difference_of_log_likelihoods():
    # p = (1, 2, 4) / 7, b = (1, 3, 3) / 7.
    assert ig(P + 1, [[2, 0]], baseline=B + 1, floor=None) == pytest.approx(np.log2(4 / 3), rel=1e-13)


def test_a_fixation_on_a_zero_costs_52_bits():
    assert ig(P, [[0, 0]], baseline=np.array([[1.0, 1, 0]])) == pytest.approx(-52 + 1, rel=1e-14)


def test_the_baseline_itself_gains_nothing():
    assert ig(B, [[0, 0], [1, 0]], baseline=B) == 0


@pytest.mark.parametrize("floor", ["min", None])
@pytest.mark.parametrize("constant", [0, 3, -3])
def test_a_constant_prediction_is_the_uniform_density(constant, floor):
    value = ig(np.full((1, 3), constant), [[2, 0]], baseline=B, floor=floor)
    assert value == pytest.approx(np.log2(2 / 3), rel=1e-14)


def test_a_constant_baseline_is_the_uniform_density():
    assert ig(P, [[2, 0]], baseline=np.ones((1, 3))) == pytest.approx(np.log2(9 / 4), rel=1e-14)


@pytest.mark.parametrize("floor", ["min", None])
def test_negative_values_are_shifted_to_zero(floor):
    assert ig(P - 5, [[2, 0]], baseline=B, floor=floor) == pytest.approx(np.log2(3 / 2), rel=1e-14)


def test_all_pixels_fixated_is_finite():
    expected = (np.log2(3 / 2) - 1 + 0) / 3
    assert ig(P, np.ones((1, 3), int), baseline=B) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("nothing", [[], np.zeros((1, 3), int)])
def test_no_fixations_is_nan(nothing):
    assert np.isnan(ig(P, nothing, baseline=B))


def test_a_baseline_of_zeros_is_nan():
    assert np.isnan(ig(P, [[1, 0]], baseline=np.zeros((1, 3))))


def test_a_baseline_is_asked_for_by_name():
    with pytest.raises(TypeError, match="baseline"):
        ig(P, [[1, 0]])


def test_a_blurred_map_is_refused():
    with pytest.raises(ValueError, match="fixations: expected points or a map of whole counts"):
        ig(P, P / 10, baseline=B)


def test_a_negative_baseline_is_refused():
    with pytest.raises(ValueError, match="baseline: expected values >= 0, got a minimum of -1"):
        ig(P, [[1, 0]], baseline=B - 1)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="prediction: expected finite values"):
        ig(P * np.nan, [[1, 0]], baseline=B)
    with pytest.raises(ValueError, match="baseline: expected finite values"):
        ig(P, [[1, 0]], baseline=B * np.nan)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"baseline: expected shape \(1, 3\) as the prediction, got \(3, 1\)"):
        ig(P, [[1, 0]], baseline=B.T)


def test_a_point_off_the_image_is_refused():
    with pytest.raises(ValueError, match="expected 0 <= x < 3 and 0 <= y < 1"):
        ig(P, [[0, 1]], baseline=B)
