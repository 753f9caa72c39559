import numpy as np
import pytest
from numpy.testing import assert_allclose

from salbench.metrics import kl

HALVES, QUARTERS = np.array([[1.0, 1]]), np.array([[1.0, 3]])
EPS = 2.0**-52


def test_by_hand():
    # q = (1/2, 1/2), p = (1/4, 3/4): log(2) / 2 + log(2/3) / 2.
    assert kl(QUARTERS, HALVES) == pytest.approx(np.log(2) / 2 + np.log(2 / 3) / 2, rel=1e-14)


def test_is_not_symmetric():
    assert kl(HALVES, QUARTERS) == pytest.approx(np.log(1 / 2) / 4 + 3 / 4 * np.log(3 / 2), rel=1e-14)


def test_itself_is_zero():
    assert kl(QUARTERS, QUARTERS) == pytest.approx(0, abs=4 * EPS)


def test_a_zero_where_people_looked_costs_log_of_eps():
    assert kl(np.array([[0.0, 1]]), np.array([[1.0, 0]])) == pytest.approx(-np.log(EPS), rel=1e-14)


def test_eps_goes_inside_the_logarithm_and_to_the_prediction():
    expected = 0.5 * np.log(0.1 + 0.5 / 0.35) + 0.5 * np.log(0.1 + 0.5 / 0.85)
    assert kl(QUARTERS, HALVES, eps=0.1) == pytest.approx(expected, rel=1e-14)


def test_without_eps():
    assert kl(QUARTERS, HALVES, eps=0) == pytest.approx(np.log(2) / 2 + np.log(2 / 3) / 2, rel=1e-15)
    assert kl(QUARTERS, np.array([[0.0, 7]]), eps=0) == pytest.approx(np.log(4 / 3), rel=1e-15)
    assert kl(np.array([[0.0, 1, 3]]), np.array([[0.0, 2, 2]]), eps=0) == pytest.approx(np.log(4 / 3) / 2, rel=1e-15)
    assert kl(np.array([[0.0, 1]]), HALVES, eps=0) == np.inf
    assert kl(np.array([[-1.0, 1]]), HALVES, eps=0) == np.inf
    assert kl(np.zeros((1, 2)), HALVES, eps=0) == 0


@pytest.mark.parametrize("eps", [-1e-16, 1e-305, np.nan])
def test_an_impossible_eps_is_refused(eps):
    with pytest.raises(ValueError, match="eps: expected 0 or at least 1e-300, got"):
        kl(QUARTERS, HALVES, eps=eps)


def test_zeros_of_the_density_add_nothing():
    # q = (0, 1), p = (1/4, 3/4).
    assert kl(QUARTERS, np.array([[0.0, 7]])) == pytest.approx(np.log(4 / 3), rel=1e-14)


@pytest.mark.parametrize("constant", [0, 1, 0.1])
def test_a_constant_prediction_is_the_uniform_density(constant):
    expected = np.log(1 / 2) / 4 + 3 / 4 * np.log(3 / 2)
    assert kl(np.full((1, 2), constant), QUARTERS) == pytest.approx(expected, rel=1e-14)


def test_a_constant_negative_prediction_is_the_uniform_density():
    assert kl(np.full((1, 2), -3.0), QUARTERS) == kl(np.zeros((1, 2)), QUARTERS)


def test_negative_values_are_shifted_to_zero():
    p = np.array([[-2.0, 0, 1]])
    q = np.array([[0.0, 3, 2]])
    assert kl(p, q) == kl(p + 2, q)
    assert kl(p + 3, q) != pytest.approx(kl(p, q), rel=1e-3)  # a positive minimum stays


def test_a_density_of_zeros_is_nan():
    assert np.isnan(kl(QUARTERS, np.zeros((1, 2))))


def test_a_negative_density_is_refused():
    with pytest.raises(ValueError, match=r"density: expected values >= 0, got a minimum of -0.5"):
        kl(QUARTERS, np.array([[1, -0.5]]))


def test_nan_is_refused():
    with pytest.raises(ValueError, match="prediction: expected finite values"):
        kl(np.array([[np.nan, 1]]), HALVES)
    with pytest.raises(ValueError, match="density: expected finite values"):
        kl(HALVES, np.array([[np.nan, 1]]))


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"density: expected shape \(1, 2\) as the prediction, got \(2, 1\)"):
        kl(HALVES, HALVES.T)


def test_equals_pysaliency(peer):
    options = {"minimum_value": 0, "log_regularization": 2.2204e-16, "quotient_regularization": 2.2204e-16}
    with np.errstate(divide="ignore"):  # it goes through the logarithms of densities that hold zeros
        theirs = peer.model.image_based_kl_divergences(peer.stimuli, peer.gold, **options)
    ours = [kl(p, d, eps=2.2204e-16) for p, d in zip(peer.predictions, peer.densities, strict=True)]
    assert_allclose(ours, theirs, rtol=1e-11)
    assert max(ours) > 5  # a map with zeros is among them
