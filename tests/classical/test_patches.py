"""Models with learned filters: the filters' files, products with patches, pictures of any size."""

import json
import sys
import warnings

import numpy as np
import pytest

from salbench import registry
from salbench.files import hash_file
from salbench.sample import Sample

MODELS = "aim", "dva", "sun"
PATCHES = sys.modules[registry.get("sun").__module__.rpartition(".")[0] + "._patches"]


def predicted(model, image):
    return registry.create(model).predict(Sample("a", image.shape[:2], lambda: image))


@pytest.mark.parametrize("model", MODELS)
class TestFilters:
    def test_are_those_that_the_record_describes(self, model):
        method = registry.create(model)
        record = json.loads(method.file.with_suffix(".json").read_text())
        assert record["hash"] == hash_file(method.file) == method.weights_hash()
        assert record["dataset"]["name"] in method.notes()[0]
        assert record["licence"] == "MIT"
        assert method.file.stat().st_size < 500_000

    def test_have_the_model_s_size(self, model):
        method = registry.create(model)
        filters = method.bank["filters"]
        assert filters.shape == (method.n_filters, 3 * method.side**2)
        assert filters.dtype == np.float32
        assert np.linalg.matrix_rank(filters.astype(np.float64)) == method.n_filters


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("shape", [(32, 32), (33, 161), (7, 5), (1000, 199), (601, 403)])
def test_pictures_of_any_size_have_a_finite_map(model, shape):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for picture in (image, image[..., :1].repeat(3, axis=2)):
            found = predicted(model, picture)
            assert np.isfinite(found).all()
            assert np.ptp(found) > 0 or min(shape) < 32  # these are enlarged until one patch fits


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("color", [0, 255, (200, 40, 41)])
def test_constant_pictures_have_a_nearly_constant_map(model, color):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = predicted(model, np.full((60, 80, 3), color, np.uint8))
    assert np.ptp(found) <= 1e-4 * np.abs(found).max()


def test_responses_are_products_with_patches_in_matlab_order(monkeypatch):
    rng = np.random.default_rng(0)
    image, filters = rng.random((9, 12, 3)), rng.standard_normal((2, 5 * 5 * 3))
    patches = [[image[i : i + 5, j : j + 5].ravel(order="F") for j in range(8)] for i in range(5)]
    expected = np.einsum("ijt,kt->kij", patches, filters)
    for band, rows in ((1, [1] * 5), (2 * 8, [2, 2, 1]), (1000, [5])):
        monkeypatch.setattr(PATCHES, "BAND", band)
        bands = list(PATCHES.responses(image, filters))
        assert [part.shape[1] for part in bands] == rows
        assert np.concatenate(bands, axis=1) == pytest.approx(expected)


def test_kernels_are_filters_in_the_order_of_pictures():
    patch = np.random.default_rng(0).random((4, 4, 3))
    assert (PATCHES.kernels_of(patch.ravel(order="F")[None])[0] == patch).all()


def test_filters_are_kept_with_16_bits(tmp_path):
    class Model(PATCHES.PatchModel):
        file = tmp_path / "filters.npz"

    filters = np.random.default_rng(0).standard_normal((5, 12)) * np.array([[1e-6], [1], [1e6], [3], [7]])
    Model().write(filters, sigma=np.arange(5.0))
    bank = Model().bank
    step = np.abs(filters).max(axis=1, keepdims=True) / (2**15 - 1)
    assert (np.abs(bank["filters"] - filters) < 0.51 * step).all()
    assert bank["sigma"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("shape", "longest", "expected"),
    [
        ((600, 800), 400, (300, 400)),
        ((75, 100), 400, (75, 100)),
        ((1000, 50), 200, (200, 21)),
        ((5, 30), 400, (21, 30)),
    ],
)
def test_pictures_are_shrunk_to_a_longest_side(shape, longest, expected):
    image = np.random.default_rng(0).integers(0, 256, (*shape, 3), np.uint8)
    found = PATCHES.shrunk(image, longest, 21)
    assert found.shape == (*expected, 3)
    assert found.dtype == np.uint8
    assert (found is image) == (shape == expected)


def test_values_are_rounded_and_clipped_as_in_matlab():
    assert PATCHES.as_uint8(np.array([-3.0, 0.5, 1.5, 1.49, 254.5, 300])).tolist() == [0, 1, 2, 1, 255, 255]


def test_a_map_of_patches_is_framed_by_its_minimum():
    framed = PATCHES.framed(np.array([[3.0, 2.0]]), (3, 4))
    assert framed.tolist() == [[2, 2, 2, 2], [2, 3, 2, 2], [2, 2, 2, 2]]
