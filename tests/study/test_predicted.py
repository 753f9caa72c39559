"""Studies of edits: shares by hand, statistics against scipy, resumed and failed predictions, people beside models."""

import numpy as np
import pytest
import scipy.stats
from studies import BRIGHT, CONTRAST, CONTRASTS, COVERED, MASK, SIZE, bright_share, chequers, points, predicted

from salbench import edits, registry
from salbench.edits import NewEdit, Writer
from salbench.redaction import without_folders
from salbench.study import report

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


def test_shares_and_properties(edit_set, add_method):
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


def test_changes_are_of_the_images_of_one_strength(edit_set, add_method):
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


def test_edits_of_one_image_are_no_study(edit_set):
    for record in sorted((edit_set / "records").iterdir())[1:]:
        record.unlink()
    Writer(edit_set, {"licence": "CC0"}).finish()
    with pytest.raises(ValueError, match=r"expected edits of two or more images that can be measured, got 1$"):
        predicted(edit_set, ["uniform"])


def test_the_note_says_that_a_set_is_unfinished(edit_set):
    Writer(edit_set, {"licence": "CC0"})
    assert "The edit set is unfinished: 5 images so far." in report.predicted_table(predicted(edit_set, []))
    Writer(edit_set, {"licence": "CC0"}).finish()
    assert "unfinished" not in report.predicted_table(predicted(edit_set, []))


def test_trends(edit_set, add_method):
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


def test_slopes(edit_set, add_method):
    """The edited property is a straight line with a slope for each image; a method's is that of the shares."""
    add_method("bright", BRIGHT)
    slopes = predicted(edit_set, ["bright", "uniform"]).slopes()
    assert slopes.keys() == {"contrast"}  # colour has one strength
    assert list(slopes["contrast"]) == [CONTRAST, "bright", "uniform"]
    assert slopes["contrast"][CONTRAST].mean == pytest.approx(20 / 255)
    fits = [np.polyfit(CONTRASTS, [bright_share(s, k) for s in CONTRASTS], 1)[0] for k in range(4)]
    test = scipy.stats.ttest_1samp(fits, 0)
    found = slopes["contrast"]["bright"]
    assert (found.mean, found.n_images) == pytest.approx((np.mean(fits), 4))
    assert (found.low, found.high) == pytest.approx(test.confidence_interval())
    control = slopes["contrast"]["uniform"]
    assert (control.mean, control.low, control.high) == (0, 0, 0)


def test_slopes_are_in_the_table(edit_set):
    text = report.predicted_table(predicted(edit_set, ["uniform"]))
    assert "| contrast | contrast (SD of grey) | 4        | +0.0784 [+0.0784, +0.0784] | – " in text
    assert "- Slope: by how much the measured quantity rises when the strength rises by 1" in text


def test_trends_are_over_the_strengths_that_were_used(tmp_path):
    """Weakened so far that what was asked to be the strongest is the weakest."""
    writer = Writer(tmp_path / "set", {})
    for k in range(2):
        made = [NewEdit("contrast", asked, used, 1, chequers(used, k)) for asked, used in ((1.5, 1.5), (2.0, 1.2))]
        writer.add(f"s{k}", chequers(1, k), {"contrast": MASK}, made)
    assert predicted(tmp_path / "set", []).trends()["contrast"][CONTRAST] == pytest.approx((1, 1, 1, 2))


def test_a_method_sees_a_blind_sample_and_its_ids_are_those_of_from_folder(edit_set, add_method, tmp_path):
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


def test_failures_and_methods_that_cannot_run(edit_set, add_method):
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


def test_resumes(edit_set, add_method):
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


def test_what_failed_is_tried_again(edit_set, add_method):
    add_method("watched", WATCHED)
    watched = registry.get("watched")
    watched.broken = {"s2_color_1"}
    assert predicted(edit_set, ["watched"]).failures.keys() == {("watched", "s2_color_1")}
    watched.broken, watched.asked = set(), []
    assert not predicted(edit_set, ["watched"]).failures
    assert watched.asked == [[id] for id in versions("s2")]


def test_changed_edits_or_code_are_predicted_anew(edit_set, add_method, monkeypatch):
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


def test_a_batch_gives_the_same_and_one_that_fails_takes_no_other_with_it(edit_set, add_method):
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


def test_images_of_several_sizes(tmp_path, add_method):
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


def test_a_package_or_weights_that_are_missing(edit_set, add_method):
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


def test_the_note_says_that_a_model_was_trained_with_these_edits(edit_set, add_method):
    add_method("bright", BRIGHT)
    fingerprint = edits.read(edit_set).fingerprint
    add_method("knows", f"{BRIGHT}def knows_edits(self, fingerprint):\n    return fingerprint == {fingerprint!r}\n")
    study = predicted(edit_set, ["bright", "knows"])
    assert study.notes == {"bright": [], "knows": ["trained with this edit set."]}
    assert "- knows: trained with this edit set." in report.predicted_table(study)


@pytest.fixture
def people(edit_set):
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


def test_people_beside_models(edit_set, people):
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


def test_gaze_that_cannot_be_measured_is_named(edit_set, people):
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
    assert named == {id: f"people: {without_folders(why)}" for id, why in reasons.items()} | study.left_out
    assert named["s2_contrast_1.5"] == "people: expected a file with this stem in after, because before has s2"
    for path in people[1].iterdir():
        path.rename(path.with_stem(f"x{path.stem}"))
    with pytest.raises(
        ValueError, match=r"expected gaze on edits, in files such as s0_color_1\.csv; xs0_.*: the edit set"
    ):
        predicted(edit_set, [], gaze=people)


def test_edits_that_cannot_be_measured(tmp_path):
    writer = Writer(tmp_path / "set", {})
    made = [NewEdit("sharpness", 1.0, 1.0, 1, chequers(1, 0)), NewEdit("contrast", 2.0, 2.0, 1, chequers(2, 0))]
    writer.add("s", chequers(1, 0), {"sharpness": MASK, "contrast": np.ones(SIZE)}, made)
    with pytest.raises(ValueError, match=r"got 0 \(s_contrast_2: .* covers all of it; s_sharpness_1: expected"):
        predicted(tmp_path / "set", [])
