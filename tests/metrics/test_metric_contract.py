"""What every row of METRICS promises, over random small maps: bounds, direction, invariances, types, errors.

A new metric is covered by adding its row; only `slow.SLOW` and the sets of invariances below name metrics. Hypothesis
gets no deadline, because the first example waits for the compiler.
"""

import inspect

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from slow import SLOW

from salbench import metrics
from salbench.metrics import METRICS

RANK_ONLY = {"auc", "sauc"}  # depend on the order of the prediction's values alone
AFFINE = {"auc", "auc_judd", "auc_borji", "sauc", "nss", "cc", "sim", "ig"}  # ignore offset and positive scale
SCALE = AFFINE | {"kl"}  # ignore a positive scale

FROM_POINTS = [name for name, metric in METRICS.items() if "fixations" in metric.needs]

every_metric = pytest.mark.parametrize("name", METRICS)

# Sixteenths in [-4, 4]: plenty of ties, and sums and affine transforms that floats hold exactly. Simple examples first.
SIXTEENTHS = np.array(sorted(np.arange(-64, 65) / 16, key=abs))
COUNTS = np.array([0, 0, 0, 1, 1, 2, 3])
EIGHTHS = np.arange(33) / 8


def arrays(shape, values):
    """Arrays of some of the values. A draw of bytes for a whole array is four times as fast as one for each element."""
    size = shape[0] * shape[1]
    drawn = st.binary(min_size=size, max_size=size)
    return drawn.map(lambda chosen: values[np.array(list(chosen)) % len(values)].reshape(shape))


@st.composite
def cases(draw, values=SIXTEENTHS):
    """A prediction and the whole ground truth, all of one random shape."""
    shape = draw(st.tuples(st.integers(1, 6), st.integers(1, 6)))
    truth = {"fixations": COUNTS, "negatives": COUNTS, "density": EIGHTHS, "baseline": EIGHTHS}
    return draw(arrays(shape, values)), {part: draw(arrays(shape, of)) for part, of in truth.items()}


def evaluate(function, name, prediction, truth, **options):
    first, *rest = METRICS[name].needs
    return function(prediction, truth[first], **{need: truth[need] for need in rest}, **options)


def score(name, prediction, truth, **options):
    return evaluate(METRICS[name].fn, name, prediction, truth, **options)


def same(a, b, rel=1e-11, abs=1e-11):
    return a == pytest.approx(b, rel=rel, abs=abs, nan_ok=True)


def answered(truth):
    """Whether no part of the ground truth is empty, so that no metric says NaN for want of it."""
    return all(part.any() for part in truth.values()) and not truth["fixations"].all()


@pytest.mark.parametrize("name", [name for name, metric in METRICS.items() if metric.zero_is_baseline])
def test_zero_is_the_baseline(name):
    rng = np.random.default_rng(0)
    truth = {"fixations": rng.integers(0, 3, (5, 6)), "baseline": rng.random((5, 6))}
    assert score(name, truth["baseline"], truth) == 0


@settings(deadline=None, max_examples=50)
@given(case=cases())
def test_equals_the_slow_version(case):
    prediction, truth = case
    for name in METRICS:
        assert same(score(name, prediction, truth), evaluate(SLOW[name], name, prediction, truth)), name


OPTIONS = [
    ("auc_borji", {"step": 0.25}),
    ("auc_borji", {"step": 0.01}),
    ("sauc", {"step": 0.1}),
    ("sauc", {"step": 0.03}),
    ("nss", {"ddof": 1}),
    ("kl", {"eps": 1e-7}),
    ("sim", {"floor": None}),
    ("ig", {"floor": None}),
]


@settings(deadline=None, max_examples=50)
@given(case=cases())
def test_equals_the_slow_version_with_options(case):
    prediction, truth = case
    assume(prediction.size > 1)
    for name, options in OPTIONS:
        expected = evaluate(SLOW[name], name, prediction, truth, **options)
        assert same(score(name, prediction, truth, **options), expected), (name, options)


@settings(deadline=None, max_examples=50)
@given(case=cases())
def test_stays_in_its_bounds(case):
    prediction, truth = case
    fixated = prediction[truth["fixations"] > 0]
    ties = len(np.unique(fixated)) < len(fixated)
    for name, metric in METRICS.items():
        if name == "auc_judd" and ties:
            continue  # gives tied fixated values a step each, which can leave the bounds (see test_auc.py)
        value, (low, high) = score(name, prediction, truth), metric.bounds
        assert low - 1e-12 <= value <= high + 1e-12 or (np.isnan(value) and not answered(truth)), name


def landscape():
    """A 24 x 32 density with three hills, fixations on the hills and negatives everywhere."""
    rng = np.random.default_rng(8)
    rows, columns = np.mgrid[:24, :32]
    hills = [((columns - x) ** 2 + (rows - y) ** 2, s) for x, y, s in ((7, 6, 2.5), (24, 15, 4), (14, 20, 1.5))]
    density = sum(np.exp(-distance / (2 * s**2)) for distance, s in hills)
    return (
        rng,
        density,
        {
            "fixations": rng.poisson(density),
            "negatives": rng.poisson(np.full(density.shape, 0.2)),
            "density": density,
            "baseline": np.ones(density.shape),
        },
    )


@every_metric
def test_the_truth_scores_better_than_the_truth_shuffled(name):
    rng, density, truth = landscape()
    shuffled = rng.permutation(density.ravel()).reshape(density.shape)
    good, bad = score(name, density, truth), score(name, shuffled, truth)
    assert good > bad if METRICS[name].higher_is_better else good < bad
    assert abs(good - bad) > 0.1


@every_metric
def test_the_better_the_map_the_better_the_score(name):
    rng, density, truth = landscape()
    noise = rng.permutation(density.ravel()).reshape(density.shape)
    values = [score(name, density * (1 - k) + noise * k, truth) for k in (0, 0.3, 0.6, 1)]
    assert values == sorted(values, reverse=METRICS[name].higher_is_better)


# Each keeps distinct values distinct in float64 over the sixteenths in [-4, 4].
MONOTONE = {
    "exp": np.exp,
    "cube": lambda a: a**3,
    "arctan": np.arctan,
    "far apart": lambda a: np.sign(a) * 10.0 ** (20 * np.abs(a)),
    "one ulp apart": lambda a: 1 + np.unique(a, return_inverse=True)[1].reshape(a.shape) * 2.0**-52,
    "tiny": lambda a: np.unique(a, return_inverse=True)[1].reshape(a.shape) * 1e-99,
}


@pytest.mark.parametrize("transform", MONOTONE)
@settings(deadline=None, max_examples=25)
@given(case=cases())
def test_only_the_order_of_values_matters(transform, case):
    prediction, truth = case
    moved = MONOTONE[transform](prediction)
    assert len(np.unique(moved)) == len(np.unique(prediction))
    for name in RANK_ONLY:
        np.testing.assert_equal(score(name, moved, truth), score(name, prediction, truth), err_msg=name)


@settings(deadline=None, max_examples=40)
@given(case=cases())
def test_reversing_the_order_mirrors_an_area(case):
    prediction, truth = case
    for name in RANK_ONLY:
        assert same(score(name, -prediction, truth), 1 - score(name, prediction, truth)), name


@settings(deadline=None, max_examples=40)
@given(case=cases(), scale=st.sampled_from([0.25, 2, 64]), offset=st.sampled_from([-8, 0.5, 1024]))
def test_offset_and_scale_do_not_matter(case, scale, offset):
    prediction, truth = case
    for name in AFFINE:
        assert same(score(name, prediction * scale + offset, truth), score(name, prediction, truth)), name


@settings(deadline=None, max_examples=40)
@given(case=cases(), scale=st.floats(1e-30, 1e30))
def test_scale_does_not_matter(case, scale):
    prediction, truth = case
    # A power of two keeps values scaled to [0, 1] exact, so that stepped thresholds see the same ties.
    scale = 2.0 ** np.round(np.log2(scale))
    for name in SCALE:
        assert same(score(name, prediction * scale, truth), score(name, prediction, truth)), name


@settings(deadline=None, max_examples=40)
@given(case=cases(), scale=st.floats(1e-30, 1e30))
def test_scale_of_the_truth_does_not_matter(case, scale):
    prediction, truth = case
    scaled = truth | {part: truth[part] * scale for part in ("density", "baseline")}
    for name in [n for n in METRICS if {"density", "baseline"} & set(METRICS[n].needs)]:
        assert same(score(name, prediction, scaled), score(name, prediction, truth), rel=1e-10, abs=1e-10), name


@pytest.mark.parametrize("turn", [np.fliplr, np.flipud, np.transpose, np.rot90], ids=lambda turn: turn.__name__)
@settings(deadline=None, max_examples=10)
@given(case=cases())
def test_turning_everything_together_does_not_matter(turn, case):
    prediction, truth = case
    turned = {part: turn(array) for part, array in truth.items()}
    for name in METRICS:
        assert same(score(name, turn(prediction), turned), score(name, prediction, truth)), name


@pytest.mark.parametrize("name", FROM_POINTS)
def test_flipping_the_image_and_the_points_does_not_matter(name):
    rng = np.random.default_rng(4)
    points, others = (rng.integers((0, 0), (9, 7), (n, 2)) + 0.5 for n in (12, 20))
    prediction, baseline = rng.random((7, 9)), rng.random((7, 9))
    flipped = {"fixations": (9, 7) - points, "negatives": (9, 7) - others, "baseline": baseline[::-1, ::-1]}
    expected = score(name, prediction, {"fixations": points, "negatives": others, "baseline": baseline})
    assert same(score(name, prediction[::-1, ::-1], flipped), expected)
    assert not same(score(name, prediction, flipped), expected)


@settings(deadline=None, max_examples=25)
@given(case=cases())
def test_points_and_count_maps_agree(case):
    prediction, truth = case
    points = dict(truth)
    for part in ("fixations", "negatives"):
        rows, columns = np.nonzero(truth[part])
        repeat = truth[part][rows, columns]
        points[part] = np.stack([columns, rows], 1).repeat(repeat, 0) + 0.25
        assume(points[part].shape != prediction.shape)  # N points on an N x 2 image read as a count map
    for name in FROM_POINTS:
        np.testing.assert_equal(score(name, prediction, points), score(name, prediction, truth), err_msg=name)


@settings(deadline=None, max_examples=30)
@given(case=cases(values=np.arange(256.0)))
def test_the_type_of_the_numbers_does_not_matter(case):
    prediction, truth = case
    for name in METRICS:
        expected = score(name, prediction, truth)
        for dtype in (np.uint8, np.int16, np.int64, np.float32):
            np.testing.assert_equal(score(name, prediction.astype(dtype), truth), expected, err_msg=name)


@settings(deadline=None, max_examples=25)
@given(case=cases())
def test_layout_in_memory_does_not_matter(case):
    prediction, truth = case

    def strided(array):
        return np.asfortranarray(array.repeat(2, 0).repeat(3, 1))[::2, ::3]

    scattered = {part: strided(array) for part, array in truth.items()}
    for name in METRICS:
        assert same(score(name, strided(prediction), scattered), score(name, prediction, truth)), name


@every_metric
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_inputs_are_left_as_they_are(name, dtype):
    _, density, truth = landscape()
    arrays = [(density - 0.1).astype(dtype), *(part.astype(dtype) for part in truth.values())]
    for array in arrays:
        array.flags.writeable = False
    value = score(name, arrays[0], dict(zip(truth, arrays[1:], strict=True)))
    assert np.isfinite(value)
    assert type(value) is float


@every_metric
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_nan_and_infinity_are_refused_wherever_they_are(name, bad):
    _, density, truth = landscape()
    spoilt = density.copy()
    spoilt[3, 4] = bad
    with pytest.raises(ValueError, match="prediction: expected finite values, got NaN or infinity in 1 of 768 pixels"):
        score(name, spoilt, truth)
    for need in METRICS[name].needs:
        with pytest.raises(ValueError, match=f"{need}: expected finite values"):
            score(name, density, truth | {need: spoilt})


@every_metric
@pytest.mark.parametrize("dtype", [complex, object, "U3"])
def test_a_prediction_that_is_not_real_numbers_is_refused(name, dtype):
    _, density, truth = landscape()
    with pytest.raises(ValueError, match="prediction: expected real numbers, got dtype"):
        score(name, density.astype(dtype), truth)


@every_metric
def test_a_row_says_what_its_function_is(name):
    metric = METRICS[name]
    assert metric.fn is getattr(metrics, name)
    assert name in metrics.__all__
    parameters = list(inspect.signature(metric.fn).parameters.values())
    assert [p.name for p in parameters[:2]] == ["prediction", metric.needs[0]]
    by_name = {p.name for p in parameters[2:] if p.kind is p.KEYWORD_ONLY}
    assert len(by_name) == len(parameters) - 2
    assert set(metric.needs[1:]) <= by_name
    assert metric.bounds[0] < metric.bounds[1]
    assert metric.reference


def test_every_row_has_a_slow_version():
    assert list(SLOW) == list(METRICS)
