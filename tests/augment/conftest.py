import numpy as np
import pytest

from salbench.augment import catalog
from salbench.sample import Sample

SIZE = (300, 420)


@pytest.fixture(autouse=True)
def _own_catalog(monkeypatch):
    """Augmentations that a test adds are forgotten after it."""
    monkeypatch.setattr(catalog, "_CATALOG", dict(catalog._CATALOG))


@pytest.fixture
def image():
    return np.random.default_rng(5).integers(0, 256, (*SIZE, 3), dtype=np.uint8)


@pytest.fixture
def sample(image):
    """All that a sample can have; fixations on whole and quarter pixels, corners among them."""
    rng = np.random.default_rng(6)
    points = rng.integers(0, (4 * SIZE[1], 4 * SIZE[0]), (80, 2)) / 4
    points[:4] = [(0, 0), (SIZE[1] - 1, 0), (0, SIZE[0] - 1), (SIZE[1] - 0.25, SIZE[0] - 0.25)]
    density = rng.random(SIZE)
    return Sample(
        "cat",
        SIZE,
        lambda: image,
        points,
        np.arange(80) % 7,
        lambda: density,
        sigma=9.0,
        caption="A cat.",
        boxes=np.array([[10.0, 20.0, 60.0, 40.0], [400.0, 280.0, 20.0, 20.0]]),
        durations=np.arange(80.0),
        order=np.arange(80.0) // 7,
    )
