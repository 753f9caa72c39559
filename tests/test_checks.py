import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from salbench.checks import check_density, check_map, check_points, check_same_shape, fixated_pixels


def exactly(message):
    return f"^{re.escape(message)}$"


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_check_map_gives_floats_back_as_they_are(dtype):
    array = np.ones((2, 3), dtype)
    assert check_map(array) is array


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.uint64, np.float16, np.longdouble, ">f4"])
def test_check_map_turns_other_numbers_into_floats(dtype):
    got = check_map(np.array([[0, 1]], dtype))
    assert got.dtype in (np.float32, np.float64)
    assert got.tolist() == [[0, 1]]


def test_check_map_takes_lists():
    assert check_map([[1, 2], [3, 4]]).shape == (2, 2)


@pytest.mark.parametrize("shape", [(), (3,), (2, 3, 1), (0, 3), (3, 0)])
def test_check_map_names_the_shape_it_refuses(shape):
    message = f"baseline: expected a non-empty 2-D map (height, width), got shape {shape}"
    with pytest.raises(ValueError, match=exactly(message)):
        check_map(np.zeros(shape), "baseline")


@pytest.mark.parametrize("dtype", [complex, object, "U1", "M8[s]"])
def test_check_map_names_the_type_it_refuses(dtype):
    array = np.zeros((2, 2), dtype)
    with pytest.raises(ValueError, match="prediction: expected real numbers, got dtype"):
        check_map(array)


@pytest.mark.parametrize("bad", [[np.nan], [np.inf], [-np.inf], [np.inf, -np.inf], [np.nan, np.inf, 3]])
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_check_map_counts_what_is_not_finite(bad, dtype):
    array = np.zeros((4, 5), dtype)
    array.flat[7 : 7 + len(bad)] = bad
    count = sum(not np.isfinite(value) for value in bad)
    with pytest.raises(ValueError, match=f"expected finite values, got NaN or infinity in {count} of 20 pixels"):
        check_map(array)


@pytest.mark.parametrize("value", [1e101, -1e101, 1e-101, 5e-324, 1.7e308])
def test_check_map_refuses_values_whose_squares_are_no_numbers(value):
    with pytest.raises(ValueError, match=r"largest magnitude within 1e-100 and 1e\+100.*rescale the map"):
        check_map([[0.0, value]])


@pytest.mark.parametrize("value", [1e100, -1e99, 1e-99, 0.0])
def test_check_map_takes_values_of_sensible_magnitude(value):
    assert check_map([[0.0, value]])[0, 1] == value


def test_check_same_shape():
    check_same_shape(np.zeros((2, 3)), [2, 3], "density")
    with pytest.raises(ValueError, match=r"^density: expected shape \(2, 3\) as the prediction, got \(3, 2\)$"):
        check_same_shape(np.zeros((3, 2)), (2, 3), "density")


def test_check_density_takes_zeros():
    zeros = np.zeros((2, 3))
    assert check_density(zeros, (2, 3)) is zeros


def test_check_density_refuses_negative_values_and_other_shapes():
    with pytest.raises(ValueError, match=r"^density: expected values >= 0, got a minimum of -0.25$"):
        check_density(np.array([[1, -0.25]]), (1, 2))
    with pytest.raises(ValueError, match=r"^baseline: expected shape \(2, 1\)"):
        check_density(np.array([[1, 0.25]]), (2, 1), "baseline")
    with pytest.raises(ValueError, match=r"^density: expected finite values"):
        check_density(np.array([[1, np.nan]]), (1, 2))


def test_check_points_gives_float_pairs():
    points = check_points([[0, 0], [4, 2]], (3, 5))
    assert points.dtype == np.float64
    assert points.tolist() == [[0, 0], [4, 2]]


@pytest.mark.parametrize("nothing", [[], np.empty((0, 2)), np.empty((0, 0)), np.empty(0, int)])
def test_check_points_takes_nothing(nothing):
    assert check_points(nothing, (3, 5)).shape == (0, 2)


@pytest.mark.parametrize("shape", [(2,), (3, 3), (2, 2, 2), (4, 1)])
def test_check_points_names_the_shape_it_refuses(shape):
    with pytest.raises(
        ValueError, match=r"negatives: expected an \(N, 2\) array of \(x, y\) or a count map, got shape"
    ):
        check_points(np.zeros(shape), (3, 5), "negatives")


JUST_BELOW_5, JUST_BELOW_3, JUST_BELOW_0 = np.nextafter(5, 0), np.nextafter(3, 0), np.nextafter(0, -1)


@pytest.mark.parametrize("point", [(0, 0), (JUST_BELOW_5, JUST_BELOW_3), (-0.0, 2), (4, 0)])
def test_check_points_takes_every_position_on_the_image(point):
    assert check_points([point], (3, 5)).tolist() == [list(point)]


@pytest.mark.parametrize("point", [(5, 0), (0, 3), (JUST_BELOW_0, 0), (0, JUST_BELOW_0), (np.inf, 0), (0, -np.inf)])
def test_check_points_refuses_every_position_off_the_image(point):
    with pytest.raises(ValueError, match="got 1 of 3 off the image, the first at x="):
        check_points([(1, 1), point, (2, 2)], (3, 5))


def test_check_points_says_what_it_expected_and_got():
    message = (
        "cat: fixations: expected 0 <= x < 5 and 0 <= y < 3 (pixels from 0, x first), got "
        "2 of 3 off the image, the first at x=1, y=3.5"
    )
    with pytest.raises(ValueError, match=exactly(message)):
        check_points([(1, 1), (1, 3.5), (np.nan, 0)], (3, 5), "cat: fixations")


def test_fixated_pixels_of_points():
    index, count = fixated_pixels([[1.9, 0.2], [0, 2], [1, 0], [4.99, 2.99]], (3, 5))
    assert index.tolist() == [1, 10, 14]
    assert count.tolist() == [2, 1, 1]
    assert index.dtype == count.dtype == np.int64


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32, np.float64])
def test_fixated_pixels_of_a_count_map(dtype):
    counts = np.zeros((3, 5), dtype)
    counts[0, 1], counts[2, 0] = 2, 200
    index, count = fixated_pixels(counts, (3, 5))
    assert index.tolist() == [1, 10]
    assert count.tolist() == [2, 200]
    assert index.dtype == count.dtype == np.int64


@pytest.mark.parametrize("nothing", [[], np.zeros((3, 5))])
def test_fixated_pixels_of_nothing(nothing):
    index, count = fixated_pixels(nothing, (3, 5))
    assert len(index) == len(count) == 0


@given(counts=arrays(np.int64, st.tuples(st.integers(1, 6), st.integers(3, 6)), elements=st.integers(0, 3)))
def test_fixated_pixels_of_points_and_of_their_count_map_agree(counts):
    rows, columns = np.nonzero(counts)
    points = np.stack([columns, rows], 1).repeat(counts[rows, columns], 0)[::-1] + 0.5
    for ours, expected in zip(fixated_pixels(points, counts.shape), fixated_pixels(counts, counts.shape), strict=True):
        np.testing.assert_array_equal(ours, expected)


@pytest.mark.parametrize(("value", "shown"), [(0.25, "0.25"), (-1, "-1"), (2.5, "2.5")])
def test_fixated_pixels_refuses_a_map_that_is_not_counts(value, shown):
    counts = np.zeros((3, 5))
    counts[0, 1], counts[1, 1] = 1, value
    message = (
        f"negatives: expected points or a map of whole counts, got values such as {shown}; "
        "is this a blurred fixation map? Pass the fixation points themselves"
    )
    with pytest.raises(ValueError, match=exactly(message)):
        fixated_pixels(counts, (3, 5), "negatives")


def test_fixated_pixels_refuses_nan():
    with pytest.raises(ValueError, match="fixations: expected finite values"):
        fixated_pixels(np.full((3, 5), np.nan), (3, 5))
