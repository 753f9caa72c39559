"""Image signature: the authors' maps, the arithmetic by hand, and what the signs are blind to."""

import importlib
import sys

import numpy as np
import pytest
from classical_goldens import assert_agree, noise, picture
from numpy.testing import assert_allclose

from salbench import registry
from salbench.maps import minmax, resize_matlab
from salbench.sample import Sample

VARIANTS = {"lab": "lab50", "lab65": "lab65", "rgb": "rgb"}  # ours: the goldens'
DEGENERATE = "rgb", "popout"  # most coefficients of its blue plane are rounding errors, whose signs are arbitrary
AGREEMENT = {"r": 0.9999999, "difference": 1e-5}
signature = sys.modules[registry.get("image_signature").__module__]


def predict(image, variant=""):
    return registry.create(f"image_signature:{variant}").predict(Sample("a", image.shape[:2], lambda: image))


@pytest.mark.parametrize("name", ["popout", "noise", "osie1001", "osie1105"])
@pytest.mark.parametrize("variant", VARIANTS)
def test_authors_maps(variant, name):
    if (variant, name) != DEGENERATE:
        assert_agree(predict(picture(name), variant), "imsig", f"{VARIANTS[variant]}__{name}__map", **AGREEMENT)


@pytest.mark.parametrize("name", ["noise", "osie1001", "osie1105"])  # popout is as degenerate as in RGB
def test_authors_maps_in_the_colours_of_gbvs(name, monkeypatch):
    dkl = importlib.import_module(f"{signature.__name__.rpartition('.')[0]}._dkl").dkl
    monkeypatch.setitem(signature.COLOURS, "lab", dkl)
    assert_agree(predict(picture(name)), "imsig", f"dkl__{name}__map", r=0.9999, difference=1e-2)


@pytest.mark.parametrize("name", ["noise", "osie1001"])
def test_authors_maps_at_the_size_of_the_picture(name):
    image = picture(name)
    resized = resize_matlab(predict(image), image.shape[:2])
    assert_agree(resized, "imsig", f"lab50__{name}__resized_s2", **AGREEMENT)


@pytest.mark.parametrize("name", ["popout", "noise", "osie1001", "osie1105"])
def test_maps_of_the_toolbox(name):
    assert_agree(predict(picture(name), "ycbcr"), "spectral", f"dct__ycbcr__{name}__map", **AGREEMENT)


def test_map_of_the_toolbox_in_rgb(monkeypatch):
    monkeypatch.setitem(signature.COLOURS, "ycbcr", signature.COLOURS["rgb"])
    assert_agree(predict(picture("osie1001"), "ycbcr"), "spectral", "dct__rgb__osie1001__map", **AGREEMENT)


@pytest.mark.parametrize(
    ("rgb", "matrix", "white", "expected"),
    [  # values of Bruce Lindbloom's calculator
        ((1, 0, 0), signature.XYZ_D50, signature.WHITE_D50, (54.29, 80.81, 69.89)),
        ((1, 0, 0), signature.XYZ_D65, signature.WHITE_D65, (53.24, 80.09, 67.20)),
        ((1, 1, 1), signature.XYZ_D65, signature.WHITE_D65, (100, 0, 0)),
        ((0, 0, 0), signature.XYZ_D50, signature.WHITE_D50, (0, 0, 0)),
    ],
)
def test_lab(rgb, matrix, white, expected):
    assert_allclose(signature.lab(np.array(rgb, float).reshape(1, 1, 3), matrix, white).ravel(), expected, atol=0.02)


def test_lab_of_dark_and_negative_values():
    """Below the cube root's threshold L* is 24389 / 27 times Y, and sRGB is divided by 12.92, whatever the sign."""
    levels = np.array([0.01, -0.01]).reshape(1, 2, 1) * np.ones(3)
    light = signature.lab(levels, signature.XYZ_D65, signature.WHITE_D65)[0, :, 0]
    assert_allclose(light, [0.01 / 12.92 * 24389 / 27, -0.01 / 12.92 * 24389 / 27])


def test_plain_signature():
    """The same by matrices of cosines and loops, on a picture that needs no resizing."""
    image = noise(24, 64)
    height, width = image.shape[:2]
    rows, columns = (cosines(n) for n in (height, width))
    total = np.zeros((height, width))
    for c in range(3):
        signs = np.sign(rows @ (image[..., c] / 255) @ columns.T)
        total += (rows.T @ signs @ columns) ** 2 / 3
    offsets = np.arange(12) - 5.5
    kernel = np.exp(-(offsets[:, None] ** 2 + offsets**2) / (2 * 2.88**2))
    padded = np.pad(total, ((5, 6), (5, 6)))  # an even kernel reaches 5 pixels back and 6 ahead
    smooth = np.array([[(padded[y : y + 12, x : x + 12] * kernel).sum() for x in range(width)] for y in range(height)])
    assert_allclose(predict(image, "rgb"), (smooth - smooth.min()) / np.ptp(smooth), atol=1e-9)


def cosines(n):
    """(n, n) orthonormal DCT-II: frequencies x samples."""
    matrix = np.cos(np.pi * np.outer(np.arange(n), np.arange(n) + 0.5) / n) * np.sqrt(2 / n)
    matrix[0] /= np.sqrt(2)
    return matrix


def test_contrast_does_not_matter():
    image = noise(60, 80) // 2
    assert_allclose(predict(2 * image, "rgb"), predict(image, "rgb"), atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1])
def test_mirrored_picture(axis):
    image = noise(120, 160)  # the factor 0.4 gives whole sides
    assert_allclose(np.flip(predict(np.flip(image, axis), "ycbcr"), axis), predict(image, "ycbcr"), atol=1e-9)


@pytest.mark.parametrize("axis", [0, 1])
def test_even_kernel_moves_the_map_by_half_a_pixel(axis):
    """The map of a mirrored picture is mirrored and one pixel off, but for the border."""
    image = noise(64, 64)
    mirrored = np.roll(np.flip(predict(np.flip(image, axis)), axis), -1, axis)
    inside = np.s_[12:-12, 12:-12]
    assert_allclose(minmax(mirrored[inside]), minmax(predict(image)[inside]), atol=1e-9)


@pytest.mark.parametrize("variant", ["lab65", "ycbcr"])
def test_grey_pictures_have_no_signs_of_colour(variant):
    """In these variants the channels of colour are zero or constant, so they add at most a constant: not noise."""
    image = np.repeat(noise(48, 64)[..., :1], 3, axis=2)
    spectrum = signature.dctn(signature.COLOURS[variant](signature.small(image)), axes=(0, 1), norm="ortho")
    assert np.count_nonzero(signature.phase(spectrum)[..., 0]) == 48 * 64
    assert np.count_nonzero(signature.phase(spectrum)[..., 1:]) <= 2


@pytest.mark.parametrize("variant", ["", "lab65", "rgb", "ycbcr"])
def test_the_red_disc_is_found(variant):
    found = predict(picture("popout"), variant)  # 120 x 160 pixels; the disc is 12 around (60, 100)
    y, x = np.unravel_index(found.argmax(), found.shape)
    assert np.hypot(y * 2.5 - 60, x * 2.5 - 100) < 12
