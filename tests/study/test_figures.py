"""Figures show the numbers of the tables."""

import numpy as np
from numpy.testing import assert_allclose
from studies import AFTER, BEFORE, BRIGHT, CONTRAST, MASK, chequers, of, predicted

from salbench.edits import NewEdit, Writer
from salbench.study import figures


def test_lines_are_the_means_of_the_table(edit_set, add_method):
    add_method("bright", BRIGHT)
    study = predicted(edit_set, ["bright"])
    panels = figures.predicted_figure(study).axes
    assert len(panels) == 4  # color and contrast
    changes = study.changes()
    for panel, quantity in zip(panels[2:], (CONTRAST, "bright"), strict=True):
        line = next(line for line in panel.get_lines() if line.get_label() == quantity)
        assert_allclose(line.get_xdata(), [0.5, 1.0, 1.5, 2.0])
        expected = [changes["contrast", s][quantity].mean for s in (0.5, 1.5, 2.0)]
        assert_allclose(line.get_ydata(), [expected[0], 0, *expected[1:]])
        band = panel.collections[0].get_paths()[0].vertices
        strongest = changes["contrast", 2.0][quantity]
        assert_allclose(sorted({*band[band[:, 0] == 2.0, 1]}), sorted({strongest.low, strongest.high}))


def test_tells_how_many_images_each_strength_has(edit_set):
    assert figures.predicted_figure(predicted(edit_set, [])).axes[2].get_title("left").startswith("n = 4 images")
    writer = Writer(edit_set, {"licence": "CC0"})
    writer.add("s4", chequers(1, 0), {"contrast": MASK}, [NewEdit("contrast", 2.0, 2.0, 1, chequers(2, 0))])
    title = figures.predicted_figure(predicted(edit_set, [])).axes[2].get_title("left")
    assert title.startswith("n = 4 to 5 images")


def test_dots_are_the_images(gaze):
    left, right = figures.observed_figure(of(gaze)).axes
    lines = left.get_lines()
    assert_allclose([line.get_ydata() for line in lines[:5]], np.stack([BEFORE, AFTER], 1))
    assert_allclose(lines[5].get_ydata(), [BEFORE.mean(), AFTER.mean()])
    dots = next(line for line in right.get_lines() if len(line.get_ydata()) == 5)
    assert_allclose(dots.get_ydata(), AFTER - BEFORE)
    change = of(gaze).change
    assert [change.low, change.high] in [list(line.get_ydata()) for line in right.get_lines()]
