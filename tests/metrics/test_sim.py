import numpy as np
import pytest
from numpy.testing import assert_allclose

from salbench.metrics import sim

P, Q = np.array([[1.0, 2, 5]]), np.array([[2.0, 3, 3]])


def test_by_hand():
    # Minus the minimum: (0, 1, 4) / 5 and (0, 1, 1) / 2: min 0 + 1/5 + 1/2.
    assert sim(P, Q) == pytest.approx(0.7, rel=1e-15)


def test_without_the_floor_by_hand():
    # (1, 2, 5) / 8 and (2, 3, 3) / 8.
    assert sim(P, Q, floor=None) == pytest.approx(6 / 8, rel=1e-15)


@pytest.mark.parametrize("floor", ["min", None])
def test_itself_is_one_and_a_disjoint_map_is_zero(floor):
    assert sim(P, P, floor=floor) == pytest.approx(1, rel=1e-15)
    assert sim(np.array([[0, 0, 2.0]]), np.array([[5.0, 1, 0]]), floor=floor) == 0


@pytest.mark.parametrize("floor", ["min", None])
@pytest.mark.parametrize("constant", [0, 2.5, -2.5])
def test_a_constant_prediction_is_the_uniform_density(constant, floor):
    q = np.array([[0.0, 1, 4]])
    assert sim(np.full((1, 3), constant), q, floor=floor) == pytest.approx(1 / 5 + 1 / 3, rel=1e-15)


def test_a_constant_density_is_uniform():
    assert sim(P, np.full((1, 3), 2.0)) == pytest.approx(1 / 5 + 1 / 3, rel=1e-15)


@pytest.mark.parametrize("floor", ["min", None])
def test_negative_values_are_shifted_to_zero(floor):
    assert sim(P - 4, Q, floor=floor) == pytest.approx(sim(P - 1, Q, floor=floor), rel=1e-15)


def test_a_density_of_zeros_is_nan():
    assert np.isnan(sim(P, np.zeros((1, 3))))


def test_a_negative_density_is_refused():
    with pytest.raises(ValueError, match="density: expected values >= 0, got a minimum of -1"):
        sim(P, Q - 3)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="prediction: expected finite values"):
        sim(P * np.nan, Q)
    with pytest.raises(ValueError, match="density: expected finite values"):
        sim(P, Q * np.inf)


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"density: expected shape \(1, 3\) as the prediction, got \(1, 2\)"):
        sim(P, Q[:, :2])


def test_without_the_floor_equals_pysaliency(peer):
    theirs = peer.model.SIMs(peer.stimuli, peer.gold)
    ours = [sim(p, d, floor=None) for p, d in zip(peer.predictions, peer.densities, strict=True)]
    assert_allclose(ours, theirs, rtol=1e-12)
