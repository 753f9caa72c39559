"""Studies of gaze: shares by hand, statistics against scipy."""

import re

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose
from PIL import Image
from studies import AFTER, BEFORE, COUNTS, COVERED, MASK, SIZE, of, points

from salbench.study import report
from salbench.study.observed import observe


def test_fixations(gaze):
    study = of(gaze)
    assert study.kind == "fixations"
    assert study.left_out == {}
    assert list(study.shares) == list("abcde")
    assert_allclose([pair.before for pair in study.shares.values()], BEFORE)
    assert_allclose([pair.after for pair in study.shares.values()], AFTER)
    assert_allclose([pair.chance for pair in study.shares.values()], COVERED)
    assert study.change.n == 5
    assert study.change.mean == pytest.approx((AFTER - BEFORE).mean())
    assert (study.change.t, study.change.p_t) == pytest.approx(tuple(scipy.stats.ttest_rel(AFTER, BEFORE)))
    assert study.change.p_wilcoxon == scipy.stats.wilcoxon(AFTER, BEFORE).pvalue


def test_maps(gaze):
    """The same shares as mass, in pictures and in arrays of any scale."""
    for name in ("original", "edited"):
        for id, pair in COUNTS.items():
            inside, outside = pair[name == "edited"]
            saliency = np.zeros(SIZE, np.uint8)
            saliency[3:5, 4:10], saliency[0, :] = 4 * inside, 3 * outside  # 12 pixels inside, 16 outside
            for path in (gaze / name).glob(f"{id}.*"):
                path.unlink()
            if id == "b":
                np.save(gaze / name / "b.npy", saliency * 1e-3)
            else:
                Image.fromarray(saliency).save(gaze / name / f"{id}.png")
    study = of(gaze)
    assert study.kind == "map mass"
    assert_allclose([pair.before for pair in study.shares.values()], BEFORE)
    assert_allclose([pair.after for pair in study.shares.values()], AFTER)


def test_masks_of_another_size_than_the_pictures(gaze):
    """Fixations count pixels of the picture: the mask grows with it."""
    (gaze / "images").mkdir()
    for id in COUNTS:
        Image.new("RGB", SIZE[::-1]).save(gaze / "images" / f"{id}.jpg")
        Image.fromarray(MASK.repeat(4, axis=0).repeat(4, axis=1)).save(gaze / "masks" / f"{id}.png")
    (gaze / "images" / "a.jpg").unlink()
    study = of(gaze, gaze / "images")
    assert_allclose([pair.before for pair in study.shares.values()], BEFORE[1:])
    assert_allclose([pair.after for pair in study.shares.values()], AFTER[1:])
    assert re.search(r"found none in the images", study.left_out["a"])


def test_the_table_has_the_numbers(gaze):
    table, change = report.observed_table(of(gaze)), AFTER - BEFORE
    assert f"| {BEFORE.mean():.4f}   | {AFTER.mean():.4f}  | {change.mean():+.4f} [" in table
    assert f"| {change.mean() / change.std(ddof=1):.2f}  | {COVERED:.3f} " in table


def test_the_table_says_in_which_pixels_fixations_count(gaze):
    """Masks larger than the pictures that were shown would give wrong shares without any error."""
    note = "pixels of pictures of 16 x 12 (width x height); their largest x is 9.5, y 8.5."
    assert note in report.observed_table(of(gaze))
    for id in "ab":
        Image.fromarray(MASK.repeat(2, axis=0).repeat(2, axis=1)).save(gaze / "masks" / f"{id}.png")
    assert "pixels of pictures of 32 x 24 and 1 other sizes (width x height)" in report.observed_table(of(gaze))


def test_what_cannot_be_measured_is_named(gaze):
    (gaze / "edited" / "a.csv").unlink()
    np.save(gaze / "original" / "b.npy", [[16.0, 2.0]])
    Image.fromarray(np.zeros(SIZE, np.uint8)).save(gaze / "masks" / "c.png")
    Image.fromarray(MASK).save(gaze / "masks" / "f.png")
    for name, content in (("g", "x,y\n"), ("h", "x,z\n1,2\n")):
        (gaze / "original" / f"{name}.csv").write_text(content)
        (gaze / "edited" / f"{name}.csv").write_text("x,y\n1,1\n")
        Image.fromarray(MASK).save(gaze / "masks" / f"{name}.png")
    np.save(gaze / "original" / "i.npy", np.ones(SIZE))
    np.save(gaze / "edited" / "i.npy", points(1, 1))
    Image.fromarray(MASK).save(gaze / "masks" / "i.png")
    study = of(gaze)
    assert list(study.shares) == ["d", "e"]
    expected = {
        "a": r"found none in .*edited \(edited\)$",
        "b": r"expected 0 <= x < 16 .* the first at x=16, y=2",
        "c": r"expected a region above zero",
        "f": r"found none in .*original \(original\), .*edited \(edited\)$",
        "g": r"expected at least one, got none",
        "h": r"expected a \.csv with columns x and y",
        "i": r"expected two files of fixations or two maps, got one of each: i\.npy and i\.npy",
    }
    assert study.left_out.keys() == expected.keys()
    for id, message in expected.items():
        assert re.search(message, study.left_out[id]), study.left_out[id]
    rows = report.observed_rows(study)
    assert [row[0] for row in rows[1:]] == sorted([*expected, "d", "e"])
    assert sum(row[-1] is not None for row in rows[1:]) == 7
    assert "7 images left out: a: " in report.observed_table(study)


def test_maps_that_do_not_fit(tmp_path):
    for name in ("original", "edited", "masks"):
        (tmp_path / name).mkdir()
        for id in "abcd":
            Image.fromarray(MASK).save(tmp_path / name / f"{id}.png")
    Image.new("L", (8, 6), 5).save(tmp_path / "edited" / "a.png")
    Image.new("L", SIZE[::-1], 0).save(tmp_path / "original" / "b.png")
    study = of(tmp_path)
    assert list(study.shares) == ["c", "d"]
    assert re.search(r"two maps of one size, got \(12, 16\) and \(6, 8\)", study.left_out["a"])
    assert re.search(r"expected two maps with values above zero", study.left_out["b"])
    assert (study.change.before, study.change.after, study.change.mean) == (1, 1, 0)
    assert "+0.0000 [+0.0000, +0.0000] | – " in report.observed_table(study)


def test_folders_that_are_no_study(gaze, tmp_path):
    with pytest.raises(ValueError, match=r"nowhere: expected a folder with one file per image"):
        observe(gaze / "nowhere", gaze / "edited", gaze / "masks")
    (gaze / "masks" / "notes.txt").write_text("")
    with pytest.raises(ValueError, match=r"notes\.txt: expected files ending in \.jpg"):
        of(gaze)
    (gaze / "masks" / "notes.txt").unlink()
    Image.fromarray(MASK).save(gaze / "masks" / "a.bmp")
    with pytest.raises(ValueError, match=r"expected one file per stem, got a\.bmp and a\.png"):
        of(gaze)
    (gaze / "masks" / "a.bmp").unlink()
    for name in ("original", "edited"):
        np.save(gaze / name / "b.npy", np.ones(SIZE))
    with pytest.raises(ValueError, match=r"got fixations for e and map mass for b"):
        of(gaze)
    for id in "abcd":
        (gaze / "masks" / f"{id}.png").unlink()
    with pytest.raises(ValueError, match=r"two or more images that can be measured, got 1 \(a: expected a file"):
        of(gaze)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"empty: expected a folder with one file per image, got an empty one"):
        observe(tmp_path / "empty", gaze / "edited", gaze / "masks")
