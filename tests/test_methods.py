"""The contract of every method, and what each method without weights computes."""

import io
import subprocess
import sys
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from scipy.ndimage import gaussian_filter
from small_networks import small_networks

from salbench import registry, results
from salbench.evaluation import Evaluation
from salbench.files import FileProblem
from salbench.protocol import PROTOCOLS, Others
from salbench.registry import MethodUnavailable
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.training_plan import Plan

QUIET = Runtime(progress=False)
SIZES = {
    "square": (32, 32),
    "portrait": (61, 23),
    "tiny": (8, 8),
    "one column": (24, 1),
    "one row": (1, 24),
    "dot": (1, 1),
}
PORTRAIT, DOT = {"portrait": (61, 23)}, {"dot": (1, 1)}
FEW_SIZES = {  # these networks take about a second for an image of any size
    "attention_center": PORTRAIT | DOT,
    "diffusion_readout": PORTRAIT | DOT,
    "diffusion_readout_fast": PORTRAIT | DOT,
    "fastgaze": PORTRAIT | DOT,
    "unisal": PORTRAIT | DOT,
    "simplenet": PORTRAIT,
    "tempsal": PORTRAIT,
    "deepgaze_iie": {"smallest": (128, 131)},
    "from_folder": {"five times its map": (25, 35)},
}
CASES = {
    f"{name}, {size_name}": (name, size)
    for name in registry.available()
    for size_name, size in FEW_SIZES.get(name, SIZES).items()
}


def _png(values):
    file = io.BytesIO()
    Image.fromarray(np.asarray(values, np.uint8)).save(file, "PNG")
    return file.getvalue()


def _npy(values):
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


@pytest.fixture(scope="module")
def method(request, tmp_path_factory):
    """The method of a name, made once. Networks with published weights get random ones, the largest fewer of them."""
    name = request.param
    if name == "from_folder":
        folder = tmp_path_factory.mktemp("maps")
        (folder / "image_0.npy").write_bytes(_npy(np.random.default_rng(0).random((5, 7))))
        yield registry.create(f"from_folder:{folder}")
    else:
        with small_networks():
            yield registry.create(name, Runtime(init="random" if registry.get(name).checkpoints else None))


@pytest.mark.parametrize("name", registry.available())
def test_declares_itself(name):
    cls = registry.get(name)
    assert cls.name == name
    assert cls.output in ("map", "density", "log_density")
    first, *_ = cls.__doc__.splitlines()
    assert first.endswith("."), "one line for `list methods`"
    assert len(first) <= 100


@pytest.mark.parametrize(("method", "size"), CASES.values(), ids=CASES, indirect=["method"], scope="module")
class TestContract:
    def _predict(self, method, sample):
        if method.sees_fixations:
            return next(iter(method.predict_held_out(sample)))[0]
        return method.predict(sample.blind())

    def test_prediction(self, method, size, make_samples):
        samples = make_samples([size] * 3)
        if method.fits_at_run:
            assert method.fit(samples, Plan()) is method
        image = samples[0].image
        before = image.copy()
        sample = replace(samples[0], read_image=lambda: image)
        prediction = self._predict(method, sample)
        assert_array_equal(image, before)
        assert prediction.ndim == 2
        assert prediction.dtype in (np.float32, np.float64)
        assert np.isfinite(prediction).all()
        if method.output == "density":
            assert prediction.min() >= 0
            assert prediction.max() > 0
        kept = prediction.copy()
        prediction *= 0  # what is returned belongs to the caller
        assert_array_equal(self._predict(method, sample), kept)


class TestWithoutPackages:
    def test_methods_without_a_network_need_no_torch(self):
        names = "uniform", "center_bias", "inter_observer", "spectral_residual", "from_folder"
        code = f"""
import sys
sys.modules["torch"] = None
from salbench import registry
print([registry.get(name).name for name in {names}])
try:
    registry.get("lite")
except registry.MethodUnavailable as reason:
    print(reason)
"""
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        found, reason = done.stdout.splitlines()
        assert found == str(list(names))
        assert reason.startswith("needs torch: ")

    @pytest.mark.parametrize("package", ["diffusers", "transformers"])
    @pytest.mark.parametrize("name", ["diffusion_readout", "diffusion_readout_fast"])
    def test_a_missing_package_is_told_before_the_first_image(self, name, package, monkeypatch):
        for each in ("diffusion_readout", "diffusion_readout_fast"):
            module = registry.get(each).__module__
            monkeypatch.delitem(registry._METHODS, module)
            monkeypatch.delitem(sys.modules, module)
        monkeypatch.setitem(sys.modules, package, None)
        with pytest.raises(MethodUnavailable, match=f"needs {package}: "):
            registry.get(name)


class TestUniform:
    def test_is_constant(self, tiny):
        assert_array_equal(registry.create("uniform").predict(tiny.samples[0].blind()), np.ones((24, 32)))


class TestCenterBias:
    @pytest.fixture
    def method(self, tiny):
        method = registry.create("center_bias")
        method.fit(tiny.samples, Plan())
        return method

    def test_leaves_out_the_image_itself(self, method, tiny):
        for i, sample in enumerate(tiny.samples):
            moved = replace(sample, fixations=sample.fixations[::-1, ::-1] * (0.9, 0.7))
            other = registry.create("center_bias")
            other.fit([*tiny.samples[:i], moved, *tiny.samples[i + 1 :]], Plan())
            assert_array_equal(other.predict(sample.blind()), method.predict(sample.blind()))
            neighbour = tiny.samples[i - 1].blind()
            assert np.abs(other.predict(neighbour) - method.predict(neighbour)).max() > 1e-5

    def test_an_image_that_was_not_fitted_gets_all(self, method, tiny, make_samples):
        stranger = replace(make_samples([(24, 32)], seed=9)[0], id="stranger")
        with_stranger = registry.create("center_bias")
        with_stranger.fit([*tiny.samples, stranger], Plan())
        assert_array_equal(method.predict(stranger.blind()), with_stranger.predict(stranger.blind()))

    def test_is_a_density_of_the_fixations_of_other_images(self, method, tiny):
        density = method.predict(tiny.samples[0].blind())
        assert density.sum() == pytest.approx(1, rel=1e-9)
        assert density.min() > 0
        grid = np.array(density.shape)
        points = np.concatenate([s.fixations for s in tiny.samples[1:]]) / (32, 24) * grid[::-1]
        counts = np.zeros(grid)
        np.add.at(counts, tuple(points[:, ::-1].astype(int).T), 1)
        blurred = gaussian_filter(counts / counts.sum(), method._bandwidth * grid)
        assert np.abs(density - (0.999 * blurred + 0.001 / counts.size)).max() < 1e-12

    def test_the_bandwidth_follows_the_spread_of_the_fixations(self, make_samples):
        rng, chosen = np.random.default_rng(0), []
        for spread in (1.5, 12.0):
            samples = [
                replace(s, fixations=np.clip(rng.normal((80, 60), spread, (30, 2)), 0, (159, 119)), observers=None)
                for s in make_samples([(120, 160)] * 12)
            ]
            method = registry.create("center_bias")
            method.fit(samples, Plan())
            chosen.append(method._bandwidth)
        assert chosen[0] < chosen[1]

    def test_positions_are_relative_to_the_image(self, make_samples):
        densities = []
        for height, width in ((24, 32), (480, 640)):
            a, b = make_samples([(height, width)] * 2)
            method = registry.create("center_bias")
            method.fit([a, replace(b, fixations=np.array([[0.25 * width, 0.75 * height]]), observers=None)], Plan())
            densities.append(method.predict(a.blind()))
        assert_array_equal(*densities)
        assert np.unravel_index(densities[0].argmax(), densities[0].shape) == (72, 32)

    def test_fixations_at_the_last_fraction_of_a_pixel(self, make_samples):
        for height, width in [(1, 1), (3, 7), (600, 800), (1023, 2047), (4999, 3333)]:
            a, b = make_samples([(height, width)] * 2)
            method = registry.create("center_bias")
            method.fit([a, replace(b, fixations=np.nextafter([[width, height]], 0), observers=None)], Plan())
            density = method.predict(a.blind())
            assert np.unravel_index(density.argmax(), density.shape) == (95, 127)

    def test_knows_nothing_where_only_the_image_itself_is_known(self, tiny):
        method = registry.create("center_bias")
        method.fit(tiny.samples[:1], Plan())
        prediction = method.predict(tiny.samples[0].blind())
        assert prediction.min() == prediction.max() > 0

    def test_is_fitted_on_the_training_split(self, tiny, mixed, tmp_path):
        train = replace(mixed, samples=tuple(replace(s, id=f"train_{s.id}") for s in mixed.samples))
        given = tiny, PROTOCOLS["mit"]
        result = Evaluation(*given, tmp_path, QUIET, train=lambda: train).run("center_bias")
        assert result.identity["fitted_on"] == f"mixed {train.fingerprint}"
        alone = Evaluation(*given, tmp_path / "alone", QUIET, train=lambda: None).run("center_bias")
        assert alone.identity["fitted_on"] == f"tiny {tiny.fingerprint} (leave one image out)"
        assert alone.metrics["nss"] != result.metrics["nss"]


class TestSpectralResidual:
    def test_the_equations_of_the_paper(self):
        image = np.random.default_rng(0).integers(0, 256, (48, 64, 3), dtype=np.uint8)
        spectrum = np.fft.fft2(image.astype(np.float64).mean(2))
        amplitude = np.log(np.abs(spectrum))
        shifts = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        residual = amplitude - np.mean([np.roll(amplitude, shift, (0, 1)) for shift in shifts], axis=0)
        back = np.abs(np.fft.ifft2(np.exp(residual) * spectrum / np.abs(spectrum))) ** 2
        assert_allclose(self._predict(image), gaussian_filter(back, 2.5), rtol=1e-4)

    @pytest.mark.parametrize("odd", ["brighter", "wider"])
    @pytest.mark.parametrize(("row", "column"), [(0, 7), (1, 1), (2, 5), (4, 3), (6, 6)])
    def test_a_singleton_on_a_regular_texture_wins(self, odd, row, column):
        tile = np.zeros((8, 8))
        tile[2:6, 3:5] = 100  # an upright bar
        image = 60 + np.tile(tile, (8, 8))
        tile[2:6, 2:6] = {"brighter": 1.5 * tile[2:6, 2:6], "wider": 100}[odd]
        image[8 * row : 8 * row + 8, 8 * column : 8 * column + 8] = 60 + tile
        image += np.random.default_rng(0).normal(0, 2, image.shape)  # no amplitude is zero in a photograph
        prediction = self._predict(np.repeat(image[..., None], 3, axis=2).astype(np.uint8))
        y, x = np.unravel_index(prediction.argmax(), prediction.shape)
        assert (y // 8, x // 8) == (row, column)

    @pytest.mark.parametrize("size", [(480, 640), (640, 480), (50, 50), (10, 1000)])
    def test_looks_at_64_pixels_on_the_long_side(self, size):
        assert max(self._predict(np.random.default_rng(0).integers(0, 255, (*size, 3), dtype=np.uint8)).shape) == 64

    def _predict(self, image):
        return registry.create("spectral_residual").predict(Sample("a", image.shape[:2], lambda: image))


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
            baseline = protocol.truth(sample, others).baseline
            p, b = (m / m.sum() for m in (values, baseline))
            x, y = sample.fixations.astype(int).T
            eps = 2.2204e-16
            assert ours[sample.id] == pytest.approx(np.mean(np.log2(eps + p[y, x]) - np.log2(eps + b[y, x])), rel=1e-5)

    def test_declared_log_densities(self, maps, blind):
        (maps / "image_0.npy").write_bytes(_npy(self.VALUES))
        method = self._create(f"log_density:{maps}")
        assert (method.output, method.label) == ("log_density", "from_folder+model_v1.5")
        (maps / "image_1.png").write_bytes(_png(self.VALUES))
        with pytest.raises(FileProblem, match=r"expected log densities as \.npy, .* got .*image_1\.png"):
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
        with pytest.raises(FileProblem, match=r"model_v1\.5: expected a map named image_0 with one of \.png, "):
            self._create(maps).predict(blind)

    def test_a_missing_map_is_a_failed_image(self, maps, tiny, tmp_path):
        for sample in tiny.samples[1:]:
            (maps / f"{sample.id}.png").write_bytes(_png(self.VALUES))
        result = Evaluation(tiny, PROTOCOLS["mit"], tmp_path / "out", QUIET).run(f"from_folder:{maps}")
        assert (result.n_images, result.n_failed, list(result.failures)) == (6, 1, ["image_0"])
        assert "FileProblem: " in result.failures["image_0"]
        assert "expected a map named image_0" in result.failures["image_0"]

    def test_no_place(self):
        for spec in ("from_folder", "from_folder:"):
            with pytest.raises(MethodUnavailable, match="needs a folder or zip of maps: --methods from_folder:DIR"):
                registry.create(spec)

    def test_nothing_there(self, maps):
        with pytest.raises(FileProblem, match="nowhere: expected a folder or a zip of maps, found nothing"):
            self._create(maps / "nowhere")

    def test_empty_folder(self, maps):
        (maps / "notes.txt").write_text("nothing else")
        with pytest.raises(FileProblem, match=r"expected maps ending in \.png, \.jpg, \.jpeg, \.npy, found none"):
            self._create(maps)

    def test_empty_zip(self, maps):
        with pytest.raises(FileProblem, match=r"expected maps ending in .*, found none"):
            self._create(self._zip(maps, {}))

    @pytest.mark.parametrize("zipped", [False, True])
    @pytest.mark.parametrize("second", ["image_0.npy", "deep/image_0.png"])
    def test_two_maps_for_one_image(self, maps, zipped, second):
        (maps / "deep").mkdir()
        contents = {"image_0.png": _png(self.VALUES), second: _npy(self.VALUES)}
        for name, content in contents.items():
            (maps / name).write_bytes(content)
        place = self._zip(maps.parent, contents) if zipped else maps
        with pytest.raises(FileProblem, match=r"expected one map per image, got .*image_0.* and .*image_0"):
            self._create(place)

    def test_what_macos_adds_is_ignored(self, maps, blind):
        contents = {"image_0.png": _png(self.VALUES), "__MACOSX/._image_0.png": b"\0\5\26\7", "._image_0.png": b"\0"}
        prediction = self._create(self._zip(maps, contents)).predict(blind)
        assert_array_equal(prediction, self.VALUES)

    @pytest.mark.parametrize(
        "member", ["../image_0.png", "a/../../image_0.png", "/etc/image_0.png", "..\\image_0.png", "\\image_0.png"]
    )
    def test_a_member_outside_the_archive(self, maps, member):
        place = self._zip(maps, {"ok.png": _png(self.VALUES), member: _png(self.VALUES)})
        with pytest.raises(FileProblem, match=r"member '.*image_0\.png' points outside the archive"):
            self._create(place)

    def test_backslashes_between_folders(self, maps, blind):
        place = self._zip(maps, {"maps\\image_0.png": _png(self.VALUES)})
        assert_array_equal(self._create(place).predict(blind), self.VALUES)

    def test_a_member_that_unpacks_to_too_much(self, maps, blind, monkeypatch):
        place = self._zip(maps, {"image_0.npy": _npy(np.zeros((75, 100)))})
        module = registry.sys.modules[registry.get("from_folder").__module__]
        monkeypatch.setattr(module, "MAX_MEMBER", 60_128)  # the header of the file and 7500 numbers
        assert self._create(place).predict(blind).shape == (75, 100)
        monkeypatch.setattr(module, "MAX_MEMBER", 60_127)
        with pytest.raises(FileProblem, match=r"member 'image_0\.npy' unpacks to 60128 bytes"):
            self._create(place)

    @pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\3\4"])
    def test_not_a_zip(self, maps, content):
        (maps / "maps.zip").write_bytes(content)
        with pytest.raises(FileProblem, match=r"maps\.zip: expected a folder or a zip, got a file that is neither"):
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
