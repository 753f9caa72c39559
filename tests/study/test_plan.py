"""Plans of eye-tracking studies: who sees which version, and which images are drawn."""

import csv
from collections import Counter, defaultdict

import numpy as np
import pytest
from PIL import Image
from studies import small_set

from salbench.study import plan
from salbench.study.plan import Design

STRENGTHS = (1.2, 1.5, 2.0)


@pytest.fixture(scope="module")
def three_types():
    return small_set(26, contrast=STRENGTHS, brightness=(0.1, 0.2, 0.4), color=(1.0, 2.0, 4.0))


def lists(drawn):
    """{participant: rows of its list}."""
    header, *rows = plan.presentations(drawn)
    found = defaultdict(list)
    for row in rows:
        found[row[0]].append(dict(zip(header, row, strict=True)))
    return found


def test_each_participant_sees_one_version_and_each_version_is_seen_equally_often(three_types):
    found = lists(plan.draw(three_types, Design(participants=8, per_type=8)))
    assert list(found) == [f"p{k}" for k in range(1, 9)]
    for rows in found.values():
        assert [row["trial"] for row in rows] == list(range(1, 25))
        assert len({row["image"] for row in rows}) == 24
        assert Counter(row["type"] for row in rows) == {"contrast": 8, "brightness": 8, "color": 8}
        assert set(Counter((row["type"], row["strength"]) for row in rows).values()) == {2}
        assert {(row["seconds"], row["blank_seconds"]) for row in rows} == {("5", "2")}
    shown = Counter(row["file"] for rows in found.values() for row in rows)
    assert len(shown) == 24 * 4
    assert set(shown.values()) == {2}


def test_files_are_what_the_columns_say(three_types):
    rows = [row for rows in lists(plan.draw(three_types, Design(participants=4, per_type=8))).values() for row in rows]
    for row in rows:
        neutral = "1" if row["type"] == "contrast" else "0"
        edit = "" if row["strength"] == neutral else f"_{row['type']}_{row['strength']}"
        assert row["file"] == f"stimuli/{row['image']}{edit}.png"


def test_the_order_is_random_and_differs_between_participants(three_types):
    found = list(lists(plan.draw(three_types, Design(participants=8, per_type=8))).values())
    orders = [[row["image"] for row in rows] for rows in found]
    assert len(set(map(tuple, orders))) == 8
    places = np.array([[order.index(image) for image in sorted(orders[0])] for order in orders])
    assert 4 < places.mean(0).min() < places.mean(0).max() < 19  # no image is always early or late


def test_numbers_that_do_not_divide_differ_by_one(three_types):
    found = lists(plan.draw(three_types, Design(participants=6, per_type=7)))
    for rows in found.values():
        of_contrast = Counter(row["strength"] for row in rows if row["type"] == "contrast")
        assert max(of_contrast.values()) - min(of_contrast.values()) <= 1
    shown = Counter(row["file"] for rows in found.values() for row in rows)
    assert set(shown.values()) == {1, 2}


def test_all_versions(three_types):
    for rows in lists(plan.draw(three_types, Design(participants=2, per_type=3, all_versions=True))).values():
        assert len({row["file"] for row in rows}) == len(rows) == 3 * 3 * 4


def test_more_participants_leave_the_lists_of_the_first_alone(three_types):
    few, more = (lists(plan.draw(three_types, Design(participants=n, per_type=8))) for n in (4, 8))
    assert all(more[name] == few[name] for name in few)


def test_fewer_strengths_are_spread_over_those_of_the_set(three_types):
    for n, expected in ((1, [1.2]), (2, [1.2, 2.0]), (3, [1.2, 1.5, 2.0])):
        drawn = plan.draw(three_types, Design(per_type=8, strengths=n))
        assert all([v.strength for v in versions[1:]] == expected for versions in drawn.images["contrast"])


def test_images_are_drawn_at_random(three_types):
    drawn = [plan.draw(three_types, Design(per_type=8, seed=seed)).images for seed in range(30)]
    counts = Counter(versions[0].image for images in drawn for versions in images["contrast"])
    assert len(counts) == 26
    assert max(counts.values()) < 20  # 9.2 expected
    assert plan.draw(three_types, Design(per_type=8, seed=3)).images == drawn[3]


def test_images_with_both_types_are_left_to_the_rarer_one():
    """Four of eight images have both types: not every choice for one type leaves enough for the other."""
    edit_set = small_set(8, contrast=STRENGTHS, brightness=STRENGTHS)
    for id in ("s04", "s05", "s06", "s07"):
        edit_set.edits[id][:] = [edit for edit in edit_set.of(id) if edit.type == "contrast"]
    for seed in range(5):
        images = plan.draw(edit_set, Design(per_type=4, seed=seed)).images
        assert {versions[0].image for versions in images["brightness"]} == {"s00", "s01", "s02", "s03"}


def test_what_is_written(three_types, tmp_path):
    drawn = plan.draw(three_types, Design(participants=4, per_type=2))
    for name in ("one", "two"):
        plan.write(drawn, tmp_path / name, "text\n")
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (tmp_path / "one", tmp_path / "two")
    ]
    assert contents[0] == contents[1]
    with open(tmp_path / "one" / "presentations.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["file"] for row in rows} == {f"stimuli/{p.name}" for p in (tmp_path / "one" / "stimuli").iterdir()}
    by_id = {edit.id: edit for of_one in three_types.edits.values() for edit in of_one}
    for version in (v for of_type in drawn.images.values() for versions in of_type for v in versions):
        source = by_id[version.name].read_image if version.name in by_id else three_types.originals[version.name]
        with Image.open(tmp_path / "one" / version.file) as image:
            np.testing.assert_array_equal(np.asarray(image), source())
    plan.write(drawn, tmp_path / "one", "text\n")  # the same again
    with pytest.raises(ValueError, match=r"expected a folder without another plan, got one with presentations\.csv"):
        plan.write(plan.draw(three_types, Design(participants=4, per_type=2, seed=1)), tmp_path / "one", "text\n")


@pytest.mark.parametrize(
    ("design", "message"),
    [
        ({"participants": 1}, "expected two or more participants, got 1"),
        ({}, r"expected 50 images .* got 26 for .* with all strengths; use --per-type 8 or less"),
        ({"strengths": 4}, r"expected 4 strengths of brightness edits, got 3 \(0.1, 0.2, 0.4\); use --strengths 3"),
    ],
)
def test_errors(three_types, design, message):
    with pytest.raises(ValueError, match=message):
        plan.draw(three_types, Design(**design))


def test_sets_that_cannot_be_planned():
    with pytest.raises(ValueError, match="edit set small: expected edits, got none"):
        plan.draw(small_set(4), Design())
    with pytest.raises(ValueError, match="edit set small: expected types contrast, brightness, color, got hue"):
        plan.draw(small_set(4, hue=STRENGTHS), Design())
    edit_set = small_set(4, contrast=STRENGTHS)
    for k, id in enumerate(edit_set.sources):
        del edit_set.edits[id][k % 3]
    with pytest.raises(ValueError, match="got 0 for contrast with all strengths; make more edits"):
        plan.draw(edit_set, Design())
