"""Every method that can be trained: two steps by one plan, then a prediction; and each of its starts."""

from functools import cache

import numpy as np
import pytest
import torch
from small_networks import imagenet_state
from toys import write_edits
from trainable import SHARE, SIZE, TRAINABLE, recipe_of, small_methods

from salbench import registry, weights
from salbench.runtime import Runtime
from salbench.training import checkpoint
from salbench.training.checkpoint import Record
from salbench.training.loop import split
from salbench.training.start import begin, names
from salbench.training_plan import Plan

KINDS = ("plain", "augmentation", "edits")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """A folder of weights to start from."""
    place = tmp_path_factory.mktemp("small")
    with small_methods(place) as patch:
        patch.setenv("SALBENCH_BACKBONE", str(place / "backbone"))
        patch.setenv("XDG_CACHE_HOME", str(place / "cache"))  # for features
        yield place / "weights"


@pytest.fixture(scope="module")
def samples(make_spots):
    """Four samples to train on, in an epoch of two steps, and one to validate on."""
    train, validation = split(make_spots(20, size=SIZE), SHARE)
    return [*train[:4], *validation[:1]]


@pytest.fixture(scope="module")
def plans(samples, tmp_path_factory):
    """What each kind of training adds to a plan."""
    edits = write_edits(tmp_path_factory.mktemp("edits"), samples)
    return {"plain": {}, "augmentation": {"augment": ("hflip",)}, "edits": {"edits": edits}}


def test_the_list_is_complete():
    assert {"lite", "unisal", "simplenet", "tempsal", "deepgaze_iie", "diffusion_readout"} <= set(TRAINABLE)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", TRAINABLE)
def test_two_steps_and_a_prediction(name, kind, samples, plans, root, tmp_path):
    recipe = recipe_of(name, **{"p": 0.0} if kind == "edits" else {})
    plan = Plan(folder=tmp_path / "run", dataset="spots", recipe=recipe, **plans[kind])
    runtime = Runtime(seed=3, workers=2, weights_root=root, progress=False)
    method = registry.create(name, runtime)
    assert method.fit(samples, plan) is method
    record = method.trained.record
    assert (record.step, record.identity["seed"]) == (2, 3)
    assert record.identity["copies"] == ({"hflip": 0} if kind == "augmentation" else {})
    assert (record.data.images, record.data.dataset) == (4, "spots")
    assert method.knows_edits(plan.edits.fingerprint if plan.edits else "0123456789abcdef") == (kind == "edits")
    assert np.isfinite(record.history[0]["loss"])
    sample = samples[0].blind()
    prediction = method.predict(sample)
    assert prediction.ndim == 2
    assert np.isfinite(prediction).all()
    assert prediction.std() > 0
    assert method.seen(samples) == samples
    if kind == "plain":  # a checkpoint is read again in the same way, whatever it was trained on
        again = registry.create(f"{name}:mine={tmp_path / 'run'}", runtime)
        np.testing.assert_array_equal(again.predict(sample), prediction)
        assert again.label == f"{name}+mine"


STARTS = [("lite", "none"), ("deepgaze_iie", "published"), ("lite", "checkpoint")]  # the same for all methods
STARTS += [(name, "imagenet") for name in TRAINABLE if "imagenet" in names(registry.get(name))]


@pytest.mark.parametrize(("name", "start"), STARTS)
def test_every_start(name, start, root, tmp_path):
    """What was loaded does not depend on the random seed, and all else does."""
    method = registry.create(name, Runtime(weights_root=root, progress=False))
    place = start
    if start == "imagenet" and method.imagenet:  # several networks that are made small here share a file's name
        torch.save(imagenet_state(name), weights.folder("imagenet", root) / method.imagenet[0].file)
    if start == "checkpoint":
        place = tmp_path / "best.safetensors"
        checkpoint.save(place, method.build_network().state_dict(), Record())
    drawn, (network, record) = _drawn(lambda: begin(method, Plan(start=place)))
    random = _random(name)
    loaded = {"none": lambda: set(), "imagenet": lambda: set(method.load_imagenet(network))}
    assert drawn == random - loaded.get(start, lambda: random)()
    assert (record.weights is None) == (start == "none")


@cache
def _random(name):
    """Names of the tensors that a new network of this method draws."""
    return _drawn(lambda: [registry.create(name).build_network()])[0]


def _drawn(make):
    """Names of the tensors that depend on the random seed, of the network that `make` gives first; and all it gives."""
    made = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        made.append(make())
    first, second = (network.state_dict() for network, *_ in made)
    return {name for name, tensor in first.items() if not torch.equal(tensor, second[name])}, made[1]
