"""What every classical model and variant must do, and which singletons the default variants find."""

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
LARGE = 700, 1100
TOO_SMALL = ("itti_koch", "32 x 32"), ("itti_koch", "33 x 150, grey")  # no level is left for the surround

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


def noise(size):
    return np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)


PICTURES = {
    "32 x 32": noise((32, 32)),
    "33 x 150, grey": np.repeat(noise((33, 150))[..., :1], 3, axis=2),
    "400 x 80": noise((400, 80)),
    "black": np.zeros((48, 65, 3), np.uint8),
    "red": np.full((48, 65, 3), (200, 40, 40), np.uint8),
}


def predict(method, image):
    before = image.copy()
    found = method.predict(Sample("a", image.shape[:2], lambda: image))
    assert_array_equal(image, before)
    assert found.ndim == 2
    assert found.dtype in (np.float32, np.float64)
    assert np.isfinite(found).all()
    return found


@cache
def predictions(spec):
    """{name of a picture: its map}, all by one method. Variants share its first steps: three pictures are enough."""
    method, names = registry.create(spec), ("33 x 150, grey", "400 x 80", "black") if ":" in spec else PICTURES
    return {name: predict(method, PICTURES[name]) for name in names}


@cache
def predict_display(spec, id):
    return predict(registry.create(spec), display(id))


@cache
def display(id):
    return popout.draw(id)


def rank(saliency, id):
    """Place of the singleton among the items of a display, by the largest value in each item's cell; 1 is the first."""
    cell = popout._cell_of_pixel(popout._design(id).grid)
    peaks = maximum(resize(saliency, popout.SIZE), cell, np.unique(cell))
    return 1 + (peaks > peaks[popout._items(id).target]).sum()


@pytest.mark.parametrize("spec", SPECS)
def test_any_picture(spec):
    """Of any size, in colour or grey; a picture of one colour has any finite map."""
    for name, found in predictions(spec).items():
        if name not in ("black", "red"):
            assert (np.ptp(found) > 0) == ((spec, name) not in TOO_SMALL), name


@pytest.mark.parametrize("name", registry.members("classical"))
def test_large(name):
    """Variants share the passes over all pixels."""
    predict(registry.create(name), noise(LARGE))


@pytest.mark.parametrize("spec", SPECS)
def test_same_picture_same_bytes(spec):
    """No picture before it has a say."""
    alone = predict(registry.create(spec), PICTURES["400 x 80"])
    assert alone.tobytes() == predictions(spec)["400 x 80"].tobytes()


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
    maps = [predictions(spec)["400 x 80"].tobytes() for spec in SPECS]
    assert len(set(maps)) == len(maps)
