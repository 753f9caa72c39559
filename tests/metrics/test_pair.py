"""All metrics of a `Pair` against the loops in slow.py, on ordinary maps and on maps made to break it."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numba import njit
from slow import SLOW

from salbench.checks import fixated_pixels, measurable
from salbench.metrics import METRICS, Map, Pair, measure
from salbench.metrics._kernels import moments, rank, unscale
from salbench.metrics.kl import _log

OPTIONS = {
    "defaults": {},
    "mit": {"auc_judd": {"jitter": True}, "nss": {"ddof": 1}, "sauc": {"step": 0.1}},
    "tuebingen": {"sim": {"floor": None}, "ig": {"floor": None}, "kl": {"eps": 2.2204e-16}},
    "fine": {"auc_borji": {"step": 0.01}, "sauc": {"step": 0.01}, "kl": {"eps": 1e-7}},
    "coarse": {"auc_borji": {"step": 0.5}, "sauc": {"step": 0.03}},
}


def pair_of(prediction, truth, density_prediction=None):
    """A pair as the evaluator makes it."""
    return Pair(
        Map(prediction),
        None if density_prediction is None else Map(density_prediction),
        pixels=fixated_pixels(truth["fixations"], np.shape(prediction)),
        negatives=truth["negatives"].astype(np.int32),
        baseline=Map(truth["baseline"], "baseline"),
        density=Map(truth["density"], "density"),
    )


def measured(prediction, truth, options=None, density_prediction=None):
    return measure(pair_of(prediction, truth, density_prediction), options)


def slow(prediction, truth, options, density_prediction=None, names=SLOW):
    density_prediction = prediction if density_prediction is None else density_prediction
    values = {}
    for name in names:
        first, *rest = METRICS[name].needs
        map_ = density_prediction if first == "density" else prediction
        others = {need: truth[need] for need in rest}
        values[name] = SLOW[name](map_, truth[first], **others, **options.get(name, {}))
    return values


def assert_close(got, expected, tolerance=1e-12):
    assert list(got) == list(METRICS)
    for name, value in expected.items():
        assert type(got[name]) is float, name
        assert got[name] == pytest.approx(value, rel=tolerance, abs=tolerance, nan_ok=True), name


def assert_right(prediction, truth, density_prediction=None):
    """Compare with the slow versions under all options; return what the defaults give."""
    defaults = slow(prediction, truth, {}, density_prediction)
    for options in OPTIONS.values():
        expected = defaults | slow(prediction, truth, options, density_prediction, names=options)
        assert_close(measured(prediction, truth, options, density_prediction), expected)
    return measured(prediction, truth, None, density_prediction)


def truth_of(rng, shape):
    return {
        "fixations": rng.poisson(0.05, shape),
        "negatives": rng.poisson(0.3, shape),
        "density": rng.random(shape) ** 6,
        "baseline": rng.random(shape) ** 2,
    }


def _quantised(rng, shape):
    return np.floor(rng.random(shape) * 256)


MAPS = {
    "random": lambda rng, shape: rng.random(shape),
    "normal": lambda rng, shape: rng.normal(size=shape),
    "quantised": _quantised,
    "four levels": lambda rng, shape: np.floor(rng.random(shape) * 4),
    "binary": lambda rng, shape: (rng.random(shape) < 0.1).astype(float),
    "peaked": lambda rng, shape: rng.random(shape) ** 80,
    "mostly zero": lambda rng, shape: np.maximum(rng.random(shape) - 0.9, 0),
    "one pixel": lambda rng, shape: np.eye(*shape) * (np.arange(shape[1]) == 3),
    "negative": lambda rng, shape: rng.random(shape) - 0.7,
    "all negative": lambda rng, shape: -1 - rng.random(shape),
    "log density": lambda rng, shape: np.log(rng.random(shape)) * 10,
    "large": lambda rng, shape: rng.random(shape) * 1e30,
    "small": lambda rng, shape: rng.random(shape) * 1e-30,
    "tiny range": lambda rng, shape: 0.5 + _quantised(rng, shape) * 2.0**-23,
    "far from zero": lambda rng, shape: 2.0**20 + _quantised(rng, shape),
    "many octaves": lambda rng, shape: 2.0 ** rng.integers(-120, 120, shape),
    "constant": lambda rng, shape: np.full(shape, 0.1),
    "zeros": lambda rng, shape: np.zeros(shape),
    "constant negative": lambda rng, shape: np.full(shape, -2.0),
}


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", MAPS)
def test_equals_the_slow_versions(kind, dtype):
    rng = np.random.default_rng(5)
    for shape, dtype_of_truth in (((10, 15), None), ((1, 60), np.float32)):
        truth = truth_of(rng, shape)
        if dtype_of_truth:
            truth = {k: v.astype(dtype_of_truth) for k, v in truth.items()}
        got = assert_right(MAPS[kind](rng, shape).astype(dtype), truth)
        assert np.isfinite(list(got.values())).all()


@pytest.mark.parametrize("kind", MAPS)
def test_more_pixels_than_a_block_of_the_kernels(kind):
    rng, shape = np.random.default_rng(25), (31, 43)
    truth = truth_of(rng, shape)
    truth["density"][4:-4] = 0  # some blocks hold no density at all
    dtype = np.float64 if kind in ("random", "far from zero", "many octaves") else np.float32
    prediction = MAPS[kind](rng, shape).astype(dtype)
    assert_close(measured(prediction, truth), slow(prediction, truth, {}))


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_each_metric_by_itself_gives_what_all_together_give(options):
    rng = np.random.default_rng(26)
    prediction, truth = rng.random((20, 30)), truth_of(rng, (20, 30))
    together = measured(prediction, truth, options)
    shared = pair_of(prediction, truth)
    for name, metric in reversed(METRICS.items()):
        arguments = options.get(name, {})
        first, *rest = metric.needs
        assert metric.of_pair(pair_of(prediction, truth), **arguments) == together[name]
        assert metric.of_pair(shared, **arguments) == together[name]
        others = {need: truth[need] for need in rest}
        assert metric.fn(prediction, truth[first], **others, **arguments) == together[name]


@pytest.mark.parametrize("missing", ["fixations", "density", "negatives", "baseline"])
def test_without_its_ground_truth_a_metric_is_nan(missing):
    rng = np.random.default_rng(27)
    prediction, truth = rng.random((20, 30)), truth_of(rng, (20, 30))
    everything = measured(prediction, truth)
    del truth[missing]
    for name, value in measure(Pair.of(prediction, **truth)).items():
        expected = math.nan if missing in METRICS[name].needs else everything[name]
        assert value == pytest.approx(expected, rel=0, abs=0, nan_ok=True)


def test_only_densities_are_read_as_probabilities():
    rng = np.random.default_rng(28)
    pair = pair_of(rng.random((20, 30)), truth_of(rng, (20, 30)))
    of_density, of_map = measure(pair), measure(pair, is_density=False)
    assert {name for name, value in of_map.items() if np.isnan(value)} == {"ig"}
    assert of_map | {"ig": of_density["ig"]} == of_density


def test_nothing_but_a_prediction_has_no_scores():
    assert list(measure(Pair(Map(np.eye(3))))) == list(METRICS)
    assert np.isnan(list(measure(Pair(Map(np.eye(3)))).values())).all()


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.uint16, np.int64, np.float16])
def test_takes_other_number_types(dtype):
    rng = np.random.default_rng(6)
    assert_right((rng.random((20, 30)) * 9).astype(dtype), truth_of(rng, (20, 30)))


def test_takes_arrays_that_are_not_contiguous():
    rng = np.random.default_rng(7)
    big = rng.random((60, 90))
    truth = {k: np.asfortranarray(v) for k, v in truth_of(rng, (30, 30)).items()}
    for prediction in (big[::2, ::3], big[30:, 10:40], big[:30, :30].T, big[29::-1, 59:29:-1]):
        assert prediction.shape == (30, 30)
        assert_right(prediction, truth)
    assert_right(big[::2, ::3], truth, density_prediction=big[30:, :30].T)


def test_leaves_its_inputs_as_they_are():
    rng = np.random.default_rng(8)
    truth, prediction = truth_of(rng, (20, 30)), rng.random((20, 30))
    for array in (prediction, *truth.values()):
        array.flags.writeable = False
    assert_right(prediction, truth)


@pytest.mark.parametrize("shape", [(8, 12), (32, 17), (16, 24)])
def test_a_separate_map_for_the_density(shape):
    rng = np.random.default_rng(9)
    prediction, other = rng.normal(size=(16, 24)), rng.normal(size=shape) ** 2
    truth = truth_of(rng, (16, 24)) | {"density": rng.random(shape)}
    got = assert_right(prediction, truth, density_prediction=other)
    assert got["cc"] != measured(prediction, truth, density_prediction=other**3)["cc"]


def test_the_same_map_given_twice_changes_nothing():
    rng = np.random.default_rng(10)
    truth, prediction = truth_of(rng, (20, 30)), rng.random((20, 30))
    assert measured(prediction, truth) == measured(prediction, truth, density_prediction=prediction)
    assert_right(prediction.T, {k: v.T for k, v in truth.items()}, density_prediction=prediction.T)


@pytest.mark.parametrize("kind", ["random", "constant"])
@pytest.mark.parametrize("part", ["fixations", "negatives", "density", "baseline"])
def test_a_part_of_the_truth_that_is_all_zero(part, kind):
    rng, shape = np.random.default_rng(11), (10, 15)
    truth = truth_of(rng, shape)
    truth[part] = np.zeros_like(truth[part])
    got = assert_right(MAPS[kind](rng, shape), truth)
    assert {name for name in METRICS if np.isnan(got[name])} == {n for n in METRICS if part in METRICS[n].needs}
    other = rng.random((5, 6))
    if part != "density":
        assert_right(MAPS[kind](rng, shape), truth | {"density": other}, density_prediction=other**2)
    else:
        zeros = truth | {"density": np.zeros((5, 6))}
        assert_right(MAPS[kind](rng, shape), zeros, density_prediction=other**2)


@pytest.mark.parametrize("kind", ["random", "quantised", "constant"])
def test_every_pixel_fixated(kind):
    rng = np.random.default_rng(12)
    truth = truth_of(rng, (9, 8)) | {"fixations": rng.integers(1, 4, (9, 8))}
    assert np.isnan(assert_right(MAPS[kind](rng, (9, 8)), truth)["auc_judd"])


@pytest.mark.parametrize("fixated", [[[0, 0]], [[29, 19]], [[0, 0], [29, 19], [0, 0]]])
def test_fixations_on_the_minimum_and_the_maximum(fixated):
    rng = np.random.default_rng(13)
    ramp = np.arange(600.0).reshape(20, 30) ** 2
    counts = np.zeros((20, 30), int)
    np.add.at(counts, tuple(np.array(fixated).T[::-1]), 1)
    truth = truth_of(rng, (20, 30)) | {"fixations": counts}
    assert_right(ramp, truth)
    assert_right(-ramp, truth)


@pytest.mark.parametrize("constant", ["density", "baseline"])
def test_a_constant_density_or_baseline(constant):
    rng = np.random.default_rng(14)
    truth = truth_of(rng, (20, 30))
    truth[constant] = np.full((20, 30), 0.1)
    assert_right(rng.random((20, 30)), truth)


# --- maps made to break it ------------------------------------------------------------------------------------------


@st.composite
def one_ulp_apart(draw, dtype):
    """A few neighbouring floats around an anchor of any size, and perhaps some values far away."""
    anchors = [0.0, 1.0, -1.0, 0.1, 1 / 3, 255.0, 2.0**-30, -(2.0**20), 1e30, 1e-30, -1e-10]
    value = dtype(draw(st.sampled_from(anchors)))
    values = [value]
    for _ in range(draw(st.integers(1, 5))):
        values.append(np.nextafter(values[-1], dtype(np.inf)))
    return values + draw(st.lists(st.sampled_from([value * 2, value / 2, dtype(0), -value]), max_size=3))


@st.composite
def on_the_steps(draw, dtype):
    """Values at, and one ulp beside, the multiples of 0.1 and 0.01 of a range with an awkward start and span."""
    low = draw(st.sampled_from([0.0, 0.1, -0.3, 1e6, -7e-5]))
    span = draw(st.sampled_from([1.0, 0.7, 3.0, 1e-3, 1e5, 255.0]))
    level = st.integers(0, 100).map(lambda k: dtype(low + span * k / 100))
    values = draw(st.lists(level, min_size=1, max_size=8))
    beside = [np.nextafter(v, dtype(draw(st.sampled_from([-1e9, 1e9])))) for v in values]
    return [dtype(low), dtype(low + span), *values, *beside]


def any_floats(dtype):
    width = 8 * np.dtype(dtype).itemsize
    magnitude = st.one_of(st.just(0.0), st.floats(float(dtype(1e-37)), float(dtype(1e37)), width=width)).map(dtype)
    return st.lists(st.one_of(magnitude, magnitude.map(lambda v: -v)), min_size=1, max_size=9)


@st.composite
def adversarial(draw):
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    values = draw(st.one_of(one_ulp_apart(dtype), on_the_steps(dtype), any_floats(dtype)))
    shape = draw(st.tuples(st.integers(1, 5), st.integers(1, 7)))
    prediction = draw(arrays(dtype, shape, elements=st.sampled_from(values)))
    assume(measurable(prediction.min(), prediction.max()))
    few = st.sampled_from([0, 0, 1, 2])
    shares = st.sampled_from([0.0, 1e-20, 0.1, 0.5, 1.0, 7.0])
    return prediction, {
        "fixations": draw(arrays(np.int64, shape, elements=few)),
        "negatives": draw(arrays(np.int64, shape, elements=few)),
        "density": draw(arrays(np.float64, shape, elements=shares)),
        "baseline": draw(arrays(np.float64, shape, elements=shares)),
    }


AREAS = [name for name in METRICS if "auc" in name]


def assert_right_areas(prediction, truth, options):
    pair = pair_of(prediction, truth)
    for name in AREAS:
        first, *rest = METRICS[name].needs
        arguments = {need: truth[need] for need in rest} | options.get(name, {})
        got = METRICS[name].of_pair(pair, **options.get(name, {}))
        assert got == pytest.approx(SLOW[name](prediction, truth[first], **arguments), rel=1e-14, nan_ok=True), name


NEGATIVE_ZERO = np.array([[-0.0, 0.0, 1e-40, 3e-40]], np.float32)
ONE_EACH = {part: np.array([[1, 0, 1, 0]]) for part in ("fixations", "negatives")}
ONE_EACH |= {part: np.array([[1.0, 0, 0.5, 7]]) for part in ("density", "baseline")}


@settings(max_examples=60, deadline=None)
@given(case=adversarial(), options=st.sampled_from(list(OPTIONS.values())))
@example(case=(NEGATIVE_ZERO, ONE_EACH), options={})
def test_areas_are_exact_whatever_the_map(case, options):
    prediction, truth = case
    assert_right_areas(prediction, truth, options)


@settings(max_examples=60, deadline=None)
@given(case=adversarial(), options=st.sampled_from(list(OPTIONS.values())))
@example(case=(1 + np.array([[0, 1, 0, 0]]) * 2.0**-52, ONE_EACH), options={})
@example(case=(np.array([[0, 1, 0, 0]]) * 2.0**-53 - 1, ONE_EACH), options={})
def test_all_nine_are_right_whatever_the_map(case, options):
    prediction, truth = case
    assume(prediction.size > 1)  # of a single pixel there is no deviation with ddof = 1
    assert_close(measured(prediction, truth, options), slow(prediction, truth, options), tolerance=1e-11)


@pytest.mark.parametrize(("dtype", "unit"), [(np.float64, 1e-99), (np.float32, 1.401298464324817e-45)])
@settings(max_examples=40, deadline=None)
@given(data=st.data(), options=st.sampled_from(list(OPTIONS.values())))
def test_areas_of_maps_near_zero_are_exact(dtype, unit, data, options):
    shape = (4, 6)
    few = st.sampled_from([0, 0, 1, 2])
    prediction = data.draw(arrays(np.int64, shape, elements=st.integers(-20, 20))).astype(dtype) * dtype(unit)
    truth = truth_of(np.random.default_rng(0), shape) | {
        "fixations": data.draw(arrays(np.int64, shape, elements=few)),
        "negatives": data.draw(arrays(np.int64, shape, elements=few)),
    }
    assert_right_areas(prediction, truth, options)


# --- errors ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def case():
    rng = np.random.default_rng(15)
    return rng.random((12, 15)), truth_of(rng, (12, 15))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_nan_and_infinity_are_refused_wherever_they_are(case, bad, dtype):
    prediction, truth = case
    spoilt = prediction.astype(dtype)
    spoilt[3, 7] = bad
    with pytest.raises(ValueError, match="prediction: expected finite values, got NaN or infinity in 1 of 180 pixels"):
        measured(spoilt, truth)
    with pytest.raises(ValueError, match="prediction: expected finite values"):
        measured(prediction, truth, density_prediction=spoilt)
    for part in ("density", "baseline"):
        with pytest.raises(ValueError, match=f"{part}: expected finite values"):
            measured(prediction, truth | {part: spoilt})


@pytest.mark.parametrize("part", ["density", "baseline"])
def test_negative_densities_are_refused(case, part):
    prediction, truth = case
    with pytest.raises(ValueError, match=f"{part}: expected values >= 0, got a minimum of -"):
        measured(prediction, truth | {part: truth[part] - 0.5})


@pytest.mark.parametrize("part", ["density", "baseline", "negatives"])
def test_wrong_shapes_are_refused(case, part):
    prediction, truth = case
    with pytest.raises(ValueError, match=rf"{part}: expected shape \(12, 15\) as the prediction, got \(15, 12\)"):
        measured(prediction, truth | {part: truth[part].T})


def test_the_density_has_the_shape_of_its_own_prediction(case):
    prediction, truth = case
    with pytest.raises(ValueError, match=r"density: expected shape \(6, 5\) as the prediction, got \(12, 15\)"):
        measured(prediction, truth, density_prediction=prediction[:6, :5])


@pytest.mark.parametrize("shape", [(180,), (12, 15, 1), (0, 5)])
def test_a_prediction_that_is_no_map_is_refused(case, shape):
    with pytest.raises(ValueError, match="prediction: expected a non-empty 2-D map"):
        Pair.of(np.zeros(shape), case[1]["fixations"])


def test_an_unknown_option_is_refused(case):
    with pytest.raises(TypeError, match="dof"):
        measured(*case, options={"nss": {"dof": 1}})


# --- the kernels ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", MAPS)
def test_moments(kind, dtype):
    """Of a part of a block of 1024 pixels, of a block, and of two and a part."""
    everything = MAPS[kind](np.random.default_rng(29), (2, 1250)).astype(dtype).ravel()
    for size in (1, 2, 1024, 2049):
        values = everything[:size]
        low, high, total_above, squares, finite = moments(values)
        exact = [Fraction(value) for value in values.tolist()]
        mean = sum(exact) / size
        assert (low, high, finite) == (values.min(), values.max(), True), size
        assert total_above == pytest.approx(float(sum(exact) - size * min(exact)), rel=1e-13, abs=0), size
        assert squares == pytest.approx(math.fsum(float(v - mean) ** 2 for v in exact), rel=1e-12, abs=0), size


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 500, 1500, -1])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_moments_see_a_value_that_is_not_finite(bad, place, dtype):
    values = np.random.default_rng(30).random(2500).astype(dtype)
    values[place] = bad
    assert not moments(values)[-1]
    values[place - 7] = -bad  # two infinities whose sum is NaN
    assert not moments(values)[-1]
    assert not moments(np.full_like(values, bad))[-1]


@njit
def _logs(values):
    out = np.empty(values.size)
    for i in range(values.size):
        out[i] = _log(values[i])
    return out


def _log_samples():
    rng = np.random.default_rng(16)
    powers = 2.0 ** np.arange(-996.0, 997)
    near_one = 1 + np.concatenate([np.arange(-500, 500) * 2.0**-52, rng.uniform(-0.3, 0.3, 10000)])
    cuts = np.sqrt(0.5) * powers[:, None] * (1 + np.arange(-4, 5) * 2.0**-52)  # where the exponent is split off
    wide = 10 ** rng.uniform(-300, 300, 200_000)
    return np.concatenate([powers, near_one, cuts.ravel(), wide, [1e-300, 1e300, 2.0**-52, 1.0]])


def test_log_is_within_two_ulp():
    x = _log_samples()
    expected = np.log(x)
    assert np.all(np.abs(_logs(x) - expected) <= 2 * np.spacing(np.abs(expected)))
    assert _logs(np.array([1.0]))[0] == 0


def _rank_by_sorting(values, weights, thresholds):
    order = np.argsort(values, kind="stable")
    values, weight = values[order].astype(np.float64), np.concatenate([[0], np.cumsum(weights[order], dtype=np.int64)])
    below, to = np.searchsorted(values, thresholds, "left"), np.searchsorted(values, thresholds, "right")
    return below, to - below, weight[below], weight[to] - weight[below], weight[-1]


def assert_ranks(values, weights, thresholds):
    got = rank(values, weights, thresholds, float(values.min()), float(values.max()))
    for ours, expected in zip(got, _rank_by_sorting(values, weights, thresholds), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("kind", [kind for kind in MAPS if "constant" not in kind and kind != "zeros"])
@pytest.mark.parametrize("size", [2, 1024, 1025])
def test_rank_equals_sorting(kind, dtype, size):
    rng = np.random.default_rng(17)
    values = MAPS[kind](rng, (2, (size + 1) // 2)).astype(dtype).ravel()[:size]
    values[-1] = values[0] + dtype(1) if values.min() == values.max() else values[-1]
    weights = rng.integers(0, 5, size).astype(np.int32)
    low, high = float(values.min()), float(values.max())
    held = rng.choice(values, 60).astype(np.float64)
    between = np.clip(low + (high - low) * rng.random(60) ** rng.choice([1, 30], 60), low, high)
    for thresholds in (held, between, np.array([low]), np.array([high]), np.concatenate([held, between, [low, high]])):
        assert_ranks(values, weights, np.unique(thresholds))


@settings(max_examples=50, deadline=None)
@given(case=adversarial(), data=st.data())
def test_rank_equals_sorting_whatever_the_map(case, data):
    prediction, truth = case
    values = prediction.ravel()
    assume(values.min() < values.max())
    levels = data.draw(st.lists(st.sampled_from(sorted(set(values.tolist()))), min_size=1))
    beside = [np.nextafter(level, data.draw(st.sampled_from([-np.inf, np.inf]))) for level in levels]
    thresholds = np.clip(np.unique(levels + beside), values.min(), values.max())
    assert_ranks(values, truth["negatives"].ravel().astype(np.int32), np.unique(thresholds))


def test_rank_with_more_thresholds_than_buckets():
    rng = np.random.default_rng(18)
    values = rng.random(100_000)
    assert_ranks(values, np.ones(values.size, np.int32), np.unique(values[:60_000]))


@pytest.mark.parametrize("scale", [1e-99, 1e-44, 1e38, 1e99])
def test_rank_beyond_the_range_of_float32(scale):
    values = np.random.default_rng(19).normal(size=2000) * scale
    assert_ranks(values, np.ones(values.size, np.int32), np.unique(values[::20]))


def test_rank_of_many_equal_values():
    values = np.repeat([0.0, 1.0, 3.0], 70_000)
    assert_ranks(values, np.arange(values.size, dtype=np.int32) % 5, np.array([0.5, 1.0, 3.0]))


@pytest.mark.parametrize(("n", "weight"), [(1, 2**31 - 502), (1023, 2**21)])
def test_rank_with_large_weights(n, weight):
    """Sums up to the largest that a counter holds: nearly all on one pixel, or spread over many."""
    values, weights = np.random.default_rng(20).random(2000), np.zeros(2000, np.int32)
    weights[:501], weights[700 : 700 + n] = 1, weight
    assert 2**30 < weights.sum(dtype=np.int64) < 2**31
    assert_ranks(values, weights, np.unique(values[::20]))


def test_too_many_negatives_are_refused():
    negatives = np.zeros((20, 30), np.int32)
    negatives[0, :2] = 2**30
    with pytest.raises(ValueError, match="negatives: expected at most 2147483647 fixations in total, got 2147483648"):
        METRICS["sauc"].fn(np.random.default_rng(21).random((20, 30)), [[3, 4]], negatives=negatives)


@settings(max_examples=100, deadline=None)
@given(
    low=st.floats(-1e30, 1e30) | st.floats(-1.0, 1.0),
    span=st.floats(5e-324, 1e30) | st.integers(1, 50).map(lambda k: k * 5e-324),
    levels=st.lists(st.floats(0, 1) | st.integers(0, 100).map(lambda k: k * 0.01), min_size=1, max_size=6),
)
@example(low=0.0, span=1.5e-323, levels=[0.1, 0.5, 1.0])
@example(low=1e16, span=2.0, levels=[0.1, 0.5, 0.9, 1.0])
@example(low=-1.0, span=1.0 + 2.0**-52, levels=[1.0])
def test_unscale_finds_the_smallest_value_at_or_above_a_level(low, span, levels):
    high = low + span
    assume(high > low)
    span = high - low  # as the map's own extremes give it
    levels = np.unique(np.minimum(levels, 1.0))
    for level, value in zip(levels, unscale(levels, low, span), strict=True):
        assert low <= value <= high
        assert (value - low) / span >= level
        assert value == low or (math.nextafter(value, -math.inf) - low) / span < level
