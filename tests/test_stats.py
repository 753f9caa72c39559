import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from salbench.stats import N_RESAMPLES, bootstrap_means


@pytest.fixture
def values():
    """(60, 3): symmetric, skewed and nearly constant columns."""
    rng = np.random.default_rng(0)
    return np.stack([rng.normal(2, 1, 60), rng.exponential(3, 60), 1000 + rng.normal(0, 0.01, 60)], axis=1)


def _noise(values, level):
    """Five standard errors of the `(1 - level) / 2` quantile of `N_RESAMPLES` normal means, per column."""
    tail = (1 - level) / 2
    density = scipy.stats.norm.pdf(scipy.stats.norm.ppf(tail))
    return 5 * np.sqrt(tail * (1 - tail) / N_RESAMPLES) / density * values.std(0) / np.sqrt(len(values))


@pytest.mark.parametrize("level", [0.95, 0.8])
def test_equals_scipy_up_to_monte_carlo_noise(values, level):
    mean, low, high = bootstrap_means(values, np.ones(60), seed=1, level=level)
    expected = scipy.stats.bootstrap(
        (values,), np.mean, axis=0, n_resamples=50_000, batch=1000, confidence_level=level, method="percentile", rng=2
    ).confidence_interval
    assert_allclose(mean, values.mean(0), rtol=1e-12)
    assert (np.abs(low - expected.low) < _noise(values, level)).all()
    assert (np.abs(high - expected.high) < _noise(values, level)).all()


def test_weighted_equals_scipy_up_to_monte_carlo_noise(values):
    weights = np.random.default_rng(3).integers(1, 9, 60)

    def weighted(column, weight, axis):
        return (column * weight).sum(axis) / weight.sum(axis)

    mean, low, high = bootstrap_means(values, weights, seed=1)
    for k, column in enumerate(values.T):
        expected = scipy.stats.bootstrap(
            (column, weights), weighted, paired=True, n_resamples=50_000, batch=1000, method="percentile", rng=2
        ).confidence_interval
        assert mean[k] == pytest.approx(np.average(column, weights=weights), rel=1e-12)
        noise = 1.5 * _noise(values, 0.95)[k]  # weights spread the means a little more
        assert abs(low[k] - expected.low) < noise
        assert abs(high[k] - expected.high) < noise


def test_scale_of_the_weights_is_nothing(values):
    weights = np.random.default_rng(3).integers(1, 9, 60)
    assert_allclose(
        bootstrap_means(values, weights * 10.0, seed=1), bootstrap_means(values, weights, seed=1), rtol=1e-12
    )


def test_rows_without_weight_say_nothing(values):
    weights = np.ones(60)
    weights[:20] = 0
    mean, low, high = bootstrap_means(values, weights, seed=1)
    assert_allclose(mean, values[20:].mean(0), rtol=1e-12)
    assert ((low < mean) & (mean < high)).all()


def test_nan_leaves_a_row_out_of_its_column_only(values):
    gaps = values.copy()
    gaps[::3, 1] = np.nan
    mean, low, high = bootstrap_means(gaps, np.ones(60), seed=1)
    plain = bootstrap_means(values, np.ones(60), seed=1)
    known = np.delete(values[:, 1], np.s_[::3])
    assert_allclose(mean, [plain[0][0], known.mean(), plain[0][2]], rtol=1e-12)
    assert_array_equal([low[0], low[2], high[0], high[2]], [plain[1][0], plain[1][2], plain[2][0], plain[2][2]])
    expected = scipy.stats.bootstrap((known,), np.mean, n_resamples=50_000, batch=1000, method="percentile", rng=2)
    noise = 2 * _noise(known[:, None], 0.95)[0]  # the number of known rows varies between resamples
    assert abs(low[1] - expected.confidence_interval.low) < noise
    assert abs(high[1] - expected.confidence_interval.high) < noise


@pytest.mark.filterwarnings("error")
def test_a_column_without_values_is_nan_without_a_warning(values):
    values[:, 1] = np.nan
    for numbers in bootstrap_means(values, np.ones(60), seed=1):
        assert_array_equal(np.isnan(numbers), [False, True, False])


@pytest.mark.filterwarnings("error")
def test_a_column_with_one_value():
    """Most resamples of 60 rows lack it; those that have it agree."""
    values = np.full((60, 1), np.nan)
    values[7] = 3.5
    assert_array_equal(np.ravel(bootstrap_means(values, np.ones(60), seed=1)), [3.5, 3.5, 3.5])


def test_one_row_has_no_spread():
    mean, low, high = bootstrap_means(np.array([[2.0, -1.0]]), np.ones(1), seed=5)
    assert_array_equal([mean, low, high], [[2.0, -1.0]] * 3)


def test_a_constant_column_has_no_spread():
    assert_allclose(np.ravel(bootstrap_means(np.full((30, 1), 0.1), np.ones(30), seed=5)), 0.1, rtol=1e-14)


def test_seed(values):
    first, again, other = (bootstrap_means(values, np.ones(60), seed=seed) for seed in (1, 1, 2))
    assert_array_equal(first, again)
    assert_array_equal(first[0], other[0])
    assert (first[1] != other[1]).all()
    assert (first[2] != other[2]).all()


def test_a_wider_level_gives_a_wider_interval(values):
    widths = []
    for level in (0.5, 0.8, 0.95, 0.99):
        mean, low, high = bootstrap_means(values, np.ones(60), seed=1, level=level)
        assert ((low < mean) & (mean < high)).all()
        widths.append(high - low)
    assert (np.diff(widths, axis=0) > 0).all()


def test_the_input_is_left_alone(values):
    values[3, 1] = np.nan
    before = values.copy()
    bootstrap_means(values, np.ones(60), seed=1)
    assert_array_equal(values, before)
