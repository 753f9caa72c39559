"""Figures for papers show the numbers of the result files."""

import re
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose
from PIL import Image

from salbench import figure, plots, registry, results
from salbench.datasets import load
from salbench.tables import TableProblem

FOLDER = Path(__file__).resolve().parents[1] / "results"
SETS = ("osie_test", "nus_scene_test")
CENTRE = """
def predict(self, sample):
    \"\"\"A peak in the upper left corner.\"\"\"
    map = np.full((30, 40), 5.0)
    map[:3, :4] = 9
    return map
"""


def means_of_csv(dataset, metric):
    """{method: mean of the CSV's column} of one data set."""
    scores = results.load(FOLDER / dataset).scores[metric]
    return scores.groupby("method").mean().dropna().to_dict()


def markers(panel):
    return [line for line in panel.get_lines() if line.get_marker() == "o" and len(line.get_xdata()) == 1]


def test_a_ranking_shows_every_mean_best_on_top():
    expected = means_of_csv("osie_test", "nss")
    panel = plots.ranking(FOLDER, "osie_test", "nss").axes[0]
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert [name.removesuffix(" (ceiling)") for name in names] == sorted(expected, key=expected.get)
    assert_allclose([dot.get_xdata()[0] for dot in markers(panel)], sorted(expected.values()))
    hollow = [name for name, dot in zip(names, markers(panel), strict=True) if dot.get_markerfacecolor() == "white"]
    assert hollow == ["inter_observer (ceiling)"]


def test_a_ranking_shows_the_intervals_of_the_file():
    panel = plots.ranking(FOLDER, "osie_test", "auc", methods=["gaze_lite"]).axes[0]
    cell = results.read(FOLDER / "osie_test" / "gaze_lite.json").metrics["auc"]
    assert [cell["low"], cell["high"]] in [list(line.get_xdata()) for line in panel.get_lines()]


def test_better_is_to_the_right(warned):
    panel = plots.ranking(FOLDER, "osie_test", "kl").axes[0]
    left, right = panel.get_xlim()
    assert left > right
    assert panel.get_xlabel() == "KL (nat) ↓ on osie_test, 200 images"
    assert any("left out, because they have no kl: inter_observer (ceiling)" in line for line in warned)


def test_a_scatter_plot_of_two_data_sets():
    panel = plots.scatter(FOLDER, (SETS[0], "ig"), (SETS[1], "ig")).axes[0]
    expected = [means_of_csv(name, "ig") for name in SETS]
    dots = {text.get_text(): text.xy for text in panel.texts}
    assert dots.keys() == set(expected[0]) & set(expected[1])
    for name, place in dots.items():
        assert_allclose(place, [means[name] for means in expected])
    filled = [dot.get_xdata()[0] for dot in markers(panel) if dot.get_markerfacecolor() != "white"]
    assert_allclose(sorted(filled), sorted(expected[0][n] for n in ("attention_center", "fastgaze", "uniform")))


def test_names_do_not_cover_each_other():
    drawing = plots.scatter(FOLDER, ("osie_test", "auc"), ("osie_test", "nss"))
    drawing.draw_without_rendering()
    boxes = [text.get_window_extent() for text in drawing.axes[0].texts]
    assert len(boxes) == len(means_of_csv("osie_test", "auc"))
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_a_matrix_shows_the_means():
    panel = plots.matrix(FOLDER, SETS, "nss").axes[0]
    rows = [label.get_text().removesuffix(" (ceiling)") for label in panel.get_yticklabels()]
    for x, name in enumerate(SETS):
        expected = means_of_csv(name, "nss")
        shown = {rows[int(text.get_position()[1])]: text for text in panel.texts if text.get_position()[0] == x}
        for method in rows:
            text = shown[method].get_text()
            assert text.rstrip("*†") == (f"{expected[method]:.3f}" if method in expected else "–")
        assert shown["center_bias"].get_text().endswith("†")
    coloured = {(patch.get_x() + 0.5, patch.get_y() + 0.5) for patch in panel.patches}
    assert (0, rows.index("fastgaze")) in coloured
    assert not {(0, rows.index("center_bias")), (0, rows.index("inter_observer"))} & coloured


def test_examples_show_each_image_with_its_fixations_and_maps(add_method):
    add_method("corner", CENTRE)
    images = ["popout:color_01", "popout:color_02"]
    drawing = plots.examples(images, ["corner", "uniform"])
    assert [panel.get_title() for panel in drawing.axes] == ["fixations", "corner", "uniform", "", "", ""]
    samples = {sample.id: sample for sample in load("popout").samples}
    for k, image in enumerate(images):
        sample = samples[image.partition(":")[2]]
        photograph, map, flat = (np.asarray(panel.images[0].get_array()) for panel in drawing.axes[3 * k : 3 * k + 3])
        assert (photograph == sample.read_image()).all()
        assert_allclose(drawing.axes[3 * k].collections[0].get_offsets(), sample.fixations - 0.5)
        colourful = np.ptp(map.astype(int), axis=2)
        assert colourful[5, 5] > 50
        assert colourful[sample.size[0] // 2 :].max() == 0  # no heat at the minimum of a map
        assert np.ptp(flat.astype(int), axis=2).max() == 0


def test_examples_in_several_rows_repeat_their_titles(add_method):
    add_method("corner", CENTRE)
    drawing = plots.examples(["popout:color_01", "popout:color_02"], ["corner", "uniform"], columns=2)
    assert [panel.get_title() for panel in drawing.axes] == ["fixations", "corner", "uniform"] * 2
    boxes = [panel.get_position() for panel in drawing.axes]
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert min(box.y0 for box in boxes) >= -1e-9
    assert max(box.y1 for box in boxes) < 1


@pytest.mark.parametrize(
    ("arguments", "problem", "message"),
    [
        ((["popout"], ["uniform"]), ValueError, "expected an image as DATASET:ID"),
        ((["popout:color_0"], ["uniform"]), ValueError, "no image has the id 'color_0'"),
        (([], ["uniform"]), ValueError, "at least one image and one method"),
        ((["popout:color_01"], ["inter_observer"]), registry.MethodUnavailable, "needs the fixations of the image"),
    ],
)
def test_examples_that_cannot_be_drawn(arguments, problem, message):
    with pytest.raises(problem, match=message):
        plots.examples(*arguments)


def test_a_method_without_both_scores_is_in_no_scatter_plot():
    with pytest.raises(TableProblem, match="expected a method with ig on osie_test and kl on nus_scene_test"):
        plots.scatter(FOLDER, ("osie_test", "ig"), ("nus_scene_test", "kl"), methods=["bms"])


class TestFiles:
    @pytest.fixture
    def drawing(self):
        return plots.ranking(FOLDER, "osie_test", methods=["lite", "bms"])

    def test_fonts_are_embedded_in_a_pdf_without_a_date(self, drawing, tmp_path):
        figure.save(drawing, tmp_path / "a.pdf")
        content = (tmp_path / "a.pdf").read_bytes()
        assert b"/FontFile2" in content
        assert b"/Type3" not in content
        assert not re.search(rb"Date|D:20\d\d", content)

    def test_text_stays_text_in_an_svg(self, drawing, tmp_path):
        figure.save(drawing, tmp_path / "a.svg")
        content = (tmp_path / "a.svg").read_text()
        assert "AUC ↑ on osie_test, 200 images</text>" in content
        assert "<dc:date>" not in content

    def test_fits_a_column(self, drawing, tmp_path):
        figure.save(drawing, tmp_path / "a.png")
        with Image.open(tmp_path / "a.png") as image:
            assert image.width == round(figure.COLUMN * figure.DPI)

    @pytest.mark.parametrize("ending", [".pdf", ".svg", ".png", ".jpg"])
    def test_settings_of_the_user_change_nothing(self, drawing, tmp_path, ending):
        from matplotlib import rc_context

        figure.save(drawing, tmp_path / f"a{ending}")
        with rc_context({"font.size": 20, "lines.linewidth": 5, "axes.facecolor": "red", "pdf.fonttype": 3}):
            figure.save(plots.ranking(FOLDER, "osie_test", methods=["lite", "bms"]), tmp_path / f"b{ending}")
        assert (tmp_path / f"a{ending}").read_bytes() == (tmp_path / f"b{ending}").read_bytes()
