"""DVA agrees with its authors' code, on filters made by a formula."""

import sys

import numpy as np
import pytest
from classical_goldens import PHOTOGRAPHS, assert_agree, bank, expected, picture

from salbench import registry
from salbench.sample import Sample

DVA = sys.modules[registry.get("dva").__module__]
PICTURES = "popout", "noise", *PHOTOGRAPHS


def predicted(image, filters=None):
    method = registry.create("dva")
    if filters is not None:
        method.bank = {"filters": filters}
    return method.predict(Sample("a", image.shape[:2], lambda: image))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PICTURES)
def test_agrees_with_the_authors(name, dtype):
    filters, key = bank(8, 189).astype(dtype), f"synth__{name}__energy_s2"
    found = DVA.energy(registry.create("dva").prepared(picture(name)).astype(dtype), filters)
    assert_agree(found, "dva", key, r=1 - 1e-9, difference=1e-5)
    theirs = expected("dva", key)
    assert np.abs(found[::2, ::2] - theirs).max() < 1e-6 * theirs.max()  # not only up to scale
    assert_agree(predicted(picture(name), filters), "dva", f"synth__{name}__map", r=1 - 1e-9, difference=1e-5)


def test_gains_by_hand():
    # Shares 1/2, 1/4 and 1/4 have an entropy of 3/2: gains are -1/2, which counts as zero, 3/4 and 3/4.
    assert DVA.gains(np.array([4.0, 2.0, 2.0])) == pytest.approx([0, 0.5, 0.5])
    assert DVA.gains(np.array([4.0, 0.0, 2.0, 2.0])) == pytest.approx([0, 0, 0.5, 0.5])


def test_energy_is_that_of_rarely_active_features():
    image = np.zeros((2, 4, 3))
    image[..., 0], image[0, :2, 1], image[1, 2:, 2] = 0.5, 1, -1
    found = DVA.energy(image, np.eye(3))  # shares 1/2, 1/4 and 1/4, as above
    assert found == pytest.approx(np.array([[0.5, 0.5, 0, 0], [0, 0, 0.5, 0.5]]))


def test_every_pixel_has_the_energy_of_the_patches_that_cover_it():
    energies = np.zeros((4, 6))
    energies[1, 2], energies[1, 3] = 1, 2
    found = DVA.saliency(energies, 3)
    assert found.shape == (6, 8)
    assert np.round(9 * found[2], 9).tolist() == [0, 0, 1, 9, 9, 4, 0, 0]
    assert (found.max(axis=1) > 0).tolist() == [False, True, True, True, False, False]


def test_a_mirrored_picture_gives_the_mirrored_map():
    image, filters = picture("noise"), bank(8, 189)
    assert predicted(image[:, ::-1], filters)[:, ::-1] == pytest.approx(predicted(image, filters), abs=1e-6)


def test_exposure_does_not_matter():
    image, filters = picture("noise").astype(np.float64) / 255, bank(8, 189)
    first = DVA.saliency(DVA.energy(image, filters), 8)
    assert DVA.saliency(DVA.energy(0.4 * image, filters), 8) == pytest.approx(first)


def test_the_red_disc_stands_out_through_filters_of_opponent_colours():
    found = predicted(picture("popout"), bank(8, 189))
    cells = [found[y : y + 27, x : x + 30].mean() for y in (0, 27, 54) for x in (0, 30, 60, 90)]  # one disc each
    assert np.argmax(cells) == 1 * 4 + 2


def test_a_constant_picture_has_a_constant_map():
    for color in (0, 128, (200, 40, 41)):
        assert np.ptp(predicted(np.full((40, 50, 3), color, np.uint8))) == 0
