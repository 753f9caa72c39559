"""The reports run and measure what they say; how fast this machine is is no matter of a test."""

import time

import numpy as np
import pytest
import torch

from salbench import registry
from salbench.protocol import Others
from salbench.runtime import Runtime
from salbench.speed import clusters, methods
from salbench.speed import metrics as speed

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pysaliency.numba_utils"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pysaliency.precomputed_models"),
]
TINY = speed.Sizes(shape=(60, 80), fixations=12, images=8, few=6, many=9, block=2, rounds=2)


def test_report_runs():
    text = speed.report(TINY)
    for row in ("among 8", "9 images / among 6", "density of 12", "folder of 9 PNG maps", "one worker", "peak memory"):
        assert row in text
    assert ("skipped" in text) == (speed.pysaliency_or_none() is None)


@pytest.mark.parametrize("part", [speed.metrics_of_an_image, speed.folder_of_maps])
def test_without_pysaliency_its_rows_say_how_to_get_it(part):
    rows = part(TINY, None)
    assert rows[0].peer == speed.SKIPPED
    assert rows[0].salbench.endswith(" ms")
    assert rows[0].ratio == ""


def test_without_trapz_pysaliency_cannot_run(monkeypatch):
    monkeypatch.delattr(np, "trapz", raising=False)
    assert speed.pysaliency_or_none() is None


def test_both_sides_compute_the_same_numbers():
    peer = speed.pysaliency_or_none()
    if peer is None:
        pytest.skip("needs pysaliency")
    samples, maps = speed.make_samples(TINY.images, TINY), speed.make_maps(TINY.timed, TINY)
    others = Others(samples, speed.PROTOCOL)
    split = speed.PeerSplit(peer, samples)
    images = [1, 4, 5]
    theirs = split.scores(split.in_memory(maps), images)
    ours = [speed.prepare_and_score(maps[i], speed.PROTOCOL.truth(samples[i], others)) for i in images]
    for name, values in theirs.items():
        # pysaliency computes in the float32 of the maps
        np.testing.assert_allclose([scores[name] for scores in ours], values, rtol=2e-5, err_msg=name)


def test_densities_of_both_sides_are_equal():
    time, difference = speed.density_of_an_image(TINY, None)
    assert time.ratio.endswith("x")
    assert float(difference.salbench) < 1e-12


def test_a_longer_split_begins_with_the_same_images():
    short, long = speed.make_samples(3, TINY), speed.make_samples(5, TINY)
    for a, b in zip(short, long, strict=False):
        np.testing.assert_array_equal(a.fixations, b.fixations)


SLOW = """\
import time
from torch import nn
from salbench.registry import register
from salbench.training import LearnedMethod, Recipe

class Network(nn.Conv2d):
    def forward(self, x):
        time.sleep(0.1)  # however many pictures there are
        return super().forward(x)[:, 0]

@register
class Slow(LearnedMethod):
    "Sleeps inside and outside its network."
    recipe = Recipe(size=(6, 8))

    def build_network(self):
        return Network(3, 1, 3, padding=1)

    def preprocess(self, images):
        return images.permute(0, 3, 1, 2).float()

    def images_of(self, sample):
        time.sleep(0.05)  # for every picture
        return super().images_of(sample)
"""


@pytest.fixture
def slow(tmp_path, monkeypatch):
    """Folder of a method that sleeps 0.1 s in its network and 0.05 s outside."""
    monkeypatch.setattr(registry, "_FOLDERS", list(registry._FOLDERS))
    folder = tmp_path / "slow_methods"
    folder.mkdir()
    (folder / "slow.py").write_text(SLOW)
    return str(folder)


@pytest.fixture
def own_time(monkeypatch):
    """Time that passes only while something sleeps: what is measured does not depend on the machine."""
    now = [0.0]

    def sleep(seconds):
        now[0] += seconds

    monkeypatch.setattr(time, "sleep", sleep)
    monkeypatch.setattr(time, "perf_counter", lambda: now[0])


class TestNetworks:
    def test_time_inside_and_outside(self, slow, own_time):
        measured = methods.measure("slow", Runtime(init="random"), (12, 16), slow)
        assert measured.method == "slow+random-init"
        one, best = measured.one, measured.best
        assert (one.batch, best.batch) == (1, 8)
        assert one.seconds == pytest.approx(0.15)
        assert one.outside == pytest.approx(0.05 / 0.15)
        assert best.seconds == pytest.approx(0.05 + 0.1 / 8)
        assert best.outside == pytest.approx(0.05 / (0.05 + 0.1 / 8))
        assert 1e8 < one.memory <= best.memory < 1e12

    def test_clock_counts_the_network_only(self, own_time):
        network = torch.nn.Identity()
        network.forward = lambda x: time.sleep(0.05)

        def calls():
            time.sleep(0.05)
            network(1)
            network(2)

        seconds, inside = methods.median(calls, network, "cpu")
        assert (seconds, inside) == (pytest.approx(0.15), pytest.approx(0.1))


@pytest.mark.slow
def test_a_cluster(monkeypatch):
    monkeypatch.setattr(clusters, "ARMS", ())
    text = clusters.report([1], clusters.Sizes((48, 64), maps=20, pictures=2, trained=12, units=100, curve=(10, 20)))
    rows = "20 maps from disk", "a network on 2 pictures", "an ablation of 1 arms", "Per unit: ", "client's memory"
    assert all(row in text for row in rows)
