"""Spectral whitening, and the variants of the spectral residual: maps of the authors' code, and arithmetic by hand."""

import hashlib
import sys

import numpy as np
import pytest
from classical_goldens import assert_agree, noise, picture, popout
from numpy.testing import assert_allclose, assert_array_equal

from salbench import registry
from salbench.maps import resize
from salbench.sample import Sample

PICTURES = "popout", "noise", "osie1001", "osie1105"
AGREEMENT = {"r": 0.9999999, "difference": 1e-4}
residual = sys.modules[registry.get("spectral_residual").__module__]
whitening = sys.modules[registry.get("spectral_whitening").__module__]


def predict(spec, image):
    return registry.create(spec).predict(Sample("a", image.shape[:2], lambda: image))


@pytest.mark.parametrize("name", PICTURES)
@pytest.mark.parametrize(
    ("spec", "key"), [("spectral_whitening", "whitening"), ("spectral_residual:toolbox", "residual")]
)
def test_maps_of_the_toolbox(spec, key, name):
    assert_agree(predict(spec, picture(name)), "spectral", f"{key}__ycbcr__{name}__map", **AGREEMENT)


def test_maps_of_the_toolbox_in_rgb():
    image = picture("osie1001")
    assert_agree(predict("spectral_whitening:rgb", image), "spectral", "whitening__rgb__osie1001__map", **AGREEMENT)
    found = residual.toolbox_map(residual.residual_picture(residual.small(image), border="nearest") ** 2)
    assert_agree(found, "spectral", "residual__rgb__osie1001__map", **AGREEMENT)


@pytest.mark.parametrize("name", PICTURES)
def test_maps_of_opencv(name):
    image = picture(name)
    found = resize(predict("spectral_residual:opencv", image), image.shape[:2])
    assert_agree(found, "opencv", f"sr__{name}__map_s2", r=0.9995, difference=1e-2)


RESIZED = {(45, 77): "a760e5d1a039bfe7", (64, 64): "0390b0edf4d1eb85", (240, 321): "144b27a6cceaa4c1"}


@pytest.mark.parametrize("size", RESIZED, ids=str)
def test_grey_levels_of_opencv(size):
    """SHA-256 of the 64 x 64 levels of cvtColor and resize(INTER_LINEAR_EXACT) in OpenCV 5.0.0."""
    levels = residual.sampled_grey(noise(*size), 64)
    assert hashlib.sha256(levels.astype(np.uint8).tobytes()).hexdigest()[:16] == RESIZED[size]


def test_the_papers_map_is_the_default():
    image = noise(60, 80)
    assert_array_equal(predict("spectral_residual", image), predict("spectral_residual:paper", image))
    assert registry.create("spectral_residual:paper").label == "spectral_residual"


def test_an_impulse_stays_an_impulse():
    """All amplitudes are alike, so neither whitening nor the residual changes them: exp(0) = 1."""
    impulse = np.zeros((8, 12, 2))
    impulse[3, 5] = 7, 9
    spectrum = np.fft.fft2(impulse, axes=(0, 1))
    assert_allclose(np.fft.ifft2(whitening.phase(spectrum), axes=(0, 1)), impulse > 0, atol=1e-12)
    for border in ("nearest", "mirror"):
        assert_allclose(residual.residual_picture(impulse, border), impulse > 0, atol=1e-12)


def test_rounding_errors_have_no_phase():
    assert_array_equal(whitening.phase(np.array([-2e3, 3e-10, 4e-8, 0.0])), [-1, 0, 1, 0])
    assert_allclose(whitening.phase(np.array([3 + 4j, 1e-15j])), [0.6 + 0.8j, 0])


@pytest.mark.parametrize(("border", "pad"), [("nearest", "edge"), ("mirror", "reflect"), ("wrap", "wrap")])
def test_plain_residual(border, pad):
    """The same by loops, for one channel."""
    plane = noise(10, 14)[..., 0] / 255
    spectrum = np.fft.fft2(plane)
    log_amplitude = np.log(np.abs(spectrum))
    padded = np.pad(log_amplitude, 1, mode=pad)
    mean = np.array([[padded[y : y + 3, x : x + 3].mean() for x in range(14)] for y in range(10)])
    plain = np.abs(np.fft.ifft2(np.exp(log_amplitude - mean + 1j * np.angle(spectrum))))
    assert_allclose(residual.residual_picture(plane[..., None], border)[..., 0], plain, atol=1e-12)


def test_ycbcr():
    """BT.601 in 8 bits: black, white and red."""
    rgb = np.array([[[0, 0, 0], [1, 1, 1], [1, 0, 0]]])
    assert_allclose(255 * whitening.ycbcr(rgb)[0], [[16, 128, 128], [235, 128, 128], [81.481, 90.203, 240]], atol=1e-3)


@pytest.mark.parametrize("variant", ["ycbcr", "rgb"])
def test_contrast_does_not_matter_to_whitening(variant):
    image = noise(60, 80) // 2
    spec = f"spectral_whitening:{variant}"
    assert_allclose(predict(spec, 2 * image), predict(spec, image), rtol=1e-9)


def test_contrast_does_not_matter_to_the_residual():
    image = noise(60, 80) // 2
    assert_allclose(predict("spectral_residual", 2 * image), predict("spectral_residual", image), rtol=1e-4)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("spec", ["spectral_residual", "spectral_whitening"])
def test_a_mirrored_picture_has_the_mirrored_map(spec, axis):
    image = noise(120, 160)
    mirrored = np.flip(predict(spec, np.flip(image, axis)), axis)
    assert_allclose(mirrored, predict(spec, image), rtol=1e-4)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("image", [picture("popout"), popout(64, 80)[:40, :40]], ids=["discs", "one disc"])
def test_rounding_does_not_move_the_map(image, axis):
    """A flipped image has another rounding. Much of the spectrum of a regular display is nothing but rounding."""
    mirrored = np.flip(predict("spectral_residual", np.flip(image, axis)), axis)
    found = predict("spectral_residual", image)
    assert_allclose(mirrored, found, atol=1e-10 * found.max())


@pytest.mark.parametrize("spec", ["spectral_whitening", "spectral_whitening:rgb"])
def test_the_red_disc_is_found(spec):
    found = predict(spec, picture("popout"))  # 120 x 160 pixels; the disc is 12 around (60, 100)
    y, x = np.unravel_index(found.argmax(), found.shape)
    assert np.hypot(y * 2.5 - 60, x * 2.5 - 100) < 14
