"""Overlays of densities whose contours are known."""

import numpy as np
import pytest

from salbench.overlay import LONGEST, draw_overlay

SIZE = (300, 400)
SIGMA = 40.0


@pytest.fixture
def density():
    """A Gaussian around the centre."""
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    return np.exp(-((columns - 199.5) ** 2 + (rows - 149.5) ** 2) / (2 * SIGMA**2))


def grey(value, size=SIZE):
    return np.full((*size, 3), value, np.uint8)


def test_the_lines_enclose_half_and_nine_tenths(density):
    """A Gaussian has the share s of its mass within sigma * sqrt(-2 log(1 - s))."""
    row = draw_overlay(grey(0), density)[149].min(axis=1).astype(int)
    inner, outer = (SIGMA * np.sqrt(-2 * np.log(1 - share)) for share in (0.5, 0.9))
    for radius, brightness in ((inner, 200), (outer, 100)):
        for centre in (199.5 - radius, 199.5 + radius):
            near = np.arange(400)[np.abs(np.arange(400) - centre) < 12]
            assert row[near].max() >= brightness
            assert near[row[near].argmax()] == pytest.approx(centre, abs=1.5)


def test_beyond_the_outer_line_the_picture_stays(density):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    drawn = draw_overlay(image, density)
    rows, columns = np.ogrid[: SIZE[0], : SIZE[1]]
    outside = np.hypot(rows - 149.5, columns - 199.5) > SIGMA * np.sqrt(-2 * np.log(0.1)) + 5
    assert (drawn[outside] == image[outside]).all()
    assert (drawn != image)[~outside].mean() > 0.9


def test_the_peak_is_yellow_and_shows_the_picture(density):
    dark, bright = (draw_overlay(grey(value), density)[150, 200].astype(int) for value in (40, 200))
    for red, green, blue in (dark, bright):
        assert red > green > blue
    assert (bright - dark == round(0.4 * 160)).all()


def test_a_flat_density_changes_nothing():
    assert (draw_overlay(grey(77), np.ones(SIZE)) == 77).all()


def test_it_can_be_seen_on_white(density):
    assert draw_overlay(grey(255), density).min(axis=2)[149, :140].min() < 190  # the rim of the outer line


def test_of_a_mirrored_picture(density):
    image = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
    density = density + 2 * np.roll(density, (40, -90), (0, 1))
    mirrored = draw_overlay(image[:, ::-1], density[:, ::-1])[:, ::-1].astype(int)
    assert np.abs(mirrored - draw_overlay(image, density)).max() <= 2


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 2), (24, 32)])
def test_of_small_pictures(size):
    assert draw_overlay(grey(9, size), np.random.default_rng(0).random(size)).shape == (*size, 3)


def test_a_large_picture_is_drawn_smaller():
    density = np.zeros((600, 2 * LONGEST))
    density[200:300, 300:500] = 1
    drawn = draw_overlay(grey(0, density.shape), density)
    assert drawn.shape == (300, LONGEST, 3)
    assert drawn[125, 200].max() > 100
    assert drawn[125, 600].max() == 0


def test_a_density_of_another_size():
    with pytest.raises(ValueError, match="density: expected the image's size"):
        draw_overlay(grey(0), np.ones((400, 300)))
