"""AIM agrees with its author's code, on filters made by a formula; its own filters find what stands out."""

import sys

import numpy as np
import pytest
from classical_goldens import PHOTOGRAPHS, assert_agree, bank, expected, picture

from salbench import registry
from salbench.maps import minmax
from salbench.sample import Sample

AIM = sys.modules[registry.get("aim").__module__]
PICTURES = "noise", *PHOTOGRAPHS
GOLDENS = {"sharp": "map_s2", "smooth": "smooth_s2"}


def predicted(image, variant="sharp", filters=None):
    method = registry.create(f"aim:{variant}")
    if filters is not None:
        method.bank = {"filters": filters}
    return method.predict(Sample("a", image.shape[:2], lambda: image))


@pytest.mark.parametrize("variant", GOLDENS)
@pytest.mark.parametrize("name", PICTURES)
def test_double_precision_agrees_exactly(name, variant):
    image = picture(name).astype(np.float64)
    inner = AIM.information(image, bank(21, 24))
    if variant == "smooth":
        inner = AIM.filter_rows_and_columns(inner, AIM.SMOOTHING)
    found = AIM.framed(inner, image.shape[:2])
    assert_agree(found, "aim_synth", f"{name}__{GOLDENS[variant]}", r=1 - 1e-10, difference=1e-5)
    theirs = expected("aim_synth", f"{name}__{GOLDENS[variant]}")
    assert found[::2, ::2] == pytest.approx(theirs, rel=1e-6)  # not only up to scale


@pytest.mark.parametrize("name", PICTURES)
def test_single_precision_moves_few_responses_to_another_bin(name):
    found = predicted(picture(name), filters=bank(21, 24).astype(np.float32))
    theirs = expected("aim_synth", f"{name}__map_s2")
    assert np.corrcoef(found[::2, ::2].ravel(), theirs.ravel())[0, 1] > 0.9999
    assert np.abs(minmax(found[::2, ::2]) - minmax(theirs)).mean() < 1e-3


@pytest.mark.parametrize("name", ["popout", *PICTURES])
def test_smooth_agrees_in_single_precision(name):
    found = predicted(picture(name), "smooth", bank(21, 24).astype(np.float32))
    assert_agree(found, "aim_synth", f"{name}__smooth_s2", r=0.99999, difference=0.005)


def test_flat_areas_lie_on_borders_of_bins():
    found, theirs = predicted(picture("popout"), filters=bank(21, 24)), expected("aim_synth", "popout__map_s2")
    assert np.corrcoef(found[::2, ::2].ravel(), theirs.ravel())[0, 1] > 0.999


def test_responses_are_products_with_patches_in_matlab_order():
    rng = np.random.default_rng(0)
    image, filters = rng.random((9, 12, 3)), rng.standard_normal((2, 5 * 5 * 3))
    found = np.array(list(AIM.responses(image, filters)))
    patches = [[image[i : i + 5, j : j + 5].ravel(order="F") for j in range(8)] for i in range(5)]
    assert found == pytest.approx(np.einsum("ijt,kt->kij", patches, filters), abs=1e-12)


def test_information_by_hand():
    image = np.zeros((2, 4, 3))
    image[0, 0], image[0, 1] = (10, 0, 0), (5.01, 0, 0)  # bins 999 and 500; the others are in bin 0
    rare, common = -np.log(1 / 8 + 1e-6), -np.log(6 / 8 + 1e-6)
    found = AIM.information(image, np.array([[1.0, 0, 0], [0, 1.0, 0]]))  # nothing is green: a share of one
    assert found - -np.log(1 + 1e-6) == pytest.approx(np.array([[rare, rare, common, common], [common] * 4]))


def test_responses_are_rounded_to_a_thousand_bins():
    image = np.zeros((1, 5, 3))
    image[0, :, 0] = 999, 0.4, 0.6, 1.4, 0
    one, two = -np.log(1 / 5 + 1e-6), -np.log(2 / 5 + 1e-6)
    assert AIM.information(image, np.array([[1.0, 0, 0]]))[0] == pytest.approx([one, two, two, two, two])


def test_a_mirrored_picture_gives_the_mirrored_map():
    image, filters = picture("noise").astype(np.float64), bank(21, 24)
    first, second = AIM.information(image, filters), AIM.information(image[:, ::-1], filters)[:, ::-1]
    assert (np.abs(first - second) > 1e-9).mean() < 1e-3  # rounding errors move some responses to another bin


def test_exposure_does_not_matter():
    image, filters = picture("noise").astype(np.float64), bank(21, 24)
    first, second = AIM.information(image, filters), AIM.information(0.37 * image + 20, filters)
    assert (np.abs(first - second) > 1e-9).mean() < 1e-3


@pytest.mark.parametrize("variant", GOLDENS)
def test_the_red_disc_stands_out(variant):
    image = picture("popout160")
    found = predicted(image, variant)
    rows, columns = np.mgrid[20:160:40, 20:200:40]
    discs = [found[y - 12 : y + 13, x - 12 : x + 13].mean() for y, x in zip(rows.flat, columns.flat, strict=True)]
    assert np.argmax(discs) == 1 * 5 + 2


@pytest.mark.parametrize("shape", [(32, 32), (600, 800)])
def test_a_constant_picture_has_a_constant_map(shape):
    for color in (0, 128, (200, 40, 41)):
        assert np.ptp(predicted(np.full((*shape, 3), color, np.uint8))) == 0
