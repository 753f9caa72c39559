"""Every method that can be trained: two steps by one plan, then a prediction."""

import numpy as np
import pytest
import torch
from small_networks import small_networks
from toys import write_edits

from salbench import registry, weights
from salbench.runtime import Runtime
from salbench.training import LearnedMethod, checkpoint
from salbench.training.loop import split
from salbench.training_plan import Plan

SIZE = (128, 160)  # of the images; DeepGaze IIE takes none that are smaller
SIZES = {"lite": (48, 64), "unisal": (64, 96), "simplenet": (64, 64), "tempsal": (64, 64), "deepgaze_iie": SIZE}
SLOW = {"deepgaze_iie", "diffusion_readout", "simplenet", "tempsal"}
SHARE = 0.2
TRAINABLE = [name for name in registry.available() if issubclass(registry.get(name), LearnedMethod)]
KINDS = ("plain", "augmentation", "edits")
# What differs by kind is shared by all methods, so one kind is enough for those that take long.
CASES = [(name, kind) for name in TRAINABLE if name not in SLOW for kind in KINDS]
CASES += [pytest.param(name, "edits", marks=pytest.mark.slow) for name in TRAINABLE if name in SLOW]


@pytest.fixture(scope="module", autouse=True)
def _small_networks():
    with small_networks():
        yield


@pytest.fixture(scope="module")
def samples(make_spots):
    """Four samples to train on, one to validate on."""
    train, validation = split(make_spots(20, size=SIZE), SHARE)
    return [*train[:4], *validation[:1]]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """Random files in place of the published ones of DeepGaze IIE, whose new readouts start from their backbones."""
    root, method = tmp_path_factory.mktemp("weights"), registry.get("deepgaze_iie")
    folder = weights.folder("deepgaze_iie", root)
    folder.mkdir()
    torch.manual_seed(0)
    state = registry.create("deepgaze_iie").build_network().state_dict()
    center_bias = state.pop("center_bias")
    torch.save(state, folder / method.checkpoints[0].file)
    np.save(folder / method.checkpoints[1].file, center_bias)
    return root


def plan_of(kind, name, samples, tmp_path):
    recipe = {"steps": 2, "batch_size": 2, "validation_share": SHARE}
    recipe |= {"size": SIZES[name]} if name in SIZES else {}  # others take the size of their backbone
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
