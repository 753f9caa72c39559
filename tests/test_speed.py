"""The reports run and measure what they say; how fast this machine is is no matter of a test."""

import itertools
import os
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from forked_workers import workers_are_forks

from salbench import registry
from salbench.protocol import Others
from salbench.runtime import Runtime
from salbench.speed import clusters, machine, methods, sizes
from salbench.speed import metrics as speed

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pysaliency.numba_utils"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:pysaliency.precomputed_models"),
]
TINY = speed.Sizes(shape=(60, 80), fixations=12, images=8, few=6, many=9, block=2, rounds=2)


@pytest.fixture
def in_this_process(monkeypatch):
    """What a report does in a fresh process."""
    monkeypatch.setattr(machine, "in_fresh_process", lambda function, *words: function(*words))


def test_a_fresh_process_is_another_one():
    assert machine.in_fresh_process(os.getpid) != os.getpid()


@pytest.mark.usefixtures("in_this_process")
def test_report_runs():
    text = speed.report(TINY)
    for row in ("among 8", "9 images / among 6", "density of 12", "folder of 9 PNG maps", "one worker", "peak memory"):
        assert row in text
    assert ("skipped" in text) == (speed.pysaliency_or_none() is None)


@pytest.mark.usefixtures("in_this_process")
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


class TestParts:
    def test_of_parts_within_parts_the_innermost_is_charged(self, own_time):
        inner, outer = torch.nn.Identity(), torch.nn.Identity()
        inner.forward = lambda x: time.sleep(0.2)

        def forward(x):
            time.sleep(0.1)
            inner(x)
            time.sleep(0.05)

        def call():
            outer(1)
            inner(1)
            time.sleep(0.7)

        outer.forward = forward
        parts = {"outer": outer, "inner": inner, "idle": torch.nn.Identity()}
        charges = machine.charged(call, parts, lambda: machine.now("cpu"))
        assert charges == pytest.approx({"outer": 0.15, "inner": 0.4, "idle": 0, "the rest": 0.7})
        assert not any(p._forward_hooks or p._forward_pre_hooks for p in parts.values())

    def test_operations_and_bytes_by_hand(self):
        convolution = torch.nn.Conv2d(3, 4, 3, padding=1)
        linear = torch.nn.Linear(4, 5).bfloat16()

        @torch.inference_mode()
        def call():
            maps = convolution(torch.empty(2, 3, 6, 8))
            for _ in range(2):
                linear(torch.empty(96, 4, dtype=torch.bfloat16))
            maps.view(-1)  # a view reads nothing

        counts = sizes.counted(call, {"convolution": convolution, "linear": linear})
        pixels, in_float, in_bfloat16 = 2 * 6 * 8, 4, 2
        assert counts["convolution"].tolist() == [
            2 * pixels * 4 * (3 * 3 * 3), in_float * (4 * 3 * 3 * 3 + 4), in_float * pixels * (3 + 4)
        ]  # fmt: skip
        assert counts["linear"].tolist() == [
            2 * (2 * 96 * 4 * 5), 2 * in_bfloat16 * (4 * 5 + 5), 2 * in_bfloat16 * 96 * (4 + 5)
        ]  # fmt: skip
        assert counts["the rest"][:2].tolist() == [0, 0]

    def test_attention_is_counted(self):
        """Two products for each head: queries by keys, and weights by values."""
        queries, keys = torch.ones(2, 3, 16, 8), torch.ones(2, 3, 10, 8)
        with torch.inference_mode():
            counts = sizes.counted(lambda: torch.nn.functional.scaled_dot_product_attention(queries, keys, keys), {})
        assert counts["the rest"][0] == 2 * 3 * (2 * 16 * 8 * 10 + 2 * 16 * 10 * 8)


@pytest.fixture
def ticks(monkeypatch):
    """A second passes whenever the clock is read."""
    clock = itertools.count()
    monkeypatch.setattr(machine, "now", lambda device: float(next(clock)))


COST = sizes.Cost("toy", "float32", {"float32": 2e12}, [], 0, np.float32([[0.5, 0.25], [0.25, 1]]), [])
TOY = """\
import torch
from torch import nn
from salbench.registry import SaliencyMethod, Sized, register

@register
class Toy(SaliencyMethod):
    sizes = "full", "half"

    def init_random(self):
        pass

    def at_size(self, size, dtype):
        self.convolution = nn.Conv2d(3, 1, 3).to(getattr(torch, dtype))
        works = {"a reconstruction": lambda sample: 0, "two edits": lambda sample: len(sample.caption.split()[:2])}
        return Sized({"convolution": self.convolution}, {"contrast": works})

    def predict(self, sample):
        image = torch.tensor(sample.image).permute(2, 0, 1).to(self.convolution.weight.dtype)
        return self.convolution(image).float()[0].detach().numpy()
"""


@pytest.fixture
def toy(tmp_path, monkeypatch):
    """Folder of a method that is one convolution."""
    monkeypatch.setattr(registry, "_FOLDERS", list(registry._FOLDERS))
    folder = tmp_path / "toy_methods"
    folder.mkdir()
    (folder / "toy.py").write_text(TOY)
    registry.add_folder(folder)
    return folder


class TestSizes:
    @pytest.fixture(autouse=True)
    def _small(self, monkeypatch, in_this_process):
        monkeypatch.setattr(sizes, "SIDE", 8)
        monkeypatch.setattr(sizes, "SIZE", (12, 16))

    def test_the_rate_of_products_of_matrices(self, ticks):
        assert sizes.matrix_rate("float32", "cpu") == 2 * 8 * 8 * 8 * sizes.PRODUCTS

    def test_calls_are_repeated_until_they_took_long_enough(self, ticks):
        calls = []
        assert sizes.mean_seconds(lambda: calls.append(1), {}, "cpu") == {"the rest": 1}
        assert len(calls) == sizes.ENOUGH == 10

    def test_a_method(self, toy, ticks, monkeypatch):
        monkeypatch.setattr(sizes, "dtypes", lambda device: ("float32", "bfloat16"))
        text, number = sizes.report(["toy", "uniform"], "full", Runtime(), toy)
        assert number == 1
        rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines() if line.startswith("|")]
        of_parts = [row for row in rows if row[0] == "convolution"]
        assert [row[2] for row in of_parts] == ["float32", "bfloat16"]
        assert all(row[1] == "0.0 M" and row[3] == "1" for row in of_parts)
        totals = [row[3] for row in rows if row[0] == "a prediction"]
        assert totals == ["3", "3"]  # a second until the network, in it, and after it
        edits = [row for row in rows if row[0] == "contrast"]
        assert [row[1:5] for row in edits] == 2 * [
            ["a reconstruction", "1", "1.00", "–"],
            ["two edits", "1", "1.00", "120"],
        ]
        assert "The map in bfloat16 and that in float32: CC " in text
        assert "skipped uniform: has no other size than its own; leave out --size" in text

    def test_shares_of_parts_together(self):
        """A second's work at one rate and two seconds' work at another, done in six."""
        parts = [
            sizes.Part("a", 0, "float32", 2.0, 3e12, 1e9, 5e9, 3e12),
            sizes.Part("b", 0, "bfloat16", 4.0, 24e12, 2e9, 6e9, 12e12),
        ]
        assert sizes._cells(parts[:1]) == ["2", "3", "1 GB", "5 GB", "1.5", "50%"]
        assert sizes._cells(parts) == ["6", "27", "3 GB", "11 GB", "4.5", "50%"]

    def test_how_far_a_map_is(self):
        part = sizes.Part("a", 0, "float32", 2.0, 3e12, 1e9, 5e9, 3e12)
        first = replace(COST, parts=[part])
        other = replace(first, dtype="bfloat16", map=np.float32([[0.5, 0.25], [0.125, 1]]))
        expected = np.corrcoef(first.map.ravel(), other.map.ravel())[0, 1]
        text = "\n".join(sizes._tables([first, other], "full"))
        assert f"CC {expected:.4f}, largest difference 12.50% of the peak" in text
        assert "bfloat16 was not measured" in "\n".join(sizes._tables([first], "full"))

    def test_an_unknown_size(self, toy):
        text, number = sizes.report(["toy"], "huge", Runtime(), toy)
        assert number == 0
        assert "skipped toy: unknown size 'huge'. Known: full, half" in text

    def test_bfloat16_is_measured_where_the_processor_has_it(self, monkeypatch):
        known = torch.cpu.get_capabilities()
        assert machine.has_bfloat16() == any(known.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
        monkeypatch.setattr(machine, "_cpu_info", lambda field: ["fpu avx512_bf16"] if field == "flags" else [])
        assert sizes.dtypes("cpu") == ("float32", "bfloat16")


@pytest.mark.slow
def test_a_cluster(monkeypatch):
    monkeypatch.setattr(clusters, "ARMS", ())
    sizes = clusters.Sizes((48, 64), maps=4, pictures=2, trained=8, units=20, sums=2, curve=(4, 8))
    with workers_are_forks():
        text = clusters.report([1], sizes)
    rows = "4 maps from disk", "a network on 2 pictures", "an ablation of 1 arms", "Per unit: ", "client's memory"
    assert all(row in text for row in rows)
