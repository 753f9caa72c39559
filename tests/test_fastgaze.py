"""fastgaze: its layers beside a slow plain computation from the published file, and what is put around them."""

import importlib
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from salbench import registry, weights
from salbench.datasets import load
from salbench.metrics import Pair, measure
from salbench.protocol import Others
from salbench.sample import Sample

MEAN = (103.939, 116.779, 123.68)  # BGR
POOLS, READOUT = (2, 5, 8, 11), (14, 15, 16, 17)  # numbers of layers in the published file


@pytest.fixture(scope="module")
def method():
    return registry.create("fastgaze")


@pytest.fixture(scope="module")
def part(method):
    """A function of a name: that module of the method; without a name the method's own."""
    return lambda name="": importlib.import_module(f"{type(method).__module__}.{name}".rstrip("."))


@pytest.fixture(scope="module")
def shipped(method):
    """{number of the layer in the published file: (weight, bias)} and {number: slope}, from the shipped weights."""
    state = [tensor.numpy() for tensor in method.network.state_dict().values()]
    layers = [layer for layer in range(14) if layer not in POOLS]
    convolutions = dict(zip(layers, zip(state[0:20:2], state[1:20:2], strict=True), strict=True))
    convolutions |= dict(zip(READOUT, zip(state[20::3], state[21::3], strict=True), strict=True))
    return convolutions, {layer: float(slope[0]) for layer, slope in zip(READOUT, state[22::3], strict=True)}


def sample_of(picture):
    return Sample("picture", picture.shape[:2], lambda: picture)


def picture_of(height, width, seed=0):
    """A generated picture, uint8: noise on gradients."""
    rows, columns = np.mgrid[:height, :width]
    smooth = np.stack([rows * 4, columns * 3, rows + columns], -1) % 200
    return (smooth + np.random.RandomState(seed).randint(0, 56, (height, width, 3))).astype(np.uint8)


def slow_layers(x, convolutions, slopes):
    """Layers 0 to 17 by their definitions, float64: x is (channels, rows, columns)."""
    for layer in range(18):
        if layer in POOLS:
            rows, columns = (length // 2 for length in x.shape[1:])
            x = np.array([[[c[2 * i : 2 * i + 2, 2 * j : 2 * j + 2].max() for j in range(columns)]
                           for i in range(rows)] for c in x])  # fmt: skip
            continue
        weight, bias = (values.astype(np.float64) for values in convolutions[layer])
        margin = weight.shape[2] // 2
        padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin)))
        side = weight.shape[2]
        x = np.array([[(weight * padded[:, i : i + side, j : j + side]).sum((1, 2, 3)) + bias
                       for j in range(x.shape[2])] for i in range(x.shape[1])]).transpose(2, 0, 1)  # fmt: skip
        x = np.where(x > 0, x, slopes.get(layer, 0.0) * x)
    return x[0]


def slow_enlarged(cells, factor):
    """Bilinear: the centre of a cell lies at the centre of its pixels; beyond the outer centres values are repeated."""
    places = [(np.arange(factor * length) + 0.5) / factor - 0.5 for length in cells.shape]
    rows = np.stack([np.interp(places[0], np.arange(len(column)), column) for column in cells.T], 1)
    return np.stack([np.interp(places[1], np.arange(len(row)), row) for row in rows])


def slow_smoothed(logits):
    """A Gaussian of 19 x 19 taps and standard deviation 3, summing to one; the border is repeated."""
    offsets = np.mgrid[-9:10, -9:10]
    kernel = np.exp(-(offsets**2).sum(0) / 18)
    padded = np.pad(logits, 9, mode="edge")
    return np.array([[(kernel * padded[i : i + 19, j : j + 19]).sum() for j in range(logits.shape[1])]
                     for i in range(logits.shape[0])]) / kernel.sum()  # fmt: skip


@pytest.fixture(scope="module")
def slow(shipped):
    """{picture's size: logits of the cells}, by the slow computation."""
    logits = {}
    for size in ((48, 80), (64, 32)):
        pixels = picture_of(*size)[..., ::-1].astype(np.float64) - MEAN
        logits[size] = slow_layers(pixels.transpose(2, 0, 1), *shipped)
    return logits


class TestNetwork:
    def test_has_the_published_number_of_weights_and_biases(self, method):
        slopes = len(READOUT)
        assert sum(p.numel() for p in method.network.parameters()) - slopes == 121_060

    def test_is_the_slow_computation(self, method, slow):
        for size, expected in slow.items():
            with torch.inference_mode():
                ours = method.network(method.preprocess(torch.from_numpy(picture_of(*size))[None]))[0]
            assert np.ptp(expected) > 0.05
            assert_allclose(ours, expected, rtol=0, atol=1e-5)

    def test_logits_are_enlarged_and_smoothed(self, method, slow):
        for size, cells in slow.items():
            with torch.inference_mode():
                ours = method.logits(method.network, torch.from_numpy(picture_of(*size))[None], [None])[0]
            assert_allclose(ours, slow_smoothed(slow_enlarged(cells, 16)), rtol=0, atol=1e-5)

    def test_smooths_by_a_gaussian(self, part):
        logits = np.random.default_rng(0).random((21, 30))
        ours = part("network").smoothed(torch.from_numpy(logits)[None])[0]
        assert_allclose(ours, slow_smoothed(logits), rtol=0, atol=1e-6)


class TestPrediction:
    @pytest.mark.parametrize(
        ("size", "expected"),
        [
            ((600, 800), (384, 512)),
            ((800, 600), (512, 384)),
            ((333, 500), (336, 512)),
            ((384, 512), (384, 512)),
            ((1, 1), (512, 512)),
            ((1, 1000), (16, 512)),
        ],
    )
    def test_input_size_by_hand(self, part, size, expected):
        assert part().input_size(*size) == expected

    def test_input_is_bgr_without_vggs_mean(self, method):
        ((blue, green, red),) = method.preprocess(torch.tensor([255, 128, 0], dtype=torch.uint8).view(1, 1, 1, 3))
        assert blue.item() == pytest.approx(-103.939, abs=1e-4)
        assert green.item() == pytest.approx(128 - 116.779, abs=1e-4)
        assert red.item() == pytest.approx(255 - 123.68, abs=1e-4)

    def test_images_are_resized_by_bilinear_filter(self, method):
        image = picture_of(300, 450)
        expected = Image.fromarray(image).resize((512, 336), Image.Resampling.BILINEAR)
        assert_array_equal(method.images_of(sample_of(image))[0], expected)

    def test_is_the_log_density_of_the_logits(self, method):
        sample = sample_of(picture_of(96, 128))
        with torch.inference_mode():
            logits = method.logits(method.network, method.images_of(sample), [None])[0].double().numpy()
        expected = logits - np.log(np.exp(logits).sum())
        assert method.output == "log_density"
        assert_allclose(method.predict(sample), expected, rtol=0, atol=1e-3)

    def test_in_batches(self, method):
        samples = [sample_of(picture_of(96, 128, seed)) for seed in (0, 1)]
        together = method.predict_batch(samples)
        assert np.abs(together[0] - together[1]).max() > 0.01
        for sample, prediction in zip(samples, together, strict=True):
            assert_allclose(prediction, method.predict(sample), rtol=0, atol=1e-3)


class TestWeights:
    def test_entries_by_hand(self, part):
        def block(content):
            return struct.pack("<I", len(content)) + content

        data = bytes(8) + block(b"0w\0") + block(b"\1\2\3\4\5") + block(b"1Act\0") + block(struct.pack("<i", 4))
        assert part("convert").entries(data) == {"0w": b"\1\2\3\4\5", "1Act": b"\4\0\0\0"}

    def test_are_those_of_the_published_file(self, method, part, shared):
        made = part("convert").converted((shared / "weights" / "fastgaze.vxm").read_bytes())
        assert weights.hash_tensors(made) == method.weights_hash()

    def test_layers_are_those_of_the_published_file(self, part, shipped, shared):
        """Kinds of layers, their weights and their activations, as the file numbers them."""
        found = part("convert").entries((shared / "weights" / "fastgaze.vxm").read_bytes())
        convolutions, slopes = shipped

        def number(key):
            return int.from_bytes(found[key], "little")

        assert number("layerCount") == 19
        assert {layer for layer in range(19) if number(f"{layer}Type") == 2} == set(POOLS)
        assert {number(f"{layer}Pool") for layer in POOLS} == {2}
        assert {number(f"{layer}Act") for layer in convolutions if layer not in READOUT} == {1}
        assert {number(f"{layer}Act") for layer in READOUT} == {4}
        assert (number("18KernelSize"), number("18Std")) == (19, 3)
        for layer, (weight, bias) in convolutions.items():
            assert found[f"{layer}w"] == weight.astype("<f4").tobytes()
            assert found[f"{layer}w.shape"] == np.array(weight.shape, "<i4").tobytes()
            assert found[f"{layer}b"] == bias.astype("<f4").tobytes()
        assert {layer: struct.unpack("<f", found[f"{layer}alpha"])[0] for layer in READOUT} == slopes

    def test_say_where_they_come_from(self, method, part):
        folder = Path(sys.modules[type(method).__module__].__file__).parent
        record = json.loads((folder / "fastgaze.json").read_text())
        assert record["identity"]["files"] == [part("convert").PUBLISHED]
        assert record["identity"]["weights"] == method.weights_hash()
        (note,) = method.notes()
        assert note.startswith("published weights (fastgaze.vxm), trained on data that their authors do not state")
        assert "Apache License" in (folder / "LICENSE").read_text()
        assert "Copyright 2021 Twitter, Inc." in (folder / "NOTICE").read_text()

    def test_another_file_is_refused(self, part, tmp_path, monkeypatch):
        path = tmp_path / "fastgaze.vxm"
        path.write_bytes(b"another")
        monkeypatch.setattr(sys, "argv", ["convert.py", str(path)])
        with pytest.raises(SystemExit, match="expected the file with SHA-256 b76cefc2"):
            part("convert").main()


def test_the_script_of_its_preprocessing_scores_it_as_the_library_does(method, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "results")
    script, samples = importlib.import_module("fastgaze_preprocessing"), load("popout").samples[:2]
    (label, candidate), *_ = script.candidates()
    cells = script.cells_of(candidate, script.network_of(candidate), samples[0])
    truth = script.PROTOCOL.truth(samples[0], Others(samples, script.PROTOCOL))
    found = script.scored(candidate, script.prediction_of(candidate, cells), samples[0], truth)
    prepared = script.PROTOCOL.prepare(method.predict(samples[0].blind()), method.output, samples[0].size)
    expected = measure(Pair(prepared.point_map, **vars(truth)), script.PROTOCOL.options)
    assert label == "fastgaze"
    assert found == pytest.approx([expected[name] for name in script.METRICS], rel=1e-4)
