"""A tenth metric is a function, its implementation over a `Pair`, and its row: all that follows finds it by the row."""

import csv

import numpy as np
import pytest

from salbench import listing, results, tables
from salbench.evaluation import Evaluation
from salbench.metrics import METRICS, Metric, Pair, measure
from salbench.protocol import PROTOCOLS
from salbench.runtime import Runtime


def top_share(prediction, fixations, *, level=0.5):
    """Share of fixations on pixels at or above `level` on the map's scale from 0 to 1."""
    return _top_share(Pair.of(prediction, fixations), level=level)


def _top_share(pair, *, level=0.5):
    if not len(pair.index):
        return np.nan
    if pair.map.is_constant:
        return 0.0
    ranks = pair.ranks([level])
    assert 0 < ranks.at_least(np.array([level]), ranks.pixels)[0] < pair.map.size
    return pair.mean_over_fixations(ranks.scaled >= level)


@pytest.fixture(autouse=True)
def tenth(monkeypatch):
    row = Metric(
        fn=top_share,
        of_pair=_top_share,
        needs=("fixations",),
        higher_is_better=True,
        bounds=(0, 1),
        unit="",
        reference="none",
        levels=lambda *, level=0.5: [level],
        reads_probabilities=True,
    )
    monkeypatch.setitem(METRICS, "top_share", row)


def test_it_is_measured_with_the_others():
    prediction = np.arange(12.0).reshape(3, 4)
    points = [[3, 2], [2, 2], [0, 1], [0, 0]]
    pair = Pair.of(prediction, points)
    assert top_share(prediction, points) == 0.5
    assert measure(pair)["top_share"] == 0.5
    assert measure(pair, {"top_share": {"level": 0.2}})["top_share"] == 0.75
    assert np.isnan(measure(pair, is_density=False)["top_share"])
    assert list(measure(pair))[-1] == "top_share"


def test_it_is_evaluated_written_tabled_and_listed(tiny, tmp_path):
    Evaluation(tiny, PROTOCOLS["mit"], tmp_path, Runtime(progress=False)).run("center_bias")
    with open(tmp_path / "tiny" / "center_bias.csv", newline="") as file:
        by_image = [float(row["top_share"]) for row in csv.DictReader(file)]
    assert len(by_image) == len(tiny.samples)
    written = results.read_all(tmp_path, "tiny")["center_bias"].metrics["top_share"]
    assert written["mean"] == pytest.approx(np.mean(by_image))
    assert 0 < written["mean"] < 1
    text = tables.dataset_table(tmp_path, "tiny")
    header, cells = (next(line for line in text.splitlines() if word in line) for word in ("method", "center_bias"))
    column = [name.strip() for name in header.split("|")].index("top_share ↑")
    assert f"{written['mean']:.3f}" in cells.split("|")[column]
    assert "top_share" in [row["name"] for row in listing.metrics()]
