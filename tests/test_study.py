"""Studies of edits: shares by hand, statistics against scipy, and both parts of the verb on small folders."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import scipy.stats
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

import benchmark
from salbench import edits, registry
from salbench.edits import EDIT_TYPES, EditType, NewEdit, Writer
from salbench.runtime import Runtime
from salbench.study import figures, report
from salbench.study.observed import observe
from salbench.study.predicted import predict
from salbench.study.regions import edited_property, fitted, psnr_outside, share_of_fixations, share_of_map

ROOT = Path(__file__).resolve().parents[1]
SIZE = (12, 16)
INSIDE = np.s_[3:9, 4:10]  # 36 of the 192 pixels
COVERED = 36 / 192
MASK = np.zeros(SIZE, np.uint8)
MASK[INSIDE] = 200


class TestRegions:
    def test_above_half_of_the_peak_is_inside(self):
        mask = fitted(np.array([[200.0, 101.0], [100.0, 0.0]]), (2, 2))
        assert_allclose(mask, [[1, 0.505], [0.5, 0]])
        centres = [(0.5, 0.5), (1.5, 0.5), (0.5, 1.5), (1.5, 1.5)]
        assert [share_of_fixations([point], mask) for point in centres] == [1, 1, 0, 0]

    def test_shares(self):
        mask = fitted(np.array([[1.0, 0.0], [1.0, 0.0]]), (2, 2))
        assert share_of_fixations([(0.0, 0.0), (0.99, 1.99), (1.0, 0.0), (0.2, 1.0)], mask) == 0.75
        assert share_of_map(np.array([[1.0, 2.0], [3.0, 4.0]]), mask) == pytest.approx(0.4)
        assert share_of_map(np.array([[1.0, -1.0], [3.0, 4.0]]), mask) == pytest.approx((2 + 4) / (2 + 0 + 4 + 5))
        assert share_of_map(np.full((2, 2), 7.0), mask) == pytest.approx(0.5)

    def test_a_mask_is_brought_to_the_size_of_the_image(self):
        inside = fitted(np.array([[90.0, 0.0], [0.0, 0.0]]), (60, 60)) > 0.5
        # Bilinear: from the centre of one pixel, at 15, to that of the next, at 45, the value falls from 1 to 0.
        assert inside[14, 29]
        assert not inside[14, 30]
        assert inside[29, 14]
        assert not inside[29, 29]

    def test_exactly_half_is_outside_whatever_the_scale(self):
        """Grey values give exact halves when they are interpolated; a mask scaled to 0..1 has them but for rounding."""
        grey = np.random.default_rng(0).integers(0, 256, (200, 200)).astype(np.float32)
        as_stored, scaled = (fitted(mask, (400, 400)) for mask in (grey, grey / 255))
        assert (as_stored == 0.5).sum() > 10
        assert_array_equal(as_stored > 0.5, scaled > 0.5)

    @pytest.mark.parametrize(
        ("mask", "message"),
        [
            (np.zeros((6, 8)), r"expected a region above zero, got values from 0 to 0"),
            (np.full((6, 8), -1.0), r"expected a region above zero, got values from -1 to -1"),
            (np.full((6, 8), 255.0), r"got a mask that covers all of it"),
            (np.eye(8), r"expected the aspect ratio of the image, 12 x 16 \(height, width\), got 8 x 8"),
        ],
    )
    def test_a_mask_that_says_nothing(self, mask, message):
        with pytest.raises(ValueError, match=message):
            fitted(mask, SIZE)

    def test_no_fixations(self):
        with pytest.raises(ValueError, match=r"fixations: expected at least one, got none"):
            share_of_fixations(np.empty((0, 2)), fitted(MASK, SIZE))


class TestProperties:
    mask = np.array([[1.0, 0.6, 0.4, 0.0]])

    def picture(self, *greys):
        return np.array(greys, np.uint8)[None, :, None].repeat(3, axis=2)

    def test_contrast_and_brightness(self):
        """Two pixels are inside, of 0.2 and 0.6."""
        picture = self.picture(51, 153, 255, 0)
        assert edited_property("contrast", picture, picture, self.mask) == pytest.approx(0.2)
        assert edited_property("brightness", picture, picture, self.mask) == pytest.approx(0.4)
        red = np.array([[[255, 0, 0], [255, 0, 0], [0, 0, 0], [0, 0, 0]]], np.uint8)
        assert edited_property("brightness", red, picture, self.mask) == pytest.approx(0.299)

    def test_color(self):
        """CIELAB of sRGB red is (53.24, 80.09, 67.20) in D65; a grey has a = b = 0, whatever its lightness."""
        red = np.array([[[255, 0, 0], [90, 90, 90], [0, 255, 0], [0, 0, 255]]], np.uint8)
        expected = np.hypot(80.09, 67.20) / 2
        assert edited_property("color", red, self.picture(10, 200, 30, 40), self.mask) == pytest.approx(
            expected, rel=1e-3
        )

    def test_psnr_counts_only_where_the_mask_is_below_a_tenth(self):
        mask = np.array([[1.0, 0.2, 0.05, 0.0]])
        original = self.picture(100, 100, 100, 100)
        expected = 10 * np.log10(255**2 / ((6**2 + 8**2) / 2))
        assert psnr_outside(self.picture(0, 0, 106, 92), original, mask) == pytest.approx(expected)
        assert psnr_outside(self.picture(0, 0, 100, 100), original, mask) == np.inf
        assert np.isnan(psnr_outside(original, original, np.array([[1.0, 0.2, 0.2, 0.2]])))


def points(inside, outside):
    """x, y of fixations at the centres of pixels inside and outside of INSIDE."""
    return np.array([(4.5 + k % 6, 3.5 + k // 6) for k in range(inside)] + [(0.5, 0.5 + k) for k in range(outside)])


COUNTS = {
    "a": ((3, 9), (6, 6)),
    "b": ((2, 8), (5, 5)),
    "c": ((4, 4), (4, 4)),
    "d": ((1, 9), (2, 3)),
    "e": ((5, 5), (2, 8)),
}
BEFORE, AFTER = np.array([[i / (i + o) for i, o in pair] for pair in COUNTS.values()]).T


@pytest.fixture
def gaze(tmp_path):
    """Folders original, edited and masks of five images, .csv and .npy in turn."""
    for k, (id, pair) in enumerate(COUNTS.items()):
        for name, counts in zip(("original", "edited"), pair, strict=True):
            (tmp_path / name).mkdir(exist_ok=True)
            if k % 2:
                np.save(tmp_path / name / f"{id}.npy", points(*counts))
            else:
                rows = "\n".join(f"{x},{y}" for x, y in points(*counts))
                (tmp_path / name / f"{id}.csv").write_text(f"x,y\n{rows}\n")
        (tmp_path / "masks").mkdir(exist_ok=True)
        Image.fromarray(MASK).save(tmp_path / "masks" / f"{id}.png")
    return tmp_path


def of(folder, *more):
    return observe(folder / "original", folder / "edited", folder / "masks", *more)


class TestObserved:
    def test_fixations(self, gaze):
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

    def test_maps(self, gaze):
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

    def test_masks_of_another_size_than_the_pictures(self, gaze):
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

    def test_the_table_says_in_which_pixels_fixations_count(self, gaze):
        """Masks larger than the pictures that were shown would give wrong shares without any error."""
        note = "pixels of pictures of 16 x 12 (width x height); their largest x is 9.5, y 8.5."
        assert note in report.observed_table(of(gaze))
        for id in "ab":
            Image.fromarray(MASK.repeat(2, axis=0).repeat(2, axis=1)).save(gaze / "masks" / f"{id}.png")
        assert "pixels of pictures of 32 x 24 and 1 other sizes (width x height)" in report.observed_table(of(gaze))

    def test_what_cannot_be_measured_is_named(self, gaze):
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

    def test_maps_that_do_not_fit(self, tmp_path):
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

    def test_folders_that_are_no_study(self, gaze, tmp_path):
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


CONTRASTS = (0.5, 1.5, 2.0)  # asked for; 1 is no edit
CONTRAST = "contrast (SD of grey)"
BRIGHT = "def predict(self, sample):\n    return np.abs(sample.image.mean(2) - 128)\n"


WATCHED = """
asked, stops_at, broken = [], None, set()
def predict_batch(self, samples):
    ids = [sample.id for sample in samples]
    type(self).asked.append(ids)
    if self.stops_at in ids:
        raise KeyboardInterrupt
    if self.broken & set(ids):
        raise RuntimeError("no")
    return [np.abs(sample.image.mean(2) - 128) for sample in samples]
"""


def versions(source):
    """The ids of a source of `edit_set` and of its edits, in the order in which they are predicted."""
    return [source, *(f"{source}_{edit}" for edit in ("color_1", "contrast_0.5", "contrast_1.5", "contrast_2"))]


def chequers(strength, k):
    """A grey picture with a chequerboard of amplitude 20 x strength (+ k) inside, of 10 outside."""
    sign = np.where(np.indices(SIZE).sum(0) % 2, 1, -1)
    amplitude = np.full(SIZE, 10.0)
    amplitude[INSIDE] = 20 * strength + k
    return (128 + sign * amplitude).astype(np.uint8)[..., None].repeat(3, axis=2)


@pytest.fixture
def edit_set(tmp_path):
    """Four sources with a decreasing and two increasing edits each, and one whose edits have been dropped."""
    writer = Writer(tmp_path / "set", {"licence": "CC0"})
    for k in range(4):
        made = [NewEdit("contrast", s, s, 1 if s > 1 else -1, chequers(s, k)) for s in CONTRASTS]
        made.append(NewEdit("color", 1.0, 0.9, 1, chequers(1, k)))
        writer.add(f"s{k}", chequers(1, k), {"contrast": MASK, "color": MASK}, made)
    writer.add("s9", chequers(1, 0), {}, [], dropped=[{"type": "contrast", "asked": 8.0, "reason": "too strong"}])
    writer.finish()
    return tmp_path / "set"


def bright_share(strength, k):
    """What a method that returns the distance from grey 128 says: mass inside over all mass."""
    inside = 36 * (20 * strength + k)
    return inside / (inside + 156 * 10)


def predicted(edit_set, specs, gaze=None, **runtime):
    here = Runtime(progress=False, **({"workers": 1} | runtime))
    return predict(edits.read(edit_set), specs, edit_set.parent / "out", here, gaze=gaze)


class TestPredicted:
    def test_shares_and_properties(self, edit_set, add_method):
        add_method("bright", BRIGHT)
        study = predicted(edit_set, ["bright", "uniform"])
        assert study.models == ["bright", "uniform"]
        assert study.left_out == {"s9": "has no edits, because all were dropped"}
        assert len(study.edits) == 16
        for measured in study.edits:
            k, strength = int(measured.edit.source[1]), measured.edit.asked
            assert measured.covered == COVERED
            assert measured.psnr_outside == np.inf
            assert measured.values["uniform"] == pytest.approx((COVERED, COVERED))
            assert measured.values["bright"] == pytest.approx((bright_share(1, k), bright_share(strength, k)))
            if measured.edit.type == "contrast":
                assert measured.values[CONTRAST] == pytest.approx(((20 + k) / 255, (20 * strength + k) / 255))
            else:
                assert measured.values["color (distance in CIELAB a, b)"] == pytest.approx((0, 0), abs=1e-3)

    def test_changes_are_of_the_images_of_one_strength(self, edit_set, add_method):
        add_method("bright", BRIGHT)
        changes = predicted(edit_set, ["bright", "uniform"]).changes()
        assert list(changes) == [("color", 1.0), ("contrast", 0.5), ("contrast", 1.5), ("contrast", 2.0)]
        before, after = np.array([(bright_share(1, k), bright_share(2, k)) for k in range(4)]).T
        found = changes["contrast", 2.0]["bright"]
        assert (found.n, found.before, found.after) == pytest.approx((4, before.mean(), after.mean()))
        assert (found.t, found.p_t) == pytest.approx(tuple(scipy.stats.ttest_rel(after, before)))
        control = changes["contrast", 2.0]["uniform"]
        assert (control.mean, control.low, control.high) == (0, 0, 0)
        assert np.isnan([control.p_t, control.p_wilcoxon]).all()
        assert changes["contrast", 0.5]["bright"].mean < 0 < changes["contrast", 1.5]["bright"].mean

    def test_edits_of_one_image_are_no_study(self, edit_set):
        for record in sorted((edit_set / "records").iterdir())[1:]:
            record.unlink()
        Writer(edit_set, {"licence": "CC0"}).finish()
        with pytest.raises(ValueError, match=r"expected edits of two or more images that can be measured, got 1$"):
            predicted(edit_set, ["uniform"])

    def test_the_note_says_that_a_set_is_unfinished(self, edit_set):
        Writer(edit_set, {"licence": "CC0"})
        assert "The edit set is unfinished: 5 images so far." in report.predicted_table(predicted(edit_set, []))
        Writer(edit_set, {"licence": "CC0"}).finish()
        assert "unfinished" not in report.predicted_table(predicted(edit_set, []))

    def test_trends(self, edit_set, add_method):
        """A share that falls with the strength, and one that rises but for one swap of three: 1 - 6 x 2 / 24 = 0.5.

        One that is the same on every edit has no trend, although it is another on the original.
        """
        add_method("falls", "def predict(self, sample):\n    return 200.0 - np.abs(sample.image.mean(2) - 128)\n")
        add_method(
            "swaps",
            "def predict(self, sample):\n"
            "    saliency = np.ones(sample.size)\n"
            "    saliency[3:9, 4:10] = {'0.5': 3, '1.5': 2.5, '2': 4}.get(sample.id.rpartition('_')[2], 2)\n"
            "    return saliency\n",
        )
        add_method(
            "jumps",
            "def predict(self, sample):\n"
            "    saliency = np.ones(sample.size)\n"
            "    saliency[3:9, 4:10] = 2 + ('_' in sample.id)\n"
            "    return saliency\n",
        )
        trends = predicted(edit_set, ["falls", "swaps", "jumps", "uniform"]).trends()
        assert trends["contrast"][CONTRAST] == pytest.approx((1, 1, 1, 4))
        assert trends["contrast"]["falls"] == pytest.approx((-1, -1, -1, 4))
        assert trends["contrast"]["swaps"] == pytest.approx((0.5, 0.5, 0.5, 4))
        assert "jumps" not in trends["contrast"]
        assert "uniform" not in trends["contrast"]  # it never changes
        assert "color" not in trends  # one strength

    def test_trends_are_over_the_strengths_that_were_used(self, tmp_path):
        """Weakened so far that what was asked to be the strongest is the weakest."""
        writer = Writer(tmp_path / "set", {})
        for k in range(2):
            made = [NewEdit("contrast", asked, used, 1, chequers(used, k)) for asked, used in ((1.5, 1.5), (2.0, 1.2))]
            writer.add(f"s{k}", chequers(1, k), {"contrast": MASK}, made)
        assert predicted(tmp_path / "set", []).trends()["contrast"][CONTRAST] == pytest.approx((1, 1, 1, 2))

    def test_a_method_sees_a_blind_sample_and_its_ids_are_those_of_from_folder(self, edit_set, add_method, tmp_path):
        folder = tmp_path / "seen"
        folder.mkdir()
        add_method(
            "looks",
            "def predict(self, sample):\n"
            f"    np.save({str(folder)!r} + '/' + sample.id + '.npy', sample.image.mean(2))\n"
            "    assert sample.fixations is None and self.runtime.backbone == 'here'\n"
            "    return sample.image.mean(2)\n",
        )
        study = predicted(edit_set, ["looks"], backbone="here")
        assert study.failures == {}
        assert "s0" in {p.stem for p in folder.iterdir()}
        assert "s3_contrast_0.5" in {p.stem for p in folder.iterdir()}
        again = predicted(edit_set, [f"from_folder:{folder}"])
        for seen, read in zip(study.edits, again.edits, strict=True):
            assert read.values["from_folder+seen"] == pytest.approx(seen.values["looks"])

    def test_failures_and_methods_that_cannot_run(self, edit_set, add_method):
        add_method(
            "trips",
            "def predict(self, sample):\n"
            "    if sample.id == 's1' or sample.id == 's2_contrast_2':\n"
            "        raise RuntimeError('no')\n"
            "    return sample.image.mean(2)\n",
        )
        add_method("lacks", "def predict(self, sample):\n    raise MethodUnavailable('needs weights')\n")
        specs = ["trips", "lacks", "center_bias", "inter_observer"]
        study = predicted(edit_set, specs)
        assert study.models == ["trips"]
        assert study.failures.keys() == {("trips", "s1"), ("trips", "s2_contrast_2")}
        assert {strength: c["trips"].n for (t, strength), c in study.changes().items() if t == "contrast"} == {
            0.5: 3, 1.5: 3, 2.0: 2,
        }  # fmt: skip
        assert study.skipped["lacks"] == "needs weights"
        assert study.skipped["center_bias"].startswith("needs fixations")
        text = report.predicted_table(study)
        assert "2 shares left out: trips, s1: RuntimeError: no" in text
        assert "lacks did not run: needs weights" in text
        assert "4 of 16 edits are weaker than asked for" in text
        assert "s9: has no edits" in text
        header, *rows = report.predicted_rows(study)
        empty = [row[0] for row in rows if row[header.index("trips_after")] is None]
        assert empty == ["s1"] * 4 + ["s2", "s9"]
        reasons = {row[-1] for row in rows if row[0] == "s1" or row[:3] == ["s2", "contrast", 2.0]}
        assert reasons == {"trips: RuntimeError: no (trips.py, line 7)"}
        assert {row[-1] for row in rows if row[0] == "s2" and row[2] != 2.0} == {None}

    def test_resumes(self, edit_set, add_method):
        """What was predicted is not predicted again: after a study was stopped, and in one with another method."""
        add_method("bright", BRIGHT)
        add_method("watched", WATCHED)
        watched = registry.get("watched")
        watched.stops_at = "s1"
        with pytest.raises(KeyboardInterrupt):
            predicted(edit_set, ["watched"])
        assert watched.asked[:6] == [[id] for id in [*versions("s0"), "s1"]]  # the next image may have begun
        watched.stops_at, watched.asked = None, []
        study = predicted(edit_set, ["watched"])
        assert watched.asked == [[id] for k in (1, 2, 3) for id in versions(f"s{k}")]
        watched.asked = []
        again = predicted(edit_set, ["bright", "watched"])
        assert not watched.asked
        for before, after in zip(study.edits, again.edits, strict=True):
            assert before.values["watched"] == after.values["watched"] == after.values["bright"]

    def test_what_failed_is_tried_again(self, edit_set, add_method):
        add_method("watched", WATCHED)
        watched = registry.get("watched")
        watched.broken = {"s2_color_1"}
        assert predicted(edit_set, ["watched"]).failures.keys() == {("watched", "s2_color_1")}
        watched.broken, watched.asked = set(), []
        assert not predicted(edit_set, ["watched"]).failures
        assert watched.asked == [[id] for id in versions("s2")]

    def test_changed_edits_or_code_are_predicted_anew(self, edit_set, add_method, monkeypatch):
        add_method("watched", WATCHED)
        predicted(edit_set, ["watched"])
        watched = registry.get("watched")
        watched.asked = []
        monkeypatch.setattr(watched, "code_hash", lambda self: "c0de")
        predicted(edit_set, ["watched"])
        assert len(watched.asked) == 4 * 5
        record = edit_set / "records" / "s3.json"
        record.write_text(record.read_text().replace('"word": null', '"word": "a word"'))
        predicted(edit_set, ["watched"])
        assert len(watched.asked) == 2 * 4 * 5

    def test_a_batch_gives_the_same_and_one_that_fails_takes_no_other_with_it(self, edit_set, add_method):
        add_method("watched", WATCHED)
        watched = registry.get("watched")
        watched.broken = {"s2_color_1"}
        study = predicted(edit_set, ["watched"], batch_size=5)
        assert watched.asked[:3] == [versions("s0"), versions("s1"), versions("s2")]
        assert watched.asked[3:] == [[id] for id in versions("s2")] + [versions("s3")]
        assert study.failures == {("watched", "s2_color_1"): "RuntimeError: no (watched.py, line 12)"}
        for options in ({"batch_size": 1}, {"batch_size": 3, "workers": 4}):
            (edit_set.parent / "out" / "shares" / "watched.jsonl").unlink()
            again = predicted(edit_set, ["watched"], **options)
            assert again.failures == study.failures
            assert [edit.values for edit in again.edits] == [edit.values for edit in study.edits]

    def test_images_of_several_sizes(self, tmp_path, add_method):
        """They are predicted by size, not in the order of the set."""
        add_method("bright", BRIGHT)
        writer = Writer(tmp_path / "set", {})
        for k, tall in enumerate((True, False, True)):
            pictures = [np.swapaxes(chequers(s, k), 0, 1) if tall else chequers(s, k) for s in (1, 2)]
            made = [NewEdit("contrast", 2.0, 2.0, 1, pictures[1])]
            writer.add(f"s{k}", pictures[0], {"contrast": MASK.T if tall else MASK}, made)
        study = predicted(tmp_path / "set", ["bright"], batch_size=2)
        assert [m.edit.source for m in study.edits] == ["s0", "s1", "s2"]
        for k, measured in enumerate(study.edits):
            assert measured.values["bright"] == pytest.approx((bright_share(1, k), bright_share(2, k)))

    def test_a_package_or_weights_that_are_missing(self, edit_set, add_method):
        """Reported before anything runs, or by the first image; the other methods run."""
        add_method(
            "early",
            "def notes(self):\n    from salbench.weights import WeightsProblem\n    raise WeightsProblem('damaged')\n",
        )
        add_method("late", "def predict(self, sample):\n    import a_package_of_nobody\n")
        study = predicted(edit_set, ["early", "late", "uniform"])
        assert study.models == ["uniform"]
        assert study.skipped["early"] == "damaged"
        assert study.skipped["late"].startswith("needs a_package_of_nobody: python -m pip install")
        with pytest.raises(registry.MethodProblem, match="Did you mean 'uniform'"):
            predicted(edit_set, ["uniforn"])

    def test_the_note_says_that_a_model_was_trained_with_these_edits(self, edit_set, add_method):
        add_method("bright", BRIGHT)
        fingerprint = edits.read(edit_set).fingerprint
        add_method("knows", f"{BRIGHT}def knows_edits(self, fingerprint):\n    return fingerprint == {fingerprint!r}\n")
        study = predicted(edit_set, ["bright", "knows"])
        assert study.notes == {"bright": [], "knows": ["trained with this edit set."]}
        assert "- knows: trained with this edit set." in report.predicted_table(study)

    @pytest.fixture
    def people(self, edit_set):
        """Folders of fixations: on originals, and on two edits of each; s3 was not shown."""
        for k, name in enumerate(("before", "after")):
            (edit_set.parent / name).mkdir()
            for source, counts in zip(("s0", "s1", "s2"), ((3, 9), (2, 8), (4, 4)), strict=True):
                if not k:
                    np.save(edit_set.parent / name / f"{source}.npy", points(*counts))
                else:
                    for edit, more in (("contrast_1.5", 1), ("contrast_2", 2)):
                        rows = "\n".join(f"{x},{y}" for x, y in points(counts[0] + more, counts[1]))
                        (edit_set.parent / name / f"{source}_{edit}.csv").write_text(f"x,y\n{rows}\n")
        return edit_set.parent / "before", edit_set.parent / "after"

    def test_people_beside_models(self, edit_set, people):
        study = predicted(edit_set, ["uniform"], gaze=people)
        assert study.models == ["people", "uniform"]
        assert not study.failures  # nobody saw s3, nor contrast 0.5
        shares = {(m.edit.source, m.edit.asked): m.values["people"] for m in study.edits if "people" in m.values}
        assert shares == {
            ("s0", 1.5): (3 / 12, 4 / 13), ("s0", 2.0): (3 / 12, 5 / 14), ("s1", 1.5): (2 / 10, 3 / 11),
            ("s1", 2.0): (2 / 10, 4 / 12), ("s2", 1.5): (4 / 8, 5 / 9), ("s2", 2.0): (4 / 8, 6 / 10),
        }  # fmt: skip
        changes = study.changes()
        assert changes["contrast", 2.0]["people"].n == 3
        assert "people" not in changes["contrast", 0.5]
        text = report.predicted_table(study)
        assert "- people: share of their fixations.\n- people: Fixations are in pixels of pictures of 16 x 12" in text
        header, *rows = report.predicted_rows(study)
        row = next(row for row in rows if row[0] == "s1" and row[2] == 2.0)
        assert row[header.index("people_after")] == 4 / 12

    def test_gaze_that_cannot_be_measured_is_named(self, edit_set, people):
        (people[0] / "s1.npy").unlink()
        (people[1] / "s0_contrast_2.csv").write_text("x,y\n")
        (people[1] / "s0_sharpness_2.csv").write_text("x,y\n1,1\n")
        (people[1] / "s2_contrast_1.5.csv").unlink()
        study = predicted(edit_set, [], gaze=people)
        reasons = {id: why for (_, id), why in study.failures.items()}
        assert set(reasons) == {
            "s0_contrast_2", "s0_sharpness_2", "s1_contrast_1.5", "s1_contrast_2", "s2_contrast_1.5",
        }  # fmt: skip
        assert "expected at least one, got none" in reasons["s0_contrast_2"]
        assert reasons["s0_sharpness_2"] == "the edit set has no edit with this name"
        assert "expected a file for the original, s1" in reasons["s1_contrast_2"]
        assert "expected a file with this stem in" in reasons["s2_contrast_1.5"]
        _, *rows = report.predicted_rows(study)
        named = {f"{row[0]}_{row[1]}_{row[2]:g}" if row[1] else row[0]: row[-1] for row in rows if row[-1]}
        assert named == {id: f"people: {why}" for id, why in reasons.items()} | study.left_out
        for path in people[1].iterdir():
            path.rename(path.with_stem(f"x{path.stem}"))
        with pytest.raises(
            ValueError, match=r"expected gaze on edits, in files such as s0_color_1\.csv; xs0_.*: the edit set"
        ):
            predicted(edit_set, [], gaze=people)

    def test_edits_that_cannot_be_measured(self, tmp_path):
        writer = Writer(tmp_path / "set", {})
        made = [NewEdit("sharpness", 1.0, 1.0, 1, chequers(1, 0)), NewEdit("contrast", 2.0, 2.0, 1, chequers(2, 0))]
        writer.add("s", chequers(1, 0), {"sharpness": MASK, "contrast": np.ones(SIZE)}, made)
        with pytest.raises(ValueError, match=r"got 0 \(s_contrast_2: .* covers all of it; s_sharpness_1: expected"):
            predicted(tmp_path / "set", [])


class TestFigures:
    def test_lines_are_the_means_of_the_table(self, edit_set, add_method):
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

    def test_tells_how_many_images_each_strength_has(self, edit_set):
        assert figures.predicted_figure(predicted(edit_set, [])).axes[2].get_title("left").startswith("n = 4 images")
        writer = Writer(edit_set, {"licence": "CC0"})
        writer.add("s4", chequers(1, 0), {"contrast": MASK}, [NewEdit("contrast", 2.0, 2.0, 1, chequers(2, 0))])
        title = figures.predicted_figure(predicted(edit_set, [])).axes[2].get_title("left")
        assert title.startswith("n = 4 to 5 images")

    def test_dots_are_the_images(self, gaze):
        left, right = figures.observed_figure(of(gaze)).axes
        lines = left.get_lines()
        assert_allclose([line.get_ydata() for line in lines[:5]], np.stack([BEFORE, AFTER], 1))
        assert_allclose(lines[5].get_ydata(), [BEFORE.mean(), AFTER.mean()])
        dots = next(line for line in right.get_lines() if len(line.get_ydata()) == 5)
        assert_allclose(dots.get_ydata(), AFTER - BEFORE)
        change = of(gaze).change
        assert [change.low, change.high] in [list(line.get_ydata()) for line in right.get_lines()]


class TestNewType:
    """A type that is only a row of the table can be asked for, measured, and shown."""

    @pytest.fixture(autouse=True)
    def blueness(self, monkeypatch):
        blue = EditType(
            "blueness", (0.5, 3.0), neutral=0.0, is_factor=True, unit="mean blue",
            measure=lambda pixels, original: float(pixels[:, 2].mean()), definition="mean of blue, 0 to 255",
        )  # fmt: skip
        monkeypatch.setitem(EDIT_TYPES, "blueness", blue)

    @pytest.fixture
    def study(self, tmp_path):
        writer = Writer(tmp_path / "set", {})
        for k in range(2):
            made = []
            for strength in (0.5, 3.0):
                image = chequers(1, k)
                image[..., 2] = 100 + 10 * strength
                made.append(NewEdit("blueness", strength, strength, 1, image))
            writer.add(f"s{k}", chequers(1, k), {"blueness": MASK}, made)
        return predicted(tmp_path / "set", ["uniform"])

    def test_can_be_asked_for(self):
        assert edits.wanted("blueness,contrast") == {"blueness": [0.5, 3.0], "contrast": [1.2, 1.5, 2.0]}
        with pytest.raises(ValueError, match="does not change blueness"):
            edits.wanted("blueness", [0.0])
        with pytest.raises(ValueError, match="expected 0 or more for blueness"):
            edits.wanted("blueness", [-1.0])
        with pytest.raises(ValueError, match="expected one or more of contrast, brightness, color, blueness"):
            edits.wanted("hue")

    def test_is_measured(self, study):
        """Before: a chequerboard of 128 +- amplitude, whose mean inside is 128."""
        assert [m.values["blueness (mean blue)"] for m in study.edits] == [(128, 105), (128, 130)] * 2
        assert study.trends()["blueness"]["blueness (mean blue)"] == pytest.approx((1, 1, 1, 2))

    def test_edits_that_an_earlier_study_could_not_measure_are_predicted(self, study, monkeypatch):
        folder = study.edit_set.originals["s0"].args[0].parents[1]
        for k in range(2):
            made = [NewEdit("contrast", 2.0, 2.0, 1, chequers(2, k)), NewEdit("blueness", 3.0, 3.0, 1, chequers(1, k))]
            Writer(folder, {}).add(f"s{k}", chequers(1, k), {"contrast": MASK, "blueness": MASK}, made)
        with monkeypatch.context() as without:
            without.delitem(EDIT_TYPES, "blueness")
            assert "got 'blueness'" in predicted(folder, ["uniform"]).left_out["s0_blueness_3"]
        again = predicted(folder, ["uniform"])
        assert [m.edit.type for m in again.edits] == ["blueness", "contrast"] * 2
        assert all("uniform" in m.values for m in again.edits)

    def test_is_in_tables(self, study):
        text = report.predicted_table(study)
        assert re.search(r"\| blueness \| 3 +\| blueness \(mean blue\) \| 2 +\| 128\.0000 +\| 130\.0000", text)
        assert "- blueness (mean blue): mean of blue, 0 to 255.\n" in text
        header, *rows = report.predicted_rows(study)
        assert [dict(zip(header, row, strict=True))["after"] for row in rows] == [105, 130] * 2

    def test_is_in_figures(self, study):
        left, right = figures.predicted_figure(study).axes
        assert left.get_ylabel() == "change of blueness\n(mean blue)"
        line = next(line for line in left.get_lines() if line.get_label() == "blueness (mean blue)")
        assert_allclose(line.get_xydata(), [(0, 0), (0.5, -23), (3, 2)])
        assert [line.get_label() for line in right.get_lines() if len(line.get_xdata()) == 3] == ["uniform"]


def run(*arguments):
    return benchmark.main(["study", *map(str, arguments)])


class TestVerb:
    def arguments(self, gaze):
        return "--original", gaze / "original", "--edited", gaze / "edited", "--masks", gaze / "masks"

    def test_fixations(self, gaze, capsys):
        figure, out = gaze / "figure.png", gaze / "out"
        assert run(*self.arguments(gaze), "--out", out, "--figure", figure) == 0
        printed = capsys.readouterr().out
        assert (out / "study.md").read_text() == printed.removesuffix("\n")
        change = AFTER - BEFORE
        assert f"| {BEFORE.mean():.4f}   | {AFTER.mean():.4f}  | {change.mean():+.4f} [" in printed
        assert f"| {change.mean() / change.std(ddof=1):.2f}  | {COVERED:.3f} " in printed
        with open(out / "images.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert_allclose([float(row["change"]) for row in rows], change)
        assert Image.open(figure).size[0] > 600
        (gaze / "edited" / "a.csv").unlink()
        assert run(*self.arguments(gaze), "--out", out) == 1

    def test_an_edit_set(self, edit_set, tmp_path, capsys):
        figure, out = tmp_path / "figure.svg", tmp_path / "out"
        assert run("--edits", edit_set, "--methods", "uniform", "--out", out, "--figure", figure) == 1  # s9
        printed = capsys.readouterr().out
        assert (out / "study.md").read_text() == printed.removesuffix("\n")
        assert printed.count("| uniform ") == 4
        with open(out / "images.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        assert_allclose([float(row["uniform_after"]) for row in rows if not row["left_out"]], COVERED)
        assert figure.stat().st_size

    def test_people_on_an_edit_set(self, edit_set, tmp_path, capsys):
        for name, stem in (("a", "{}"), ("b", "{}_contrast_2")):
            (tmp_path / name).mkdir()
            for source in ("s0", "s1"):
                np.save(tmp_path / name / f"{stem.format(source)}.npy", points(3, 9))
        writer = Writer(edit_set, {"licence": "CC0"})
        gaze = "--original", tmp_path / "a", "--edited", tmp_path / "b"
        (edit_set / "records" / "s9.json").unlink()  # all of its edits have been dropped
        writer.finish()
        assert run("--edits", edit_set, *gaze, "--out", tmp_path / "out", "--figure", tmp_path / "f.png") == 0
        assert "| people " in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ((), r"--masks"),
            (("--original", "x", "--edited", "y"), r"--masks"),
            (("--original", "x", "--edited", "y", "--masks", "z", "--methods", "uniform"), r"--methods"),
            (("--edits", "x", "--masks", "y", "--methods", "uniform"), r"--masks"),
            (("--edits", "x"), r"--methods"),
            (("--edits", "x", "--original", "y"), r"--edited"),
            (("--edits", "x", "--methods", "uniform", "--edited", "y"), r"--original"),
            (("--edits", "x", "--methods", "uniforn"), r"Did you mean 'uniform'"),
            (("--edits", "x", "--methods", "uniform"), r"x: expected the folder of an edit set"),
            (("--edits", "x", "--methods", "uniform", "--figure", "f.gif"), r"f\.gif: expected a name ending in \.png"),
            (("--original", "x", "--edited", "y", "--masks", "z"), r"x: expected a folder"),
        ],
    )
    def test_bad_input(self, arguments, message, capsys, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert run(*arguments) == 2
        assert re.search(message, capsys.readouterr().err)
        assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def rows():
    with open(ROOT / "results" / "study_augsal" / "images.csv", newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


class TestMeasuredStudy:
    """results/study_augsal: what its page says of the paper's own edits."""

    @pytest.mark.parametrize("strength", [1.3, 1.6, 2.0])
    @pytest.mark.parametrize(
        ("name", "column"),
        [("contrast (SD of grey)", ""), ("spectral_residual", "spectral_residual_"), ("lite", "lite_")],
    )
    def test_the_table_is_of_these_images(self, rows, name, column, strength):
        of_one = [row for row in rows if float(row["strength"]) == strength]
        before, after = (np.array([float(row[column + when]) for row in of_one]) for when in ("before", "after"))
        text = (ROOT / "results" / "study_augsal" / "study.md").read_text(encoding="utf-8")
        lines = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.splitlines()]
        line = next(cells for cells in lines if cells[:3] == ["contrast", f"{strength:g}", name])
        change = (after - before).mean()
        assert line[3:6] == ["100", f"{before.mean():.4f}", f"{after.mean():.4f}"]
        assert line[6].startswith(f"{change:+.4f} [")
        assert line[7] == f"{scipy.stats.ttest_rel(after, before).statistic:.2f}"
        assert f"{change:+.3f}" in (ROOT / "results" / "edits_and_saliency.md").read_text(encoding="utf-8")

    def test_the_control_is_exactly_zero(self, rows):
        assert len(rows) == 300
        assert all(row["uniform_before"] == row["uniform_after"] for row in rows)

    def test_the_numbers_of_one_image_in_plain_steps(self, rows, shared):
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
