"""The command line as a function, and small inputs for it."""

import csv
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from salbench import cli, registry
from salbench.augment import catalog

NETWORK = '''
from torch import nn
from salbench.registry import register
from salbench.training import LearnedMethod, Recipe

@register
class Small(LearnedMethod):
    """One convolution."""

    recipe = Recipe(size=(24, 32), epochs=1)

    def build_network(self):
        return nn.Sequential(nn.Conv2d(3, 1, 5, padding=2), nn.Flatten(1, 2))

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float() / 255
'''


@pytest.fixture(autouse=True)
def _forget_what_is_added(monkeypatch):
    monkeypatch.setattr(registry, "_FOLDERS", registry._FOLDERS[:1])
    monkeypatch.setattr(catalog, "_CATALOG", dict(catalog._CATALOG))
    monkeypatch.setattr(catalog, "_FOLDERS", [])


@pytest.fixture
def salbench() -> Callable[..., int]:
    """Executes `salbench WORDS` and returns its exit status."""
    return lambda *words: cli.main([str(word) for word in words])


@pytest.fixture
def network(tmp_path) -> Path:
    """A folder with a learned method, `small`."""
    folder = tmp_path / "networks"
    folder.mkdir()
    (folder / "small.py").write_text(NETWORK)
    return folder


def _write_data_set(folder: Path, names: str, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    rows = []
    for name in names:
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / "images" / f"{name}.png")
        rows += [(name, *(rng.random(2) * [64, 48]), observer) for observer in range(3) for _ in range(4)]
    with open(folder / "fixations.csv", "w", newline="") as file:
        csv.writer(file).writerows([("image", "x", "y", "observer"), *rows])
    return folder


@pytest.fixture
def write_data_set() -> Callable[[Path, str, int], Path]:
    """A function of (folder, names, seed): writes pictures of 48 x 64 with fixations of three observers on each."""
    return _write_data_set


@pytest.fixture
def images(tmp_path) -> Path:
    """A folder data set of three pictures."""
    return _write_data_set(tmp_path / "mine", "abc", seed=3)


@pytest.fixture
def picture(tmp_path) -> Path:
    """A picture, cat.png, with fixations cat.csv and cat.npy beside it."""
    folder = tmp_path / "picture"
    folder.mkdir()
    Image.fromarray(np.full((60, 80, 3), 50, np.uint8)).save(folder / "cat.png")
    (folder / "cat.csv").write_text("observer,x,y\n1,10.5,20\n2,79,59.5\n")
    np.save(folder / "cat.npy", [[10.5, 20, 1], [79, 59.5, 2]])
    return folder / "cat.png"


@pytest.fixture
def add_verb(tmp_path, monkeypatch):
    """A function of the body of `execute`: adds the verb `toy` for one test."""
    folder = tmp_path / "verbs"
    folder.mkdir()
    monkeypatch.setattr(cli, "__path__", [*cli.__path__, str(folder)])

    def add(body: str) -> None:
        (folder / "toy.py").write_text(
            '"""Do what a toy does.\n\nIt has a description."""\n'
            'USAGE = "[options]"\nEXAMPLES = ("salbench toy --out DIR",)\n'
            'def add_options(parser):\n    parser.add_argument("--out", default="toys")\n'
            f"def execute(options):\n    {body}\n"
        )

    yield add
    sys.modules.pop("salbench.cli.toy", None)
    if hasattr(cli, "toy"):
        del cli.toy
