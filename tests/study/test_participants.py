"""From a plan to the result: simulated people with a known effect look at its pictures, and the study finds it."""

import csv
import re

import numpy as np
import pytest
from studies import INSIDE, SIZE, small_set

from salbench.datasets import DatasetProblem
from salbench.runtime import Runtime
from salbench.stats import crossed_slope
from salbench.study import figures, participants, plan, report
from salbench.study.plan import Design
from salbench.study.predicted import predict

STRENGTHS = (1.2, 1.5, 2.0)
EFFECT = 0.15  # rise of the share per unit of strength
INNER = [(x + 0.5, y + 0.5) for y in range(3, 9) for x in range(4, 10)]
OUTER = [(x + 0.5, y + 0.5) for y in range(SIZE[0]) for x in range(SIZE[1]) if not (3 <= y < 9 and 4 <= x < 10)]


@pytest.fixture(scope="module")
def edit_set():
    return small_set(24, contrast=STRENGTHS)


@pytest.fixture(scope="module")
def rows(edit_set):
    """Fixations of 20 people who each see one version of 24 images: participant, image, x, y."""
    rng = np.random.default_rng(3)
    header, *shown = plan.presentations(plan.draw(edit_set, Design(participants=20, per_type=24)))
    by_person, by_image = rng.normal(0, 0.05, (20, 2)), rng.normal(0, 0.05, (24, 2))
    found = []
    for row in shown:
        trial = dict(zip(header, row, strict=True))
        (a, u), (b, v) = by_person[int(trial["participant"][1:]) - 1], by_image[int(trial["image"][1:])]
        share = np.clip(0.3 + a + b + (EFFECT + u + v) * (float(trial["strength"]) - 1), 0.02, 0.98)
        for _ in range(12):
            x, y = rng.choice(INNER if rng.random() < share else OUTER)
            found.append((trial["participant"], trial["file"], x, y))
    return found


def write(path, rows, header=("participant", "image", "x", "y")):
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def studied(edit_set, path, specs=()):
    return predict(edit_set, specs, path.parent / "out", Runtime(workers=1, progress=False), fixations=path)


@pytest.fixture(scope="module")
def study(edit_set, rows, tmp_path_factory):
    """Of these fixations, beside a model."""
    return studied(edit_set, write(tmp_path_factory.mktemp("study") / "f.csv", rows), ["uniform"])


def test_a_known_effect_is_found(study):
    assert not study.failures
    people = study.participants
    assert (people.n_participants, people.n_fixations, people.n_off_image) == (20, 20 * 24 * 12, 0)
    assert list(people.changes) == [("contrast", s) for s in STRENGTHS]
    for (_, strength), change in people.changes.items():
        assert (change.slope.n_participants, change.slope.n_images, change.trials) == (20, 24, 240)
        assert change.slope.low < EFFECT * (strength - 1) < change.slope.high
    strongest = people.changes["contrast", 2.0]
    assert strongest.slope.p < 0.01
    assert strongest.before == pytest.approx(0.3, abs=0.05)
    slope = study.slopes()["contrast"]["people"]
    assert slope.low < EFFECT < slope.high
    assert slope.low > 0


def test_shares_and_changes_by_hand(study, rows):
    """Counted in the rows themselves; INSIDE is the region."""
    people = study.participants
    inside = np.zeros(SIZE, bool)
    inside[INSIDE] = True
    hits: dict = {}
    for person, file, x, y in rows:
        hits.setdefault((person, file), []).append(inside[int(y), int(x)])
    y = {key: np.mean(of_trial) for key, of_trial in hits.items()}
    of_two = [key for key in y if key[1].endswith("_contrast_2.png") or "contrast" not in key[1]]
    x = [float("contrast" in file) for _, file in of_two]
    expected = crossed_slope(x, [y[k] for k in of_two], [p for p, _ in of_two], [file[8:11] for _, file in of_two])
    assert people.changes["contrast", 2.0].slope.mean == pytest.approx(expected.mean)
    assert people.changes["contrast", 2.0].slope.p == pytest.approx(expected.p)
    shares = {(f"p{t.participant:02d}", f"stimuli/{t.edit.id}.png"): t.share for t in people.trials if t.is_edited}
    assert shares == {key: share for key, share in y.items() if "contrast" in key[1]}


def test_tables_and_figure(study):
    text, change = report.predicted_table(study), study.participants.changes["contrast", 2.0]
    assert f"| contrast | 2          | 20             | 24       | 240      | {change.before:.4f}     | " in text
    assert f"{change.slope.mean:+.4f} [{change.slope.low:+.4f}, {change.slope.high:+.4f}]" in text
    assert "| contrast | people                | 24       | +" in text
    assert "- people: 20 participants, 5760 fixations. Unedited, edited: means over trials." in text
    lines = {line.get_label(): line for line in figures.predicted_figure(study).axes[1].get_lines()}
    means = [study.participants.changes["contrast", s].slope.mean for s in STRENGTHS]
    np.testing.assert_allclose(lines["people"].get_ydata(), [0, *means])
    header, *trials = participants.rows(study.participants)
    assert header == ("participant", "image", "type", "region", "strength", "fixations", "share")
    assert len(trials) == 20 * 24 // 4 * 3 * 2
    assert {row[4] for row in trials} == {1.0, *STRENGTHS}


def test_what_eye_trackers_write(study, edit_set, rows, tmp_path):
    """Other names of columns and files, saccades between the fixations, and shares of the screen."""
    plain = study.participants.changes
    other = [(p, file.rpartition("/")[2], x / SIZE[1], y / SIZE[0]) for p, file, x, y in rows]
    path = write(tmp_path / "g.csv", other, ("USER", "MEDIA_NAME", "FPOGX", "FPOGY"))
    assert studied(edit_set, path).participants.changes["contrast", 1.5] == plain["contrast", 1.5]
    other = [
        (p, "C:\\study\\" + file.removesuffix(".png").rpartition("/")[2], x, y, "Fixation") for p, file, x, y in rows
    ]
    other += [("p01", "s01.png", 1.0, 1.0, "Saccade")] * 50
    names = "Participant name", "Presented Stimulus name", "Fixation point X", "Fixation point Y", "Eye movement type"
    path = write(tmp_path / "h.csv", other, names)
    assert studied(edit_set, path).participants.changes["contrast", 2.0] == plain["contrast", 2.0]


def test_fixations_off_the_image_are_counted(edit_set, rows, tmp_path):
    more = [*rows, ("p01", rows[0][1], 99.0, 5.0), ("p01", rows[0][1], -1.0, 5.0), ("p02", rows[-1][1], "", "")]
    study = studied(edit_set, write(tmp_path / "f.csv", more))
    assert study.participants.n_off_image == 2
    assert "5760 fixations, without 2 off their image." in report.predicted_table(study)


def test_an_unknown_image_is_named_and_the_rest_is_used(edit_set, rows, tmp_path):
    study = studied(edit_set, write(tmp_path / "f.csv", [*rows, ("p01", "cat.png", 1.0, 1.0)]))
    assert study.failures == {("people", "cat"): "the edit set has no image with this name"}
    assert "people, cat: the edit set has no image with this name" in report.predicted_table(study)
    assert study.participants.n_fixations == 5760


def test_each_version_seen_by_one_person_gives_no_interval(edit_set, rows, tmp_path):
    few = [row for row in rows if row[0] in ("p01", "p02", "p03", "p04")]
    text = report.predicted_table(studied(edit_set, write(tmp_path / "f.csv", few)))
    assert re.search(r"\[–, –\] +\| – ", text)
    assert "- –: too few participants for an interval" in text


def test_a_strength_that_was_not_shown_unedited(edit_set, rows, tmp_path):
    """Nobody saw unedited images: there are slopes over strengths, and no changes."""
    study = studied(edit_set, write(tmp_path / "f.csv", [row for row in rows if "contrast" in row[1]]))
    assert not study.participants.changes
    assert study.participants.slopes["contrast"].p < 0.05
    reason = "expected participants who saw images with different x, got none"
    assert study.failures["people", "contrast 2"] == reason


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: [row for row in rows if row[0] == "p01"], "two or more participants, got 1; for one participant"),
        (
            lambda rows: [(p, "cat.png", x, y) for p, _, x, y in rows],
            r"such as s00_contrast_1\.2\.png, got none; cat is",
        ),
        (lambda rows: [row for row in rows if "contrast" not in row[1]], r"such as s00_contrast_1\.2\.png, got none$"),
        (lambda rows: [], "two or more participants, got 0"),
    ],
)
def test_tables_that_are_no_study(edit_set, rows, tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        studied(edit_set, write(tmp_path / "f.csv", change(rows)))


def test_files_that_are_no_table(edit_set, rows, tmp_path):
    with pytest.raises(ValueError, match="expected a column participant"):
        studied(edit_set, write(tmp_path / "f.csv", [row[1:] for row in rows], ("image", "x", "y")))
    with pytest.raises(DatasetProblem, match="found no image in"):
        studied(edit_set, write(tmp_path / "g.csv", rows, ("participant", "picture no", "x", "y")))
