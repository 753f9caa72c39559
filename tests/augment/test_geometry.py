import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from salbench.augment import Geometry
from salbench.augment.moves import crop_band, crop_window, flip, rotate, shear

RNG = np.random.default_rng(0)
SIZES = st.tuples(st.integers(1, 23), st.integers(1, 23))
SHARES = st.lists(
    st.tuples(*[st.floats(0, 1, exclude_max=True) | st.sampled_from([0.0, 1e-300, 1 - 2**-53])] * 2), min_size=1
)


def lossless_moves(size):
    yield from (flip(size, RNG, axis=axis) for axis in "xy")
    yield from (rotate(size, RNG, clockwise_deg=90 * n, canvas="loose") for n in range(4))
    if size[0] % 2 == size[1] % 2:
        yield from (rotate(size, RNG, clockwise_deg=90 * n) for n in range(4))
    yield crop_window(size, RNG, side_px=min(size))
    yield Geometry((size[0] + 3, max(1, size[1] - 2)), np.eye(2, 3))
    yield Geometry((5, 4), [[0, -1, 2], [1, 0, 40]])


def blending_moves(size):
    for canvas in ("same", "loose", "squashed"):
        yield from (rotate(size, RNG, clockwise_deg=angle, canvas=canvas) for angle in (45, 135, -20))
        for x_per_y, y_per_x in ((0.5, 0.0), (0.0, 0.5), (0.5, 0.5)):
            yield shear(size, RNG, x_per_y=x_per_y, y_per_x=y_per_x, canvas=canvas)


def points_of(shares, size):
    return np.minimum(np.array(shares) * size[::-1], np.nextafter(size[::-1], 0.0))


@settings(deadline=None, max_examples=40)
@given(SIZES, SHARES)
def test_a_point_keeps_its_pixel_in_every_lossless_move(size, shares):
    points = points_of(shares, size)
    numbers = np.arange(1, size[0] * size[1] + 1).reshape(size)
    pixel_of = np.floor(points).astype(int)
    for geometry in lossless_moves(size):
        assert geometry.lossless
        picture = geometry.density(numbers)
        moved, kept = geometry.points(points)
        column, row = np.floor(moved[kept]).astype(int).T
        assert (picture[row, column] == numbers[pixel_of[kept, 1], pixel_of[kept, 0]]).all()
        gone = numbers[pixel_of[~kept, 1], pixel_of[~kept, 0]]
        assert not np.isin(gone, picture).any()


@settings(deadline=None, max_examples=40)
@given(SIZES, SHARES)
def test_flips_undo_themselves(size, shares):
    points = points_of(shares, size)
    quarters = np.floor(points * 4) / 4
    for axis in "xy":
        geometry = flip(size, RNG, axis=axis)
        np.testing.assert_array_equal(geometry.points(geometry.points(quarters)[0])[0], quarters)
        again = geometry.points(geometry.points(points)[0])[0]
        np.testing.assert_allclose(again, points, rtol=0, atol=1e-13)
        np.testing.assert_array_equal(np.floor(again), np.floor(points))


@pytest.mark.parametrize(
    ("x", "flipped"), [(0, 9), (9, 0), (3, 6), (3.25, 6.75), (9.75, 0.25), (np.nextafter(10, 0), 2.0**-49)]
)
def test_a_flip_reverses_pixels_and_the_place_within_them(x, flipped):
    moved, kept = flip((4, 10), RNG, axis="x").points(np.array([[x, 1.5]]))
    assert kept.all()
    assert moved.tolist() == [[flipped, 1.5]]


def test_a_point_hardly_right_of_an_edge_stays_in_the_pixel():
    moved, kept = flip((4, 10), RNG, axis="x").points(np.array([[1e-30, 1.0]]))
    assert kept.all()
    assert np.floor(moved[0, 0]) == 9


@settings(deadline=None, max_examples=40)
@given(SIZES, SHARES)
def test_four_quarter_turns_are_the_identity(size, shares):
    quarters = np.floor(points_of(shares, size) * 4) / 4
    picture, points = np.arange(size[0] * size[1] * 3).reshape(*size, 3).astype(np.uint8), quarters
    start = picture
    for _ in range(4):
        geometry = rotate(picture.shape[:2], RNG, clockwise_deg=90, canvas="loose")
        picture, (points, kept) = geometry.image(picture), geometry.points(points)
        assert kept.all()
    np.testing.assert_array_equal(picture, start)
    np.testing.assert_array_equal(points, quarters)


@pytest.mark.parametrize("angle", [90, 270, 45, 135])
def test_a_turn_on_the_same_canvas_is_about_its_centre(angle):
    geometry = rotate((300, 420), RNG, clockwise_deg=angle)
    (centre, right), _ = geometry.points(np.array([(210.0, 150.0), (211.5, 150.0)]))
    assert geometry.size == (300, 420)
    np.testing.assert_allclose(centre, (210, 150), atol=1)  # 90 degrees take the pixel of the point with it
    direction = np.cos(np.deg2rad(angle)), np.sin(np.deg2rad(angle))
    np.testing.assert_allclose(right, (210, 150) + 1.5 * np.array(direction), atol=1e-9 if angle % 90 else 1)


def test_a_quarter_turn_is_clockwise():
    picture = np.array([[1, 2, 3], [4, 5, 6]])
    turned = rotate((2, 3), RNG, clockwise_deg=90, canvas="loose").density(picture)
    assert turned.tolist() == [[4, 1], [5, 2], [6, 3]]
    back = rotate((2, 3), RNG, clockwise_deg=270, canvas="loose").density(picture)
    assert back.tolist() == [[3, 6], [2, 5], [1, 4]]


@settings(deadline=None, max_examples=40)
@given(SIZES, SHARES)
def test_the_matrix_leads_back_from_every_moved_point(size, shares):
    points = points_of(shares, size)
    for geometry in blending_moves(size):
        moved, kept = geometry.points(points)
        back = np.column_stack([moved, np.ones(len(moved))]) @ geometry.matrix.T
        np.testing.assert_allclose(back, points, atol=1e-5)
        assert (moved[kept] >= 0).all()
        assert (moved[kept] < geometry.size[::-1]).all()


@settings(deadline=None, max_examples=40)
@given(SIZES, SHARES)
def test_loose_and_squashed_canvases_lose_no_point(size, shares):
    points = points_of(shares, size)
    for canvas in ("loose", "squashed"):
        for angle in (45, 135, 90, -20):
            assert rotate(size, RNG, clockwise_deg=angle, canvas=canvas).points(points)[1].all()
        assert shear(size, RNG, x_per_y=0.5, y_per_x=0.5, canvas=canvas).points(points)[1].all()


def test_squashed_shear_has_the_slope_measured_on_the_published_picture():
    geometry = shear((1080, 1920), RNG, y_per_x=0.5, canvas="squashed")
    (start, end), _ = geometry.points(np.array([(0.0, 0.0), (1000.0, 0.0)]))
    assert geometry.size == (1080, 1920)
    assert (end - start)[1] / (end - start)[0] == pytest.approx(0.5 * 1080 / 2040)


def test_squashing_averages_instead_of_skipping_pixels():
    stripes = np.tile(np.array([[0.0, 1.0]], dtype=np.float32), (64, 32))
    shrunk = Geometry((64, 32), [[2, 0, 0.5], [0, 1, 0]]).density(stripes)
    assert np.abs(shrunk[:, 1:-1] - 0.5).max() < 1e-6


def test_sampling_is_exact_for_a_shift_by_half_a_pixel():
    ramp = np.tile(np.arange(8.0), (3, 1))
    shifted = Geometry((3, 7), [[1, 0, 0.5], [0, 1, 0]]).density(ramp)
    np.testing.assert_allclose(shifted, np.tile(np.arange(7) + 0.5, (3, 1)), atol=1e-6)


def test_uncovered_canvas_is_filled():
    white = np.full((6, 8, 3), 255, np.uint8)
    for geometry in (Geometry((9, 9), np.eye(2, 3), fill=7), Geometry((9, 9), [[1, 0.1, 0], [0, 1, 0]], fill=7)):
        assert set(np.unique(geometry.image(white)[7:])) == {7}
        assert not geometry.density(np.ones((6, 8)))[7:].any()


def test_boxes_are_moved_cut_and_dropped():
    boxes = np.array([[0.0, 0.0, 4.0, 2.0], [9.0, 5.0, 1.0, 1.0]])
    flipped, kept = flip((6, 10), RNG, axis="x").boxes(boxes)
    assert kept.all()
    np.testing.assert_array_equal(flipped, [[6, 0, 4, 2], [0, 5, 1, 1]])
    turned, kept = rotate((6, 10), RNG, clockwise_deg=90, canvas="loose").boxes(boxes)
    assert kept.all()
    np.testing.assert_allclose(turned, [[4, 0, 2, 4], [0, 9, 1, 1]], atol=1e-12)
    cut, kept = Geometry((3, 3), [[1, 0, 2], [0, 1, 0]]).boxes(boxes)
    assert kept.tolist() == [True, False]
    assert cut[0].tolist() == [0, 0, 2, 2]


@pytest.mark.parametrize(("shift", "kept"), [((5.9, 0), True), ((6, 0), False), ((3.9, 4), True), ((4, 4), False)])
@pytest.mark.parametrize("side", [-1, 1])
def test_a_box_needs_more_than_a_quarter_of_its_area_on_the_canvas(shift, kept, side):
    box = np.array([[0.0 if side > 0 else 12.0, 0.0 if side > 0 else 12.0, 8.0, 8.0]])
    geometry = Geometry((20, 20), [[1, 0, side * shift[0]], [0, 1, side * shift[1]]])
    assert geometry.boxes(box)[1].tolist() == [kept]


def test_the_box_of_a_turned_square_is_around_its_corners():
    ((x, y, width, height),), kept = rotate((40, 40), RNG, clockwise_deg=45).boxes(np.array([[15.0, 15, 10, 10]]))
    np.testing.assert_allclose((x, y, width, height), (20 - 50**0.5, 20 - 50**0.5, 200**0.5, 200**0.5), rtol=1e-12)
    assert kept.all()


def test_a_box_too_thin_for_float_is_dropped_and_not_kept_without_a_width():
    _, kept = flip((6, 10), RNG, axis="x").boxes(np.array([[7.0, 2, 1e-17, 2]]))
    assert kept.tolist() == [False]


def test_no_boxes_stay_none():
    moved, kept = flip((6, 10), RNG, axis="x").boxes(np.empty((0, 4)))
    assert (moved.shape, kept.shape) == ((0, 4), (0,))


@pytest.mark.parametrize("matrix", [np.eye(3), [[1, 0, 0], [1, 0, 0]], [[1, 0, np.nan], [0, 1, 0]]])
def test_a_matrix_that_is_none_is_refused(matrix):
    with pytest.raises(ValueError, match=r"expected an invertible \(2, 3\) matrix"):
        Geometry((4, 4), matrix)


def test_an_empty_canvas_is_refused():
    with pytest.raises(ValueError, match=r"canvas of at least one pixel, got \(height, width\) \(0, 4\)"):
        Geometry((0, 4), np.eye(2, 3))


def test_crops_say_how_large_the_image_must_be():
    with pytest.raises(ValueError, match=r"at least 128 x 128 pixels \(width x height\), got 400 x 127"):
        crop_window((127, 400), RNG, side_px=128)
    with pytest.raises(ValueError, match=r"at least 201 x 1 pixels \(width x height\), got 200 x 90"):
        crop_band((90, 200), RNG, edge="left", band_px=200)


def test_crop_windows_reach_every_place_and_no_other():
    rng = np.random.default_rng(1)
    places = {tuple(crop_window((130, 129), rng, side_px=128).matrix[:, 2]) for _ in range(100)}
    assert places == {(x, y) for x in (0, 1) for y in (0, 1, 2)}


def test_crop_bands_keep_the_rest():
    geometry = crop_band((300, 420), RNG, edge="left", band_px=200)
    assert (geometry.size, geometry.matrix[:, 2].tolist()) == ((300, 220), [200, 0])
    geometry = crop_band((300, 420), RNG, edge="top", band_px=200)
    assert (geometry.size, geometry.matrix[:, 2].tolist()) == ((100, 420), [0, 200])
