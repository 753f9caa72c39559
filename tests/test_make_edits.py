"""Making edit sets, with a toy that edits by arithmetic on pixels."""

from dataclasses import replace
from threading import Lock

import numpy as np
import pytest
from PIL import Image

from salbench import edits, make_edits
from salbench.datasets import load
from salbench.prediction import RunStopped
from salbench.registry import MethodUnavailable, SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample


def files(folder):
    """The bytes of each file in a folder."""
    return {path.relative_to(folder): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


class Brightener(SaliencyMethod):
    """Brightness by addition; the region is the left half, or the mask; strengths above 1 are dropped."""

    name = "uniform"  # an error message looks for the file of the method
    output = "log_density"
    runtime = Runtime(progress=False)
    calls = 0
    refused = None
    error = ValueError("caption: expected one, got none")

    def code_hash(self):
        return "c0de"

    def setup(self):
        return {"backbone": "b0"}

    def weights_hash(self):
        return "f00d"

    def edit(self, sample, wanted, *, color=None, word=None, mask=None, constrained=True, scaled=True):
        self.calls += 1
        if sample.id == self.refused:
            raise self.error
        mask = np.arange(sample.size[1]) < sample.size[1] / 2 if mask is None else mask
        mask = np.broadcast_to(mask, sample.size).astype(float)
        made, dropped = [], []
        for type, strengths in wanted.items():
            for strength in strengths:
                if strength > 1 and constrained:
                    dropped.append({"type": type, "asked": strength, "reason": "too strong"})
                    continue
                image = np.clip(sample.image + 100 * strength * mask[:, :, None], 0, 255).astype(np.uint8)
                made.append(edits.NewEdit(type, strength, strength, 1, image, {"color": color}))
        return edits.MadeEdits(sample.image, mask, made, sample.caption, word, dropped=dropped)

    def predict(self, sample):
        return np.log(sample.image.mean(2) + 1)


@pytest.fixture
def dataset():
    return load("popout")


def make(dataset, folder, method=None, **options):
    wanted = {"brightness": [0.5, 2.0]}
    samples = [replace(sample, caption="a display") for sample in dataset.samples]
    dataset = replace(dataset, samples=samples)
    return make_edits.make(method or Brightener(), dataset, folder, wanted, **options)


class TestMake:
    def test_writes_a_set_that_can_be_read(self, dataset, tmp_path):
        assert make(dataset, tmp_path, limit=3) == {}
        edit_set = edits.read(tmp_path)
        assert edit_set.sources == sorted(sample.id for sample in dataset.samples[:3])
        assert edit_set.summary() == "3 edits (brightness) of 3 images, 0 weaker than asked for, 3 dropped"
        sample = dataset.samples[0]
        (edit,) = edit_set.of(sample.id)
        expected = sample.image.astype(int)
        expected[:, : sample.size[1] // 2] += 50
        np.testing.assert_array_equal(edit.read_image(), expected.clip(0, 255))
        assert (edit.strength, edit.direction) == (0.5, 1)

    def test_recognises_its_sources(self, dataset, tmp_path):
        make(dataset, tmp_path, limit=1)
        sample = dataset.samples[0]
        original = edits.read(tmp_path).versions(sample)[0].edit.read_original
        np.testing.assert_array_equal(original(), sample.image)
        other = replace(sample, read_image=lambda: 255 - sample.image)
        with pytest.raises(edits.EditSetProblem, match="got another picture with the same id"):
            edits.read(tmp_path).versions(other)[0].edit.read_original()

    def test_records_what_it_was_made_with(self, dataset, tmp_path):
        make(dataset, tmp_path, limit=1, word="ball")
        setup = edits.read(tmp_path).setup
        assert setup["method"] == "uniform"
        assert (setup["code"], setup["weights"], setup["backbone"]) == ("c0de", "f00d", "b0")
        assert setup["dataset"].startswith("popout ")
        assert (setup["word"], setup["constrained"], setup["regions"]) == ("ball", True, "of words")
        assert setup["versions"]["numpy"] == np.__version__

    def test_resumes(self, dataset, tmp_path):
        make(dataset, tmp_path, limit=2)
        method = Brightener()
        make(dataset, tmp_path, method, limit=5)
        assert method.calls == 3
        assert len(edits.read(tmp_path).sources) == 5

    def test_a_set_that_was_stopped_is_unfinished(self, dataset, tmp_path, monkeypatch, warned):
        add = edits.Writer.add

        def until_the_third(self, id, *arguments, **options):
            if len(list((tmp_path / "e" / "records").glob("*"))) == 2:
                raise KeyboardInterrupt
            add(self, id, *arguments, **options)

        make(dataset, tmp_path / "e", limit=2)
        edits.read(tmp_path / "e")
        assert warned == []
        monkeypatch.setattr(edits.Writer, "add", until_the_third)
        with pytest.raises(KeyboardInterrupt):
            make(dataset, tmp_path / "e", limit=4)
        assert len(edits.read(tmp_path / "e").sources) == 2
        assert any("this edit set is unfinished" in line for line in warned)

    def test_refuses_a_folder_made_with_other_settings(self, dataset, tmp_path):
        make(dataset, tmp_path, limit=1)
        with pytest.raises(edits.EditSetProblem, match=r"weights .* differ.*; constrained false instead of true"):
            make(dataset, tmp_path, limit=1, constrained=False)

    def test_refuses_what_no_image_could_be_edited_by(self, dataset, tmp_path):
        with pytest.raises(ValueError, match="type: expected one or more of contrast"):
            make_edits.make(Brightener(), dataset, tmp_path / "set", {"hue": [1.0]})
        with pytest.raises(ValueError, match="popout: expected captions"):
            make_edits.make(Brightener(), dataset, tmp_path / "set", {"brightness": [0.5]})
        with pytest.raises(ValueError, match="expected a folder with one mask"):
            make(dataset, tmp_path / "set", masks=tmp_path / "nowhere")
        assert not (tmp_path / "set").exists()

    @pytest.mark.parametrize("error", [ValueError("caption: expected one, got none"), RuntimeError("out of numbers")])
    def test_an_image_that_cannot_be_edited_is_reported_and_tried_again(self, dataset, tmp_path, error):
        method = Brightener()
        method.refused, method.error = dataset.samples[1].id, error
        failures = make(dataset, tmp_path, method, limit=3)
        assert list(failures) == [method.refused]
        assert not edits.read(tmp_path).is_finished
        assert str(error) in failures[method.refused]
        assert make(dataset, tmp_path, limit=3) == {}
        assert len(edits.read(tmp_path).sources) == 3
        assert edits.read(tmp_path).is_finished

    def test_edits_that_cannot_be_written_fail_alone(self, dataset, tmp_path, monkeypatch):
        """Such as an image of another size than the original."""
        edit, second = Brightener.edit, dataset.samples[1]

        def cropped(self, sample, *args, **options):
            made = edit(self, sample, *args, **options)
            return replace(made, original=made.original[1:]) if sample.id == second.id else made

        monkeypatch.setattr(Brightener, "edit", cropped)
        failures = make(dataset, tmp_path, limit=3)
        assert list(failures) == [second.id]
        assert "expected a uint8 image of" in failures[second.id]
        assert len(edits.read(tmp_path).sources) == 2

    def test_what_is_missing_for_every_image_stops_it(self, dataset, tmp_path):
        method = Brightener()
        method.refused, method.error = dataset.samples[1].id, MethodUnavailable("needs a backbone")
        with pytest.raises(MethodUnavailable, match="needs a backbone"):
            make(dataset, tmp_path, method, limit=3)
        sources = edits.read(tmp_path).sources  # the next image may have begun
        assert dataset.samples[0].id in sources
        assert dataset.samples[1].id not in sources

    def test_a_disk_that_cannot_be_written_stops_it(self, dataset, tmp_path, monkeypatch):
        add = edits.Writer.add

        def read_only(self, id, *arguments, **options):
            if id == dataset.samples[1].id:
                raise PermissionError(13, "Permission denied")
            add(self, id, *arguments, **options)

        monkeypatch.setattr(edits.Writer, "add", read_only)
        with pytest.raises(RunStopped, match=r"cannot write the edit set \(Permission denied\)"):
            make(dataset, tmp_path, limit=3)
        sources = edits.read(tmp_path).sources  # the next image may have begun
        assert dataset.samples[0].id in sources
        assert dataset.samples[1].id not in sources

    def test_one_batch_at_a_time_of_the_runtime_s_size(self, dataset, tmp_path, monkeypatch):
        """So that memory holds one, and one that is stopped loses one."""
        method, sizes, editing = Brightener(), [], Lock()
        method.runtime = Runtime(workers=3, batch_size=4, progress=False)
        edit_batch = Brightener.edit_batch

        def alone(self, samples, *args, **options):
            assert not editing.locked()
            sizes.append(len(samples))
            with editing:
                return edit_batch(self, samples, *args, **options)

        monkeypatch.setattr(Brightener, "edit_batch", alone)
        assert make(dataset, tmp_path, method, limit=6) == {}
        assert sizes == [4, 2]

    def test_what_is_written_does_not_depend_on_the_batch(self, dataset, tmp_path):
        """Colours and masks too belong to the image, and an image that cannot be edited fails alone."""
        (tmp_path / "masks").mkdir()
        for i, sample in enumerate(dataset.samples[:5]):
            mask = np.zeros(sample.size, np.uint8)
            mask[10 * i : 10 * i + 30] = 255
            Image.fromarray(mask).save(tmp_path / "masks" / f"{sample.id}.png")
        failures = {}
        for size in (1, 4):
            method = Brightener()
            method.runtime = Runtime(batch_size=size, progress=False)
            method.refused = dataset.samples[1].id
            failures[size] = make(
                dataset, tmp_path / str(size), method, limit=5, masks=tmp_path / "masks", color="red,green,blue"
            )
        assert failures[1] == failures[4]
        assert list(failures[4]) == [dataset.samples[1].id]
        one, four = (files(tmp_path / str(size)) for size in (1, 4))
        assert one == four
        assert len({edit.facts["color"] for edits_ in edits.read(tmp_path / "4").edits.values() for edit in edits_}) > 1

    def test_a_batch_that_lacks_an_image_is_edited_whole(self, dataset, tmp_path):
        make(dataset, tmp_path, limit=4)
        method = Brightener()
        method.runtime = Runtime(batch_size=3, progress=False)
        make(dataset, tmp_path, method, limit=6)
        assert method.calls == 3
        make(dataset, tmp_path, method, limit=6)
        assert method.calls == 3

    def test_takes_masks_from_a_folder(self, dataset, tmp_path):
        mask = np.zeros(dataset.samples[0].size, np.uint8)
        mask[:10] = 255
        (tmp_path / "masks").mkdir()
        Image.fromarray(mask).save(tmp_path / "masks" / f"{dataset.samples[0].id}.png")
        failures = make(dataset, tmp_path / "set", limit=2, masks=tmp_path / "masks")
        assert list(failures) == [dataset.samples[1].id]
        (edit,) = edits.read(tmp_path / "set").of(dataset.samples[0].id)
        np.testing.assert_array_equal(edit.read_mask() > 0.5, mask > 0)

    def test_a_mask_that_has_changed_is_a_region_to_edit_anew(self, dataset, tmp_path):
        """The edits of the other image are kept; if nothing has changed, so are both."""
        (tmp_path / "masks").mkdir()
        for sample in dataset.samples[:2]:
            Image.fromarray(np.eye(*sample.size, dtype=np.uint8)).save(tmp_path / "masks" / f"{sample.id}.png")
        method = Brightener()
        options = {"limit": 2, "masks": tmp_path / "masks"}
        make(dataset, tmp_path / "set", method, **options)
        make(dataset, tmp_path / "set", method, **options)
        assert method.calls == 2
        first = dataset.samples[0]
        mask = np.zeros(first.size, np.uint8)
        mask[:10] = 255
        Image.fromarray(mask).save(tmp_path / "masks" / f"{first.id}.png")
        make(dataset, tmp_path / "set", method, **options)
        assert method.calls == 3
        np.testing.assert_array_equal(edits.read(tmp_path / "set").of(first.id)[0].read_mask() > 0.5, mask > 0)

    def test_a_density_that_has_changed_is_a_region_to_choose_anew(self, dataset, tmp_path):
        method, densities = Brightener(), {s.id: np.ones(s.size) for s in dataset.samples}
        samples = [replace(s, read_density=lambda s=s: densities[s.id]) for s in dataset.samples]
        of_densities = replace(dataset, samples=samples)
        for _ in range(2):
            make(of_densities, tmp_path, method, limit=2)
        assert method.calls == 2
        densities[samples[1].id] = np.eye(*samples[1].size)
        make(of_densities, tmp_path, method, limit=2)
        assert method.calls == 3

    def test_another_kind_of_device_is_another_setting(self, dataset, tmp_path):
        make(dataset, tmp_path, limit=1)
        method = Brightener()
        method.runtime = Runtime(device="meta", progress=False)  # torch accepts it everywhere
        with pytest.raises(edits.EditSetProblem, match=r"\(device meta instead of cpu\)"):
            make(dataset, tmp_path, method, limit=1)

    def test_passes_on_that_the_region_is_where_saliency_is_high(self, dataset, tmp_path, monkeypatch):
        given = []
        edit = Brightener.edit
        monkeypatch.setattr(
            Brightener, "edit", lambda self, *args, mask, **rest: given.append(mask) or edit(self, *args, **rest)
        )
        make(dataset, tmp_path, limit=1, masks="saliency")
        assert given == [edits.SALIENCY]


class TestEditOne:
    def test_takes_a_caption_in_place_of_the_sample_s(self):
        sample = Sample("a", (8, 8), lambda: np.zeros((8, 8, 3), np.uint8), caption="old")
        made = make_edits.edit_one(Brightener(), sample, {"brightness": [1.0]}, caption="new")
        assert made.caption == "new"

    def test_reads_a_mask(self, tmp_path):
        mask = np.zeros((8, 8), np.uint8)
        mask[2, 3] = 200
        Image.fromarray(mask).save(tmp_path / "mask.png")
        sample = Sample("a", (8, 8), lambda: np.zeros((8, 8, 3), np.uint8))
        made = make_edits.edit_one(Brightener(), sample, {"brightness": [1.0]}, mask=tmp_path / "mask.png")
        assert np.argwhere(made.mask > 0).tolist() == [[2, 3]]


def test_predicting_gives_a_density():
    image = np.zeros((6, 8, 3), np.uint8)
    image[1, 2] = 255
    density = make_edits.predicting(Brightener())(image)
    assert density.sum() == pytest.approx(1)
    assert density[1, 2] == pytest.approx(256 / (256 + 47))
