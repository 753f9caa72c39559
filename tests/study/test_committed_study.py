"""results/study_augsal: what its page says of the paper's own edits."""

import csv
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from PIL import Image

RESULTS = Path(__file__).resolve().parents[2] / "results"


@pytest.fixture(scope="module")
def rows():
    with open(RESULTS / "study_augsal" / "images.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("strength", [1.3, 1.6, 2.0])
@pytest.mark.parametrize(
    ("name", "column"),
    [("contrast (SD of grey)", ""), ("spectral_residual", "spectral_residual_"), ("lite", "lite_")],
)
def test_the_table_is_of_these_images(rows, name, column, strength):
    of_one = [row for row in rows if float(row["strength"]) == strength]
    before, after = (np.array([float(row[column + when]) for row in of_one]) for when in ("before", "after"))
    text = (RESULTS / "study_augsal" / "study.md").read_text(encoding="utf-8")
    lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
    line = next(cells for cells in lines if cells[:3] == ["contrast", f"{strength:g}", name])
    change = (after - before).mean()
    assert line[3:6] == ["100", f"{before.mean():.4f}", f"{after.mean():.4f}"]
    assert line[6].startswith(f"{change:+.4f} [")
    assert line[7] == f"{scipy.stats.ttest_rel(after, before).statistic:.2f}"
    assert f"{change:+.3f}" in (RESULTS / "edits_and_saliency.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("column", ["spectral_residual_", "lite_"])
def test_slopes_are_those_of_lines_through_each_image(rows, column):
    curves = {}
    for row in rows:
        change = float(row[f"{column}after"]) - float(row[f"{column}before"])
        curves.setdefault(row["source"], []).append((float(row["strength"]), change))
    slopes = [np.polyfit(*np.transpose(points), 1)[0] for points in curves.values()]
    low, high = scipy.stats.ttest_1samp(slopes, 0).confidence_interval()
    text = (RESULTS / "study_augsal" / "study.md").read_text(encoding="utf-8")
    assert f"| 100      | {np.mean(slopes):+.4f} [{low:+.4f}, {high:+.4f}] | < 0.001 |" in text


def test_the_control_is_exactly_zero(rows):
    assert len(rows) == 300
    assert all(row["uniform_before"] == row["uniform_after"] for row in rows)


def test_the_numbers_of_one_image_in_plain_steps(rows, shared):
    folder = shared / "data" / "augsal_contrast100"
    row = next(row for row in rows if row["strength"] == "2.0")
    pictures = []
    for strength in ("1.0", "2.000000000000001"):
        with Image.open(folder / "images" / f"{row['source']}.jpgedited_image{strength}.jpg") as image:
            pictures.append(np.asarray(image, np.float64) @ [0.299, 0.587, 0.114] / 255)
    with Image.open(folder / "selected" / f"{row['source']}.jpg_selected_2.000000000000001.png") as image:
        mask = np.asarray(image.convert("F").resize((512, 512), Image.Resampling.BILINEAR))
    inside = mask > mask.max() / 2
    assert float(row["covered"]) == pytest.approx(inside.mean())
    assert float(row["before"]) == pytest.approx(pictures[0][inside].std())
    assert float(row["after"]) == pytest.approx(pictures[1][inside].std())
