"""Tiny copies of the data sets' layouts on disk, and where the real ones are."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from builders import (
    SALICON_LISTS,
    SCENE_SIZES,
    published,
    scene_cells,
    write_gaze,
    write_image,
    write_nus_vip_fixations,
    write_scene_fixations,
)

from salbench.datasets import eyecrowd, load, nus_scene, osie, salicon
from salbench.datasets._common import Published


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture(scope="session")
def real_root():
    """A function: the data root that holds a real folder such as "OSIE", or skip saying where was looked."""

    def find(folder):
        beside = Path(__file__).resolve().parents[2] / ".." / "shared" / "data"
        places = [Path(place) for place in (os.environ.get("SALBENCH_DATA"), beside) if place]
        for place in places:
            if (place / folder).is_dir():
                return place
        pytest.skip(f"needs the real {folder}/, not in {' nor '.join(str(place) for place in places)}")

    return find


@pytest.fixture(scope="session")
def real(real_root):
    """A function of a data set's name and its real folder, such as "OSIE": the data set, read once."""
    return cache(lambda name, folder: load(name, real_root(folder)))


@pytest.fixture
def osie_tree(tmp_path, monkeypatch):
    """A data root with 14 photographs of OSIE, of 2 observers; 1001..1014, of which 4 are for testing."""
    rng = np.random.default_rng(1)
    images = {str(1001 + i): [np.round(rng.uniform((1, 1), (799, 599), (k, 2)), 1) for k in (3, 2)] for i in range(14)}
    for stem in images:
        write_image(tmp_path / "OSIE" / "data" / "stimuli" / f"{stem}.jpg", (600, 800))
    write_nus_vip_fixations(tmp_path / "OSIE" / "data" / "eye" / "fixations.mat", images)
    stored = np.concatenate([points for lists in images.values() for points in lists])
    monkeypatch.setattr(osie, "EXPECTED", published(14, stored))
    return tmp_path


@pytest.fixture
def eyecrowd_tree(tmp_path, monkeypatch):
    """A data root with 10 photographs of EyeCrowd, of 3 observers, the second without fixations; 004, 009: test."""
    rng = np.random.default_rng(4)
    lists = [[np.round(rng.uniform((1, 1), (1024, 768), (k, 2)), 1) for k in (3, 0, 2)] for _ in range(10)]
    images = {f"{i + 1:03d}": points for i, points in enumerate(lists)}
    for stem in images:
        write_image(tmp_path / "EyeCrowd" / "data" / "stimuli" / f"{stem}.jpg", (768, 1024))
    write_nus_vip_fixations(tmp_path / "EyeCrowd" / "data" / "eye" / "fixations.mat", images)
    monkeypatch.setattr(eyecrowd, "EXPECTED", published(10, np.concatenate([p for each in lists for p in each])))
    return tmp_path


@pytest.fixture
def scene_tree(tmp_path, monkeypatch):
    """A data root with four NUS scenes of different sizes, of which 004 is for testing."""
    data = tmp_path / "Scene" / "data"
    for i, size in enumerate(SCENE_SIZES):
        write_image(data / "stimuli" / f"{i + 1:03d}.jpg", size)
    (data / "tidy").mkdir()
    cells = scene_cells()
    write_scene_fixations(data / "tidy" / "fixations.mat", cells)
    scipy.io.savemat(data / "tidy" / "imgInfo.mat", {"imgInfo": {"size": np.array(SCENE_SIZES, dtype=np.uint16)}})
    points = np.concatenate([c[:, [1, 0]] for row in cells for c in row if c.size])
    monkeypatch.setattr(nus_scene, "EXPECTED", published(4, points))
    return tmp_path


@pytest.fixture
def salicon_tree(tmp_path, monkeypatch):
    """A data root with two SALICON images per split."""
    base = tmp_path / "SALICON"
    for split in ("train", "val", "test"):
        for number, lists in zip((9, 36), SALICON_LISTS, strict=True):
            stem = f"COCO_{split}2014_{number:012d}"
            write_image(base / "images" / split / f"{stem}.jpg", (480, 640))
            if split != "test":
                write_gaze(base / "fixations" / split / f"{stem}.mat", lists)
                write_image(base / "maps" / split / f"{stem}.png", (480, 640), value=number)
    points = np.concatenate([points for lists in SALICON_LISTS for points in lists if points.size]) - 1.0
    known = published(2, points)
    monkeypatch.setattr(salicon, "EXPECTED", {"train": known, "val": known, "test": Published(2)})
    return tmp_path
