from itertools import combinations

import numpy as np
import pytest
from numpy.testing import assert_allclose

from salbench.maps import density_from_fixations
from salbench.metrics import METRICS, cc

RAMP = np.arange(6.0).reshape(2, 3)


def test_by_hand():
    # Deviations (-1, 0, 1) and (-1, 1, 0) / sqrt(2 * 2).
    assert cc(np.array([[0, 1, 2]]), np.array([[0, 2, 1]])) == pytest.approx(0.5, rel=1e-15)


def test_itself_is_one_and_its_mirror_minus_one():
    assert cc(RAMP, RAMP) == pytest.approx(1, rel=1e-15)
    assert cc(-RAMP, RAMP) == pytest.approx(-1, rel=1e-15)


def test_equals_numpy():
    rng = np.random.default_rng(1)
    p, q = rng.random((30, 40)), rng.random((30, 40)) ** 5
    assert cc(p, q) == pytest.approx(np.corrcoef(p.ravel(), q.ravel())[0, 1], rel=1e-12)


@pytest.mark.parametrize("constant", [0, 0.1, 5])
def test_a_constant_prediction_is_zero(constant):
    assert cc(np.full((2, 3), constant), RAMP) == 0


def test_a_constant_density_is_zero():
    assert cc(RAMP, np.full((2, 3), 0.1)) == 0


def test_a_density_of_zeros_is_nan():
    assert np.isnan(cc(RAMP, np.zeros((2, 3))))


@pytest.mark.parametrize("shifted", ["prediction", "density"])
def test_keeps_its_digits_on_a_map_that_varies_little(shifted):
    other = np.array([[3.0, 1, 4], [1, 5, 9]])
    small = RAMP / 2**12 + 2**40
    arguments = (small, other) if shifted == "prediction" else (other, small)
    assert cc(*arguments) == pytest.approx(cc(RAMP, other), rel=1e-13)


def test_negative_values_are_refused_in_the_density_only():
    assert cc(RAMP - 9, RAMP) == pytest.approx(1, rel=1e-15)
    with pytest.raises(ValueError, match="density: expected values >= 0, got a minimum of -1"):
        cc(RAMP, RAMP - 1)


def test_nan_is_refused():
    with pytest.raises(ValueError, match="prediction: expected finite values"):
        cc(np.where(RAMP == 0, -np.inf, RAMP), RAMP)
    with pytest.raises(ValueError, match="density: expected finite values"):
        cc(RAMP, np.where(RAMP == 3, np.nan, RAMP))


def test_different_shapes_are_refused():
    with pytest.raises(ValueError, match=r"density: expected shape \(2, 3\) as the prediction, got \(3, 2\)"):
        cc(RAMP, RAMP.T)


def test_equals_pysaliency(peer):
    theirs = peer.model.CCs(peer.stimuli, peer.gold)
    ours = [cc(p, d) for p, d in zip(peer.predictions, peer.densities, strict=True)]
    assert_allclose(ours, theirs, rtol=1e-11, atol=1e-13)


class TestNoiseCeiling:
    """What a perfect prediction reaches. `test_inter_observer` compares it with a truth that is known."""

    @pytest.fixture
    def densities(self):
        rng = np.random.default_rng(0)
        points = np.clip(rng.normal((30, 20), (9, 6), (8, 5, 2)), 0, (59, 39))
        return np.array([density_from_fixations(own, (40, 60), 4.0) for own in points])

    def test_is_the_mean_over_all_halves(self, densities):
        """Rulon's (1939) reliability of two halves: 1 - variance of their difference / variance of their sum."""
        halves = [h for h in combinations(range(8), 4) if 0 in h]
        reliabilities = []
        for half in halves:
            a = densities[list(half)].sum(0)
            b = densities.sum(0) - a
            reliabilities.append(1 - (a - b).var() / (a + b).var())
        assert METRICS["cc"].noise_ceiling(densities) == pytest.approx(np.sqrt(np.mean(reliabilities)), rel=1e-12)

    def test_the_same_density_again_and_again_is_reliable(self, densities):
        assert METRICS["cc"].noise_ceiling([densities[0]] * 6) == pytest.approx(1, rel=1e-12)

    def test_no_agreement_is_zero(self):
        assert METRICS["cc"].noise_ceiling(np.eye(36).reshape(36, 6, 6)[:8]) == 0

    def test_too_few_observers(self, densities):
        assert np.isnan(METRICS["cc"].noise_ceiling(densities[:5]))
        assert METRICS["cc"].noise_ceiling(densities[:6]) > 0

    def test_constant_densities(self):
        assert np.isnan(METRICS["cc"].noise_ceiling(np.ones((8, 3, 3))))
