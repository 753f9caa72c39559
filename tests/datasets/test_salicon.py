import json
import os

import numpy as np
import pytest
import scipy.io
from builders import SALICON_LISTS, write_gaze, write_image
from PIL import Image
from scipy.ndimage import gaussian_filter

from salbench.datasets import DatasetProblem, allow_partial, load, salicon
from salbench.evaluation import Evaluation
from salbench.protocol import PROTOCOLS
from salbench.runtime import Runtime


@pytest.fixture
def base(salicon_tree):
    return salicon_tree / "SALICON"


def stem(split, number=9):
    return f"COCO_{split}2014_{number:012d}"


def cache_files(tmp_path):
    return sorted((tmp_path / "cache" / "salbench" / "parsed").glob("*.npz"))


CAPTIONS = [{"image_id": 36, "caption": "A skier."}, {"image_id": 9, "caption": "Some soup."}]
INSTANCES = [{"image_id": 36, "bbox": [20.5, 30, 600, 400], "category_id": 1}]


def write_coco(root, kind, split, annotations):
    images = [{"id": n, "file_name": f"{stem(split, n)}.jpg", "height": 480, "width": 640} for n in (36, 9)]
    path = root / "COCO" / "annotations" / f"{kind}_{split}2014.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"images": images, "annotations": annotations}))
    return path


@pytest.mark.parametrize("split", ["train", "val"])
def test_one_is_subtracted(salicon_tree, split):
    dataset = load(f"salicon_{split}", salicon_tree)
    assert dataset.name == f"salicon_{split}"
    assert [s.id for s in dataset.samples] == [stem(split), stem(split, 36)]
    for sample, lists in zip(dataset.samples, SALICON_LISTS, strict=True):
        np.testing.assert_array_equal(sample.fixations, np.concatenate([f for f in lists if f.size]) - 1.0)
    np.testing.assert_array_equal(dataset.samples[0].fixations, [[0, 0], [639, 479], [31, 6]])
    np.testing.assert_array_equal(dataset.samples[0].observers, [0, 0, 2])


def test_sample(salicon_tree):
    dataset = load("salicon_val", salicon_tree)
    sample = dataset.samples[1]
    assert dataset.train == "salicon_train"
    assert sample.size == (480, 640)
    assert sample.sigma == 19.0
    assert sample.image.shape == (480, 640, 3)


def test_distributed_map_is_read_as_it_is(salicon_tree):
    density = load("salicon_val", salicon_tree).samples[1].read_density()
    assert density.shape == (480, 640)
    assert np.unique(density).tolist() == [36.0]


def test_test_split_has_images_only(salicon_tree):
    dataset = load("salicon_test", salicon_tree)
    assert dataset.name == "salicon_test"
    assert len(dataset.samples) == 2
    assert not dataset.has_fixations
    assert all(s.read_density is None and s.observers is None for s in dataset.samples)


def test_real_numbers_are_pinned():
    assert salicon.EXPECTED["train"] == salicon.Published(10_000, 4_598_112, (314.6272, 228.4357))
    assert salicon.EXPECTED["val"] == salicon.Published(5_000, 2_576_914, (312.8489, 227.6883))
    assert salicon.EXPECTED["test"] == salicon.Published(5_000)


def test_nothing_there(tmp_path):
    with pytest.raises(DatasetProblem, match=r"expected the folder SALICON, found an empty folder.*eb2a1bb7.*popout"):
        load("salicon_val", tmp_path)


def test_half_unpacked_images(salicon_tree, base):
    (base / "images" / "test" / f"{stem('test')}.jpg").unlink()
    with pytest.raises(DatasetProblem, match=r"expected 2 images .* found 1 \(was the archive unpacked completely\?\)"):
        load("salicon_test", salicon_tree)


def test_half_unpacked_fixations(salicon_tree, base):
    (base / "fixations" / "val" / f"{stem('val', 36)}.mat").unlink()
    with pytest.raises(DatasetProblem, match=r"1 are missing, such as COCO_val2014_000000000036\.mat.*462b70f4"):
        load("salicon_val", salicon_tree)


def test_no_maps(salicon_tree, base):
    for path in (base / "maps" / "val").iterdir():
        path.unlink()
    with pytest.raises(
        DatasetProblem, match=r"maps/val: expected 2 files, found none.*1PnO7szbdub1559LfjYHMy65EDC4VhJ"
    ):
        load("salicon_val", salicon_tree)


def test_other_release(salicon_tree, base):
    write_gaze(base / "fixations" / "val" / f"{stem('val')}.mat", SALICON_LISTS[1])
    with pytest.raises(DatasetProblem, match=r"published 6 fixations .* got 6 .* Most likely .* the 2015 release"):
        load("salicon_val", salicon_tree)


def test_other_count(salicon_tree, base):
    write_gaze(base / "fixations" / "val" / f"{stem('val')}.mat", SALICON_LISTS[0] * 2)
    with pytest.raises(DatasetProblem, match=r"published 6 fixations .* got 9 with"):
        load("salicon_val", salicon_tree)


def test_no_fixations_in_any_file(salicon_tree, base):
    for number in (9, 36):
        write_gaze(base / "fixations" / "val" / f"{stem('val', number)}.mat", [np.empty((0, 2))])
    with pytest.raises(DatasetProblem, match="got 0 with nan and nan"):
        load("salicon_val", salicon_tree)


def test_other_resolution(salicon_tree, base):
    write_gaze(base / "fixations" / "val" / f"{stem('val')}.mat", SALICON_LISTS[0], resolution=(640, 480))
    with pytest.raises(DatasetProblem, match=r"0009\.mat: expected resolution \[480, 640\], got \[640, 480\]"):
        load("salicon_val", salicon_tree)


@pytest.mark.parametrize("point", [(0, 5), (5, 0), (641, 5), (5, 481)])
def test_fixation_off_the_image(salicon_tree, base, point):
    write_gaze(base / "fixations" / "val" / f"{stem('val')}.mat", [[(1, 1), point]])
    with pytest.raises(DatasetProblem, match=r"000009\.mat: 1 of 2 fixations are off the image of 640 x 480"):
        load("salicon_val", salicon_tree)


def test_other_structure(salicon_tree, base):
    path = base / "fixations" / "val" / f"{stem('val')}.mat"
    write_gaze(path, [np.ones((2, 3))])
    with pytest.raises(DatasetProblem, match=r"whose field fixations is K x 2: got float64 of shape \(2, 3\)"):
        load("salicon_val", salicon_tree)
    scipy.io.savemat(path, {"gaze": np.ones(3), "resolution": [480, 640]})
    with pytest.raises(DatasetProblem, match="expected gaze, a structure array"):
        load("salicon_val", salicon_tree)
    scipy.io.savemat(path, {"gaze": np.ones(3)})
    with pytest.raises(DatasetProblem, match="expected the variable 'resolution', found gaze"):
        load("salicon_val", salicon_tree)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"\x00" * 200, b"MATLAB 5.0 MAT-file" + b" " * 109])
def test_broken_mat(salicon_tree, base, content):
    (base / "fixations" / "val" / f"{stem('val')}.mat").write_bytes(content)
    with pytest.raises(DatasetProblem, match=r"000009\.mat: "):
        load("salicon_val", salicon_tree)


def damaged(content, rng):
    """`content` cut at 40 places, and with one bit flipped at 120."""
    cut = [content[:n] for n in rng.integers(0, len(content), 40)]
    flips = [(int(position), 1 << int(rng.integers(8))) for position in rng.integers(0, len(content), 120)]
    return cut + [content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :] for at, bit in flips]


def test_damaged_mat_is_a_problem_that_names_it_or_is_read(tmp_path):
    path = tmp_path / "damaged.mat"
    write_gaze(path, SALICON_LISTS[0])
    messages = []
    for content in damaged(path.read_bytes(), np.random.default_rng(3)):
        path.write_bytes(content)
        try:
            salicon._parse_one(path)
        except DatasetProblem as error:
            messages.append(str(error))
    assert len(messages) > 40
    assert all("damaged.mat: " in message for message in messages)


def test_matlab_7_3_is_told(salicon_tree, base):
    header = b"MATLAB 7.3 MAT-file".ljust(124) + (0x0200).to_bytes(2, "little") + b"IM"
    (base / "fixations" / "val" / f"{stem('val')}.mat").write_bytes(header + b"\0" * 500)
    with pytest.raises(DatasetProblem, match=r"0009\.mat: .*MATLAB 7\.3 files; .* -v7"):
        load("salicon_val", salicon_tree)


def test_map_of_another_size(salicon_tree, base):
    write_image(base / "maps" / "val" / f"{stem('val')}.png", (256, 256))
    with pytest.raises(DatasetProblem, match=r"0009\.png: expected .* \(480, 640\), got \(256, 256\)"):
        load("salicon_val", salicon_tree).samples[0].read_density()


def test_truncated_map(salicon_tree, base):
    path = base / "maps" / "val" / f"{stem('val')}.png"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match=r"0009\.png: not a readable picture"):
        load("salicon_val", salicon_tree).samples[0].read_density()


class TestPictures:
    """Repackagings with fixations as pictures."""

    LAYOUTS = (
        ("images/{}", "fixations/{}", "maps/{}", ".png"),
        ("images", "fixations", "maps", ".png"),
        ("stimuli", "fixations", "saliency", ".png"),
        ("stimuli/{}", "fixations/{}", "saliency/{}", ".png"),
        ("{0}/{0}_stimuli", "{0}/{0}_fixation", "{0}/{0}_saliency", ".bmp"),
    )

    @pytest.fixture
    def repackaged(self, tmp_path, monkeypatch):
        """A function of a layout and a split: a data root with two images, and the fixated pixels of each."""

        def make(images, fixations, maps, suffix, split="val"):
            base, rng, pixels = tmp_path / "own" / "SALICON", np.random.default_rng(5), []
            for number in (9, 36):
                picture = np.zeros((480, 640), np.uint8)
                picture[0, 639] = picture[479, 0] = 255
                picture[rng.integers(480, size=8), rng.integers(640, size=8)] = 255
                write_image(base / images.format(split) / f"{stem(split, number)}.jpg", (480, 640))
                write_image(base / maps.format(split) / f"{stem(split, number)}.png", (480, 640), value=number)
                path = base / fixations.format(split) / f"{stem(split, number)}{suffix}"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
                pixels.append(np.argwhere(picture)[:, ::-1])
            monkeypatch.setattr(salicon, "EXPECTED", {split: salicon.Published(2, 99, (0.0, 0.0))})
            monkeypatch.setattr(salicon, "EXPECTED_PIXELS", {"val": salicon.Published(2, sum(map(len, pixels)))})
            return base.parent, pixels

        return make

    @pytest.mark.parametrize("layout", LAYOUTS, ids=lambda layout: layout[0])
    def test_layouts(self, repackaged, layout):
        root, pixels = repackaged(*layout)
        dataset = load("salicon_val", root)
        assert (dataset.name, dataset.whole) == ("salicon_val", None)
        assert dataset.gaze.endswith("; fixations from pictures, each pixel once")
        for sample, points in zip(dataset.samples, pixels, strict=True):
            np.testing.assert_array_equal(sample.fixations, points)
            assert sample.observers is None
            assert sample.image.shape == (480, 640, 3)
        assert dataset.samples[1].read_density().max() == 36

    def test_another_number_of_pixels(self, repackaged, monkeypatch):
        root, pixels = repackaged(*self.LAYOUTS[0])
        monkeypatch.setattr(salicon, "EXPECTED_PIXELS", {"val": salicon.Published(2, 7)})
        number = sum(map(len, pixels))
        with pytest.raises(
            DatasetProblem, match=rf"expected the published 7 fixations, got {number}\. This is another"
        ):
            load("salicon_val", root)

    def test_no_number_is_known_for_the_training_split(self, repackaged):
        root, pixels = repackaged(*self.LAYOUTS[0], split="train")
        assert [len(sample.fixations) for sample in load("salicon_train", root).samples] == list(map(len, pixels))

    def test_the_excerpt(self, shared):
        """The distributed densities are the fixations under a Gaussian of 19 pixels with zeros beyond the border."""
        with allow_partial():
            root = shared / "data" / "salicon2017_excerpt"
            val, train = load("salicon_val", root), load("salicon_train", root)
        assert (val.name, val.whole) == ("salicon_val_partial12", 5_000)
        assert (train.name, train.whole) == ("salicon_train_partial10", 10_000)
        assert len(val.samples[0].fixations) == 413
        for sample in val.samples[:4]:
            counts = np.zeros(sample.size)
            counts[tuple(sample.fixations.astype(int).T[::-1])] = 1
            blurred = gaussian_filter(counts, 19.0, mode="constant")
            assert np.corrcoef(blurred.ravel(), sample.read_density().ravel())[0, 1] > 0.9998
            assert sample.image.shape == (480, 640, 3)


class TestCoco:
    def test_captions_and_boxes_of_each_image(self, salicon_tree):
        for split in ("train", "val"):
            write_coco(salicon_tree, "captions", split, CAPTIONS)
            write_coco(salicon_tree, "instances", split, INSTANCES)
            soup, skier = load(f"salicon_{split}", salicon_tree).samples
            assert (soup.caption, skier.caption) == ("Some soup.", "A skier.")
            assert (soup.boxes.shape, soup.categories.shape) == ((0, 4), (0,))
            assert (skier.boxes.tolist(), skier.categories.tolist()) == ([[20.5, 30, 600, 400]], [1])
            assert (len(skier.fixations), skier.sigma) == (3, 19.0)

    def test_one_file_without_the_other(self, salicon_tree):
        path = write_coco(salicon_tree, "captions", "val", CAPTIONS)
        sample = load("salicon_val", salicon_tree).samples[1]
        assert (sample.caption, sample.boxes, sample.categories) == ("A skier.", None, None)
        path.unlink()
        write_coco(salicon_tree, "instances", "val", INSTANCES)
        sample = load("salicon_val", salicon_tree).samples[1]
        assert (sample.caption, sample.boxes.shape, sample.categories.tolist()) == (None, (1, 4), [1])

    @pytest.mark.parametrize("split", ["train", "val", "test"])
    def test_neither_file(self, salicon_tree, split):
        write_coco(salicon_tree, "captions", "val" if split == "train" else "train", CAPTIONS)
        for sample in load(f"salicon_{split}", salicon_tree).samples:
            assert (sample.caption, sample.boxes, sample.categories) == (None,) * 3

    def test_the_file_of_another_split(self, salicon_tree):
        path = write_coco(salicon_tree, "instances", "train", INSTANCES)
        path.rename(path.with_name("instances_val2014.json"))
        with pytest.raises(DatasetProblem, match=r"2 of them are not listed, such as COCO_val2014_000000000009\.jpg"):
            load("salicon_val", salicon_tree)

    def test_the_caption_reaches_predict_and_the_boxes_do_not(self, salicon_tree, tmp_path, add_method):
        write_coco(salicon_tree, "captions", "val", CAPTIONS)
        write_coco(salicon_tree, "instances", "val", INSTANCES)
        body = (
            "def predict(self, sample):\n"
            "    assert sample.caption == {'9': 'Some soup.', '6': 'A skier.'}[sample.id[-1]], sample.caption\n"
            "    assert (sample.boxes, sample.categories) == (None, None)\n"
            "    return np.ones(sample.size)"
        )
        add_method("reader", body)
        dataset = load("salicon_val", salicon_tree)
        result = Evaluation(dataset, PROTOCOLS["tuebingen"], tmp_path / "out", Runtime(progress=False)).run("reader")
        assert (result.failures, result.n_images) == ({}, 2)


class TestCache:
    @pytest.fixture
    def parsed(self, monkeypatch):
        """List of the files that were parsed."""
        paths, parse = [], salicon._parse_one
        monkeypatch.setattr(salicon, "_parse_one", lambda path: paths.append(path) or parse(path))
        return paths

    def test_second_load_parses_nothing_and_is_the_same(self, salicon_tree, parsed, tmp_path):
        first = load("salicon_val", salicon_tree)
        assert len(parsed) == 2
        second = load("salicon_val", salicon_tree)
        assert len(parsed) == 2
        assert len(cache_files(tmp_path)) == 1
        assert first.fingerprint == second.fingerprint

    def test_changed_file_is_parsed_again(self, salicon_tree, base, parsed):
        load("salicon_val", salicon_tree)
        path = base / "fixations" / "val" / f"{stem('val')}.mat"
        os.utime(path, ns=(1, 1))
        load("salicon_val", salicon_tree)
        assert len(parsed) == 4

    @pytest.mark.parametrize("damage", ["empty", "truncated", "text", "pickle", "other arrays", "other counts"])
    def test_broken_cache_is_made_again(self, salicon_tree, parsed, tmp_path, damage):
        first = load("salicon_val", salicon_tree)
        (cache,) = cache_files(tmp_path)
        content = cache.read_bytes()
        if damage == "pickle":
            np.savez(cache, points=np.array([{}, None], dtype=object), observers=np.ones(2), counts=np.ones(2))
        elif damage == "other arrays":
            np.savez(cache, points=np.ones((6, 2)))
        elif damage == "other counts":
            np.savez(cache, points=np.ones((6, 2)), observers=np.ones(6), counts=np.array([6]))
        else:
            cache.write_bytes({"empty": b"", "truncated": content[: len(content) // 2], "text": b"hello"}[damage])
        assert load("salicon_val", salicon_tree).fingerprint == first.fingerprint
        assert len(parsed) == 4
        assert len(cache.read_bytes()) == len(content)

    def test_a_problem_is_not_kept(self, salicon_tree, base, tmp_path):
        path = base / "fixations" / "val" / f"{stem('val')}.mat"
        write_gaze(path, [[(1, 1), (700, 1)]])
        with pytest.raises(DatasetProblem):
            load("salicon_val", salicon_tree)
        assert cache_files(tmp_path) == []

    def test_cache_that_cannot_be_written_is_told(self, salicon_tree, tmp_path, monkeypatch, warned):
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
        assert len(load("salicon_val", salicon_tree).samples) == 2
        assert any("salicon_val_" in line for line in warned)
        assert any("parses again" in line for line in warned)
