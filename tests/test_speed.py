"""The report runs, and both sides compute the same numbers; how fast they are is no matter of a test."""

import numpy as np
import pytest

from salbench import speed
from salbench.protocol import Others

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
