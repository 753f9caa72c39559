"""Tables and figures of an adaptation with known scores."""

from dataclasses import replace

import numpy as np
import pandas
import pytest

from salbench import figure, results
from salbench.adaptation import report
from salbench.adaptation.draws import Draw
from salbench.adaptation.model import Parameters
from salbench.adaptation.run import Adaptation, Fit
from salbench.identity import Identity
from salbench.metrics import METRICS

FACTS = {
    "method": "m", "dataset": "toy", "fingerprint": "f", "choices": "c", "scoring": "s", "protocol": "tuebingen",
    "protocol_version": 2, "seed": 0,
}  # fmt: skip
IDS = tuple("abcdef")


def rows(images, draw, ids, value):
    """Scores that are `value` plus 0, 0.1, ... for images a, b, ..."""
    return [
        {"images": images, "draw": draw, "id": id, **dict.fromkeys(METRICS, value + IDS.index(id) / 10)} for id in ids
    ]


@pytest.fixture
def adaptation():
    """Two draws of two images, which gain 0.2 and 0.4, and two folds, which gain 0.5."""
    draws = [Draw("2", 0, ("a", "b"), IDS[2:]), Draw("2", 1, ("a", "c"), ("b", *IDS[3:]))]
    draws += [Draw("all", 0, IDS[:3], IDS[3:]), Draw("all", 1, IDS[3:], IDS[:3])]
    parameters = [Parameters(0.5, 1.0, 0.5, (0.0, -1.0, 0.0, -2.0)), Parameters(1.0, 2.0, 1.0)] * 2
    table = rows("0", 0, IDS, 1.0)
    for draw, gain in zip(draws, (0.2, 0.4, 0.5, 0.5), strict=True):
        table += rows(draw.images, draw.number, draw.scored, 1.0 + gain)
    facts = {"gaze": "eye tracker", "n_images": 6, "n_seen": 0, "train": None, "output": "density", "notes": ["n."]}
    fits = [Fit(draw, p) for draw, p in zip(draws, parameters, strict=True)]
    return Adaptation(Identity(FACTS), fits, pandas.DataFrame(table), facts)


def ceiling(ig, **facts):
    cell = {"mean": ig, "low": ig, "high": ig, "n": 6}
    return results.Result(
        identity=Identity(FACTS | {"method": "top"} | facts), metrics=dict.fromkeys(METRICS, cell), output="density",
        ceiling=True, gaze="eye tracker", n_images=6, n_failed=0, n_without_fixations=0, n_resized=0, zero_share=0.0,
        failures={}, seconds=1.0,
    )  # fmt: skip


def line(text, name, number=0):
    found = [row for row in text.splitlines() if row.startswith(f"| {name} ")]
    return [cell.strip() for cell in found[number].strip("|").split("|")]


def test_the_scores_are_means_over_images_of_the_fits_that_did_not_see_them(adaptation, tmp_path):
    text = report.table(adaptation, tmp_path)
    assert line(text, "as it is")[1].startswith("1.250 ±")
    # b 1.5, c 1.4, d 1.6, e 1.7, f 1.8: d to f are held out from both draws, b and c from one
    assert line(text, "2 images")[1].startswith("1.600 ±")
    assert line(text, "3 images (all)")[1].startswith("1.750 ±")


def test_changes_are_paired_with_the_same_images(adaptation, tmp_path):
    text = report.table(adaptation, tmp_path)
    assert (
        line(text, "2 images", 1)[1] == f"**{np.mean([0.4, 0.2, 0.3, 0.3, 0.3]):+.3f}** ±0.088*"
    )  # t(4) 2.776 x SE 0.0316
    assert line(text, "3 images (all)", 1)[1] == "**+0.500** ±0.000*"
    assert line(text, "3 images (all)", 1)[4] == "+0.500 ±0.000*"  # higher KL is worse
    assert "Standard deviation of the mean change of ig between random draws: 2 images 0.141." in text
    assert "2 images, median of 2 fits: input scale 0.75, blur 1.50 sigma, temperature 1.33, logarithm of" in text
    assert "+0.00 x -0.50 x² +0.00 y -1.00 y²" in text


def test_the_part_of_the_gap_that_is_closed(adaptation, tmp_path):
    assert "so no gap to it" in report.table(adaptation, tmp_path)
    results.write(ceiling(2.25, fingerprint="other"), [], tmp_path)
    assert "so no gap to it" in report.table(adaptation, tmp_path)
    results.write(ceiling(2.25), [], tmp_path)
    text = report.table(adaptation, tmp_path)
    assert "Part of the gap in ig to top (1.000 bits) that is closed: 2 images 30%, 3 images (all) 50%." in text
    results.write(ceiling(1.0), [], tmp_path)
    assert "m is not below top in ig, so there is no gap to close." in report.table(adaptation, tmp_path)


def test_notes_say_what_a_reader_must_know(adaptation, tmp_path):
    text = report.table(adaptation, tmp_path)
    assert text.startswith("m adapted to toy, 6 images, eye tracker, protocol tuebingen v2\n")
    assert "An image is scored only with numbers that were fitted without it" in text
    assert "- m: n." in text
    other = replace(adaptation, facts=adaptation.facts | {"train": "toy_train", "output": "map", "n_seen": 2})
    text = report.table(other, tmp_path)
    assert "Fitted to images of toy_train; every image of toy is scored." in text
    assert "m predicts a map; it is read as a density" in text
    assert "m was trained on 2 of these images: not a test." in text


@pytest.mark.parametrize("style", ["latex", "csv"])
def test_other_formats(adaptation, tmp_path, style):
    text = report.table(adaptation, tmp_path, style)
    assert text.count(r"\begin{tabular}") == (2 if style == "latex" else 0)
    if style == "csv":
        assert text.startswith("method,ig,ig_low,ig_high,nss,")
        assert len(text.splitlines()) == 4


def test_the_figure_is_written(adaptation, tmp_path):
    results.write(ceiling(2.25), [], tmp_path)
    figure.save(report.figure(adaptation, tmp_path), tmp_path / "curve.svg")
    text = (tmp_path / "curve.svg").read_text()
    assert text.startswith("<?xml")
