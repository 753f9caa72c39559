"""Several processes, as on several GPUs: they make the weights that one process makes."""

import multiprocessing
import os
import socket

import numpy as np
import pandas
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from small_networks import small_networks

from salbench import datasets, edits, registry
from salbench.edits import NewEdit, Writer
from salbench.runtime import Runtime
from salbench.training import checkpoint
from salbench.training_plan import Plan

METHOD = """
import torch
from torch import nn
from salbench.registry import register
from salbench.training import LearnedMethod, Recipe


@register
class Twin(LearnedMethod):
    '''A method of the tests.'''

    recipe = Recipe(size=(12, 16), epochs=1, batch_size=4, warmup_steps=1, validation_share=0.3)

    def build_network(self):
        torch.manual_seed(0)
        last = nn.Conv2d(4, 1, 1, bias=False)
        last.register_buffer("sent", torch.ones(1))  # from the first process to the others, in every pass
        return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.SiLU(), last, nn.Flatten(1, 2))

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float() / 255 - 0.5
"""
LOSSES = {"agreement": 1.0, "increase": 1.0}


def fit(place, out):
    """Train on the data set in the folder `place` alone, and with its edits, into the folders plain/ and edits/."""
    registry.add_folder(place / "methods")
    samples, edited = datasets.load(f"folder:{place / 'set'}").samples, edits.read(place / "edits")
    plain = Plan(folder=out / "plain")
    for plan in plain, Plan(folder=out / "edits", edits=edited, recipe={"p": 0.0, "edit_losses": LOSSES}):
        registry.create("twin", Runtime(progress=False)).fit(samples, plan)


def write_pictures(folder):
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    rows = ["image,x,y"]
    for i in range(16):
        name = f"picture{i}.png"
        Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(folder / "images" / name)
        rows += [f"{name},{x:.1f},{y:.1f}" for x, y in rng.uniform((0, 0), (31, 23), (5, 2))]
    (folder / "fixations.csv").write_text("\n".join(rows))


def write_edits(folder):
    """Edits of every fourth image: often one process has an edit in its share of the batch and the other none."""
    writer = Writer(folder, {})
    for i in range(0, 16, 4):
        original = np.full((24, 32, 3), i, np.uint8)
        writer.add(f"picture{i}", original, {"grey": np.eye(8)}, [NewEdit("grey", 1.0, 1.0, 1, original)])


def in_two_processes(function, *args):
    """Call a function in two processes, which find each other by the variables that torchrun sets.

    They are forks, which saves importing torch twice; torchrun would import it three times.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_one_of_two, args=(rank, port, function, *args)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(timeout=300)
    assert [process.exitcode for process in processes] == [0, 0]


def _one_of_two(rank, port, function, *args):
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank)}
    AcceleratorState._reset_state(reset_partial_state=True)  # that of the process that was forked
    function(*args)
    assert AcceleratorState().num_processes == 2


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with the trainings of `fit` in one process and in two: one/ and two/."""
    place = tmp_path_factory.mktemp("processes")
    write_pictures(place / "set")
    write_edits(place / "edits")
    (place / "methods").mkdir()
    (place / "methods" / "twin.py").write_text(METHOD)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(registry, "_FOLDERS", list(registry._FOLDERS))
        fit(place, place / "one")
        in_two_processes(fit, place, place / "two")
    return place


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["plain", "edits"])
def test_two_processes_make_the_weights_of_one(trained, kind):
    one, two = (checkpoint.read(trained / number / kind / "last.safetensors").tensors for number in ("one", "two"))
    assert one.keys() == two.keys()
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor, rtol=1e-3, atol=1e-6, msg=name)


SIZES = {"lite": (48, 64), "gaze_lite": (64, 96), "fastgaze": (64, 80), "attention_center": (64, 96)}
BATCH_NORMS = "lite", "gaze_lite"


def fit_shipped(name, samples, folder):
    """Train a method that ships with weights for two steps."""
    recipe = {"steps": 2, "batch_size": 4, "validation_share": 0.2, "size": SIZES[name]}
    registry.create(name, Runtime(progress=False)).fit(samples, Plan(folder=folder, recipe=recipe))


@pytest.mark.slow
@pytest.mark.parametrize("name", SIZES)
def test_methods_that_ship_have_the_loss_of_one_process(name, make_spots, tmp_path, monkeypatch):
    """Without dropout, which each process draws. Two networks also normalise over the images that a process has."""
    monkeypatch.setattr(torch.nn.Dropout2d, "forward", lambda self, x: x)
    with small_networks():
        samples = make_spots(10, size=(64, 96))
        fit_shipped(name, samples, tmp_path / "one")
        in_two_processes(fit_shipped, name, samples, tmp_path / "two")
    one, two = (pandas.read_csv(tmp_path / number / "log.csv") for number in ("one", "two"))
    assert len(two) == len(one) == 1  # one process writes
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=0.05 if name in BATCH_NORMS else 1e-5)
