import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from salbench.stats import N_RESAMPLES, bootstrap_means, paired_change


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


class TestPairedChange:
    @pytest.fixture
    def pair(self):
        rng = np.random.default_rng(4)
        before = rng.uniform(0.1, 0.6, 40)
        return before, before + rng.normal(0.03, 0.08, 40)

    def test_equals_scipy(self, pair):
        before, after = pair
        found = paired_change(before, after, seed=1)
        test = scipy.stats.ttest_rel(after, before)
        assert (found.t, found.p_t) == pytest.approx((test.statistic, test.pvalue))
        assert found.p_wilcoxon == pytest.approx(scipy.stats.wilcoxon(after, before).pvalue)

    def test_by_hand(self):
        """Changes 1, 2, 3: mean 2, standard deviation 1, t = 2 sqrt(3); all ranks positive: p = 2 / 2^3."""
        found = paired_change([1, 1, 1], [2, 3, 4], seed=0)
        assert (found.n, found.before, found.after, found.mean, found.d_z) == (3, 1, 3, 2, 2)
        assert found.t == pytest.approx(2 * np.sqrt(3))
        assert found.p_wilcoxon == pytest.approx(0.25)

    def test_the_interval_equals_a_plain_bootstrap_up_to_noise(self, pair):
        before, after = pair
        rng = np.random.default_rng(9)
        means = []
        for _ in range(10_000):
            picked = rng.integers(40, size=40)
            means.append(sum(after[i] - before[i] for i in picked) / 40)
        found = paired_change(before, after, seed=1)
        noise = 1.5 * _noise((after - before)[:, None], 0.95)[0]
        assert found.mean == pytest.approx((after - before).mean())
        assert [found.low, found.high] == pytest.approx(np.quantile(means, (0.025, 0.975)), abs=noise)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(("shift", "wilcoxon_known"), [(0.0, False), (0.1, True)])
    def test_where_all_images_change_alike(self, pair, shift, wilcoxon_known):
        found = paired_change(pair[0], pair[0] + shift, seed=1)
        assert_allclose([found.mean, found.low, found.high], shift, atol=1e-15)
        assert np.isnan([found.t, found.p_t, found.d_z]).all()
        assert np.isfinite(found.p_wilcoxon) == wilcoxon_known

    @pytest.mark.parametrize(
        ("before", "after", "message"),
        [
            ([1.0], [2.0], r"two or more images"),
            ([1.0, 2.0], [2.0, 3.0, 4.0], r"got shapes \(2,\) and \(3,\)"),
            ([1.0, np.nan], [2.0, 3.0], r"infinity for 1 images"),
        ],
    )
    def test_bad_input(self, before, after, message):
        with pytest.raises(ValueError, match=message):
            paired_change(before, after, seed=0)
