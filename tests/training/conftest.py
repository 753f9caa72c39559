"""Learnable toy samples: where the bright spot is, people look. And a network small enough to train in a second."""

from functools import partial

import numpy as np
import pytest

from salbench import registry
from salbench.sample import Sample

SIZE = (24, 32)

METHOD = """
from torch import nn
from salbench.registry import register
from salbench.training import LearnedMethod, Recipe


@register
class Own(LearnedMethod):
    '''A method of the tests.'''

    recipe = Recipe(size=(24, 32), epochs=2, batch_size=4, learning_rate=0.02, warmup_steps=2, validation_share=0.3)

    def build_network(self):
        first, last = nn.Conv2d(3, CHANNELS, 3, padding=1), nn.Conv2d(CHANNELS, 1, 1)
        return nn.Sequential(first, nn.SiLU(), last, nn.Flatten(1, 2))

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float() / 255 - 0.5
"""


def _spot(size, x, y, seed):
    noise = np.random.default_rng(seed).integers(0, 60, (*size, 3))
    rows, columns = np.mgrid[: size[0], : size[1]] + 0.5
    spot = 190 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 2.0**2))
    return (noise + spot[..., None]).astype(np.uint8)


@pytest.fixture(scope="session")
def make_spots():
    """A function of a number: so many samples, each with a bright spot on dark noise and six fixations on it."""

    def make(number, seed=0, size=SIZE):
        rng = np.random.default_rng(seed)
        samples = []
        for i in range(number):
            x, y = rng.uniform((4, 4), (size[1] - 4, size[0] - 4))
            points = np.clip(rng.normal((x, y), 1.0, (6, 2)), 0, (size[1] - 0.01, size[0] - 0.01))
            samples.append(
                Sample(
                    id=f"spot_{seed}_{i}",
                    size=size,
                    read_image=partial(_spot, size, x, y, 1000 * seed + i),
                    fixations=points,
                    observers=np.arange(6) % 3,
                    sigma=2.0,
                )
            )
        return samples

    return make


@pytest.fixture(scope="session")
def learned_folder():
    """A function of a monkeypatch, a new folder and names: learned methods by these names, while the patch lasts."""

    def make(patch, folder, *names, channels=4):
        folder.mkdir(exist_ok=True)
        patch.setattr(registry, "_FOLDERS", list(dict.fromkeys([*registry._FOLDERS, folder])))
        for name in names:
            (folder / f"{name}.py").write_text(METHOD.replace("CHANNELS", str(channels)))

    return make


@pytest.fixture
def add_learned(learned_folder, tmp_path, monkeypatch):
    """A function of a name and a number of channels: a learned method by this name, forgotten after the test."""

    def add(name, channels=4):
        learned_folder(monkeypatch, tmp_path / "learned_methods", name, channels=channels)
        return name

    return add
