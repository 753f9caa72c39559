"""Every method that can be trained: two steps by one plan, then a prediction; and each of its starts."""

from functools import cache

import numpy as np
import pytest
import torch
from small_networks import imagenet_state, small_networks
from toys import write_edits
from trainable import SHARE, SIZE, TRAINABLE, recipe_of, write_random_weights

from salbench import registry, weights
from salbench.runtime import Runtime
from salbench.training import checkpoint
from salbench.training.checkpoint import Record
from salbench.training.loop import split
from salbench.training.start import begin, names
from salbench.training_plan import Plan

SLOW = {"diffusion_readout", "diffusion_readout_fast", "simplenet", "tempsal", "dsclrcn", "opensalicon"}
SLOW |= {"dinet", "sam_resnet", "mdsem", "msinet", "emlnet", "rinet"}
EVERY_KIND = {"lite", "gaze_lite", "deepgaze_iie"}
KINDS = ("plain", "augmentation", "edits")
# What differs by kind is shared by all methods. Some keep the features of frozen backbones if no kind changes images.
CASES = [(name, kind) for name in TRAINABLE if name in EVERY_KIND for kind in KINDS]
CASES += [
    pytest.param(name, "edits", marks=[pytest.mark.slow] if name in SLOW else [])
    for name in TRAINABLE
    if name not in EVERY_KIND
]


@pytest.fixture(scope="module", autouse=True)
def _small_networks(tmp_path_factory):
    import tiny_backbone  # here, as diffusers takes seconds to import

    backbone = tmp_path_factory.mktemp("backbone")
    tiny_backbone.write(backbone)
    with small_networks() as patch:
        patch.setattr(registry.get("diffusion_readout"), "timesteps", 2)
        patch.setenv("SALBENCH_BACKBONE", str(backbone))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))  # for features
        yield


@pytest.fixture(scope="module")
def samples(make_spots):
    """Four samples to train on, one to validate on."""
    train, validation = split(make_spots(20, size=SIZE), SHARE)
    return [*train[:4], *validation[:1]]


@pytest.fixture(scope="module")
def root(tmp_path_factory, _small_networks):
    """A folder of random weights in place of the published ones, as `weights convert` writes them."""
    root = tmp_path_factory.mktemp("weights")
    write_random_weights(root)
    return root


def plan_of(kind, name, samples, tmp_path):
    recipe = recipe_of(name)
    plain = {"folder": tmp_path / "run", "dataset": "spots"}
    if kind == "edits":
        return Plan(**plain, edits=write_edits(tmp_path / "edits", samples), recipe=recipe | {"p": 0.0})
    return Plan(**plain, augment=("hflip",) if kind == "augmentation" else (), recipe=recipe)


def test_the_list_is_complete():
    assert {"lite", "unisal", "simplenet", "tempsal", "deepgaze_iie", "diffusion_readout"} <= set(TRAINABLE)


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_two_steps_and_a_prediction(name, kind, samples, root, tmp_path):
    plan = plan_of(kind, name, samples, tmp_path)
    runtime = Runtime(seed=3, workers=2, weights_root=root, progress=False)
    method = registry.create(name, runtime)
    assert method.fit(samples, plan) is method
    record = checkpoint.read(tmp_path / "run" / "last.safetensors").record
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
    again = registry.create(f"{name}:mine={tmp_path / 'run'}", runtime)
    np.testing.assert_array_equal(again.predict(sample), prediction)
    assert again.label == f"{name}+mine"
    assert method.seen(samples) == samples


STARTS = [(name, start) for name in TRAINABLE for start in (*names(registry.get(name)), "checkpoint")]


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
    random = _random(name)
    drawn = _drawn(lambda: begin(method, Plan(start=place))[0])
    network, record = begin(method, Plan(start=place))
    loaded = {"none": lambda: set(), "imagenet": lambda: set(method.load_imagenet(network))}
    assert drawn == random - loaded.get(start, lambda: random)()
    assert (record.weights is None) == (start == "none")


@cache
def _random(name):
    """Names of the tensors that a new network of this method draws."""
    return _drawn(registry.create(name).build_network)


def _drawn(make):
    """Names of the tensors of a network that depend on the random seed."""
    states = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        states.append(make().state_dict())
    return {name for name, tensor in states[0].items() if not torch.equal(tensor, states[1][name])}
