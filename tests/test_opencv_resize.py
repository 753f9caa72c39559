"""OpenCV's resize and letterbox: as OpenCV computed them (kits of four networks, and 5.0), and by arithmetic."""

import importlib
import runpy

import conformance
import numpy as np
import pytest

from salbench import registry

LETTERBOXES = {  # kit -> size, colour, and the name of the picture in it
    "transalnet_res": ((288, 384), 1, "pre_u8_sub4"),
    "sam_resnet": ((240, 320), 0, "pre_bgr_u8_sub4"),
    "dinet": ((320, 480), 0, "pre_bgr_u8_sub4"),
    "mdsem": ((240, 320), 0, "pre_bgr_u8_sub4"),
}

IMAGE = [
    [217, 163, 130, 69, 78, 10],
    [19, 4, 44, 208, 166, 233],
    [128, 155, 248, 186, 161, 139],
    [143, 239, 71, 208, 171, 0],
]
AREA = {  # what OpenCV 5.0 makes of it
    "smaller": [[153, 113, 102, 77], [76, 124, 186, 179], [166, 150, 191, 79]],
    "half": [[101, 113, 122], [166, 178, 118]],
    "lower and wider": [[118, 95, 84, 87, 139, 127, 122, 122], [136, 176, 184, 160, 197, 176, 134, 70]],
    "higher and narrower": [
        [199, 141, 72, 33], [60, 58, 163, 166], [75, 124, 186, 178], [147, 194, 182, 124], [175, 127, 196, 57],
    ],
    "larger": [
        [217, 190, 163, 130, 100, 69, 78, 44, 10], [168, 145, 123, 109, 106, 104, 100, 83, 66],
        [19, 12, 4, 44, 126, 208, 166, 200, 233], [74, 77, 80, 146, 172, 197, 164, 175, 186],
        [128, 142, 155, 248, 217, 186, 161, 150, 139], [139, 179, 218, 115, 159, 203, 169, 102, 35],
        [143, 191, 239, 71, 140, 208, 171, 86, 0],
    ],
}  # fmt: skip
CUBIC = {
    "smaller": [
        [176.384, 120.314, 88.686, 54.352], [50.815, 126.847, 203.459, 207.501], [166.968, 121.341, 212.872, 51.335],
    ],
    "larger": [
        [241.668, 211.483, 169.423, 150.536, 91.78, 51.407, 72.87, 29.89, -19.191],
        [146.588, 122.25, 93.63, 86.466, 102.749, 119.217, 111.593, 99.146, 90.332],
        [26.958, 12.579, 6.443, 20.35, 127.147, 208.266, 164.22, 189.152, 230.085],
        [53.255, 45.955, 70.106, 135.91, 193.903, 206.422, 172.809, 191.892, 224.202],
        [131.038, 142.789, 182.251, 241.611, 226.652, 177.97, 166.862, 141.689, 123.698],
        [138.075, 189.235, 214.341, 151.24, 167.384, 201.56, 183.73, 101.446, 30.671],
        [135.561, 214.089, 225.713, 69.446, 117.213, 221.533, 196.322, 75.52, -29.918],
    ],
}  # fmt: skip
SIX_TENTHS = [[137.333, 101.333, 110.0, 84.333], [137.0, 248.0, 169.333, 139.0]]


@pytest.fixture(scope="module")
def ours():
    package = registry.get("uniform").__module__.rpartition(".")[0]
    return importlib.import_module(f"{package}._opencv_resize")


def picture(*size):
    return runpy.run_path(str(conformance.KITS / "weights.py"))["synthetic_rgb"](*size)


@pytest.mark.parametrize("kit", LETTERBOXES)
@pytest.mark.parametrize("size", [(437, 331, 1), (201, 640, 1)])
def test_letterbox_is_that_of_opencv(kit, size, ours):
    canvas, colour, name = LETTERBOXES[kit]
    case = "odd_437x331" if size[0] == 437 else "wide_201x640"
    expected = np.load(conformance.KITS / kit / "expected.npz")[f"{case}/{name if size[0] == 437 else 'pre_u8_sub4'}"]
    boxed = ours.letterboxed(picture(*size)[..., ::-1], canvas, colour)
    np.testing.assert_array_equal(boxed[::4, ::4], expected)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
@pytest.mark.parametrize("size", [(1, 1), (3, 200), (90, 37), (41, 90)])
def test_resize_is_bilinear_between_the_centres_of_pixels(dtype, size, ours):
    image = np.random.default_rng(0).integers(0, 256, (41, 90)).astype(dtype)
    rows, columns = (((np.arange(n) + 0.5) * o / n - 0.5).clip(0, o - 1) for n, o in zip(size, (41, 90), strict=True))
    grid = np.minimum(np.floor(rows), 39).astype(int), np.minimum(np.floor(columns), 88).astype(int)
    down, right = (rows - grid[0])[:, None], columns - grid[1]
    corners = [[image[np.ix_(grid[0] + i, grid[1] + j)].astype(float) for j in (0, 1)] for i in (0, 1)]
    expected = (1 - down) * ((1 - right) * corners[0][0] + right * corners[0][1])
    expected += down * ((1 - right) * corners[1][0] + right * corners[1][1])
    got = ours.resized(image, size)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, expected, rtol=0, atol=1 if dtype == np.uint8 else 1e-3)


@pytest.mark.parametrize("size", [(437, 331), (201, 640), (480, 640), (7, 2000), (2000, 7), (1, 1)])
def test_a_letterboxed_map_comes_back_at_the_size_of_the_picture(size, ours):
    """A ramp across the picture is a ramp again, up to the steps of 8 bits."""
    ramp = np.broadcast_to(np.linspace(0, 250, size[1]), size).astype(np.uint8)[..., None]
    back = ours.unletterboxed(ours.letterboxed(ramp, (240, 320), 0)[..., 0].astype(np.float32), size)
    assert back.shape == size
    if min(size) > 200:
        inner = np.s_[20:-20, 20:-20]
        np.testing.assert_allclose(back[inner], ramp[..., 0][inner], atol=3)


@pytest.mark.parametrize("name", AREA)
def test_area_is_that_of_opencv(name, ours):
    expected = np.array(AREA[name])
    np.testing.assert_array_equal(ours.area(np.uint8(IMAGE), expected.shape), expected)
    colours = ours.area(np.uint8([IMAGE, IMAGE[::-1], IMAGE]).transpose(1, 2, 0), expected.shape)
    assert colours.dtype == np.uint8
    np.testing.assert_array_equal(colours[..., 2], expected)


def test_half_a_grey_level_is_rounded_up_as_in_opencv_if_both_sides_are_halved(ours):
    """If one is quartered, it is rounded to even."""
    halves = np.uint8([[0, 0, 4, 4], [1, 1, 5, 5]])
    np.testing.assert_array_equal(ours.area(halves, (1, 2)), [[1, 5]])
    np.testing.assert_array_equal(ours.area(np.repeat(halves, 2, axis=0), (1, 2)), [[0, 4]])


@pytest.mark.parametrize("name", CUBIC)
def test_cubic_is_that_of_opencv(name, ours):
    expected = np.array(CUBIC[name])
    np.testing.assert_allclose(ours.cubic(np.float32(IMAGE), expected.shape), expected, rtol=0, atol=1e-3)


def test_resize_by_a_scale_is_that_of_opencv(ours):
    """Four rows by 0.6 are two, not 2.4: the scale says where they are, not the sizes."""
    np.testing.assert_allclose(ours.resized(np.float32(IMAGE), (2, 4), 1 / 0.6), SIX_TENTHS, rtol=0, atol=1e-3)
