"""Log densities in HDF5, read back by pysaliency, whose code the benchmark uses."""

import errno
import io
import os
import re
from functools import partial

import h5py
import numpy as np
import pysaliency
import pytest
from PIL import Image
from pysaliency.utils import get_minimal_unique_filenames
from scipy.special import logsumexp

from salbench import registry
from salbench.files import read_image
from salbench.registry import SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.submission import SubmissionProblem, check, tuebingen, write

QUIET = Runtime(workers=2, progress=False)
PATHS = ("Action/001.jpg", "Action/002.jpg", "Indoor/001.jpg")
SIZES = ((24, 32), (30, 20), (24, 32))


class Densities(SaliencyMethod):
    """Seeded densities; `output` says whether as logarithms, `shape` their size if it is not that of the image."""

    name = "densities"

    def __init__(self, output="log_density", shape=None):
        self.output, self.shape = output, shape

    def predict(self, sample):
        density = 0.1 + np.random.default_rng(len(sample.id)).random(self.shape or sample.size)
        return np.log(density) + 5 if self.output == "log_density" else density


@pytest.fixture
def samples(tmp_path):
    made = []
    for name, size in zip(PATHS, SIZES, strict=True):
        path = tmp_path / "Stimuli" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.random.default_rng(len(made)).integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)
        made.append(Sample(name.removesuffix(".jpg"), size, partial(read_image, path)))
    return made


class _FullDisk(io.FileIO):
    """Takes a number of bytes."""

    left = 0

    def write(self, data):
        if len(data) > self.left:
            raise OSError(errno.ENOSPC, "No space left on device")
        self.left -= len(data)
        return super().write(data)


@pytest.mark.parametrize("space", [0, 100, 2000, 4000, 6000])
def test_a_full_disk(samples, tmp_path, monkeypatch, space):
    """HDF5 itself ends the process, with a segmentation fault, some time after a write that failed."""
    monkeypatch.setattr(_FullDisk, "left", space)
    monkeypatch.setattr(tuebingen, "open", lambda path, mode: _FullDisk(path, mode), raising=False)
    with pytest.raises(OSError, match=r"No space left on device: '.*/maps\.h5'"):
        write(Densities(), samples, tmp_path / "maps.h5", "tuebingen", QUIET)
    assert [path.name for path in tmp_path.iterdir()] == ["Stimuli"]


@pytest.mark.parametrize("output", ["log_density", "density"])
def test_pysaliency_reads_it(samples, tmp_path, output):
    path = tmp_path / "maps.h5"
    summary = write(Densities(output), samples, path, "tuebingen", QUIET)
    assert (summary.images, summary.remarks) == (3, ())
    stimuli = pysaliency.FileStimuli([str(tmp_path / "Stimuli" / name) for name in PATHS])
    model = pysaliency.HDF5Model(stimuli, str(path))
    for stimulus, sample in zip(stimuli, samples, strict=True):
        log_density = model.log_density(stimulus)
        assert log_density.shape == sample.size
        assert abs(logsumexp(log_density)) < 1e-5
        density = Densities("density").predict(sample)
        np.testing.assert_allclose(np.exp(log_density.astype(float)), density / density.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    "paths",
    [PATHS, ("a/1.jpg", "a/2.jpg"), ("a/b/1.jpg", "a/2.jpg"), ("a/x/1.jpg", "b/x/1.jpg"), ("a/b/c.png",)],
)
def test_keys_are_those_of_pysaliency(paths, tmp_path):
    full = [tmp_path / path for path in paths]
    samples = [Sample(str(n), (2, 2), partial(read_image, path)) for n, path in enumerate(full)]
    assert tuebingen.keys(samples) == get_minimal_unique_filenames([os.fspath(path) for path in full])


def test_what_is_written_can_be_scored(samples, tmp_path):
    write(Densities(), samples, tmp_path / "maps.h5", "tuebingen", QUIET)
    method = registry.create(f"from_folder:log_density:{tmp_path / 'maps.h5'}")
    for sample in samples:
        expected = Densities().predict(sample)
        np.testing.assert_allclose(method.predict(sample), expected - logsumexp(expected), rtol=1e-6)


def test_another_size_is_resized(samples, tmp_path):
    write(Densities(shape=(12, 16)), samples[:1], tmp_path / "maps.h5", "tuebingen", QUIET)
    assert check(tmp_path / "maps.h5", samples[:1], "tuebingen").faults == []


def test_same_maps_give_the_same_bytes(samples, tmp_path):
    for name in "ab":
        write(Densities(), samples, tmp_path / name, "tuebingen", QUIET)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_maps_are_refused(samples, tmp_path):
    with pytest.raises(SubmissionProblem, match=r"tuebingen holds log densities, .* from_folder:density:DIR"):
        write(Densities("map"), samples, tmp_path / "maps.h5", "tuebingen", QUIET)


def test_zeros_are_told(samples, tmp_path):
    class Holes(Densities):
        def predict(self, sample):
            return np.where(np.arange(sample.size[1]) < 3, 0.0, super().predict(sample))

    (remark,) = write(Holes("density"), samples, tmp_path / "maps.h5", "tuebingen", QUIET).remarks
    assert remark.startswith("3 of 3 densities are zero at some pixels, such as Action/001.jpg")


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_what_is_no_density_is_a_failed_image(samples, tmp_path, value):
    class Broken(Densities):
        def predict(self, sample):
            return np.full(sample.size, value)

    with pytest.raises(SubmissionProblem, match=r"Action/001: ValueError: .*expected a density"):
        write(Broken("density"), samples, tmp_path / "maps.h5", "tuebingen", QUIET)


def uniform(size):
    return np.full(size, -np.log(size[0] * size[1]))


def one_pixel(size, value):
    return np.where(np.arange(size[0] * size[1]).reshape(size) == 5, value, uniform(size))


SIZE = SIZES[0]
DAMAGE = {
    "missing": ({PATHS[0]: None}, r"1 of 3 maps are missing, such as Action/001\.jpg"),
    "no suffix": (
        {PATHS[0]: None, "Action/001": uniform(SIZE)},
        r"Action/001: not the key .*; expected Action/001\.jpg",
    ),
    "another image": ({"Action/009.jpg": uniform(SIZE)}, r"Action/009\.jpg: not the key of an image of this split$"),
    "transposed": ({PATHS[0]: uniform(SIZE).T}, r"expected the shape of the image, \(24, 32\), got \(32, 24\)"),
    "three axes": ({PATHS[0]: uniform(SIZE)[None]}, r"expected the shape of the image, \(24, 32\), got \(1, 24, 32\)"),
    "whole numbers": ({PATHS[0]: np.zeros(SIZE, np.uint8)}, "expected floats, got uint8"),
    "NaN": ({PATHS[0]: one_pixel(SIZE, np.nan)}, "got NaN or infinity in 1 of 768 pixels"),
    "densities": ({PATHS[0]: np.exp(uniform(SIZE))}, "expected log densities, got densities; take the natural log"),
    "base 10": ({PATHS[0]: uniform(SIZE) / np.log(10)}, "these are logarithms to base 10"),
    "base 2": ({PATHS[0]: uniform(SIZE) / np.log(2)}, "these are logarithms to base 2"),
    "not normalised": ({PATHS[0]: uniform(SIZE) + 0.01}, r"got a sum of exp\(0\.01\); subtract scipy"),
    "all zero": ({PATHS[0]: np.full(SIZE, -np.inf)}, r"got a sum of exp\(-inf\)"),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_check_says_what_is_wrong(samples, tmp_path, damage):
    changes, message = DAMAGE[damage]
    content = {name: uniform(size) for name, size in zip(PATHS, SIZES, strict=True)} | changes
    with h5py.File(tmp_path / "maps.h5", "w") as file:
        for name, values in content.items():
            if values is not None:
                file[name] = values
    found = check(tmp_path / "maps.h5", samples, "tuebingen").faults
    assert any(re.search(message, fault) for fault in found), found
    assert len(found) == (2 if damage == "no suffix" else 1)


def test_no_hdf5(samples, tmp_path):
    (tmp_path / "maps.h5").write_bytes(b"PK")
    (fault,) = check(tmp_path / "maps.h5", samples, "tuebingen").faults
    assert fault.startswith("expected an HDF5 file: ")


def test_partial(samples, tmp_path):
    class Fails(Densities):
        def predict(self, sample):
            if sample.id == "Indoor/001":
                raise RuntimeError("no")
            return super().predict(sample)

    assert write(Fails(), samples, tmp_path / "maps.h5", "tuebingen", QUIET, partial=True).images == 2
    (fault,) = check(tmp_path / "maps.h5", samples, "tuebingen").faults
    assert fault == "1 of 3 maps are missing, such as Indoor/001.jpg"
    assert check(tmp_path / "maps.h5", samples, "tuebingen", partial=True).faults == []
