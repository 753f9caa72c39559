"""OpenCV's resize and letterbox: as OpenCV computed them (kits of four networks), and by arithmetic."""

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
