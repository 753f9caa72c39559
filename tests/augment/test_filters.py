import numpy as np
import pytest
from scipy import ndimage

from salbench.augment import filters, get, names

PHOTOMETRIC = [name for name in names() if get(name).kind == "photometric"]


@pytest.mark.parametrize("name", PHOTOMETRIC)
@pytest.mark.parametrize("size", [(1, 1), (7, 300), (90, 61)])
def test_size_and_type_stay_and_the_input_is_not_written(name, size):
    image = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    image.flags.writeable = False
    row = get(name)
    result = row.function(image, np.random.default_rng(1), **row.parameters)
    assert result.shape == image.shape
    assert result.dtype == np.uint8


def test_invert_twice_is_the_identity(image):
    np.testing.assert_array_equal(filters.invert(filters.invert(image, None), None), image)


@pytest.mark.parametrize(("angle", "axis"), [(0, 1), (90, 0)])
def test_motion_blur_is_the_mean_over_a_line(image, angle, axis):
    blurred = filters.motion_blur(image, None, length_px=15, angle_deg=angle)
    expected = ndimage.convolve1d(image.astype(float), np.full(15, 1 / 15), axis=axis, mode="nearest")
    assert np.abs(blurred - expected).max() <= 0.5 + 1e-4


def test_motion_blur_keeps_a_constant(image):
    for grey in (0, 1, 7, 254, 255):
        assert (filters.motion_blur(np.full_like(image, grey), None, length_px=15, angle_deg=0) == grey).all()


def test_motion_blur_of_another_angle_is_refused(image):
    with pytest.raises(ValueError, match=r"expected 0 .* or 90 .*, got 30"):
        filters.motion_blur(image, None, length_px=15, angle_deg=30)


@pytest.mark.parametrize("variance", [0.001, 0.004])
def test_noise_has_the_variance_it_says(variance):
    grey = np.full((400, 500, 3), 128, np.uint8)
    added = filters.noise(grey, np.random.default_rng(2), variance=variance) - 128.0
    assert added.mean() == pytest.approx(0, abs=0.05)
    assert added.var() == pytest.approx(255**2 * variance + 1 / 12, rel=0.01)  # 1 / 12 of rounding
    assert abs(np.corrcoef(added[..., 0].ravel(), added[..., 1].ravel())[0, 1]) < 0.01
    assert abs(np.corrcoef(added[:, 1:, 0].ravel(), added[:, :-1, 0].ravel())[0, 1]) < 0.01


def test_strong_noise_clips_as_a_gaussian_does():
    black = np.zeros((400, 500, 3), np.uint8)
    noisy = filters.noise(black, np.random.default_rng(3), variance=0.1)
    assert (noisy == 0).mean() == pytest.approx(0.5025, abs=0.005)  # P(N(0, 80.6) < 0.5)
    assert (noisy == 255).mean() == pytest.approx(0.00079, abs=0.0002)  # P(N(0, 80.6) > 254.5)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("contrast_stretch_0.3_0.7", {0: 0, 76: 0, 77: 1, 127: 126, 128: 129, 178: 254, 179: 255, 255: 255}),
        ("contrast_squeeze_0.4_0.6", {0: 102, 128: 128, 255: 153}),
    ],
)
def test_contrast_levels(name, expected):
    levels = np.array(list(expected), dtype=np.uint8)
    picture = np.repeat(levels[None, :, None], 3, axis=2)
    assert get(name).function(picture, None, **get(name).parameters)[0, :, 0].tolist() == list(expected.values())


def test_jpeg_gets_worse_with_less_quality():
    y, x = np.mgrid[:64, :64] / 64
    smooth = np.rint(255 * np.stack([x, y, (x + y) / 2], 2)).astype(np.uint8)
    errors = [np.abs(filters.jpeg(smooth, None, quality=q).astype(int) - smooth).mean() for q in (90, 5, 0)]
    assert errors[0] < 3 < errors[1] < errors[2]


def test_canny_draws_the_outline_of_a_disc():
    y, x = np.mgrid[:100, :120]
    distance = np.hypot(x - 60, y - 50)
    disc = np.where(distance < 30, 230, 40).astype(np.uint8)
    edges = filters.canny(np.repeat(disc[..., None], 3, axis=2), None, threshold=0.3, sigma_px=2**0.5)
    assert set(np.unique(edges)) == {0, 255}
    drawn = distance[edges[..., 0] > 0]
    assert np.abs(drawn - 30).max() < 2.5
    assert len(drawn) > 150
