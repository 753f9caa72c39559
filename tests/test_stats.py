import numpy as np
import pytest
import scipy.optimize
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal

from salbench.stats import (
    N_RESAMPLES,
    bootstrap_means,
    crossed_slope,
    mean_slope,
    paired_change,
    random_effects_difference,
    ratio_of_means,
)


@pytest.fixture
def values():
    """(60, 3): symmetric, skewed and nearly constant columns."""
    rng = np.random.default_rng(0)
    return np.stack([rng.normal(2, 1, 60), rng.exponential(3, 60), 1000 + rng.normal(0, 0.01, 60)], axis=1)


def _noise(values, level=0.95):
    """Five standard errors of the `(1 - level) / 2` quantile of `N_RESAMPLES` normal means, per column."""
    tail = (1 - level) / 2
    density = scipy.stats.norm.pdf(scipy.stats.norm.ppf(tail))
    return 5 * np.sqrt(tail * (1 - tail) / N_RESAMPLES) / density * values.std(0) / np.sqrt(len(values))


def _plain_interval(column, weights, level=0.95):
    """Bootstrap-t interval, at least as long as Student's at either end."""

    def mean_and_error(x, w):
        mean = np.average(x, axis=-1, weights=w)
        return mean, np.sqrt(((w * (x - mean[..., None])) ** 2).sum(-1)) / w.sum(-1)

    n = len(column)
    mean, error = mean_and_error(column, weights)
    picked = np.random.default_rng(9).integers(n, size=(20_000, n))
    means, errors = mean_and_error(column[picked], weights[picked])
    lowest, highest = np.quantile((means - mean) / errors, ((1 - level) / 2, (1 + level) / 2))
    student = scipy.stats.t.ppf((1 + level) / 2, n - 1) * np.sqrt(n / (n - 1))
    return mean - max(highest, student) * error, mean + max(-lowest, student) * error


@pytest.mark.parametrize("level", [0.95, 0.8])
@pytest.mark.parametrize("weighted", [False, True])
def test_equals_a_plain_bootstrap_t_up_to_noise(values, level, weighted):
    weights = np.random.default_rng(3).integers(1, 9, 60) if weighted else np.ones(60)
    mean, low, high = bootstrap_means(values, weights, seed=1, level=level)
    assert_allclose(mean, np.average(values, axis=0, weights=weights), rtol=1e-12)
    noise = 1.5 * _noise(values, level)  # the ratios spread a little more than normal means
    for k, column in enumerate(values.T):
        assert [low[k], high[k]] == pytest.approx(_plain_interval(column, weights, level), abs=noise[k])


def test_equals_a_published_bootstrap_t_interval():
    """Survival of the nine control mice in Efron, Tibshirani (1993), table 2.1, with the 90 % interval of section 12.5.

    The book's 5 % quantile of 1000 ratios is -4.53, and the standard error is 13.33. The other end is Student's.
    """
    mice = np.array([52.0, 104, 146, 10, 50, 31, 40, 27, 46])
    (mean,), (low,), (high,) = bootstrap_means(mice[:, None], np.ones(9), seed=0, level=0.9)
    assert mean == pytest.approx(56.22, abs=0.005)
    assert high == pytest.approx(56.22 + 4.53 * 13.33, abs=5)  # two standard errors: quantiles of few resamples
    assert low == pytest.approx(scipy.stats.t.interval(0.9, 8, mice.mean(), scipy.stats.sem(mice))[0])


@pytest.mark.parametrize("n", [2, 3, 4])
def test_few_values_have_the_interval_of_student(values, n):
    mean, low, high = bootstrap_means(values[:n], np.ones(n), seed=1)
    expected = scipy.stats.t.interval(0.95, n - 1, mean, scipy.stats.sem(values[:n]))
    assert_allclose((low, high), expected, rtol=1e-9)


def test_no_end_is_closer_than_that_of_student(values):
    """Not even if most resamples hold a single value."""
    rare = np.zeros((12, 1))
    rare[3] = 1
    for some in (values, values[:5], rare):
        mean, low, high = bootstrap_means(some, np.ones(len(some)), seed=1)
        expected = scipy.stats.t.interval(0.95, len(some) - 1, mean, scipy.stats.sem(some))
        assert (low <= expected[0] + 1e-9).all()
        assert (high >= expected[1] - 1e-9).all()
        assert np.isfinite([low, high]).all()


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
    noise = 2 * _noise(known[:, None])[0]  # the number of known rows varies between resamples
    assert [low[1], high[1]] == pytest.approx(_plain_interval(known, np.ones(len(known))), abs=noise)


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
    assert ((first[1] != other[1]) | (first[2] != other[2])).all(), "one end may be Student's"


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

    def test_the_interval_equals_a_plain_bootstrap_t_up_to_noise(self, pair):
        difference = pair[1] - pair[0]
        found = paired_change(*pair, seed=1)
        noise = 1.5 * _noise(difference[:, None])[0]
        assert found.mean == pytest.approx(difference.mean())
        assert [found.low, found.high] == pytest.approx(_plain_interval(difference, np.ones(40)), abs=noise)

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


class TestRandomEffectsDifference:
    @pytest.fixture
    def pair(self):
        rng = np.random.default_rng(5)
        baseline = rng.uniform(0.1, 0.6, (1, 40)) + rng.normal(0, 0.05, (3, 40))
        return baseline + rng.normal(0.03, 0.02, (3, 1)) + rng.normal(0, 0.03, (3, 40)), baseline

    def test_by_hand(self):
        """Means over images 2 and 6, over seeds 1, 3 and 8; MS_seed = 24 / 1, MS_image = 52 / 2, MS_error = 12 / 2."""
        difference = np.array([[0.0, 2, 4], [2, 4, 12]])
        found = random_effects_difference(difference + 7, np.full((2, 3), 7.0))
        assert (found.mean, found.n_seeds, found.n_images) == (4, 2, 3)
        assert found.error == pytest.approx(np.sqrt((24 + 26 - 6) / 6))
        half = (24 * 12.7062 + 20 * 4.30265) / 44 * np.sqrt(44 / 6)  # tabulated quantiles of Student's t
        assert [found.low, found.high] == pytest.approx([4 - half, 4 + half], rel=1e-5)

    def test_mean_square_of_images_below_that_of_the_interaction_counts_as_equal(self):
        """Means over images -1 and 3, over seeds 1, 1 and 1; MS_seed = 24 / 1, MS_image = 0, MS_error = 12 / 2."""
        difference = np.array([[0.0, 0, -3], [2, 2, 5]])
        found = random_effects_difference(difference, np.zeros((2, 3)))
        assert found.error == pytest.approx(np.sqrt(24 / 6))
        assert found.high - found.mean == pytest.approx(12.7062 * 2, rel=1e-5)

    def test_p_value_is_the_level_of_the_interval_that_ends_at_zero(self, pair):
        found = random_effects_difference(*pair)
        assert 1e-6 < found.p < 0.2
        ends = random_effects_difference(*pair, level=1 - found.p)
        assert ends.low == pytest.approx(0, abs=1e-9)

    def test_p_value_lies_between_those_of_both_t_tests(self, pair):
        found = random_effects_difference(*pair)
        between = [2 * scipy.stats.t.sf(found.mean / found.error, df) for df in (39, 2)]
        assert between[0] < found.p < between[1]

    @pytest.mark.parametrize("shift", [0.0, 0.01, 1.0, 1e6])
    def test_one_seed_is_the_t_test_over_images(self, pair, shift):
        values, baseline = pair[0][:1] + shift, pair[1][:1]
        found = random_effects_difference(values, baseline)
        test = scipy.stats.ttest_rel(values[0], baseline[0])
        assert found.n_seeds == 1
        assert found.p == pytest.approx(test.pvalue, rel=1e-6)
        interval = test.confidence_interval()
        assert [found.low, found.high] == pytest.approx([interval.low, interval.high])

    def test_differences_that_vary_over_seeds_only_are_the_t_test_over_seeds(self):
        by_seed = np.array([0.1, 0.4, 0.2])
        found = random_effects_difference(by_seed[:, None] + np.zeros(50), np.zeros((3, 50)))
        test = scipy.stats.ttest_1samp(by_seed, 0)
        assert found.p == pytest.approx(test.pvalue, rel=1e-6)
        assert [found.low, found.high] == pytest.approx(list(test.confidence_interval()))

    def test_differences_that_vary_over_images_only_are_the_t_test_over_images(self):
        by_image = np.array([0.25, 0.5, 0.75, 2.0])
        found = random_effects_difference(by_image + np.zeros((3, 1)), np.zeros((3, 4)))
        test = scipy.stats.ttest_1samp(by_image, 0)
        assert found.p == pytest.approx(test.pvalue, rel=1e-6)
        assert [found.low, found.high] == pytest.approx(list(test.confidence_interval()))

    def test_the_other_direction_changes_signs_only(self, pair):
        one, other = random_effects_difference(*pair), random_effects_difference(*pair[::-1])
        assert (other.mean, other.low, other.high) == pytest.approx((-one.mean, -one.high, -one.low))
        assert (other.error, other.p) == pytest.approx((one.error, one.p))

    def test_an_image_without_a_score_from_every_seed_is_left_out(self, pair):
        values, baseline = pair[0].copy(), pair[1].copy()
        values[1, 4] = np.nan
        baseline[2, 7] = np.nan
        expected = random_effects_difference(*(np.delete(scores, [4, 7], axis=1) for scores in pair))
        assert random_effects_difference(values, baseline) == expected
        assert expected.n_images == 38

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(("n_images", "mean"), [(0, np.nan), (1, 0.25)])
    def test_fewer_than_two_images_have_no_interval(self, n_images, mean):
        values = np.full((3, 5), np.nan)
        values[:, :n_images] = 0.25
        found = random_effects_difference(values, np.zeros((3, 5)))
        assert found.n_images == n_images
        assert_array_equal([found.mean, found.error, found.low, found.high, found.p], [mean] + [np.nan] * 4)

    @pytest.mark.filterwarnings("error")
    @pytest.mark.parametrize(("shift", "p"), [(0.0, 1), (0.1, 0)])
    def test_equal_differences(self, pair, shift, p):
        found = random_effects_difference(pair[1] + shift, pair[1])
        assert [found.mean, found.low, found.high, found.error] == pytest.approx([shift, shift, shift, 0], abs=1e-15)
        assert found.p == p

    @pytest.mark.filterwarnings("error")
    def test_differences_that_vary_without_an_estimate_of_their_error(self):
        """The means of both seeds and of both images agree."""
        found = random_effects_difference([[1.0, 2], [2, 1]], np.zeros((2, 2)))
        assert found.mean == 1.5
        assert np.isnan([found.error, found.low, found.high, found.p]).all()

    def test_a_tiny_p_value(self):
        """Far beyond what a float64 of Student's t with many degrees of freedom can hold."""
        rng = np.random.default_rng(0)
        found = random_effects_difference(1e9 + rng.normal(size=(2, 200)), np.zeros((2, 200)))
        assert 0 < found.p < 1e-6

    @pytest.mark.parametrize("shapes", [((3,), (3,)), ((2, 3), (3, 2)), ((0, 3), (0, 3))])
    def test_bad_input(self, shapes):
        with pytest.raises(ValueError, match=r"expected two arrays of the same shape \(seeds, images\), got shapes"):
            random_effects_difference(*map(np.zeros, shapes))


class TestRatioOfMeans:
    def test_is_the_ratio(self):
        ratio, low, high = ratio_of_means([1.0, 2.0, 3.0, np.nan], [2.0, 4.0, 5.0, 9.0], seed=0)
        assert ratio == pytest.approx(2 / 5)
        assert low < ratio < high

    def test_equal_shares_leave_no_doubt(self):
        others = np.array([1.0, 2.0, 4.0, 8.0, 3.0])
        np.testing.assert_allclose(ratio_of_means(0.3 * others, others, seed=0), 0.3)

    @pytest.mark.parametrize("truth", [-0.2, 0.5])
    def test_the_interval_holds_the_true_ratio(self, truth):
        rng, hits = np.random.default_rng(0), 0
        for seed in range(150):
            others = rng.gamma(9, 0.25, 60)
            values = truth * others + rng.normal(0, 0.4, 60)
            _, low, high = ratio_of_means(values, others, seed=seed)
            hits += low <= truth <= high
        assert 0.90 <= hits / 150 <= 0.99


class TestMeanSlope:
    # Shares of twelve images at three strengths, and what statsmodels 0.15.0 says of them:
    #   mixedlm("share ~ strength", data, groups="image", re_formula="~strength").fit(reml=True)
    STRENGTHS = (1.3, 1.6, 2.0)
    SHARES = (
        (0.310, 0.331, 0.341), (0.292, 0.313, 0.335), (0.260, 0.294, 0.321), (0.234, 0.283, 0.305),
        (0.206, 0.227, 0.228), (0.186, 0.208, 0.234), (0.224, 0.244, 0.266), (0.372, 0.409, 0.418),
        (0.177, 0.210, 0.208), (0.221, 0.255, 0.290), (0.302, 0.323, 0.332), (0.357, 0.391, 0.405),
    )  # fmt: skip
    STATSMODELS = 0.06323198, 0.00645450  # slope and its standard error

    def curves(self):
        return [(self.STRENGTHS, shares) for shares in self.SHARES]

    def test_equals_restricted_maximum_likelihood_of_statsmodels(self):
        found = mean_slope(self.curves())
        assert (found.mean, found.error) == pytest.approx(self.STATSMODELS, rel=1e-4)
        assert found.n_images == 12

    def test_equals_the_t_test_of_slopes_that_numpy_fits(self):
        slopes = [np.polyfit(*curve, 1)[0] for curve in self.curves()]
        found = mean_slope(self.curves())
        test = scipy.stats.ttest_1samp(slopes, 0)
        assert found.p == pytest.approx(test.pvalue)
        assert (found.low, found.high) == pytest.approx(test.confidence_interval())

    def test_unequal_strengths_weigh_as_their_variance_says(self):
        """Three steep images on a tenth of the range: their slopes are uncertain and hardly count."""
        rng = np.random.default_rng(0)
        wide = [(x := np.array([1.0, 2.0, 3.0]), 0.1 * x + rng.normal(0, 0.02, 3)) for _ in range(9)]
        narrow = [(x := np.array([1.0, 1.1, 1.2]), 0.9 * x + rng.normal(0, 0.02, 3)) for _ in range(3)]
        alone, together = mean_slope(wide), mean_slope([*wide, *narrow])
        plain = np.mean([np.polyfit(*curve, 1)[0] for curve in [*wide, *narrow]])
        assert alone.mean < together.mean < plain

    def test_weights_are_those_of_paule_and_mandel(self):
        """Their example has no lines; here the weighted squares equal k - 1, which defines their estimate."""
        rng = np.random.default_rng(1)
        curves = [(x := np.arange(2 + k % 4) * (1 + k % 3), rng.normal(0.2, 0.3) * x) for k in range(10)]
        curves = [(x, y + rng.normal(0, 0.2, len(y))) for x, y in curves]
        slopes = np.array([np.polyfit(*curve, 1)[0] for curve in curves])
        squares = np.array([np.var(x) * len(x) for x, _ in curves])
        rest = sum(np.square(y - np.polyval(np.polyfit(x, y, 1), x)).sum() for x, y in curves)
        sampling = rest / sum(len(x) - 2 for x, _ in curves) / squares
        found = mean_slope(curves)

        def weighted(between):
            return np.average(slopes, weights=1 / (between + sampling))

        def excess(between):
            return (np.square(slopes - weighted(between)) / (between + sampling)).sum() - 9

        between = scipy.optimize.bisect(excess, 0, 10, xtol=1e-14)
        assert found.mean == pytest.approx(weighted(between))
        assert found.error == pytest.approx(np.sum(1 / (between + sampling)) ** -0.5)

    def test_two_strengths_have_equal_weights(self):
        curves = [((1.0, 2.0), (0.0, 0.2)), ((1.0, 1.5), (0.1, 0.3)), ((1.0, 3.0), (0.0, 0.1))]
        assert mean_slope(curves).mean == pytest.approx((0.2 + 0.4 + 0.05) / 3)

    def test_images_without_two_strengths_do_not_count(self):
        more = [((1.0,), (0.5,)), ((2.0, 2.0), (0.1, 0.9)), ((), ())]
        assert mean_slope([*self.curves(), *more]) == mean_slope(self.curves())
        with pytest.raises(ValueError, match="expected an image with two or more different x, got none"):
            mean_slope(more)

    def test_slopes_that_do_not_vary(self):
        found = mean_slope([((1.0, 2.0), (0.3, 0.3)), ((1.0, 2.0), (0.1, 0.1))])
        assert (found.mean, found.error, found.low, found.high) == (0, 0, 0, 0)
        assert np.isnan(found.p)

    def test_one_image(self):
        found = mean_slope([((1.0, 2.0), (0.1, 0.3))])
        assert found.mean == pytest.approx(0.2)
        assert np.isnan([found.error, found.low, found.high, found.p]).all()


class TestCrossedSlope:
    @staticmethod
    def latin(n_participants, n_images, n_versions=4):
        """Participants, images and versions of trials in which versions rotate."""
        participants, images = (a.ravel() for a in np.indices((n_participants, n_images)))
        return participants, images, (participants + images) % n_versions

    def test_equals_the_two_way_comparison_if_everybody_sees_everything(self):
        rng = np.random.default_rng(0)
        before = rng.normal(size=(6, 15))
        after = before + rng.normal(0.3, 1, (6, 1)) + rng.normal(0, 1, (6, 15))
        participants, images = (np.tile(a.ravel(), 2) for a in np.indices((6, 15)))
        x, y = np.repeat([0, 1], 90), np.concatenate([before.ravel(), after.ravel()])
        shuffled = rng.permutation(180)
        found = crossed_slope(*(a[shuffled] for a in (x, y, participants, images)))
        expected = random_effects_difference(after, before)
        for name in ("mean", "error", "low", "high", "p"):
            assert getattr(found, name) == pytest.approx(getattr(expected, name)), name
        assert (found.n_participants, found.n_images) == (6, 15)

    def test_more_participants_than_images(self):
        """The interval at the level of one minus p ends at zero."""
        participants, images, version = self.latin(24, 8)
        y = 0.05 * version + np.random.default_rng(2).normal(size=192)
        p = crossed_slope(version, y, participants, images).p
        found = crossed_slope(version, y, participants, images, level=1 - p)
        assert 0.01 < p < 0.99
        assert min(abs(found.low), abs(found.high)) < 1e-9

    def test_the_slope_is_that_of_least_squares_with_an_intercept_for_each(self):
        participants, images, version = self.latin(8, 10)
        kept = np.random.default_rng(0).random(80) > 0.2  # no design is complete
        x, y = version[kept] * 1.0, np.random.default_rng(1).normal(size=kept.sum())
        dummies = np.concatenate([np.eye(8)[participants[kept]], np.eye(10)[images[kept]]], axis=1)
        expected = np.linalg.lstsq(np.column_stack([x, dummies]), y, rcond=None)[0][0]
        assert crossed_slope(x, y, participants[kept], images[kept]).mean == pytest.approx(expected)

    def test_is_close_to_restricted_maximum_likelihood_of_statsmodels(self):
        """The slope is the same; the error comes from another estimate of the same variances.

        statsmodels 0.15.0: mixedlm("y ~ x", data, groups=ones, vc_formula={"p": "0 + C(p)", "px": "0 + C(p):x",
        "i": "0 + C(i)", "ix": "0 + C(i):x"}).fit(reml=True, method="lbfgs")
        """
        rng = np.random.default_rng(11)
        participants, images, version = self.latin(12, 16)
        y = 0.3 + rng.normal(0, 0.1, 12)[participants] + rng.normal(0, 0.15, 16)[images] + rng.normal(0, 0.1, 192)
        y += version * (0.05 + rng.normal(0, 0.03, 12)[participants] + rng.normal(0, 0.03, 16)[images])
        found = crossed_slope(version, np.round(y, 3), participants, images)
        assert found.mean == pytest.approx(0.03444792, rel=1e-6)
        assert found.error == pytest.approx(0.01525035, rel=0.05)

    def test_unit_and_origin_of_x(self):
        participants, images, version = self.latin(8, 12)
        y = np.random.default_rng(0).normal(size=96)
        one, other = (crossed_slope(x, y, participants, images) for x in (version, 5 + version / 1000))
        assert (other.mean, other.error, other.p) == pytest.approx((1000 * one.mean, 1000 * one.error, one.p))

    def test_intercepts_say_nothing(self):
        rng = np.random.default_rng(0)
        participants, images, version = self.latin(8, 12)
        y = rng.normal(size=96)
        more = y + rng.normal(0, 9, 8)[participants] + rng.normal(0, 9, 12)[images]
        one, other = (crossed_slope(version, values, participants, images) for values in (y, more))
        assert (other.mean, other.error, other.p) == pytest.approx((one.mean, one.error, one.p))

    def test_one_participant_for_each_version_is_too_few(self):
        """Persons and versions cannot be told apart: there is a slope, but no error."""
        participants, images, version = self.latin(4, 12)
        shown = version % 3 == 0
        found = crossed_slope(version[shown], np.arange(shown.sum()), participants[shown], images[shown])
        assert np.isfinite(found.mean)
        assert np.isnan([found.error, found.low, found.high, found.p]).all()

    def test_nothing_varies(self):
        participants, images, version = self.latin(8, 12)
        found = crossed_slope(version, np.full(96, 0.3), participants, images)
        assert (found.mean, found.low, found.high) == pytest.approx((0, 0, 0), abs=1e-15)
        assert np.isnan(found.p)

    def test_errors(self):
        with pytest.raises(ValueError, match=r"two or more participants .* got 1 participants and 3 images"):
            crossed_slope([0, 1, 2], [0, 1, 2], [0, 0, 0], [0, 1, 2])
        with pytest.raises(ValueError, match="expected participants who saw images with different x, got none"):
            crossed_slope([1, 1, 1, 1], [0, 1, 2, 3], [0, 0, 1, 1], [0, 1, 0, 1])
