"""The contract of every method, and what each method without weights computes."""

import io
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from onnx_networks import write_network
from PIL import Image
from scipy.ndimage import gaussian_filter
from small_networks import small_networks

from salbench import registry
from salbench.evaluation import Evaluation
from salbench.protocol import PROTOCOLS
from salbench.registry import MethodUnavailable
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.training import LearnedMethod
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
SMALL = (64, 96)  # the size of images of networks whose recipes have one
PORTRAIT, DOT = {"portrait": (61, 23)}, {"dot": (1, 1)}
FEW_SIZES = {  # these take about a second for an image of any size, or see more sizes in their own tests
    **{name: {"one column": (24, 1), "dot": (1, 1)} for name in registry.members("classical")},
    "attention_center": PORTRAIT | DOT,
    "diffusion_readout": PORTRAIT,
    "diffusion_readout_fast": PORTRAIT | DOT,
    "fastgaze": PORTRAIT | DOT,
    "gaze_lite": PORTRAIT | DOT,
    "dsclrcn": PORTRAIT,
    "opensalicon": PORTRAIT,
    "unisal": PORTRAIT,
    "simplenet": PORTRAIT,
    "tempsal": PORTRAIT,
    "dinet": PORTRAIT,
    "sam_resnet": PORTRAIT,
    "mdsem": PORTRAIT,
    "msinet": PORTRAIT,
    "emlnet": PORTRAIT,
    "rinet": PORTRAIT,
    "transalnet_res": PORTRAIT,
    "transalnet_dense": PORTRAIT,
    "deepgaze_iie": {"smallest": (128, 131)},
    "from_folder": {"five times its map": (25, 35)},
    "pysaliency": PORTRAIT | DOT,
    "onnx": PORTRAIT | DOT,
    "command": PORTRAIT,
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


def _argument(name, folder):
    """The argument of a method that needs one."""
    np.save(folder / "image_0.npy", np.random.default_rng(0).random((5, 7)))
    if name == "onnx":
        write_network(folder / "net.onnx")
    script = "import sys, numpy as n, PIL.Image as i; n.save(sys.argv[2], n.asarray(i.open(sys.argv[1])).mean(2))"
    return {
        "from_folder": folder,
        "pysaliency": "pysaliency.models:GaussianModel",
        "onnx": folder / "net.onnx",
        "command": f"{sys.executable} -c '{script}' {{image}} {{map.npy}}",
    }[name]


@pytest.fixture(scope="module")
def method(request, tmp_path_factory):
    """The method of a name, made once. Networks see small images.

    Those with published weights get random ones, the largest fewer of them.
    """
    name = request.param
    if registry.needs_argument(name):
        yield registry.create(f"{name}:{_argument(name, tmp_path_factory.mktemp(name))}")
    else:
        with small_networks() as patch:
            patch.setattr(sys.modules[registry.get("transalnet_res").logits.__module__], "SIZE", SMALL)
            made = registry.create(name, Runtime(init="random" if registry.get(name).checkpoints else None))
            if isinstance(made, LearnedMethod):
                _ = made.network  # before the size, which shipped weights set
                made.recipe = made.recipe.at(SMALL)
            yield made


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
