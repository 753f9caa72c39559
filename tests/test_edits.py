"""Edit sets on disk: what is written is read, damage is reported, and nothing is half-written. Types of edits."""

import io
import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from salbench import edits
from salbench.edits import EDIT_TYPES, EditSetProblem, NewEdit, Writer, layout
from salbench.edits import edit_set as edit_set_module
from salbench.sample import Sample

SETUP = {"backbone": "0123456789abcdef", "types": ["contrast", "brightness"], "seed": 0, "licence": "CC0"}
SIZE = (20, 30)


def picture(seed, size=SIZE):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def region(rows, columns, size=(8, 8)):
    mask = np.zeros(size)
    mask[rows, columns] = 0.5
    mask[rows.start, columns.start] = 0.25
    return mask


MASKS = {"contrast": region(slice(1, 4), slice(2, 5)), "brightness": region(slice(5, 8), slice(0, 2))}
EDITS = [
    NewEdit("contrast", 2.0, 1.8, 1, picture(3), {"trace": [2.0, 1.8], "readouts": {"before": [0.1], "after": [0.2]}}),
    NewEdit("contrast", 1.2, 1.2, 1, picture(2)),
    NewEdit("contrast", 0.4, 0.4, -1, picture(5)),
    NewEdit("contrast", 0.8, 0.8, -1, picture(4)),
    NewEdit("brightness", 0.1, 0.1, 1, picture(1)),
]


@pytest.fixture
def folder(tmp_path):
    """A set of one source with five edits, and one whose edits have been dropped."""
    writer = Writer(tmp_path / "set", SETUP)
    writer.add("b", picture(0), MASKS, EDITS, caption="A red bus.", word="bus")
    writer.add("a", picture(9), {}, [], dropped=[{"type": "contrast", "asked": 2.0, "reason": "beyond the band"}])
    return tmp_path / "set"


class TestRoundTrip:
    def test_a_set(self, folder):
        found = edits.read(folder)
        assert found.name == "set"
        assert found.setup == SETUP
        assert found.licence == "CC0"
        assert found.sources == ["a", "b"]
        assert found.of("a") == found.of("nobody") == []
        assert_array_equal(found.originals["b"](), picture(0))
        assert_array_equal(found.originals["a"](), picture(9))

    def test_edits_come_by_type_and_the_strongest_last(self, folder):
        order = [(e.type, e.direction, e.asked) for e in edits.read(folder).of("b")]
        assert order == [
            ("brightness", 1, 0.1), ("contrast", -1, 0.8), ("contrast", -1, 0.4),
            ("contrast", 1, 1.2), ("contrast", 1, 2.0),
        ]  # fmt: skip

    def test_an_edit(self, folder):
        last = edits.read(folder).of("b")[-1]
        assert (last.source, last.type, last.strength, last.asked, last.direction) == ("b", "contrast", 1.8, 2.0, 1)
        assert (last.word, last.caption) == ("bus", "A red bus.")
        assert last.facts == EDITS[0].facts
        assert_array_equal(last.read_image(), picture(3))
        with pytest.raises(FrozenInstanceError):
            last.strength = 2.0

    def test_a_mask_peaks_at_one(self, folder):
        mask = edits.read(folder).of("b")[-1].read_mask()
        assert mask.dtype == np.float32
        expected = np.zeros((8, 8))
        expected[1:4, 2:5] = 1.0
        expected[1, 2] = 128 / 255  # 127.5 is stored as 128
        np.testing.assert_allclose(mask, expected, atol=1e-6)
        assert np.asarray(Image.open(folder / "masks" / "b" / "contrast.png")).max() == 255

    def test_the_documented_files(self, folder):
        assert sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()) == [
            "edit_set.json",
            "images/b/brightness_0.1.png", "images/b/contrast_0.4.png", "images/b/contrast_0.8.png",
            "images/b/contrast_1.2.png", "images/b/contrast_2.png",
            "masks/b/brightness.png", "masks/b/contrast.png",
            "originals/a.png", "originals/b.png",
            "records/a.json", "records/b.json",
        ]  # fmt: skip

    def test_the_record_keeps_what_was_dropped(self, folder):
        record = json.loads((folder / "records" / "a.json").read_text())
        assert record["dropped"] == [{"type": "contrast", "asked": 2.0, "reason": "beyond the band"}]

    def test_the_fingerprint_changes_with_everything(self, tmp_path):
        def fingerprint(name, setup=SETUP, seed=0, caption="A red bus.", id="b"):
            Writer(tmp_path / name, setup).add(id, picture(seed), MASKS, EDITS, caption=caption)
            return edits.read(tmp_path / name).fingerprint

        assert fingerprint("one") == fingerprint("same")
        others = {
            fingerprint("setup", setup=SETUP | {"seed": 1}), fingerprint("original", seed=7),
            fingerprint("caption", caption="A bus."), fingerprint("id", id="c"),
        }  # fmt: skip
        assert len(others | {fingerprint("again")}) == 5


class TestThumbnail:
    """A source is known again by its thumbnail, whatever its size and compression, and no other picture is."""

    @pytest.fixture
    def of_photograph(self, photograph, tmp_path):
        writer = Writer(tmp_path / "set", SETUP)
        writer.add("b", picture(0), MASKS, EDITS, source=photograph)
        return edits.read(tmp_path / "set")

    @pytest.fixture
    def photograph(self):
        """Smooth, as most photographs are."""
        return np.asarray(Image.fromarray(picture(0, (6, 9))).resize((90, 60), Image.Resampling.BICUBIC))

    def reads(self, edit_set, image):
        sample = Sample("b", image.shape[:2], lambda: image)
        return edit_set.versions(sample)[0].edit.read_original()

    def test_is_the_mean_grey_of_parts(self):
        image = picture(0, (16, 24))
        grey = np.asarray(Image.fromarray(image).convert("L"), float)
        assert_allclose(edit_set_module.thumbnail(image), grey.reshape(8, 2, 8, 3).mean((1, 3)), atol=1)

    def test_of_the_same_picture(self, of_photograph, photograph):
        assert_array_equal(self.reads(of_photograph, photograph), photograph)
        half = np.asarray(Image.fromarray(photograph).resize((45, 30), Image.Resampling.BILINEAR))
        assert_array_equal(self.reads(of_photograph, half), half)
        Image.fromarray(photograph).save(file := io.BytesIO(), "JPEG", quality=30)
        self.reads(of_photograph, np.asarray(Image.open(file)))

    @pytest.mark.parametrize("other", [np.fliplr, np.flipud, np.transpose, lambda image: 255 - image])
    def test_of_another_picture_of_its_id(self, of_photograph, photograph, other):
        image = np.stack([other(channel) for channel in np.moveaxis(photograph, 2, 0)], 2)
        with pytest.raises(
            EditSetProblem, match=r"b: expected the picture that was edited for edit set set, got another"
        ):
            self.reads(of_photograph, image)

    def test_none_is_known_where_none_was_given(self, folder, photograph):
        self.reads(edits.read(folder), photograph)

    def test_joined_sets_keep_theirs(self, of_photograph, folder, photograph):
        for sets in ((of_photograph, edits.read(folder)), (edits.read(folder), of_photograph)):
            with pytest.raises(EditSetProblem, match="got another"):
                self.reads(edits.join(sets), photograph[::-1])


class TestSummary:
    def test_tells_what_was_weakened_dropped_or_edited_where_saliency_is_predicted(self, folder):
        Writer(folder, SETUP).add("c", picture(0), MASKS, EDITS[1:3], saliency="predicted")
        found = edits.read(folder)
        assert found.dropped == {"a: contrast 2": "beyond the band"}
        assert [edit.saliency for edit in found.of("b")[:1] + found.of("c")[:1]] == [None, "predicted"]
        assert found.summary() == (
            "7 edits (brightness, contrast) of 3 images, 1 weaker than asked for, 1 dropped; "
            "region chosen by predicted saliency in 1 images"
        )

    def test_of_nothing(self, tmp_path):
        Writer(tmp_path / "set", {})
        assert (
            edits.read(tmp_path / "set").summary() == "0 edits (none) of 0 images, 0 weaker than asked for, 0 dropped"
        )


class TestJoin:
    @pytest.fixture
    def other(self, tmp_path):
        writer = Writer(tmp_path / "other", SETUP | {"licence": "MIT"})
        writer.add("b", picture(6), MASKS, [NewEdit("contrast", 1.5, 1.5, 1, picture(7))])
        writer.add("c", picture(8), MASKS, EDITS[4:])
        writer.finish()
        return tmp_path / "other"

    def test_holds_the_edits_of_all(self, folder, other):
        sets = edits.read(folder), edits.read(other)
        both = edits.join(sets)
        assert (both.name, both.licence, both.is_finished) == ("set+other", "CC0; MIT", False)
        assert both.sources == ["a", "b", "c"]
        order = [(e.type, e.asked) for e in both.of("b")]
        assert order == [("brightness", 0.1), *(("contrast", s) for s in (0.8, 0.4, 1.2, 1.5, 2.0))]
        assert_array_equal(both.of("b")[4].read_image(), picture(7))
        assert_array_equal(both.originals["b"](), picture(0))
        assert_array_equal(both.originals["c"](), picture(8))
        assert both.dropped == sets[0].dropped
        assert len({both.fingerprint, edits.join(sets[::-1]).fingerprint, *(s.fingerprint for s in sets)}) == 4
        assert edits.training_name(both, 0.5) == "edits-set+other-p0.5"

    def test_one_is_itself(self, folder):
        found = edits.read(folder)
        assert edits.join([found]) is found


class TestWanted:
    def test_strengths_rise(self):
        assert edits.wanted("contrast, color", [2.0, 0.5, 1.2]) == {
            "contrast": [0.5, 1.2, 2.0],
            "color": [0.5, 1.2, 2.0],
        }
        assert edits.wanted("brightness") == {"brightness": [0.1, 0.2, 0.4]}
        assert edits.wanted("brightness", [0.2, -0.2]) == {"brightness": [-0.2, 0.2]}

    @pytest.mark.parametrize(
        ("types", "strengths", "message"),
        [
            ("hue", None, r"type: expected one or more of contrast, brightness, color, each once, got 'hue'"),
            ("color,color", None, r"each once"),
            ("", None, r"type: expected one or more"),
            ("color", [1.0, 1.0], r"strength: expected numbers that differ"),
            ("brightness,contrast", [-0.2], r"strength: expected 0 or more for contrast"),
            ("brightness", [0.2, 0.0], r"strength: expected numbers other than 0, which does not change brightness"),
            ("contrast", [float("inf")], r"strength: expected finite numbers, got \[inf\]"),
            ("color", [1.0, 1.0000001], r"strength: expected numbers that differ"),
        ],
    )
    def test_bad_requests(self, types, strengths, message):
        with pytest.raises(ValueError, match=message):
            edits.wanted(types, strengths)


class TestTypes:
    def test_the_table(self):
        """Strengths and neutral ones as documented; a name is the key of its row."""
        assert {name: (t.strengths, t.neutral, t.is_factor) for name, t in EDIT_TYPES.items()} == {
            "contrast": ((1.2, 1.5, 2.0), 1.0, True),
            "brightness": ((0.1, 0.2, 0.4), 0.0, False),
            "color": ((1.0, 2.0, 4.0), 0.0, True),
        }
        assert all(name == edit_type.name for name, edit_type in EDIT_TYPES.items())

    def test_every_row_can_be_asked_for(self):
        for name, edit_type in EDIT_TYPES.items():
            assert edits.wanted(name) == {name: sorted(edit_type.strengths)}
            assert edit_type.label == f"{name} ({edit_type.unit})"


class TestResuming:
    def test_resumes_under_the_same_setup(self, folder):
        writer = Writer(folder, SETUP)
        assert [writer.done(id) for id in ("a", "b", "c")] == [True, True, False]
        writer.add("c", picture(1), MASKS, EDITS[:2])
        assert edits.read(folder).sources == ["a", "b", "c"]

    def test_another_setup_is_refused(self, folder):
        with pytest.raises(EditSetProblem, match=r"set: .*\(seed 1 instead of 0\)\. Choose another folder"):
            Writer(folder, SETUP | {"seed": 1})
        with pytest.raises(EditSetProblem, match=r"\(method lite instead of nothing\)"):
            Writer(folder, SETUP | {"method": "lite"})

    def test_a_set_without_edits_yet_may_become_another(self, tmp_path):
        Writer(tmp_path / "set", SETUP)
        Writer(tmp_path / "set", SETUP | {"seed": 1})
        assert edits.read(tmp_path / "set").setup["seed"] == 1

    def test_a_file_is_no_folder(self, tmp_path):
        (tmp_path / "set").write_text("x")
        with pytest.raises(EditSetProblem, match="expected a folder for the edit set, got a file"):
            Writer(tmp_path / "set", SETUP)

    def test_killed_before_the_manifest_was_written(self, tmp_path):
        (tmp_path / "set").mkdir()
        (tmp_path / "set" / f".{layout.MANIFEST}.0.tmp").write_text("{")
        Writer(tmp_path / "set", SETUP)
        assert [path.name for path in (tmp_path / "set").iterdir()] == [layout.MANIFEST]

    def test_a_folder_of_other_files_is_left_alone(self, tmp_path):
        (tmp_path / "holiday.jpg").write_text("x")
        with pytest.raises(EditSetProblem, match="expected a new folder or an edit set, got a folder with other files"):
            Writer(tmp_path, SETUP)
        assert [p.name for p in tmp_path.iterdir()] == ["holiday.jpg"]

    @pytest.mark.parametrize("survivors", range(8))
    def test_a_kill_loses_the_source_in_flight_only(self, folder, monkeypatch, survivors):
        """After any number of its files: it is not done, the others can be read, and it can be made again."""
        kept, written = layout.atomic_write, []

        def killed(path, mode="w"):
            if len(written) == survivors:
                raise KeyboardInterrupt
            written.append(path)
            return kept(path, mode)

        writer = Writer(folder, SETUP)
        monkeypatch.setattr(layout, "atomic_write", killed)
        with pytest.raises(KeyboardInterrupt):
            writer.add("c", picture(1), MASKS, EDITS)
        monkeypatch.undo()
        assert len(written) == survivors
        assert not writer.done("c")
        assert edits.read(folder).sources == ["a", "b"]
        writer.add("c", picture(1), MASKS, EDITS)
        assert len(edits.read(folder).of("c")) == 5

    def test_a_full_disk_leaves_no_part_of_a_file(self, folder, monkeypatch):
        def full(*_, **__):
            raise OSError(28, "No space left on device")

        before = sorted(folder.rglob("*"))
        writer = Writer(folder, SETUP)
        monkeypatch.setattr(Image.Image, "save", full)
        with pytest.raises(OSError, match="No space left"):
            writer.add("c", picture(1), MASKS, EDITS)
        assert sorted(folder.rglob("*")) == before


class TestWhatCannotBeWritten:
    @pytest.mark.parametrize("mask", [
        np.zeros((8, 8)), np.empty((0, 8)), np.full((8, 8), np.nan), -MASKS["contrast"], np.ones((2, 8, 8)),
    ])  # fmt: skip
    def test_a_mask_that_is_no_region(self, tmp_path, mask):
        with pytest.raises(EditSetProblem, match=r"b: mask of contrast: expected .* with a region above 0"):
            Writer(tmp_path / "set", SETUP).add("b", picture(0), {"contrast": mask}, [])
        assert [p.name for p in (tmp_path / "set").rglob("*")] == ["edit_set.json"], "nothing of it is written"

    @pytest.mark.parametrize(("edit", "said"), [
        (NewEdit("color", 1.0, 1.0, 1, picture(1)), r"b: color 1: expected a mask for its type, got .* contrast"),
        (NewEdit("contrast", 1.0, 1.0, 0, picture(1)), r"expected a direction of \+1 or -1, got 0"),
        (NewEdit("contrast", 1.0, np.nan, 1, picture(1)), r"expected a finite strength, got nan"),
        (NewEdit("contrast", 1.2, 1.0, 1, picture(1)), r"b: contrast 1\.2: expected one edit of this type"),
        (NewEdit("contrast", 1.0, 1.0, 1, picture(1, (9, 9))), r"uint8 image of \(20, 30, 3\), got uint8 \(9, 9, 3\)"),
        (NewEdit("contrast", 1.0, 1.0, 1, picture(1) / 255), r"expected a uint8 image of .*, got float64"),
        (NewEdit("../b", 1.0, 1.0, 1, picture(1)), r"type of edit: expected a name that a file can have, got '\.\./b'"),
    ])  # fmt: skip
    def test_an_edit(self, tmp_path, edit, said):
        with pytest.raises(EditSetProblem, match=said):
            Writer(tmp_path / "set", SETUP).add("b", picture(0), MASKS, [EDITS[1], edit])
        assert [p.name for p in (tmp_path / "set").rglob("*")] == ["edit_set.json"]

    @pytest.mark.parametrize("id", ["", "..", "../b", "a/b"])
    def test_an_id(self, tmp_path, id):
        with pytest.raises(EditSetProblem, match="id: expected a name that a file can have"):
            Writer(tmp_path / "set", SETUP).add(id, picture(0), MASKS, [])


class TestDamage:
    @pytest.mark.parametrize("name", ["originals/b.png", "images/b/contrast_2.png", "masks/b/brightness.png"])
    def test_a_file_that_changed_or_is_missing(self, folder, name):
        path = folder / name
        content = bytearray(path.read_bytes())
        content[-20] ^= 1
        path.write_bytes(content)
        with pytest.raises(EditSetProblem, match=rf"{path}: damaged, or changed .* Delete .*b\.json and rerun"):
            edits.read(folder)
        path.unlink()
        with pytest.raises(EditSetProblem, match=rf"{path}: .* missing\. Delete .*b\.json and rerun"):
            edits.read(folder)

    @pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"files": [], "edits": [{}]}', '{"files": 3}'])
    def test_a_record(self, folder, text):
        (folder / "records" / "b.json").write_text(text)
        with pytest.raises(
            EditSetProblem, match=r"records/b\.json: (damaged: expected JSON|expected a record of edits)"
        ):
            edits.read(folder)

    def test_a_record_that_is_gone(self, folder):
        Writer(folder, SETUP).finish()
        assert edits.read(folder).is_finished
        (folder / "records" / "a.json").unlink()
        with pytest.raises(EditSetProblem, match=r"records: expected 2 records, found 1; rerun"):
            edits.read(folder)
        assert not Writer(folder, SETUP).done("a")

    @pytest.mark.parametrize(("content", "version"), [
        ({"version": 1, "setup": {}}, "1"), ({"setup": {}}, "None"), ([], "None"), ({"version": 2}, "2"),
    ])  # fmt: skip
    def test_another_version(self, folder, content, version):
        (folder / "edit_set.json").write_text(json.dumps(content))
        with pytest.raises(EditSetProblem, match=f"expected version 2 of the format.* got version {version};"):
            edits.read(folder)

    def test_no_edit_set(self, tmp_path):
        (tmp_path / "images").mkdir()
        with pytest.raises(EditSetProblem, match=r"expected the folder of an edit set, got one without edit_set\.json"):
            edits.read(tmp_path)
        with pytest.raises(EditSetProblem, match="expected the folder of an edit set, got no such folder"):
            edits.read(tmp_path / "nowhere")


def write_augsal(folder, ids=("COCO_1", "COCO_2"), strengths=("1.0", "1.3000000000000003", "2.000000000000001")):
    """The released layout, in small; the mask of every strength is another."""
    for part in ("images", "selected", "saliency_gt"):
        (folder / part).mkdir(parents=True)
    for i, id in enumerate(ids):
        for j, strength in enumerate(strengths):
            Image.fromarray(picture(10 * i + j)).save(folder / "images" / f"{id}.jpgedited_image{strength}.jpg")
            mask = np.zeros((8, 8), np.uint8)
            mask[j + 1] = 100
            Image.fromarray(mask).save(folder / "selected" / f"{id}.jpg_selected_{strength}.png")
        Image.fromarray(mask).save(folder / "saliency_gt" / f"salmap_{id}.jpg.png")
    return folder


class TestAugSal:
    @pytest.fixture
    def released(self, tmp_path):
        return write_augsal(tmp_path / "augsal")

    def test_layout(self, released):
        found = edits.read(released)
        assert found.sources == ["COCO_1", "COCO_2"]
        assert found.licence == found.setup["licence"] == "CC BY-SA 4.0"
        weak, strong = found.of("COCO_2")
        assert (weak.type, weak.strength, weak.direction, strong.strength) == ("contrast", 1.3, 1, 2.0)
        assert (weak.source, weak.word, weak.caption) == ("COCO_2", None, None)
        path = released / "images" / "COCO_2.jpgedited_image{}.jpg"
        assert_array_equal(strong.read_image(), np.asarray(Image.open(str(path).format("2.000000000000001"))))
        assert_array_equal(found.originals["COCO_2"](), np.asarray(Image.open(str(path).format("1.0"))))
        assert_array_equal(np.argwhere(strong.read_mask() == 1)[:, 0], 3)  # of its own strength

    def test_what_is_missing(self, released):
        mask = released / "selected" / "COCO_2.jpg_selected_2.000000000000001.png"
        mask.unlink()
        with pytest.raises(EditSetProblem, match=rf"1 files are missing, such as selected/{mask.name}"):
            edits.read(released)
        (released / "images" / "COCO_1.jpgedited_image1.0.jpg").unlink()
        with pytest.raises(EditSetProblem, match=r"COCO_1: expected an image of strength 1\.0"):
            edits.read(released)

    def test_no_images(self, released):
        for path in (released / "images").iterdir():
            path.unlink()
        with pytest.raises(EditSetProblem, match=r"expected <name>\.jpgedited_image<strength>\.jpg, found none"):
            edits.read(released)

    def test_an_empty_mask(self, released):
        path = released / "selected" / "COCO_1.jpg_selected_1.3000000000000003.png"
        Image.new("L", (8, 8)).save(path)
        with pytest.raises(EditSetProblem, match=r"selected_1\.3.*\.png: expected a region, got an empty mask"):
            edits.read(released)

    def test_the_fingerprint_changes_with_a_file(self, released):
        before = edits.read(released).fingerprint
        path = released / "images" / "COCO_1.jpgedited_image2.000000000000001.jpg"
        Image.fromarray(picture(77)).save(path)
        assert edits.read(released).fingerprint != before

    def test_as_released(self, shared):
        folder = shared / "data" / "augsal_contrast100"
        if not folder.is_dir():
            pytest.skip(f"needs {folder}")
        found = edits.read(folder)
        assert len(found.sources) == 100
        assert {tuple(e.strength for e in found.of(id)) for id in found.sources} == {(1.3, 1.6, 2.0)}
        first = found.of("COCO_train2014_000000010046")[-1]
        assert first.read_image().shape == found.originals[first.source]().shape == (512, 512, 3)
        assert first.read_mask().shape == (256, 256)
        assert first.read_mask().mean() == pytest.approx(47.35962 / 255, abs=1e-6)
