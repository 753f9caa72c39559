"""Fine-grained saliency: OpenCV's levels, and the same by plain loops."""

import hashlib
import sys

import numpy as np
import pytest
from classical_goldens import expected, noise, picture, popout
from numpy.testing import assert_array_equal

from salbench import registry
from salbench.sample import Sample

fine_grained = sys.modules[registry.get("fine_grained").__module__]


def predict(image):
    return registry.create("fine_grained").predict(Sample("a", image.shape[:2], lambda: image))


def levels(image):
    found = 255 * predict(image)
    assert np.abs(found - np.rint(found)).max() < 1e-9
    return np.rint(found)


@pytest.mark.parametrize("name", ["popout", "noise", "osie1001", "osie1105"])
def test_levels_of_opencv(name):
    assert_array_equal(levels(picture(name)), expected("opencv", f"fg__{name}__map_times255_u8"))


@pytest.mark.parametrize(("make", "digest"), [(noise, "bb7286f64aec549b"), (popout, "6457acaae0d2e5a1")])
def test_levels_of_opencv_where_single_precision_rounds(make, digest):
    """SHA-256 of the levels of opencv-contrib-python-headless 5.0.0.93 at 480 x 640, where sums exceed 2**24."""
    assert hashlib.sha256(levels(make(480, 640)).astype(np.uint8).tobytes()).hexdigest()[:16] == digest


def test_plain_loops():
    image = noise(40, 60)
    grey = np.floor(image @ [9798, 19235, 3735] / 2**15 + 0.5)
    for _ in range(2):
        padded = np.pad(grey, 1, mode="reflect")
        grey = sum(
            (2 - abs(y)) * (2 - abs(x)) * padded[1 + y : 41 + y, 1 + x : 61 + x] for y in (-1, 0, 1) for x in (-1, 0, 1)
        )
        grey = np.floor(grey / 16 + 0.5)
    on, off = np.zeros((2, 40, 60))
    for y, x in np.ndindex(40, 60):
        for n in (12, 24, 28, 48, 56, 112):
            window = grey[max(y - n + 1, 0) : y + n + 1, max(x - n + 1, 0) : x + n + 1]
            difference = grey[y, x] - (window.sum() - grey[y, x]) / (window.size - 1)
            on[y, x] += np.floor(max(difference, 0))
            off[y, x] += np.floor(max(-difference, 0))
    on, off = (np.floor(255 * array / array.max()) for array in (on, off))
    assert_array_equal(levels(image), np.floor(255 * (on + off) / max(on.max(), off.max())))


def test_window_around_a_bright_pixel():
    """One pixel of level 120 in 3 x 4: by hand, the mean of the others is 0 there and 120 / 11 elsewhere."""
    grey = np.zeros((3, 4), np.int32)
    grey[1, 2] = 120
    table = np.pad(grey.cumsum(0).cumsum(1), ((1, 0), (1, 0))).astype(np.float32)
    above, below = fine_grained.differences(grey, table, np.array([12]))
    assert_array_equal(above, grey)
    assert_array_equal(below, np.where(grey > 0, 0, 10))  # 120 / 11 = 10.9


def test_window_reaches_one_pixel_further_ahead():
    """A window of reach 1 covers the pixel and the next one on both axes."""
    grey = np.array([[10, 20, 60]], np.int32)
    table = np.pad(grey.cumsum(0).cumsum(1), ((1, 0), (1, 0))).astype(np.float32)
    above, below = fine_grained.differences(grey, table, np.array([1]))
    assert_array_equal(above, [[0, 0, 60]])  # the last one has no next: the mean of nothing is 0
    assert_array_equal(below, [[10, 40, 0]])


def test_a_constant_picture_has_no_saliency():
    assert not predict(np.full((50, 60, 3), 90, np.uint8)).any()


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_picture_has_nearly_the_mirrored_map(axis):
    """Windows reach one pixel further ahead than back."""
    image = picture("noise")
    difference = np.abs(np.flip(levels(np.flip(image, axis)), axis) - levels(image))
    assert 0 < difference.mean() < 2


def test_exposure_hardly_matters():
    """Differences are truncated to whole grey levels."""
    image = picture("noise") // 2
    assert np.abs(levels(2 * image) - levels(image)).mean() < 5


def test_inverted_picture():
    """Bright on dark and dark on bright are alike but for the rounding of grey levels."""
    image = picture("noise")
    assert np.abs(levels(255 - image) - levels(image)).mean() < 2
