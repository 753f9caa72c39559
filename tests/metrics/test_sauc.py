import numpy as np
import pytest
from numpy.testing import assert_allclose

from salbench.metrics import auc, sauc

RAMP = np.arange(6.0).reshape(2, 3)  # 0 1 2 / 3 4 5


def test_by_hand():
    # The fixated 4 beats the negatives 0 and 3 and loses to 5.
    assert sauc(RAMP, [[1, 1]], negatives=[[0, 0], [0, 1], [2, 1]]) == 2 / 3


def test_ties_and_counts_by_hand():
    # Positives 4, 4, 1 against negatives 4, 0, 0: per positive (4) 2.5 of 3, (1) 2 of 3.
    fixations, negatives = [[1, 1], [1, 1], [1, 0]], [[1, 1], [0, 0], [0, 0]]
    assert sauc(RAMP, fixations, negatives=negatives) == pytest.approx((2.5 + 2.5 + 2) / 9, rel=1e-15)


def test_stepped_by_hand():
    # Scaled to 0 .. 1: positive .8, negatives 0 and .6. Thresholds .8, .7: (0, 1); .6: (1/2, 1). Full area.
    assert sauc(RAMP, [[1, 1]], negatives=[[0, 0], [0, 1]], step=0.1) == 1
    # One threshold at 0 and one at 1: nothing is above, everything is at least 0: the diagonal.
    assert sauc(RAMP, [[1, 1]], negatives=[[0, 0], [0, 1]], step=1.0) == 0.5
    # Thresholds 1, .5, 0: positive and one of the two negatives pass .5: (1/2, 1), area 1/4 + 1/2.
    assert sauc(RAMP, [[1, 1]], negatives=[[0, 0], [0, 1]], step=0.5) == 0.75


@pytest.mark.parametrize("step", [None, 0.1])
def test_stepped_and_exact_use_the_counts_of_the_negatives(step):
    once, thrice = [[0, 0], [2, 1]], [[0, 0], [2, 1], [2, 1], [2, 1]]
    expected = (1 / 2, 1 / 4)
    assert (sauc(RAMP, [[1, 1]], negatives=once, step=step), sauc(RAMP, [[1, 1]], negatives=thrice, step=step)) == (
        expected
    )


def test_every_pixel_as_a_negative_is_the_auc():
    rng = np.random.default_rng(0)
    prediction, counts = rng.random((7, 9)), rng.poisson(0.3, (7, 9))
    assert sauc(prediction, counts, negatives=np.ones((7, 9), int)) == auc(prediction, counts)


def test_the_same_points_as_negatives_are_at_chance():
    points = [[0, 0], [1, 1], [1, 1]]
    assert sauc(RAMP, points, negatives=points) == 0.5


def test_all_pixels_fixated_is_not_special():
    assert sauc(RAMP, np.ones((2, 3), int), negatives=[[0, 0]]) == (0.5 + 5) / 6


@pytest.mark.parametrize("step", [None, 0.1, 0.01])
@pytest.mark.parametrize("constant", [0, 7.5, -2])
def test_a_constant_map_is_at_chance(constant, step):
    assert sauc(np.full((3, 4), constant), [[1, 1]], negatives=[[0, 0], [3, 2]], step=step) == 0.5


@pytest.mark.parametrize("step", [None, 0.1])
@pytest.mark.parametrize("nothing", [[], np.zeros((2, 3), int)])
def test_no_fixations_or_no_negatives_is_nan(nothing, step):
    assert np.isnan(sauc(RAMP, nothing, negatives=[[0, 0]], step=step))
    assert np.isnan(sauc(RAMP, [[0, 0]], negatives=nothing, step=step))


def test_negatives_are_asked_for_by_name():
    with pytest.raises(TypeError, match="negatives"):
        sauc(RAMP, [[0, 0]])


@pytest.mark.parametrize("step", [None, 0.1])
def test_count_maps_and_points_agree(step):
    counts, others = np.array([[0, 2, 0], [1, 0, 0]]), np.array([[1.0, 0, 0], [0, 3, 1]])
    points, other_points = [[1, 0], [0, 1], [1, 0]], [[0, 0], [1, 1], [1, 1], [1, 1], [2, 1]]
    by_points = sauc(RAMP, points, negatives=other_points, step=step)
    assert sauc(RAMP, counts, negatives=others, step=step) == by_points


def test_blurred_maps_are_refused():
    with pytest.raises(ValueError, match=r"fixations: expected points or a map of whole counts"):
        sauc(RAMP, RAMP / 10, negatives=[[0, 0]])
    with pytest.raises(ValueError, match="negatives: expected points or a map of whole counts"):
        sauc(RAMP, [[0, 0]], negatives=RAMP / 10)


def test_negatives_off_the_image_are_refused():
    with pytest.raises(ValueError, match=r"negatives: expected 0 <= x < 3 and 0 <= y < 2.*first at x=0, y=2"):
        sauc(RAMP, [[0, 0]], negatives=[[0, 2]])


@pytest.mark.parametrize("step", [None, 0.1])
def test_nan_is_refused(step):
    with pytest.raises(ValueError, match="prediction: expected finite values"):
        sauc(RAMP * np.nan, [[0, 0]], negatives=[[1, 1]], step=step)


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match=r"negatives: expected an \(N, 2\) array"):
        sauc(RAMP, [[0, 0]], negatives=np.zeros((3, 3), int))
    with pytest.raises(ValueError, match="prediction: expected a non-empty 2-D map"):
        sauc(RAMP[None], [[0, 0]], negatives=[[0, 0]])


def _rescaled(points, shape, to):
    return np.floor(points * (np.array(to[::-1]) / np.array(shape[::-1], float)))


def test_equals_pysaliency_with_all_other_images_rescaled(peer):
    theirs = peer.by_image(peer.model.AUCs(peer.stimuli, peer.fixations, nonfixations="shuffled"))
    ours = []
    for i, (prediction, points) in enumerate(zip(peer.predictions, peer.points, strict=True)):
        others = [_rescaled(peer.points[j], peer.shapes[j], peer.shapes[i]) for j in range(len(peer.points)) if j != i]
        ours.append(sauc(prediction, points, negatives=np.concatenate(others)))
    assert_allclose(ours, theirs, rtol=1e-12)
    assert np.ptp(ours) > 0.05  # the images do differ
