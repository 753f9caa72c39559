"""deepgaze_iie, with small backbones: its training is the same whether features come from the disk or the backbones."""

import shutil
import sys
from collections import OrderedDict

import pytest
import torch
from torch import nn

from salbench import registry
from salbench.runtime import Runtime
from salbench.training_plan import Plan

SIZE = (128, 160)  # the smallest that it takes
QUIET = Runtime(progress=False)


def backbones():
    deep, flat = nn.Conv2d(3, 6, 16, stride=16), nn.Conv2d(3, 5, 32, stride=32)
    return [(nn.Sequential(OrderedDict(a=deep)), ["a"], 6), (nn.Sequential(OrderedDict(b=flat)), ["b"], 5)]


@pytest.fixture
def seen(monkeypatch, tmp_path):
    """Numbers of images in each call of the backbones."""
    network, seen = sys.modules[f"{registry.get('deepgaze_iie').__module__}.network"], []
    monkeypatch.setattr(network, "_backbones", backbones)
    monkeypatch.setattr(network, "COMPONENTS", 2)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    extract = network.DeepGazeIIE.extract

    def counted(self, images):
        seen.append(len(images))
        return extract(self, images)

    monkeypatch.setattr(network.DeepGazeIIE, "extract", counted)
    return seen


@pytest.fixture
def fit(seen, make_spots, tmp_path):
    """A function of a folder: its trained tensors. `seen` has the calls of the backbones."""
    torch.manual_seed(3)
    published, samples = registry.create("deepgaze_iie").build_network(), make_spots(8, size=SIZE)

    def fitted(folder, **changes):
        seen.clear()
        method = registry.create("deepgaze_iie", QUIET)
        method.published_network = lambda: published
        recipe = {"size": (128, 192), "epochs": 2, "batch_size": 2, "validation_share": 0.3, **changes}
        return method.fit(samples, Plan(tmp_path / folder, recipe=recipe)).trained.tensors

    return fitted


def test_the_weights_are_the_same_byte_for_byte(fit, seen, monkeypatch, tmp_path):
    first = fit("first")
    (folder,) = (tmp_path / "cache" / "salbench" / "features").iterdir()
    images = len(list(folder.iterdir()))
    assert seen == [1] * images  # each once, in two epochs
    again = fit("again")
    assert seen == []
    shutil.rmtree(folder)
    monkeypatch.setattr("salbench.training.feature_cache.RESERVE", 2**62)  # as if the disk were full
    without = fit("without")
    assert len(seen) > images
    for other in (again, without):
        assert all(torch.equal(tensor, other[name]) for name, tensor in first.items())


def test_random_zooms_do_not_fill_the_disk(fit, seen, tmp_path):
    fit("zoomed", jitter=("random_zoom",))
    assert seen
    assert not (tmp_path / "cache").exists()


def test_a_prediction_leaves_the_disk_alone_and_says_where_training_started(fit, seen, make_spots, tmp_path):
    fit("first")
    before = len(seen)
    method = registry.create(f"deepgaze_iie:{tmp_path / 'first'}", QUIET)
    method.predict(make_spots(1, seed=1, size=SIZE)[0].blind())
    assert len(seen) == before + 1
    assert len(list((tmp_path / "cache").rglob("*.safetensors"))) == before
    assert method.notes()[0].startswith("trained from ImageNet weights on ")
