"""What every classical model must do, in every variant, and which singletons the default variants find."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from scipy.ndimage import maximum

from salbench import registry
from salbench.datasets import popout
from salbench.maps import resize
from salbench.sample import Sample

pytestmark = pytest.mark.filterwarnings("error")

SPECS = [
    spec
    for name in registry.members("classical")
    for spec in (name, *(f"{name}:{option}" for option in registry.get(name).options[1:]))
]
SIZES = (32, 32), (33, 150), (240, 320), (400, 80)
LARGE, FAIRLY_LARGE = (1500, 2000), (900, 1200)  # the second for variants: most share the passes over all pixels
TOO_SMALL = ("itti_koch", (32, 32)), ("itti_koch", (33, 150))  # no level is left for the surround
SLOW_IF_LARGE = {"covsal", "itti_koch"}  # methods that take more than a few seconds for a picture of this size

# Displays, of six with a singleton of colour and six of orientation, in which the highest peak is on the singleton.
# They are hard: small items close together at 240 x 320 pixels. Grey models see a colour by its luminance only.
FOUND = {
    "aim": (5, 5),
    "bms": (6, 2),
    "covsal": (0, 0),  # its centre prior outweighs the items
    "dva": (3, 2),
    "fes": (0, 0),  # its centre prior outweighs the items
    "fine_grained": (5, 1),  # its surrounds know no orientation
    "gbvs": (1, 4),
    "image_signature": (5, 5),
    "itti_koch": (1, 2),
    "spectral_residual": (2, 4),  # grey
    "spectral_whitening": (5, 6),
    "ssr": (1, 1),
    "sun": (1, 1),
}


def noise(size, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def predict(spec, image):
    found = registry.create(spec).predict(Sample("a", image.shape[:2], lambda: image))
    assert found.ndim == 2
    assert found.dtype in (np.float32, np.float64)
    assert np.isfinite(found).all()
    return found


@cache
def predict_display(spec, id):
    return predict(spec, display(id))


@cache
def display(id):
    return popout.draw(id)


def rank(saliency, id):
    """Place of the singleton among the items of a display, by the largest value in each item's cell; 1 is the first."""
    cell = popout._cell_of_pixel(popout._design(id).grid)
    peaks = maximum(resize(saliency, popout.SIZE), cell, np.unique(cell))
    return 1 + (peaks > peaks[popout._items(id).target]).sum()


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("spec", SPECS)
def test_any_size_colour_or_grey(spec, size):
    image = noise(size)
    for picture in (image, np.repeat(image[..., :1], 3, axis=2)):
        assert (np.ptp(predict(spec, picture)) > 0) == ((spec, size) not in TOO_SMALL)


@pytest.mark.parametrize(
    "spec",
    [pytest.param(s, marks=pytest.mark.slow) if s.partition(":")[0] in SLOW_IF_LARGE else s for s in SPECS],
)
def test_large(spec):
    predict(spec, noise(FAIRLY_LARGE if ":" in spec else LARGE))


@pytest.mark.parametrize("colour", [(0, 0, 0), (77, 77, 77), (255, 255, 255), (200, 40, 40)], ids=str)
@pytest.mark.parametrize("spec", SPECS)
def test_constant_picture(spec, colour):
    predict(spec, np.full((48, 65, 3), colour, np.uint8))


@pytest.mark.parametrize("spec", SPECS)
def test_same_picture_same_bytes(spec):
    image = noise((90, 120))
    before = image.copy()
    sample = Sample("a", image.shape[:2], lambda: image)
    method = registry.create(spec)
    first = method.predict(sample).tobytes()
    method.predict(Sample("b", (60, 80), lambda: noise((60, 80), seed=1)))  # no other picture has a say
    assert method.predict(sample).tobytes() == first
    assert registry.create(spec).predict(sample).tobytes() == first
    assert_array_equal(image, before)


@pytest.mark.parametrize("name", registry.members("classical"))
def test_singletons(name):
    def found(family):
        ids = [id for id in popout.IDS if id.startswith(family)]
        return sum(rank(predict_display(name, id), id) == 1 for id in ids)

    counts = found("color"), found("orientation")
    assert counts == FOUND.get(name), f"if this is what {name} does, say so in FOUND"


@pytest.mark.parametrize("name", registry.members("classical"))
def test_the_page_shows_the_singletons(name):
    page = Path(__file__).resolve().parents[2] / "results" / "classical.md"
    colour, orientation = FOUND[name]
    assert f"| `{name}` | {colour} | {orientation} |" in page.read_text(encoding="utf-8")


def test_variants_differ():
    maps = {spec: predict_display(spec, "color_01") for spec in SPECS}
    assert len({found.tobytes() for found in maps.values()}) == len(maps)
