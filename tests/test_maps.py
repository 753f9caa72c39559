import re

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.ndimage import gaussian_filter

from salbench.maps import blur, density_from_fixations, minmax, quantise, resize, resize_matlab, to_density

small_maps = arrays(
    st.sampled_from([np.float32, np.float64]),
    st.tuples(st.integers(1, 7), st.integers(1, 7)),
    elements=st.floats(-1000, 1000, width=32, allow_subnormal=False),
)


def _counts(points, shape):
    counts = np.zeros(shape)
    for x, y in points:
        counts[int(y), int(x)] += 1
    return counts


@st.composite
def fixated_images(draw):
    height, width = draw(st.integers(1, 30)), draw(st.integers(1, 30))
    below = {n: float(np.nextafter(n, 0)) for n in (height, width)}
    x = st.floats(0, below[width]) | st.sampled_from([0.0, below[width]])
    y = st.floats(0, below[height]) | st.sampled_from([0.0, below[height]])
    return draw(st.lists(st.tuples(x, y), max_size=12)), (height, width)


@settings(max_examples=200)
@given(image=fixated_images(), sigma=st.floats(0.05, 100) | st.sampled_from([0.1, 0.125, 1, 2.5, 30, 75.0]))
def test_density_equals_scipy_and_keeps_the_mass(image, sigma):
    points, shape = image
    density = density_from_fixations(points, shape, sigma)
    expected = gaussian_filter(_counts(points, shape), sigma)  # truncate=4, mode="reflect"
    assert density.shape == shape
    assert density.dtype == np.float64
    assert_allclose(density, expected, rtol=0, atol=1e-12)
    assert density.sum() == pytest.approx(len(points), rel=1e-12)
    assert density.min() >= 0


@pytest.mark.parametrize("sigma", [0.4, 3, 19.0, 24.0, 200.0])
def test_density_of_many_fixations_equals_scipy(sigma):
    rng = np.random.default_rng(0)
    points = rng.uniform((0, 0), (97, 61), (500, 2))
    points[:4] = [(0, 0), (96.9, 0), (0, 60.9), (96.9, 60.9)]
    density = density_from_fixations(points, (61, 97), sigma)
    expected = gaussian_filter(_counts(points, (61, 97)), sigma)
    assert_allclose(density, expected, rtol=1e-11, atol=1e-12)
    assert_allclose(density, blur(_counts(points, (61, 97)), sigma), rtol=1e-11, atol=1e-12)


@pytest.mark.parametrize("sigma", [(3.0, 8.0), (8.0, 3.0), (0.4, 50.0)])
def test_a_sigma_for_each_axis_is_vertical_then_horizontal_as_in_scipy(sigma):
    points = np.random.default_rng(0).uniform((0, 0), (97, 61), (50, 2))
    expected = gaussian_filter(_counts(points, (61, 97)), sigma)
    assert_allclose(density_from_fixations(points, (61, 97), sigma), expected, rtol=1e-11, atol=1e-12)
    assert_allclose(blur(_counts(points, (61, 97)), sigma), expected, rtol=1e-11, atol=1e-12)


def test_density_by_hand():
    # sigma .25: radius int(1.5) = 1, neighbours weigh exp(-8) of the centre; the corner folds its own back.
    side = np.exp(-8)
    centre, side = 1 / (1 + 2 * side), side / (1 + 2 * side)
    assert_allclose(density_from_fixations([[0.9, 0]], (1, 3), 0.25), [[centre + side, side, 0]], rtol=1e-14)


def test_density_of_no_fixations_is_zero():
    assert_array_equal(density_from_fixations([], (3, 4), 2.0), np.zeros((3, 4)))


@pytest.mark.parametrize("sigma", [0, -1, np.nan, (2, 0), (0, 2)])
def test_density_needs_a_positive_sigma(sigma):
    with pytest.raises(ValueError, match=re.escape(f"sigma: expected a positive number of pixels, got {sigma}")):
        density_from_fixations([[0, 0]], (3, 4), sigma)


def test_density_refuses_a_point_off_the_image():
    with pytest.raises(ValueError, match="fixations: expected 0 <= x < 4 and 0 <= y < 3"):
        density_from_fixations([[0, 3]], (3, 4), 1)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@settings(max_examples=60)
@given(array=small_maps, shape=st.tuples(st.integers(1, 15), st.integers(1, 15)))
def test_resize_stays_in_the_range_of_the_input(interpolation, array, shape):
    resized = resize(array, shape, interpolation)
    assert resized.shape == shape
    assert array.min() <= resized.min()
    assert resized.max() <= array.max()


def test_resize_clips_the_overshoot_of_bicubic_and_not_more():
    step = np.repeat([[0.0, 1.0]], 4, 1).reshape(1, 8).repeat(4, 0)
    resized = resize(step, (4, 32), "bicubic")
    assert (resized.min(), resized.max()) == (0, 1)
    assert np.unique(resized).size > 4


def test_resize_to_the_same_shape_gives_the_map_itself():
    array = np.random.default_rng(0).random((5, 6))
    assert resize(array, (5, 6)) is array
    assert resize(array, [5, 6]) is array


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
@pytest.mark.parametrize("constant", [0, 0.1, -3, 1e6 + 0.1])
def test_resize_keeps_a_constant_map_constant(constant, interpolation):
    for shape in ((3, 4), (20, 31)):
        assert_array_equal(resize(np.full((7, 9), constant), shape, interpolation), np.full(shape, constant))


def test_resize_by_hand():
    # Pixel centres: the four output pixels of [0, 1] lie at -.25, .25, .75, 1.25 between the two input pixels.
    assert_allclose(resize(np.array([[0.0, 1.0]]), (1, 4)), [[0, 0.25, 0.75, 1]], atol=1e-7)
    assert_allclose(resize(np.array([[0.0], [1.0]]), (4, 1)), [[0], [0.25], [0.75], [1]], atol=1e-7)


def test_resize_averages_when_shrinking():
    checkers = np.indices((64, 64)).sum(0) % 2.0
    assert_allclose(resize(checkers, (8, 8)), 0.5, atol=0.02)


def test_resize_takes_rows_before_columns_and_any_layout():
    array = np.random.default_rng(1).random((6, 10))
    assert_allclose(resize(array.T, (20, 3)), resize(array, (3, 20)).T, atol=1e-6)
    assert_array_equal(resize(array[::2, ::2], (9, 9)), resize(array[::2, ::2].copy(), (9, 9)))


def test_resize_takes_whole_numbers():
    assert_allclose(resize(np.array([[0, 255]], np.uint8), (1, 4)), [[0, 63.75, 191.25, 255]], atol=1e-4)


def test_resize_refuses_nan():
    with pytest.raises(ValueError, match="map: expected finite values"):
        resize(np.array([[np.nan, 0]]), (2, 2))


def test_minmax_by_hand():
    assert_array_equal(minmax(np.array([[-1, 0], [1, 3]])), [[0, 0.25], [0.5, 1]])


@given(array=small_maps)
def test_minmax_spans_zero_to_one(array):
    scaled = minmax(array)
    assert scaled.dtype == np.float64
    constant = array.min() == array.max()
    assert (scaled.min(), scaled.max()) == (0, 0 if constant else 1)


@pytest.mark.parametrize("constant", [0, 4.2, -1])
def test_minmax_of_a_constant_is_zeros(constant):
    assert_array_equal(minmax(np.full((2, 3), constant)), np.zeros((2, 3)))


def test_to_density_by_hand():
    array = np.array([[1.0, 2], [3, 4]])
    assert_array_equal(to_density(array), array / 10)
    assert_array_equal(to_density(array, floor="min"), (array - 1) / 6)
    assert_array_equal(to_density(array - 3), (array - 1) / 6)


@pytest.mark.parametrize("floor", [None, "min"])
@given(array=small_maps)
def test_to_density_is_a_density(floor, array):
    density = to_density(array, floor=floor)
    assert density.dtype == np.float64
    assert density.min() >= 0
    assert density.sum() == pytest.approx(1, rel=1e-12)
    if floor == "min" and array.min() < array.max():
        assert density.min() == 0


@pytest.mark.parametrize("constant", [0, 5, -5])
@pytest.mark.parametrize("floor", [None, "min"])
def test_to_density_of_a_constant_is_uniform(constant, floor):
    assert_array_equal(to_density(np.full((2, 4), constant), floor=floor), np.full((2, 4), 1 / 8))


@pytest.mark.parametrize("function", [minmax, to_density, quantise])
def test_map_maths_refuses_nan_and_leaves_its_input_as_it_is(function):
    with pytest.raises(ValueError, match="prediction: expected finite values"):
        function(np.array([[np.nan, 1]]))
    array = np.random.default_rng(2).normal(size=(4, 5))
    array.flags.writeable = False
    function(array)


def test_quantise_by_hand():
    # 255 * (0, .25, .5, 1) = 0, 63.75, 127.5, 255: truncated, not rounded.
    quantised = quantise(np.array([[0, 1, 2, 4.0]]))
    assert quantised.dtype == np.uint8
    assert quantised.tolist() == [[0, 63, 127, 255]]


def test_quantise_has_256_equal_steps():
    levels = np.arange(998)  # of 997, a prime, so that no level but the last falls on a step
    assert_array_equal(quantise(levels[None].astype(float))[0], levels * 255 // 997)


def test_quantise_keeps_a_positive_floor():
    assert quantise(np.array([[2, 4.0]])).tolist() == [[127, 255]]


def test_quantise_shifts_negative_values():
    assert quantise(np.array([[-1, 0, 3.0]])).tolist() == [[0, 63, 255]]


@given(array=small_maps)
def test_quantise_peaks_at_255(array):
    quantised = quantise(array)
    shifted = array - min(float(array.min()), 0.0)
    assume(shifted.max() > 0)
    assert quantised.max() == 255
    assert (quantised[array == array.max()] == 255).all()
    assert (np.diff(quantised.ravel()[np.argsort(array, None)].astype(int)) >= 0).all()


def test_quantise_of_a_constant():
    assert_array_equal(quantise(np.zeros((2, 3))), np.zeros((2, 3)))
    assert_array_equal(quantise(np.full((2, 3), -2)), np.zeros((2, 3)))
    assert_array_equal(quantise(np.full((2, 3), 0.3)), np.full((2, 3), 255))


def test_matlab_resize_equals_pillow_away_from_the_borders():
    array = np.random.default_rng(0).random((60, 80))
    for shape in ((23, 37), (150, 200), (60, 80)):
        for how, method in (("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR)):
            theirs = np.asarray(Image.fromarray(array.astype(np.float32)).resize(shape[::-1], method))
            assert_allclose(resize_matlab(array, shape, how)[8:-8, 8:-8], theirs[8:-8, 8:-8], atol=1e-6)


def test_matlab_resize_mirrors_the_borders():
    array = np.random.default_rng(0).random((12, 18))
    for shape in ((7, 5), (31, 40)):
        mirrored = np.pad(array, ((12, 12), (18, 18)), "symmetric")
        whole = resize_matlab(mirrored, (3 * shape[0], 3 * shape[1]))
        found = whole[shape[0] : 2 * shape[0], shape[1] : 2 * shape[1]]
        assert_allclose(resize_matlab(array, shape), found, atol=1e-12)


def test_matlab_resize_by_a_factor_rounds_sizes_up_and_keeps_the_factor():
    ramp = np.tile(np.arange(7.0), (5, 1))
    resized = resize_matlab(ramp, 2.1)
    assert resized.shape == (11, 15)
    assert_allclose(np.diff(resized[5])[5:9], 1 / 2.1, rtol=1e-12)
    assert_array_equal(resize_matlab(np.ones((5, 7, 3)), 0.5).shape, (3, 4, 3))


@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (3, 400)])
def test_matlab_resize_keeps_a_constant_at_any_size(shape):
    assert_allclose(resize_matlab(np.full((17, 29), 0.3), shape), np.full(shape, 0.3), rtol=1e-14)
    assert_allclose(resize_matlab(np.full((1, 2), 0.3), shape), np.full(shape, 0.3), rtol=1e-14)
