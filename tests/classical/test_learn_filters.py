"""Learning filters: patches in MATLAB's order, and sources that a mixture is taken apart into."""

import importlib
from types import SimpleNamespace

import numpy as np
import pytest

from salbench import registry
from salbench.sample import Sample

LEARN = importlib.import_module(registry.get("sun").__module__.rpartition(".")[0] + "._learn_filters")


def test_patches_are_drawn_in_matlab_order():
    image = np.random.default_rng(0).random((5, 6, 3)).astype(np.float32)
    model = SimpleNamespace(side=4, sees_mean=True, prepared=lambda image: image / 2)
    sample = SimpleNamespace(image=image)
    patches = LEARN.draw(model, [sample, sample], 40, np.random.default_rng(1))
    possible = {(i, j): (image / 2)[i : i + 4, j : j + 4].ravel(order="F") for i in range(2) for j in range(3)}
    places = [next(place for place, patch in possible.items() if (patch == drawn).all()) for drawn in patches]
    assert set(places) == set(possible)
    assert len(places) == 80


def test_patches_lose_their_mean_if_the_model_does_not_see_it():
    image = np.random.default_rng(0).integers(0, 256, (40, 40, 3), np.uint8)
    patches = LEARN.draw(registry.create("sun"), [Sample("a", (40, 40), lambda: image)], 5, np.random.default_rng(1))
    assert patches.shape == (5, 363)
    assert patches.mean(axis=1) == pytest.approx(0, abs=1e-6)
    assert np.ptp(patches) > 1


def test_a_mixture_is_taken_apart_into_its_sources():
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((6, 4))
    patches = rng.laplace(size=(50_000, 4)) / 2**0.5 @ mixing.T + 5  # sources of unit variance
    filters, iterations = LEARN.independent_components(patches, 4, seed=0, iterations=100)
    gain = np.abs(filters @ mixing)
    assert iterations < 100
    assert np.sort(gain.max(axis=1)) == pytest.approx(1, abs=0.03)
    assert np.sort(gain, axis=1)[:, :-1].max() < 0.05
    assert sorted(gain.argmax(axis=1)) == [0, 1, 2, 3]


def test_the_same_seed_gives_the_same_filters():
    patches = np.random.default_rng(0).laplace(size=(2000, 3))
    first, second, other = (LEARN.independent_components(patches, 3, seed, 50)[0] for seed in (0, 0, 1))
    assert (first == second).all()
    assert (first != other).any()
