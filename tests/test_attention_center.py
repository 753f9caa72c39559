"""attention_center: as the reference interpreter computes it, on generated pictures and on photographs.

The interpreter adds the numbers under a mean one after another, with 32 bits. Over the 150 000 numbers of a group, that
changes a variance by up to 6e-5 of its value, and the map by up to 2e-4 of its peak on photographs (7e-4 on a smooth
generated picture). So parity is tested with group norms that add in its order, on the generated pictures and every
fourth photograph. The network as it ships is also compared with 64 bits, to which it is closer.
"""

import copy
import importlib
import json
import runpy
import sys
from pathlib import Path

import conformance
import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image
from torch import nn

from salbench import registry, weights
from salbench.files import read_image
from salbench.sample import Sample

TOLERANCE = 1e-4  # of the peak; 1e-5 was measured
ROUNDING = {"photograph": 3e-4, "generated": 1e-3}  # of the peak, of the interpreter's sums
BILINEAR = Image.Resampling.BILINEAR
synthetic_rgb = runpy.run_path(str(conformance.KITS / "weights.py"))["synthetic_rgb"]


class InterpretersNorm(nn.Module):
    """A group norm whose means are summed as by the reference interpreter, for one picture."""

    def __init__(self, norm):
        super().__init__()
        self.norm = norm

    def forward(self, x):
        groups = self.norm.num_groups
        values = x[0].unflatten(0, (groups, -1)).flatten(2).numpy()  # group, channel, pixel
        weight, bias = (p.numpy().reshape(groups, -1, 1) for p in (self.norm.weight, self.norm.bias))
        mean = self._mean(values)
        factor = weight / np.sqrt(self._mean((values - mean) ** 2) + np.float32(self.norm.eps))
        return torch.from_numpy(values * factor + (bias - mean * factor)).reshape(x.shape)

    def _mean(self, values):
        in_order = values.transpose(0, 2, 1).reshape(len(values), -1)  # the interpreter's channels come last
        return (np.add.accumulate(in_order, axis=1)[:, -1] / np.float32(in_order.shape[1]))[:, None, None]


@pytest.fixture(scope="module")
def method():
    return registry.create("attention_center")


@pytest.fixture(scope="module")
def part(method):
    """A function of a name: that module of the method."""
    return lambda name: importlib.import_module(f"{type(method).__module__}.{name}")


@pytest.fixture(scope="module")
def as_interpreted(method):
    """The network with the interpreter's sums."""
    network = copy.deepcopy(method.network)
    for module in list(network.modules()):
        if isinstance(getattr(module, "norm", None), nn.GroupNorm):
            module.norm = InterpretersNorm(module.norm)
    return network


@pytest.fixture(scope="module")
def kit():
    return np.load(conformance.KITS / "attention_center" / "expected.npz")


@pytest.fixture(scope="module")
def goldens(shared):
    """(expected arrays, {stem: picture of 480 x 640})."""
    data, expected = shared / "data", np.load(shared / "weights" / "expected" / "attention_center.npz")
    paths = [*data.glob("OSIE/data/stimuli/*.jpg"), *data.glob("salicon2017_excerpt/images/val/*.jpg")]
    pictures = {path.stem: read_image(path) for path in paths if f"{path.stem}/stats" in expected}
    assert len(pictures) == 16
    resized = {name: Image.fromarray(picture).resize((640, 480), BILINEAR) for name, picture in pictures.items()}
    return expected, {name: np.array(picture) for name, picture in resized.items()}


def sample_of(picture):
    return Sample("picture", picture.shape[:2], lambda: picture)


def map_of(method, network, picture):
    """The published map, float64 (480, 640)."""
    with torch.inference_mode():
        return network(method.preprocess(torch.from_numpy(picture)[None]))[0].double().sigmoid().numpy()


def check(saliency, expected, name, step, tolerance):
    """Compare every step-th row and column, four statistics, and the mean position under the map."""
    mean, std, lowest, highest = expected[f"{name}/stats"]
    assert_allclose(saliency[::step, ::step], expected[f"{name}/map_every{step}"], rtol=0, atol=tolerance * highest)
    assert_allclose(saliency.std(), std, rtol=5 * tolerance)
    assert_allclose(saliency.max(), highest, rtol=tolerance)
    assert_allclose(saliency.min(), lowest, rtol=20 * tolerance)
    assert_allclose(saliency.mean(), mean, rtol=1e-3)  # over 307 200 numbers, the interpreter's sums are this far off
    rows, columns = np.mgrid[:480, :640]
    center = [(saliency * axis).sum() / saliency.sum() for axis in (columns, rows)]
    assert_allclose(center, expected[f"{name}/center"], rtol=2e-3)


class TestNetwork:
    @pytest.mark.parametrize("variant", [0, 1])
    def test_is_the_published_graph(self, method, as_interpreted, kit, variant):
        picture = synthetic_rgb(480, 640, variant)
        check(map_of(method, as_interpreted, picture), kit, variant, 8, TOLERANCE)

    @pytest.mark.parametrize("variant", [0, 1])
    def test_as_it_ships(self, method, kit, variant):
        check(map_of(method, method.network, synthetic_rgb(480, 640, variant)), kit, variant, 8, ROUNDING["generated"])

    @pytest.mark.parametrize("variant", [0, 1])
    def test_is_closer_to_64_bits_than_the_interpreter(self, method, kit, variant):
        picture = torch.from_numpy(synthetic_rgb(480, 640, variant))[None]
        double = copy.deepcopy(method.network).double()
        with torch.inference_mode():
            exact = double(method.preprocess(picture).double())[0].sigmoid().numpy()
        ours = map_of(method, method.network, picture[0].numpy())
        error = np.abs(ours - exact).max() / exact.max()
        interpreters = np.abs(kit[f"{variant}/map_every8"] - exact[::8, ::8]).max() / exact.max()
        assert error < TOLERANCE
        assert error < interpreters

    def test_features_that_are_almost_constant(self, method):
        """Those of a flat display. Colours come last in its memory, for which torch's group norm loses most digits."""
        picture = np.full((480, 640, 3), 128, np.uint8)
        picture[200:240, 300:340] = 200, 60, 60
        double = copy.deepcopy(method.network).double()
        with torch.inference_mode():
            exact = double(method.preprocess(torch.from_numpy(picture)[None]).double())[0].sigmoid().numpy()
        assert_allclose(map_of(method, method.network, picture), exact, rtol=0, atol=TOLERANCE * exact.max())

    def test_photographs(self, method, as_interpreted, goldens):
        """Every fourth also with the interpreter's sums, which take longer than the rest of the network."""
        expected, pictures = goldens
        for i, (stem, picture) in enumerate(pictures.items()):
            check(map_of(method, method.network, picture), expected, stem, 4, ROUNDING["photograph"])
            if i % 4 == 0:
                check(map_of(method, as_interpreted, picture), expected, stem, 4, TOLERANCE)

    def test_maps_are_enlarged_from_their_first_pixel(self, part):
        """Cell i lies at pixel 4 i; beyond the last cell its value is repeated."""
        cells = np.random.default_rng(0).random((5, 7))
        ours = part("network").enlarged(torch.from_numpy(cells)[None, None], 4)[0, 0].numpy()
        rows = np.stack([np.interp(np.arange(20) / 4, np.arange(5), column) for column in cells.T], 1)
        expected = np.stack([np.interp(np.arange(28) / 4, np.arange(7), row) for row in rows])
        assert_allclose(ours, expected, rtol=0, atol=1e-12)

    def test_another_size_is_refused(self, method):
        with pytest.raises(ValueError, match=r"multiples of 32, got \(64, 90\); resize"):
            method.network(torch.zeros(1, 3, 64, 90))


class TestPrediction:
    def test_input_is_rgb_from_0_to_1(self, method):
        ((red, green, blue),) = method.preprocess(torch.tensor([255, 51, 0], dtype=torch.uint8).view(1, 1, 1, 3))
        assert (red.item(), green.item(), blue.item()) == (1, pytest.approx(0.2), 0)

    def test_logits_are_the_log_of_a_sigmoid(self, method):
        images = torch.tensor([[0, 255]], dtype=torch.uint8).view(1, 1, 2, 1).expand(-1, -1, -1, 3)
        logits = method.logits(lambda pictures: 3 * pictures[:, 0], images, [None])
        assert_allclose(logits[0, 0], np.log([0.5, 1 / (1 + np.exp(-3))]), rtol=1e-6)

    def test_is_the_map_scaled_to_sum_to_one(self, method):
        picture = synthetic_rgb(480, 640, 0)
        saliency, density = map_of(method, method.network, picture), method.predict(sample_of(picture))
        assert method.output == "density"
        assert_allclose(density, saliency / saliency.sum(), rtol=1e-4)  # a sum of 32 bits

    @pytest.mark.parametrize(
        ("size", "rows", "columns"),
        [
            ((600, 800), (0, 480), (0, 640)),
            ((333, 444), (0, 480), (0, 640)),
            ((100, 400), (160, 320), (0, 640)),
            ((400, 100), (0, 480), (260, 380)),
            ((1, 2000), (239, 240), (0, 640)),
        ],
    )
    def test_an_image_keeps_its_aspect_ratio_on_black(self, method, size, rows, columns):
        sample = sample_of(np.full((*size, 3), 200, np.uint8))
        expected = np.zeros((480, 640, 3), np.uint8)
        expected[slice(*rows), slice(*columns)] = 200
        assert_array_equal(method.images_of(sample)[0], expected)
        density = method.predict(sample)
        assert density.shape == (rows[1] - rows[0], columns[1] - columns[0])
        assert density.sum() == pytest.approx(1, abs=1e-4)

    def test_is_of_the_place_of_the_image(self, method):
        wide = np.random.default_rng(0).integers(0, 256, (320, 640, 3), dtype=np.uint8)
        padded = np.zeros((480, 640, 3), np.uint8)
        padded[80:400] = wide
        expected = map_of(method, method.network, padded)[80:400]
        assert_allclose(method.predict(sample_of(wide)), expected / expected.sum(), rtol=1e-3)

    def test_images_are_resized_by_bilinear_filter(self, method):
        image = np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8)
        expected = Image.fromarray(image).resize((640, 480), BILINEAR)
        assert_array_equal(method.images_of(sample_of(image))[0], expected)

    def test_in_batches(self, method):
        samples = [sample_of(synthetic_rgb(240, 320, variant)) for variant in (0, 1)]
        for sample, density in zip(samples, method.predict_batch(samples), strict=True):
            assert_allclose(density, method.predict(sample), rtol=0, atol=1e-5 * density.max())


class TestWeights:
    def test_are_those_of_the_published_file(self, method, part, shared):
        made = part("convert").converted((shared / "weights" / "center.tflite").read_bytes())
        assert {name: tensor.dtype for name, tensor in made.items()} == dict.fromkeys(made, torch.float16)
        assert weights.hash_tensors(made) == method.weights_hash()

    def test_say_where_they_come_from(self, method, part):
        folder = Path(sys.modules[type(method).__module__].__file__).parent
        record = json.loads((folder / "center.json").read_text())
        assert record["identity"]["files"] == [part("convert").PUBLISHED]
        assert record["identity"]["weights"] == method.weights_hash()
        assert method.notes() == ["published weights (center.tflite), trained on SALICON, on COCO images."]
        assert "Apache License" in (folder / "LICENSE").read_text()
        assert "Copyright 2022 Google LLC" in (folder / "NOTICE").read_text()

    def test_another_file_is_refused(self, part, tmp_path, monkeypatch):
        path = tmp_path / "center.tflite"
        path.write_bytes(b"another")
        monkeypatch.setattr(sys, "argv", ["convert.py", str(path)])
        with pytest.raises(SystemExit, match="expected the file with SHA-256 8968fe82"):
            part("convert").main()
