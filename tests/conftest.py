"""Small seeded data sets, and where the real data lies."""

import gc
import logging
import os
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_limits

from salbench import registry
from salbench.datasets import Dataset
from salbench.sample import Sample

SIGMA = 2.5

gc.disable()  # imports make millions of objects that stay: looking for garbage among them takes a tenth of all tests


def pytest_collection_finish():
    """Garbage is collected from here on, among the objects that tests make."""
    gc.freeze()
    gc.enable()


def pytest_collection_modifyitems(items):
    """Mark the tests that need the real data. Files with slow tests come first: no process waits for one at the end."""
    for item in items:
        if {"shared", "real_root"} & set(item.fixturenames):
            item.add_marker("data")
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _no_waiting_for_the_disk():
    """Checkpoints of large networks are gigabytes, and no test pulls the plug."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda file: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_thread():
    """One thread per process: with two that wait for each other, tiny networks and matrices take five times as long."""
    import torch

    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1, user_api="blas"):
        patch.setenv("OMP_NUM_THREADS", "1")  # for the processes that tests start
        yield


MIXED_SIZES = ((24, 32), (30, 20), (24, 32), (17, 41), (48, 64))


def _noise(seed, size):
    return np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)


def _fixations(rng, size, number):
    """`number` fixations at fractions of pixels, of which two share a pixel with another."""
    points = rng.uniform((0, 0), size[::-1], (number - 2, 2))
    return np.concatenate([points, np.floor(points[:2])])


@pytest.fixture(scope="session")
def make_samples():
    """A function of image sizes: one seeded sample for each, with 7 to 12 fixations of three observers."""

    def make(sizes, seed=0):
        rng = np.random.default_rng(seed)
        numbers = 7 + np.arange(len(sizes)) * 5 % 6
        return [
            Sample(
                id=f"image_{i}",
                size=size,
                read_image=partial(_noise, i, size),
                fixations=_fixations(rng, size, number),
                observers=np.arange(number) % 3,
                sigma=SIGMA,
            )
            for i, (size, number) in enumerate(zip(sizes, numbers, strict=True))
        ]

    return make


@pytest.fixture(scope="session")
def make_dataset():
    """A function of samples: the data set of them."""

    def make(samples, name="tiny"):
        return Dataset(name, tuple(samples), gaze="simulated", licence="none", citation="none")

    return make


@pytest.fixture
def tiny(make_samples, make_dataset):
    """Six images of 24 x 32 pixels."""
    return make_dataset(make_samples([(24, 32)] * 6))


@pytest.fixture
def mixed(make_samples, make_dataset):
    """Five images of four sizes."""
    return make_dataset(make_samples(MIXED_SIZES, seed=1), name="mixed")


@pytest.fixture
def logged():
    """What is logged during the test, at level INFO or above."""
    with _messages(logging.INFO) as messages:
        yield messages


@pytest.fixture
def warned():
    """What is logged during the test, at level WARNING or above."""
    with _messages(logging.WARNING) as messages:
        yield messages


@contextmanager
def _messages(level):
    messages, root, handler = [], logging.getLogger(), logging.Handler(level)
    handler.emit = lambda record: messages.append(record.getMessage())
    before = root.level
    root.addHandler(handler)
    root.setLevel(level)
    yield messages
    root.setLevel(before)
    root.removeHandler(handler)


@pytest.fixture
def add_method(tmp_path, monkeypatch):
    """A function of a name and the body of a class: a method by this name, forgotten after the test."""
    folder = tmp_path / "own_methods"
    folder.mkdir()
    monkeypatch.setattr(registry, "_FOLDERS", [*registry._FOLDERS, folder])

    def add(name, body):
        lines = ["import numpy as np", "from salbench.registry import MethodUnavailable, SaliencyMethod, register"]
        lines += ["@register", "class Own(SaliencyMethod):", *(f"    {line}" for line in body.strip().splitlines())]
        (folder / f"{name}.py").write_text("\n".join(lines) + "\n")
        return folder

    return add


@pytest.fixture
def run_made(monkeypatch):
    """A function of an evaluation and a method that has no file: the result of scoring it."""

    def run(evaluation, method):
        with monkeypatch.context() as patch:
            patch.setattr(registry, "create", lambda *_: method)
            return evaluation.run(method.name)

    return run


@pytest.fixture(scope="session")
def shared():
    """The folder with real data beside the repository, or skip."""
    folder = Path(__file__).resolve().parents[1] / ".." / "shared"
    if not folder.is_dir():
        pytest.skip(f"needs real data, not found in {folder}")
    return folder.resolve()
