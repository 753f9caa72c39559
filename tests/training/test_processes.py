"""Several processes, as on several GPUs: they make the weights that one process makes."""

import importlib
import json
import multiprocessing
import os
import socket
import sys
import time
from functools import partial

import numpy as np
import pandas
import pytest
import torch
from accelerate.state import AcceleratorState
from PIL import Image
from torch import nn
from torch.nn.functional import batch_norm
from trainable import SHARE, SIZE, recipe_of, small_methods

from salbench import datasets, edits, registry
from salbench.edits import NewEdit, Writer
from salbench.runtime import Runtime
from salbench.training import checkpoint
from salbench.training.loop import Trainer, TrainingProblem, split
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
    importlib.import_module("torch._dynamo")  # which every training imports
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_one_of_two, args=(rank, port, function, *args)) for rank in range(2)]
    for process in processes:
        process.start()
    deadline = time.monotonic() + 600
    for process in processes:
        process.join(max(0, deadline - time.monotonic()))
        process.kill()  # they may wait for each other
        process.join()
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


ONE_OF_EACH_WAY = [
    "lite",  # like most methods
    "unisal",  # has a part for each data set, and a batch trains one of them
    "tempsal",  # has outputs that no loss sees
    "deepgaze_iie",  # keeps features of frozen backbones
    "gaze_lite",  # the same, and has a loss of its own
    "diffusion_readout",  # has a loss of its own, with areas that are drawn
]


def fit_all(samples, runtime, folder):
    """Train methods for one step of three images, into <folder>/<name>. Of two processes, one gets two of them."""
    if os.environ.get("RANK") == "1":
        sys.addaudithook(partial(refuse_to_write, folder))
    for name in ONE_OF_EACH_WAY:
        recipe = recipe_of(name, steps=1, batch_size=3, clip=1e9)
        registry.create(name, runtime).fit(samples, Plan(folder=folder / name, recipe=recipe))


def refuse_to_write(folder, event, arguments):
    """An audit hook: raise if a file below a folder is opened to be written."""
    if event == "open" and arguments[2] & (os.O_WRONLY | os.O_RDWR):
        assert not str(arguments[0]).startswith(str(folder)), arguments


def leave_out_what_differs(patch):
    """Take out random numbers, which each process draws for itself, and norms over the images of one process."""
    patch.setattr(nn.Dropout2d, "forward", lambda self, x: x)
    patch.setattr(nn.BatchNorm2d, "forward", normalised_by_running_statistics)
    areas = importlib.import_module(f"{registry.get('diffusion_readout').__module__}.areas")
    patch.setattr(areas, "draw_patches", lambda images, device: torch.tensor([0.1, 0.2, 0.5, 0.6]).expand(4, images, 4))


def normalised_by_running_statistics(norm, x):
    return batch_norm(x, norm.running_mean, norm.running_var, norm.weight, norm.bias, eps=norm.eps)


@pytest.fixture(scope="module")
def shipped(make_spots, tmp_path_factory):
    """A folder with the trainings of `fit_all` in one process and in two: one/ and two/.

    All methods share a launch, because each takes seconds.
    """
    place = tmp_path_factory.mktemp("shipped")
    with small_methods(place) as patch:
        leave_out_what_differs(patch)
        runtime = Runtime(weights_root=place / "weights", backbone=str(place / "backbone"), progress=False)
        train, validation = split(make_spots(20, size=SIZE), SHARE)
        samples = [*train[:3], *validation[:1]]
        for number, run in ("one", fit_all), ("two", partial(in_two_processes, fit_all)):
            patch.setenv("XDG_CACHE_HOME", str(place / f"cache_{number}"))  # for features
            run(samples, runtime, place / number)
    return place


@pytest.mark.slow
@pytest.mark.parametrize("name", ONE_OF_EACH_WAY)
def test_two_processes_have_the_loss_and_gradient_of_one(name, shipped):
    one, two = (shipped / number / name for number in ("one", "two"))
    losses = [pandas.read_csv(folder / "log.csv")["loss"] for folder in (one, two)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-5)
    one, two = map(gradient, (one, two))
    assert torch.dist(one, two) < 1e-3 * one.norm()


def gradient(folder):
    """The gradient of a training's only step, which AdamW keeps a tenth of, as one vector."""
    tensors = checkpoint.read(folder / "last.safetensors").part("optimizer")
    return torch.cat([t.flatten() for name, t in sorted(tensors.items()) if name.endswith(".exp_avg")])


def fit_and_tell(samples, folder):
    """Train `lite`. Each process writes the random numbers that its steps draw and its scores to a file of its own."""
    method, drawn = registry.create("lite", Runtime(progress=False)), []
    method.recipe = method.recipe.changed(recipe_of("lite", steps=4))
    loss, method.loss = method.loss, lambda *arguments: drawn.append(torch.rand(()).item()) or loss(*arguments)
    torch.manual_seed(0)
    trainer = Trainer(method.build_network(), method, *split(samples, SHARE), Plan(folder=folder / "run"))
    trainer.run()
    (folder / f"{os.environ['RANK']}.json").write_text(json.dumps([drawn, trainer.history]))


def test_processes_draw_for_themselves_and_agree_on_scores(make_spots, tmp_path):
    in_two_processes(fit_and_tell, make_spots(10), tmp_path)
    told = [json.loads((tmp_path / f"{rank}.json").read_text()) for rank in range(2)]
    (drawn, history), (drawn_by_other, history_of_other) = told
    assert len(set(drawn + drawn_by_other)) == 8
    assert history == history_of_other


def refuse(samples, folder):
    with pytest.raises(TrainingProblem, match="at least one image for each of 2 processes, got 1; start fewer"):
        registry.create("lite").fit(samples, Plan(folder=folder, recipe=recipe_of("lite", batch_size=1)))


def test_each_process_needs_an_image(make_spots, tmp_path):
    in_two_processes(refuse, make_spots(10), tmp_path)
