"""Maps from disk: where they may be, in which formats, under which names, and what is refused."""

import io
import sys
import zipfile

import h5py
import numpy as np
import pytest
from numpy.testing import assert_array_equal
from PIL import Image

from salbench import registry, results
from salbench.evaluation import Evaluation
from salbench.files import FileProblem
from salbench.protocol import PROTOCOLS, Others
from salbench.registry import MethodUnavailable
from salbench.runtime import Runtime
from salbench.sample import Sample

QUIET = Runtime(progress=False)


def _png(values):
    file = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint8)).save(file, "PNG")
    return file.getvalue()


def _npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


class TestFromFolder:
    VALUES = np.arange(12.0).reshape(3, 4)

    @pytest.fixture
    def blind(self, make_samples):
        return make_samples([(24, 32)])[0].blind()  # its id is image_0

    @pytest.fixture
    def maps(self, tmp_path):
        folder = tmp_path / "model_v1.5"
        folder.mkdir()
        return folder

    def _zip(self, folder, members):
        path = folder / "maps.zip"
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in members.items():
                archive.writestr(name, content)
        return path

    def _create(self, place):
        return registry.create(f"from_folder:{place}")

    @pytest.mark.parametrize("suffix", ["png", "npy", "PNG", "jpg", "jpeg"])
    @pytest.mark.parametrize("zipped", [False, True])
    @pytest.mark.parametrize("inside", ["", "deep/er/"])
    def test_formats_and_places(self, maps, blind, suffix, zipped, inside):
        content = _npy(self.VALUES)
        if suffix != "npy":
            file = io.BytesIO()
            Image.fromarray(np.full((3, 4), 77, np.uint8)).save(file, "PNG" if suffix.lower() == "png" else "JPEG")
            content = file.getvalue()
        name = f"{inside}image_0.{suffix}"
        if zipped:
            place = self._zip(maps, {name: content, "readme.txt": b"of the maps"})
        else:
            place = maps
            (maps / name).parent.mkdir(parents=True, exist_ok=True)
            (maps / name).write_bytes(content)
            (maps / "readme.txt").write_text("of the maps")
        prediction = self._create(place).predict(blind)
        assert_array_equal(prediction, self.VALUES if suffix == "npy" else np.full((3, 4), 77))

    @pytest.mark.parametrize("shape", [(32, 24), (20, 20), (24, 30)])
    def test_another_aspect_ratio(self, maps, blind, shape):
        """Transposed, as by a reader that takes the width for the height, or square."""
        (maps / "image_0.npy").write_bytes(_npy(np.random.default_rng(0).random(shape)))
        expected = f"map of image_0: expected the aspect ratio of the image, 24 x 32 .*, got {shape[0]} x {shape[1]}"
        with pytest.raises(FileProblem, match=expected):
            self._create(maps).predict(blind)

    @pytest.mark.parametrize("shape", [(12, 16), (48, 64), (5, 7), (7, 9), (2, 3)])
    def test_a_rounded_aspect_ratio(self, maps, blind, shape):
        (maps / "image_0.npy").write_bytes(_npy(np.random.default_rng(0).random(shape)))
        assert self._create(maps).predict(blind).shape == shape

    def test_variant_is_the_name_of_the_folder_or_the_zip(self, maps):
        (maps / "image_0.png").write_bytes(_png(self.VALUES))
        assert self._create(maps).label == "from_folder+model_v1.5"
        assert self._create(f"{maps}/").label == "from_folder+model_v1.5"
        assert self._create(self._zip(maps, {"a.npy": b""})).label == "from_folder+maps"

    @pytest.mark.parametrize("typed", ["density:{}", "mine=density:{}"])
    def test_declared_densities(self, maps, tiny, tmp_path, typed):
        """IG is that of `score` on the same maps, 8-bit, 16-bit and NPY; without the declaration there is none."""
        rng = np.random.default_rng(0)
        for number, sample in enumerate(tiny.samples):
            density = rng.random(sample.size)
            if number % 3 == 0:
                np.save(maps / f"{sample.id}.npy", density)
            else:
                stored = (density * 255).astype(np.uint8) if number % 3 == 1 else (density * 65535).astype(np.uint16)
                Image.fromarray(stored).save(maps / f"{sample.id}.png")
        evaluation = Evaluation(tiny, PROTOCOLS["tuebingen"], tmp_path / "out", QUIET)
        declared, plain = (
            evaluation.run(f"from_folder:{typed.format(maps)}"),
            evaluation.run(f"from_folder:plain={maps}"),
        )
        assert (declared.n_failed, declared.output, plain.output, plain.metrics["ig"]) == (0, "density", "map", None)
        assert declared.metrics["auc"]["mean"] == plain.metrics["auc"]["mean"]
        ours = results.read_scores(tmp_path / "out", "tiny", declared.method)["ig"]
        protocol, others = PROTOCOLS["tuebingen"], Others(tiny.samples, PROTOCOLS["tuebingen"])
        for sample in tiny.samples:
            values = registry.create(f"from_folder:{maps}").predict(sample.blind()).astype(np.float64)
            baseline = protocol.truth(sample, others).baseline.array
            p, b = (m / m.sum() for m in (values, baseline))
            x, y = sample.fixations.astype(int).T
            eps = 2.2204e-16
            assert ours[sample.id] == pytest.approx(np.mean(np.log2(eps + p[y, x]) - np.log2(eps + b[y, x])), rel=1e-5)

    def test_declared_log_densities(self, maps, blind):
        (maps / "image_0.npy").write_bytes(_npy(self.VALUES))
        method = self._create(f"log_density:{maps}")
        assert (method.output, method.label) == ("log_density", "from_folder+model_v1.5")
        (maps / "image_1.png").write_bytes(_png(self.VALUES))
        with pytest.raises(FileProblem, match=r"expected log densities as floats, .* got image_1\.png"):
            self._create(f"mine=log_density:{maps}")

    def test_an_unknown_output(self, maps):
        with pytest.raises(FileProblem, match=r"unknown output 'densty'\. Did you mean 'density'"):
            self._create(f"densty:{maps}")

    def test_a_folder_may_be_named_like_a_prefix(self, maps):
        for name in ("density:maps", "a=b"):
            folder = maps / name
            folder.mkdir()
            (folder / f"{name[0]}.npy").write_bytes(_npy(self.VALUES))
            assert (self._create(folder).output, self._create(folder).variant) == ("map", name)

    def test_a_map_and_a_density_are_not_mixed(self, maps):
        (maps / "image_0.npy").write_bytes(_npy(self.VALUES))
        specs = (str(maps), f"density:{maps}", f"log_density:{maps}")
        assert len({self._create(spec).weights_hash() for spec in specs}) == 3

    @pytest.mark.parametrize("zipped", [False, True])
    def test_weights_hash_changes_with_the_maps_only(self, maps, zipped):
        def hash_of(**contents):
            if zipped:
                return self._create(self._zip(maps, contents)).weights_hash()
            for old in maps.iterdir():
                old.unlink()
            for name, values in contents.items():
                (maps / f"{name}.png").write_bytes(values)
            return self._create(maps).weights_hash()

        contents = {"a": _png(self.VALUES), "b": _png(self.VALUES + 1)}
        if zipped:
            contents = {f"{name}.png": content for name, content in contents.items()}
        a, b = contents
        hashes = [hash_of(**contents), hash_of(**{a: contents[a]}), hash_of(**{a: contents[b], b: contents[a]})]
        assert len(set(hashes)) == 3
        assert all(len(h) == 16 for h in hashes)

    def test_weights_hash_of_a_folder_ignores_other_files_and_its_place(self, maps):
        (maps / "image_0.png").write_bytes(_png(self.VALUES))
        before = self._create(maps).weights_hash()
        (maps / "notes.txt").write_text("new")
        assert self._create(maps.rename(maps.with_name("moved"))).weights_hash() == before

    def test_a_missing_map(self, maps, blind):
        (maps / "image_1.png").write_bytes(_png(self.VALUES))
        with pytest.raises(FileProblem, match=r"model_v1\.5: expected one map named image_0, found none"):
            self._create(maps).predict(blind)

    def test_a_missing_map_is_a_failed_image(self, maps, tiny, tmp_path):
        for sample in tiny.samples[1:]:
            (maps / f"{sample.id}.png").write_bytes(_png(self.VALUES))
        result = Evaluation(tiny, PROTOCOLS["mit"], tmp_path / "out", QUIET).run(f"from_folder:{maps}")
        assert (result.n_images, result.n_failed, list(result.failures)) == (6, 1, ["image_0"])
        assert "FileProblem: " in result.failures["image_0"]
        assert "expected one map named image_0" in result.failures["image_0"]

    def test_no_place(self):
        for spec in ("from_folder", "from_folder:"):
            with pytest.raises(MethodUnavailable, match="needs a folder, zip or HDF5 file of maps: --methods from"):
                registry.create(spec)

    def test_nothing_there(self, maps):
        with pytest.raises(FileProblem, match="nowhere: expected a folder, a zip or an HDF5 file of maps, found"):
            self._create(maps / "nowhere")

    def test_empty_folder(self, maps):
        (maps / "notes.txt").write_text("nothing else")
        with pytest.raises(FileProblem, match=r"expected maps ending in \.png, .*\.npy, \.mat, found none"):
            self._create(maps)

    def test_empty_zip(self, maps):
        with pytest.raises(FileProblem, match=r"expected maps ending in .*, found none"):
            self._create(self._zip(maps, {}))

    @pytest.mark.parametrize("zipped", [False, True])
    @pytest.mark.parametrize("second", ["image_0.npy", "deep/image_0.png"])
    def test_two_maps_for_one_image(self, maps, blind, zipped, second):
        (maps / "deep").mkdir()
        contents = {"image_0.png": _png(self.VALUES), second: _npy(self.VALUES)}
        for name, content in contents.items():
            (maps / name).write_bytes(content)
        place = self._zip(maps.parent, contents) if zipped else maps
        method = self._create(place)
        with pytest.raises(FileProblem, match=r"expected one map named image_0, found .*image_0.* and .*image_0"):
            method.predict(blind)

    def test_what_macos_adds_is_ignored(self, maps, blind):
        contents = {"image_0.png": _png(self.VALUES), "__MACOSX/._image_0.png": b"\0\5\26\7", "._image_0.png": b"\0"}
        prediction = self._create(self._zip(maps, contents)).predict(blind)
        assert_array_equal(prediction, self.VALUES)

    @pytest.mark.parametrize(
        "member", ["../image_0.png", "a/../../image_0.png", "/etc/image_0.png", "..\\image_0.png", "\\image_0.png"]
    )
    def test_a_member_outside_the_archive(self, maps, member):
        place = self._zip(maps, {"ok.png": _png(self.VALUES), member: _png(self.VALUES)})
        with pytest.raises(FileProblem, match=r"maps\.zip: holds a.* path.*image_0\.png"):
            self._create(place)

    def test_backslashes_between_folders(self, maps, blind):
        place = self._zip(maps, {"maps\\image_0.png": _png(self.VALUES)})
        assert_array_equal(self._create(place).predict(blind), self.VALUES)

    def test_a_member_that_unpacks_to_too_much(self, maps, blind, monkeypatch):
        place = self._zip(maps, {"image_0.npy": _npy(np.zeros((75, 100)))})
        module = sys.modules[f"{registry.get('from_folder').__module__}.places"]
        monkeypatch.setattr(module, "MAX_MEMBER", 60_128)  # the header of the file and 7500 numbers
        assert self._create(place).predict(blind).shape == (75, 100)
        monkeypatch.setattr(module, "MAX_MEMBER", 60_127)
        with pytest.raises(FileProblem, match=r"member 'image_0\.npy' unpacks to 60128 bytes"):
            self._create(place)

    @pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\3\4"])
    def test_not_a_zip(self, maps, content):
        (maps / "maps.zip").write_bytes(content)
        with pytest.raises(
            FileProblem, match=r"maps\.zip: expected a folder, a zip, or .*, got a file that is neither"
        ):
            self._create(maps / "maps.zip")

    def test_a_zip_cut_off_anywhere(self, maps):
        place = self._zip(maps, {"image_0.png": _png(self.VALUES), "b.npy": _npy(self.VALUES)})
        content = place.read_bytes()
        for length in range(len(content)):
            place.write_bytes(content[:length])
            with pytest.raises(FileProblem, match=r"maps\.zip: "):
                self._create(place)

    def test_a_damaged_member(self, maps, blind):
        """Whatever byte is damaged, the map is right or there is a FileProblem that names the archive or the member."""
        values = np.random.default_rng(0).integers(0, 3, (15, 20)).astype(float)
        place = self._zip(maps, {"image_0.npy": _npy(values)})
        content = place.read_bytes()
        refused = []
        for position in range(0, len(content), 3):
            place.write_bytes(content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :])
            try:
                assert_array_equal(self._create(place).predict(blind), values)
            except FileProblem as problem:
                refused.append(str(problem))
        assert len(refused) > len(content) / 9
        assert all("maps.zip" in message or "image_0.npy" in message for message in refused)

    @pytest.mark.parametrize("name", ["image_0.png", "image_0.npy", "image_0.jpg"])
    @pytest.mark.parametrize("zipped", [False, True])
    def test_a_truncated_map(self, maps, blind, name, zipped):
        file = io.BytesIO()
        Image.fromarray(np.arange(200, dtype=np.uint8).reshape(10, 20)).save(file, "PNG" if "png" in name else "JPEG")
        content = (_npy(self.VALUES) if "npy" in name else file.getvalue())[:-30]
        (maps / name).write_bytes(content)
        method = self._create(self._zip(maps.parent, {name: content}) if zipped else maps)
        with pytest.raises(FileProblem, match=rf"{name}: not a readable"):
            method.predict(blind)


class TestNames:
    """Which file belongs to which image."""

    @pytest.fixture
    def method_of(self, tmp_path):
        """A function of names and a pattern: the method of a folder with maps of these names, each of its own value."""

        def make(*names, pattern=""):
            for value, name in enumerate(names):
                path = tmp_path / "maps" / f"{name}.npy"
                path.parent.mkdir(parents=True, exist_ok=True)
                np.save(path, np.full((3, 4), float(value)))
            return registry.create(f"from_folder:{tmp_path / 'maps'}{pattern}")

        return make

    def _value(self, method, id):
        return method.predict(Sample(id, (24, 32), lambda: None))[0, 0]

    @pytest.mark.parametrize(
        ("names", "pattern"),
        [
            (["p0_saliency", "p1_saliency", "p11_saliency"], "{id}_saliency"),
            (["sal-p0", "sal-p1", "sal-p11"], "sal-{id}"),
            (["my map p0.jpg.out", "my map p1.jpg.out", "my map p11.jpg.out"], "my map {id}.jpg.out"),
            (["a/p0_map", "b/p1_map", "b/c/p11_map"], "{id}_map"),
        ],
    )
    def test_a_common_pattern_is_found_and_told(self, method_of, names, pattern):
        method = method_of(*names)
        assert method.notes() == []
        assert [self._value(method, id) for id in ("p1", "p0", "p11")] == [1, 0, 2]
        (note,) = method.notes()
        assert f"named {pattern}: a pattern that all names share" in note

    @pytest.mark.parametrize("id", ["1", "p", "saliency"])
    def test_a_part_of_an_id_is_no_id(self, method_of, id):
        method = method_of("p_11_saliency", "p_12_saliency")
        with pytest.raises(FileProblem, match=f"expected one map named {id}, found none; if names hold more"):
            self._value(method, id)

    def test_a_pattern_that_one_name_lacks(self, method_of):
        method = method_of("p0_saliency", "p1_saliency", "p2")
        with pytest.raises(FileProblem, match="expected one map named p0, found none"):
            self._value(method, "p0")

    def test_two_patterns_that_fit(self, method_of):
        method = method_of("1_2_1")
        with pytest.raises(FileProblem, match="expected one map named 1, found none"):
            self._value(method, "1")

    def test_names_that_are_ids_need_no_pattern(self, method_of):
        method = method_of("a_1", "b_1")
        assert self._value(method, "b_1") == 1
        assert method.notes() == []
        with pytest.raises(FileProblem, match="expected one map named c_1, found none"):
            self._value(method, "c_1")

    @pytest.mark.parametrize(
        ("names", "pattern"),
        [
            (["p0saliency", "p1saliency", "p1saliency_old"], "/{id}saliency"),
            (["p0_b", "p1_b", "p0", "p1"], "/{id}_b.npy"),
            (["p0/fused", "p1/fused", "p0/p0", "p1/p1"], "/{id}/fused.npy"),
            (["p0/p0_b", "p1/p1_b", "x/p0_b"], "/{id}/{id}_b"),
        ],
    )
    def test_a_given_pattern(self, method_of, names, pattern):
        method = method_of(*names, pattern=pattern)
        assert [self._value(method, id) for id in ("p1", "p0")] == [1, 0]
        assert (method.label, method.notes()) == ("from_folder+maps", [])
        with pytest.raises(FileProblem, match=r"expected one map named p2.*, found none$"):
            self._value(method, "p2")

    def test_a_given_pattern_is_part_of_the_weights(self, method_of):
        names = "p0_a", "p0_b"
        hashes = {method_of(*names, pattern=pattern).weights_hash() for pattern in ("/{id}_a", "/{id}_b")}
        assert len(hashes) == 2

    def test_a_suffix_that_is_given_chooses_among_formats(self, method_of, tmp_path):
        method_of("p0")
        (tmp_path / "maps" / "p0.png").write_bytes(_png(np.full((3, 4), 9)))
        assert self._value(registry.create(f"from_folder:{tmp_path / 'maps'}/{{id}}.png"), "p0") == 9

    def test_folders_in_an_id(self, method_of):
        method = method_of("Action/001", "Indoor/001", "Indoor/002")
        assert [self._value(method, id) for id in ("Action/001", "Indoor/001", "002")] == [0, 1, 2]
        with pytest.raises(FileProblem, match=r"named 001, found Action/001\.npy and Indoor/001\.npy"):
            self._value(method, "001")


class TestHdf5:
    VALUES = np.arange(12.0).reshape(3, 4) - 5

    @pytest.fixture
    def write(self, tmp_path):
        def write(name="maps.h5", **datasets):
            with h5py.File(tmp_path / name, "w") as file:
                for key, values in datasets.items():
                    file[key] = values
            return tmp_path / name

        return write

    def _read(self, place, id="image_0"):
        return registry.create(f"from_folder:{place}").predict(Sample(id, (24, 32), lambda: None))

    @pytest.mark.parametrize("key", ["image_0", "image_0.jpg", "Action/image_0.jpg", "image_0_map"])
    @pytest.mark.parametrize("name", ["maps.h5", "maps.HDF5"])
    def test_a_data_set_per_image(self, write, key, name):
        other = key.replace("0", "1")
        place = write(name, **{key: self.VALUES, other: self.VALUES + 1})
        assert_array_equal(self._read(place), self.VALUES)
        assert registry.create(f"from_folder:log_density:{place}").label == "from_folder+maps"

    def test_axes_of_length_one(self, write):
        assert_array_equal(self._read(write(image_0=self.VALUES[None, None])), self.VALUES)

    def test_what_is_no_map(self, write):
        with pytest.raises(FileProblem, match=r"maps\.h5, image_0: expected a map of at most .*, got object"):
            self._read(write(image_0="text"))
        with pytest.raises(FileProblem, match=r"maps\.h5, image_0: expected a map of shape .*, got shape \(5,\)"):
            self._read(write(image_0=np.zeros(5)))
        with pytest.raises(FileProblem, match=r"maps\.h5: expected maps as data sets, found none"):
            self._read(write())

    def test_a_map_that_is_too_large_is_not_unpacked(self, tmp_path):
        with h5py.File(tmp_path / "maps.h5", "w") as file:
            file.create_dataset("image_0", (2**20, 2**20), "f4", chunks=(64, 64), compression="gzip")
        with pytest.raises(FileProblem, match=r"image_0: expected a map of at most \d+ real numbers, got float32 of"):
            self._read(tmp_path / "maps.h5")

    def test_a_link_to_another_file_is_not_followed(self, write, tmp_path):
        write("secret.h5", image_0=self.VALUES)
        with h5py.File(write("maps.h5", other=self.VALUES), "a") as file:
            file["image_0"] = h5py.ExternalLink("secret.h5", "image_0")
        with pytest.raises(FileProblem, match="named image_0, found none"):
            self._read(tmp_path / "maps.h5")

    def test_a_file_cut_off_anywhere(self, write, tmp_path):
        content = write(image_0=self.VALUES).read_bytes()
        for length in range(0, len(content), 7):
            (tmp_path / "maps.h5").write_bytes(content[:length])
            with pytest.raises(FileProblem, match=r"maps\.h5: "):
                self._read(tmp_path / "maps.h5")

    def test_without_h5py(self, write, tiny, tmp_path, monkeypatch):
        place = write(image_0=self.VALUES)
        monkeypatch.setitem(sys.modules, "h5py", None)
        skipped = Evaluation(tiny, PROTOCOLS["mit"], tmp_path / "out", QUIET).run(f"from_folder:{place}")
        assert skipped.reason.startswith("needs h5py: python -m pip install ")
