"""pysaliency's models and data types over a few small random images, to hold the metrics to live values."""

from dataclasses import dataclass

import numpy as np
import pysaliency
import pytest
from pysaliency.datasets import get_image_hash

SHAPES = [(24, 32), (24, 32), (32, 24), (18, 40), (27, 33), (24, 32), (25, 31)]


class MapModel(pysaliency.SaliencyMapModel):
    """Gives each stimulus the map it was made with."""

    def __init__(self, stimuli, maps):
        super().__init__(caching=False)
        # In float64, because pysaliency computes KL and SIM in the precision of the map.
        maps = [np.asarray(map_, dtype=np.float64) for map_ in maps]
        self._maps = {get_image_hash(image): map_ for image, map_ in zip(stimuli.stimuli, maps, strict=True)}

    def _saliency_map(self, stimulus):
        return self._maps[get_image_hash(stimulus)]


@dataclass
class Peer:
    """Seven images of five sizes: pysaliency's objects, and the same arrays as plain lists, one entry per image."""

    stimuli: pysaliency.Stimuli
    fixations: pysaliency.Fixations
    model: MapModel
    gold: MapModel
    shapes: list
    points: list
    predictions: list
    densities: list

    def by_image(self, per_fixation):
        """Means of pysaliency's per-fixation values over the fixations of each image."""
        return [per_fixation[self.fixations.n == i].mean() for i in range(len(self.shapes))]


def _prediction(rng, kind, shape):
    noise = rng.random(shape)
    kinds = {
        "float": noise,
        "quantised": np.floor(noise * 8),
        "negative": noise - 0.7,
        "peaked": noise**80,
        "zeros": np.where(noise < 0.6, 0.0, noise),
        "constant": np.full(shape, 3.0),
        "float32": noise.astype(np.float32),
    }
    return kinds[kind]


@pytest.fixture(scope="session")
def peer():
    rng = np.random.default_rng(20)
    images = [rng.integers(0, 256, (*shape, 3), dtype=np.uint8) for shape in SHAPES]
    kinds = ("float", "quantised", "negative", "peaked", "zeros", "constant", "float32")
    predictions = [_prediction(rng, kind, shape) for kind, shape in zip(kinds, SHAPES, strict=True)]
    densities = [rng.random(shape) ** 6 * (rng.random(shape) < 0.8) for shape in SHAPES]
    # Fractional positions, some of them repeated, so that truncation and multiplicity both show.
    points = [rng.uniform((0, 0), shape[::-1], (8 + 3 * i, 2)) for i, shape in enumerate(SHAPES)]
    points = [np.vstack([p, p[:3]]) for p in points]
    stimuli = pysaliency.Stimuli(images)
    n = np.repeat(np.arange(len(points)), [len(p) for p in points])
    x, y = np.concatenate(points).T
    return Peer(
        stimuli=stimuli,
        fixations=pysaliency.Fixations.create_without_history(x, y, n),
        model=MapModel(stimuli, predictions),
        gold=MapModel(stimuli, densities),
        shapes=SHAPES,
        points=points,
        predictions=predictions,
        densities=densities,
    )
