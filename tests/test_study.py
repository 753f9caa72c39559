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
from salbench.edits import NewEdit, Writer
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
            (np.full((6, 8), 255.0), r"covers the whole image"),
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
        assert re.search(r"of this stem in each folder, found none in the images", study.left_out["a"])

    def test_the_table_tells_in_which_pixels_fixations_count(self, gaze):
        """Masks larger than the pictures that were shown would give wrong shares without a word."""
        assert "pixels of pictures of 16 x 12 (width x height); they reach to x 9.5, y 8.5." in report.observed_table(
            of(gaze)
        )
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
            "i": r"expected fixations twice or maps twice, got i\.npy and i\.npy",
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
        assert re.search(r"expected some attention in both maps", study.left_out["b"])
        assert (study.change.before, study.change.after, study.change.mean) == (1, 1, 0)
        assert "+0.0000 [+0.0000, +0.0000] | – " in report.observed_table(study)

    def test_folders_that_are_no_study(self, gaze, tmp_path):
        with pytest.raises(ValueError, match=r"nowhere: expected a folder with one file per image"):
            observe(gaze / "nowhere", gaze / "edited", gaze / "masks")
        (gaze / "masks" / "notes.txt").write_text("")
        with pytest.raises(ValueError, match=r"notes\.txt: expected one of \.jpg"):
            of(gaze)
        (gaze / "masks" / "notes.txt").unlink()
        Image.fromarray(MASK).save(gaze / "masks" / "a.bmp")
        with pytest.raises(ValueError, match=r"a\.bmp and a\.png share a stem"):
            of(gaze)
        (gaze / "masks" / "a.bmp").unlink()
        for name in ("original", "edited"):
            np.save(gaze / name / "b.npy", np.ones(SIZE))
        with pytest.raises(ValueError, match=r"got fixations of e and map mass of b"):
            of(gaze)
        for id in "abcd":
            (gaze / "masks" / f"{id}.png").unlink()
        with pytest.raises(ValueError, match=r"two or more images that can be measured, got 1 \(a: expected a file"):
            of(gaze)
        (tmp_path / "empty").mkdir()
        with pytest.raises(ValueError, match=r"empty: expected one file per image, found none"):
            observe(tmp_path / "empty", gaze / "edited", gaze / "masks")


CONTRASTS = (0.5, 1.5, 2.0)  # asked for; 1 is no edit
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


def predicted(edit_set, specs, **options):
    return predict(edits.read(edit_set), specs, edit_set.parent / "out", progress=False, **options)


class TestPredicted:
    def test_shares_and_properties(self, edit_set, add_method):
        add_method("bright", BRIGHT)
        study = predicted(edit_set, ["bright", "uniform"])
        assert study.models == ["bright", "uniform"]
        assert study.left_out == {"s9": "it has no edit; all have been dropped"}
        assert len(study.edits) == 16
        for measured in study.edits:
            k, strength = int(measured.edit.source[1]), measured.edit.asked
            assert measured.covered == COVERED
            assert measured.psnr_outside == np.inf
            assert measured.values["uniform"] == pytest.approx((COVERED, COVERED))
            assert measured.values["bright"] == pytest.approx((bright_share(1, k), bright_share(strength, k)))
            if measured.edit.type == "contrast":
                assert measured.values["contrast"] == pytest.approx(((20 + k) / 255, (20 * strength + k) / 255))
            else:
                assert measured.values["color"] == pytest.approx((0, 0), abs=1e-3)

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

    def test_an_unfinished_set_is_told(self, edit_set):
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
        assert trends["contrast"]["contrast"] == pytest.approx((1, 1, 1, 4))
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
        assert predicted(tmp_path / "set", []).trends()["contrast"]["contrast"] == pytest.approx((1, 1, 1, 2))

    def test_a_method_sees_a_blind_sample_and_its_ids_are_those_of_from_folder(self, edit_set, add_method, tmp_path):
        folder = tmp_path / "seen"
        folder.mkdir()
        add_method(
            "looks",
            "def predict(self, sample):\n"
            f"    np.save({str(folder)!r} + '/' + sample.id + '.npy', sample.image.mean(2))\n"
            "    assert sample.fixations is None and self.device == 'cpu' and self.backbone == 'here'\n"
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
        assert study.skipped["center_bias"] == "needs fixations, and an edit set has none"
        text = report.predicted_table(study)
        assert "2 shares left out: trips, s1: RuntimeError: no" in text
        assert "lacks did not run: needs weights" in text
        assert "4 of 16 edits were made weaker than asked for" in text
        assert "s9: it has no edit" in text
        header, *rows = report.predicted_rows(study)
        empty = [row[0] for row in rows if row[header.index("trips_after")] is None]
        assert empty == ["s1"] * 4 + ["s2", "s9"]
        reasons = {row[-1] for row in rows if row[0] == "s1" or row[:3] == ["s2", "contrast", 2.0]}
        assert reasons == {"trips: RuntimeError: no (trips.py, line 7)"}
        assert {row[-1] for row in rows if row[0] == "s2" and row[2] != 2.0} == {None}

    def test_goes_on_where_it_was_stopped(self, edit_set, add_method):
        """What was predicted is not predicted again: in the same study stopped, and in one of another method more."""
        add_method("bright", BRIGHT)
        add_method("watched", WATCHED)
        watched = registry.get("watched")
        watched.stops_at = "s1"
        with pytest.raises(KeyboardInterrupt):
            predicted(edit_set, ["watched"])
        assert watched.asked == [[id] for id in [*versions("s0"), "s1"]]
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

    def test_changed_edits_or_code_are_predicted_anew(self, edit_set, add_method):
        add_method("watched", WATCHED)
        predicted(edit_set, ["watched"])
        watched = registry.get("watched")
        watched.asked = []
        add_method("watched", f"{WATCHED}# changed\n")
        predicted(edit_set, ["watched"])
        assert len(watched.asked) == 4 * 5
        record = edit_set / "records" / "s3.json"
        record.write_text(record.read_text().replace('"word": null', '"word": "a word"'))
        predicted(edit_set, ["watched"])
        assert len(watched.asked) == 2 * 4 * 5

    def test_on_a_gpu_the_versions_of_an_image_go_together(self, edit_set, add_method):
        """One that fails takes none of the others with it."""
        add_method("watched", WATCHED)
        watched = registry.get("watched")
        watched.broken = {"s2_color_1"}
        study = predicted(edit_set, ["watched"], device="cuda")
        assert watched.asked[:3] == [versions("s0"), versions("s1"), versions("s2")]
        assert watched.asked[3:] == [[id] for id in versions("s2")] + [versions("s3")]
        assert study.failures == {("watched", "s2_color_1"): "RuntimeError: no (watched.py, line 12)"}
        alone = predict(edits.read(edit_set), ["watched"], edit_set.parent / "alone", progress=False)
        assert [edit.values for edit in study.edits] == [edit.values for edit in alone.edits]

    def test_a_model_that_was_trained_with_these_edits_is_told(self, edit_set, add_method):
        add_method("bright", BRIGHT)
        fingerprint = edits.read(edit_set).fingerprint
        add_method("knows", f"{BRIGHT}def knows_edits(self, fingerprint):\n    return fingerprint == {fingerprint!r}\n")
        study = predicted(edit_set, ["bright", "knows"])
        assert study.notes == {"bright": [], "knows": ["trained with these very edits."]}
        assert "- knows: trained with these very edits." in report.predicted_table(study)

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
        assert (
            "- people: the share of their fixations.\n- people: Fixations count pixels of pictures of 16 x 12" in text
        )
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
        assert reasons["s0_sharpness_2"] == "the edit set has no edit of this name"
        assert "expected a file of s1, the original" in reasons["s1_contrast_2"]
        assert "expected a file of this stem in" in reasons["s2_contrast_1.5"]
        _, *rows = report.predicted_rows(study)
        named = {f"{row[0]}_{row[1]}_{row[2]:g}" if row[1] else row[0]: row[-1] for row in rows if row[-1]}
        assert named == {id: f"people: {why}" for id, why in reasons.items()} | study.left_out
        for path in people[1].iterdir():
            path.rename(path.with_stem(f"x{path.stem}"))
        with pytest.raises(
            ValueError, match=r"expected gaze on edits, files such as s0_color_1\.csv; xs0_.*: the edit set"
        ):
            predicted(edit_set, [], gaze=people)

    def test_edits_that_cannot_be_measured(self, tmp_path):
        writer = Writer(tmp_path / "set", {})
        made = [NewEdit("sharpness", 1.0, 1.0, 1, chequers(1, 0)), NewEdit("contrast", 2.0, 2.0, 1, chequers(2, 0))]
        writer.add("s", chequers(1, 0), {"sharpness": MASK, "contrast": np.ones(SIZE)}, made)
        with pytest.raises(
            ValueError, match=r"got 0 \(s_contrast_2: .* covers the whole image; s_sharpness_1: expected"
        ):
            predict(edits.read(tmp_path / "set"), [], tmp_path / "out", progress=False)


class TestFigures:
    def test_lines_are_the_means_of_the_table(self, edit_set, add_method):
        add_method("bright", BRIGHT)
        study = predicted(edit_set, ["bright"])
        panels = figures.predicted_figure(study).axes
        assert len(panels) == 4  # color and contrast
        changes = study.changes()
        for panel, quantity in zip(panels[2:], ("contrast", "bright"), strict=True):
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

    @pytest.mark.parametrize("ending", ["pdf", "svg"])
    def test_the_same_study_gives_the_same_bytes(self, gaze, ending):
        for name in ("one", "two"):
            figures.save(figures.observed_figure(of(gaze)), gaze / f"{name}.{ending}")
        assert (gaze / f"one.{ending}").read_bytes() == (gaze / f"two.{ending}").read_bytes()


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
            ((), r"expected --original, --edited and --masks"),
            (("--original", "x", "--edited", "y"), r"expected --original, --edited and --masks"),
            (("--original", "x", "--edited", "y", "--masks", "z", "--methods", "uniform"), r"study: expected"),
            (("--edits", "x", "--masks", "y", "--methods", "uniform"), r"study: expected"),
            (("--edits", "x"), r"--edits with --methods, or with --original and --edited, or all three"),
            (("--edits", "x", "--original", "y"), r"--edits with --methods, or with --original and --edited"),
            (("--edits", "x", "--methods", "uniform", "--edited", "y"), r"--edits with --methods, or with --original"),
            (("--edits", "x", "--methods", "uniforn"), r"did you mean 'uniform'"),
            (("--edits", "x", "--methods", "uniform"), r"x: expected an edit set, no such folder"),
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
        assert f"{change:+.3f}" in (ROOT / "results" / "README.md").read_text(encoding="utf-8")

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
