from functools import partial
from itertools import permutations

import numpy as np
import pysaliency
import pytest
import slow
from numpy.testing import assert_allclose
from sklearn.metrics import roc_auc_score

from salbench.metrics import Pair, auc, auc_borji, auc_judd, measure

RAMP = np.arange(6.0).reshape(2, 3)  # 0 1 2 / 3 4 5
jittered = partial(auc_judd, jitter=True)
EACH = pytest.mark.parametrize("metric", [auc, auc_judd, jittered, auc_borji])


def test_auc_by_hand():
    # Pixel 4 beats 0, 1, 2, 3, ties with itself and loses to 5.
    assert auc(RAMP, [[1, 1]]) == (4 + 0.5) / 6


def test_auc_of_two_fixations_is_the_mean():
    assert auc(RAMP, [[1, 1], [2, 0]]) == pytest.approx((4.5 + 2.5) / 12, rel=1e-15)


def test_auc_counts_a_pixel_fixated_twice_twice():
    assert auc(RAMP, [[1, 1], [1, 1], [2, 0]]) == pytest.approx((4.5 + 4.5 + 2.5) / 18, rel=1e-15)


def test_auc_gives_ties_one_half():
    # The fixated 1 beats two zeros and ties with four ones.
    assert auc(np.array([[0, 0, 1], [1, 1, 1]]), [[2, 0]]) == (2 + 4 / 2) / 6


def test_auc_of_all_pixels_fixated_is_one_half():
    assert auc(RAMP, np.ones((2, 3), int)) == 0.5


def test_auc_judd_by_hand():
    # Thresholds 4 and 1: (fp, tp) = (1/4, 1/2), (3/4, 1). Areas 1/16 + 3/8 + 1/4.
    assert auc_judd(RAMP, [[1, 1], [1, 0]]) == pytest.approx(11 / 16, rel=1e-15)


def test_auc_judd_counts_a_pixel_fixated_twice_once():
    assert auc_judd(RAMP, [[1, 1], [1, 0], [1, 1]]) == auc_judd(RAMP, [[1, 1], [1, 0]])


def test_auc_judd_gives_tied_fixated_values_a_step_each():
    # Both fixated pixels hold 1, as does a third: (fp, tp) = (2/4, 1/2), (1/4, 1): the rate falls back.
    tied = np.array([[1, 1, 1], [0, 0, 0]])
    assert auc_judd(tied, [[0, 0], [1, 0]]) == pytest.approx(1 / 8 - 3 / 16 + 3 / 4, rel=1e-15)


def test_auc_judd_leaves_its_bounds_where_a_plateau_is_fixated_and_few_pixels_are_not():
    # The MIT rule divides 5 - 1, 5 - 2, 5 - 3 pixels by 2 unfixated ones: (fp, tp) = (2, 1/3), (3/2, 2/3), (1, 1).
    plateau = np.array([[0, 0, 0, 0, 1]])
    assert auc_judd(plateau, [[0, 0], [1, 0], [2, 0]]) == pytest.approx(1 / 3 - 1 / 4 - 5 / 12, rel=1e-15)


def test_auc_judd_of_the_best_single_pixel_is_one():
    assert auc_judd(RAMP, [[2, 1]]) == 1


def test_auc_judd_is_nan_when_every_pixel_is_fixated():
    assert np.isnan(auc_judd(RAMP, np.ones((2, 3), int)))
    assert np.isnan(auc_judd(np.ones((2, 3)), np.ones((2, 3), int)))
    assert np.isnan(jittered(RAMP, np.ones((2, 3), int)))


def test_jitter_by_hand():
    # The unfixated 1 is above the first of two fixated ones in 1/3 of all orders, above the second in 2/3:
    # (fp, tp) = (1/12, 1/2), (2/12, 1). Areas 1/48 + 3/48 + 10/12.
    tied = np.array([[1, 1, 1], [0, 0, 0]])
    assert jittered(tied, [[0, 0], [1, 0]]) == pytest.approx(11 / 12, rel=1e-15)
    # (fp, tp) = (5/8, 1/3), (6/8, 2/3), (7/8, 1). Areas 5/48 + 3/48 + 5/48 + 6/48.
    plateau = np.array([[0, 0, 0, 0, 1]])
    assert jittered(plateau, [[0, 0], [1, 0], [2, 0]]) == pytest.approx(19 / 48, rel=1e-15)


def test_jitter_changes_nothing_without_ties():
    rng = np.random.default_rng(9)
    prediction, counts = rng.random((15, 21)), rng.poisson(0.1, (15, 21))
    assert jittered(prediction, counts) == pytest.approx(auc_judd(prediction, counts), rel=1e-14)


@pytest.mark.parametrize("plateaus", [[0, 0, 0, 0, 0, 1], [0, 0, 1, 1, 1, 1], [0, 0, 0, 1, 1, 2], [0, 1, 2, 2, 2, 2]])
@pytest.mark.parametrize("fixated", [[1, 0, 1, 0, 0, 0], [0, 1, 1, 1, 0, 0], [1, 0, 1, 1, 0, 1], [0, 0, 0, 0, 0, 1]])
def test_jitter_is_the_mean_over_all_orders(plateaus, fixated):
    orders = 1e-8 * np.array(list(permutations(range(6))))
    every = [slow.auc_judd([plateaus + order], [fixated]) for order in orders]
    assert jittered(np.array([plateaus]), np.array([fixated])) == pytest.approx(np.mean(every), rel=1e-13)


@pytest.mark.parametrize("levels", [2, 6, 256])
def test_jitter_is_the_mean_over_random_draws_of_the_mit_code(levels):
    rng = np.random.default_rng(0)
    prediction = np.floor(rng.random((12, 16)) ** 4 * levels)
    counts = rng.poisson(0.1 + 0.1 * (prediction > 0))
    draws = [slow.auc_judd_draw(prediction, counts, np.random.default_rng(draw)) for draw in range(200)]
    error = np.std(draws, ddof=1) / np.sqrt(len(draws))
    assert abs(jittered(prediction, counts) - np.mean(draws)) < 4 * error
    assert abs(auc_judd(prediction, counts) - np.mean(draws)) > 4 * error


def _adjacent(rng, shape):
    return 1 + rng.integers(0, 5, shape) * 2.0**-52


@pytest.mark.parametrize(
    "make",
    [
        lambda rng, shape: rng.integers(0, 256, shape).astype(np.float32),
        lambda rng, shape: (rng.random(shape) < 0.1).astype(float),
        lambda rng, shape: np.maximum(rng.random(shape) - 0.9, 0),
        lambda rng, shape: rng.integers(-4, 0, shape) * 1e30,
        lambda rng, shape: rng.integers(0, 4, shape) * 1e-90,
        _adjacent,
    ],
    ids=["8 bit", "binary", "mostly zero", "large", "small", "adjacent floats"],
)
def test_jitter_equals_the_slow_version(make):
    rng = np.random.default_rng(10)
    for shape in ((15, 21), (1, 90), (40, 60)):
        prediction, counts = make(rng, shape), rng.poisson(0.05, shape)
        expected = slow.auc_judd(prediction, counts, jitter=True)
        assert 0 < jittered(prediction, counts) < 1
        assert jittered(prediction, counts) == pytest.approx(expected, rel=1e-12)
        scores = measure(Pair.of(prediction, counts), {"auc_judd": {"jitter": True}})
        assert scores["auc_judd"] == jittered(prediction, counts)


def test_jitter_ties_equal_values_only():
    rng = np.random.default_rng(11)
    ranks, counts = rng.integers(0, 5, (15, 21)), rng.poisson(0.1, (15, 21))
    # One ulp apart, where the MIT code's noise of 1e-7 would mix the values.
    assert jittered(1 + ranks * 2.0**-52, counts) == jittered(ranks, counts)


@pytest.mark.parametrize("n", [1, 2, 10])
def test_a_constant_map_is_at_chance_where_the_mit_code_is_above_it(n):
    """The area under the first segment, which few fixations make large; see the known differences of the protocols."""
    constant, counts = np.ones((8, 9)), (np.arange(72) < n).reshape(8, 9).astype(int)
    draws = [slow.auc_judd_draw(constant, counts, np.random.default_rng(draw)) for draw in range(400)]
    error = np.std(draws, ddof=1) / np.sqrt(len(draws))
    assert np.mean(draws) == pytest.approx(1 / 2 + 1 / (2 * n + 2), abs=4 * error)
    assert np.mean(draws) > 0.5 + 4 * error
    assert jittered(constant, counts) == 0.5


def test_auc_borji_by_hand():
    # On the ramp of 0, .2, .., 1 the fixated .8 is hit from the threshold .8 on; all pixels are the negatives.
    # (fp, tp) falls from (2/6, 1) at .8 to (1/6, 0) at .9: areas 0, 1/12, 4/6.
    assert auc_borji(RAMP, [[1, 1]]) == pytest.approx(9 / 12, rel=1e-15)


def test_auc_borji_loses_area_on_a_peaked_map_and_a_finer_step_wins_it_back():
    peaked = np.array([[0.0, 0.02, 0.04], [0.06, 0.08, 1.0]])
    # The fixated .08 ties with four others below the first threshold: (1/6, 0) to (1, 1).
    assert auc_borji(peaked, [[1, 1]]) == pytest.approx(5 / 12, rel=1e-15)
    assert auc_borji(peaked, [[1, 1]], step=0.01) == pytest.approx(9 / 12, rel=1e-15)


def test_auc_borji_counts_a_pixel_fixated_twice_once():
    assert auc_borji(RAMP, [[1, 1], [1, 0], [1, 1]]) == auc_borji(RAMP, [[1, 1], [1, 0]])


def test_auc_borji_takes_a_single_fixation():
    assert 0 < auc_borji(RAMP, [[0, 1]]) < 1


@pytest.mark.parametrize("constant", [0, 1, -3.5, 1e-90, 0.1])
@EACH
def test_a_constant_map_is_at_chance(metric, constant):
    assert metric(np.full((4, 5), constant), [[1, 2], [3, 3]]) == 0.5


@EACH
@pytest.mark.parametrize("nothing", [[], np.empty((0, 2)), np.zeros((2, 3), int)])
def test_no_fixations_is_nan(metric, nothing):
    assert np.isnan(metric(RAMP, nothing))


@EACH
def test_negative_values_are_only_lower_values(metric):
    assert metric(RAMP - 9, [[1, 1], [2, 0]]) == metric(RAMP, [[1, 1], [2, 0]])


@EACH
def test_points_are_floored(metric):
    assert metric(RAMP, [[1.99, 1.01], [2.5, 0.5]]) == metric(RAMP, [[1, 1], [2, 0]])


@EACH
@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64, np.float32, np.float64])
def test_a_count_map_of_any_type_is_taken(metric, dtype):
    counts = np.zeros((2, 3), dtype)
    counts[1, 1] = counts[0, 2] = 1
    assert metric(RAMP, counts) == metric(RAMP, [[1, 1], [2, 0]])


@EACH
def test_a_blurred_map_is_refused(metric):
    with pytest.raises(ValueError, match=r"fixations: expected points or a map of whole counts.*blurred"):
        metric(RAMP, RAMP / 10)


@EACH
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused(metric, bad):
    spoilt = RAMP.copy()
    spoilt[0, 0] = bad
    with pytest.raises(ValueError, match="prediction: expected finite values, got NaN or infinity in 1 of 6 pixels"):
        metric(spoilt, [[1, 1]])


@EACH
@pytest.mark.parametrize("point", [[3, 0], [0, 2], [-0.1, 0], [0, -1], [np.nan, 0]])
def test_a_point_off_the_image_is_refused(metric, point):
    with pytest.raises(ValueError, match=r"expected 0 <= x < 3 and 0 <= y < 2.* got 1 of 2 off the image"):
        metric(RAMP, [[0, 0], point])


@EACH
@pytest.mark.parametrize("shape", [(3, 2, 1), (3, 3), (2,), (4, 3)])
def test_points_of_another_shape_are_refused(metric, shape):
    with pytest.raises(ValueError, match=r"fixations: expected an \(N, 2\) array of \(x, y\) or a count map"):
        metric(RAMP, np.zeros(shape))


@EACH
@pytest.mark.parametrize("shape", [(6,), (1, 2, 3), (0, 3), ()])
def test_a_map_that_is_not_2d_is_refused(metric, shape):
    with pytest.raises(ValueError, match=r"prediction: expected a non-empty 2-D map"):
        metric(np.zeros(shape), [[0, 0]])


@pytest.mark.parametrize("levels", [3, 20, 10**6])
def test_auc_equals_scikit_learn_with_counts_as_weights(levels):
    rng = np.random.default_rng(levels)
    prediction = rng.integers(0, levels, (19, 23)).astype(float)
    counts = rng.poisson(0.2, prediction.shape)
    # Every pixel is a negative of weight one; the fixated ones are positives too, weighted by their counts.
    labels = np.repeat([1, 0], prediction.size)
    weights = np.concatenate([counts.ravel(), np.ones(prediction.size)])
    expected = roc_auc_score(labels, np.tile(prediction.ravel(), 2), sample_weight=weights)
    assert auc(prediction, counts) == pytest.approx(expected, rel=1e-12)


def test_auc_equals_pysaliency_with_uniform_nonfixations(peer):
    theirs = peer.by_image(peer.model.AUCs(peer.stimuli, peer.fixations, nonfixations="uniform"))
    ours = [auc(p, f) for p, f in zip(peer.predictions, peer.points, strict=True)]
    assert_allclose(ours, theirs, rtol=1e-12)
    overall = np.average(ours, weights=[len(p) for p in peer.points])
    assert overall == pytest.approx(peer.model.AUC(peer.stimuli, peer.fixations), rel=1e-12)


@pytest.mark.parametrize("image", [0, 1, 2, 4], ids=["float", "quantised", "negative", "zeros"])
def test_jitter_is_the_mean_over_random_draws_of_pysaliency(peer, image):
    pixels = np.unique(np.floor(peer.points[image]).astype(int), axis=0)  # it counts a pixel fixated twice twice
    stimuli = pysaliency.Stimuli([peer.stimuli.stimuli[image]])
    fixations = pysaliency.Fixations.create_without_history(*pixels.T, np.zeros(len(pixels), int))
    draws = [peer.model.AUC_Judd(stimuli, fixations, random_seed=seed) for seed in range(200)]
    error = np.std(draws, ddof=1) / np.sqrt(len(draws))
    # Its curve begins at the maximum of the map, which cuts off a triangle if the maximum is not fixated.
    n_pixels = peer.predictions[image].size
    triangle = 1 / (2 * len(pixels) * (n_pixels - len(pixels)))
    ours = jittered(peer.predictions[image], pixels)
    assert -triangle - 4 * error - 1e-12 < np.mean(draws) - ours < 4 * error + 1e-12
