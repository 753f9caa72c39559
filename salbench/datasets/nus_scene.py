"""NUS scenes: 500 outdoor photographs of many sizes from SUN2012; eye tracker, 12 observers.

Layout below the data root, as in the authors' repository::

    Scene/data/stimuli/001.jpg ... 500.jpg
    Scene/data/tidy/fixations.mat       fixations: 500 x 12 cell (image, observer) of K x 4 arrays with
                                        columns y, x, latency s, duration s
    Scene/data/tidy/imgInfo.mat         imgInfo.size: 500 x 2, height and width

Positions are fractions of pixels counted from 0, so nothing is subtracted. No document says so; the numbers do:

- On the 256 x 256 images every x and y is a whole multiple of 0.1 pixel of a screen 1080 pixels high (256 / 10 800),
  up to rounding, without an added 1 or 0.5.
- x comes as close to 0 as to the width: 0.07 pixel.
- The smallest x is 0.07 and the smallest y 0.62; subtracting 1 would move them off the image.

All 43 894 fixations are on their image.

The paper says 15 observers; the file holds 12, and 52 of its cells are empty. The authors resize all images to 256 x
256 pixels and blur with a Gaussian of 8 pixels (their config.m). Here the images keep their sizes, and sigma is 3 % of
the longer side: 7.68 pixels at 256 x 256, and also OSIE's 24 of 800 and SALICON's 19 of 640 pixels.

The authors publish no split. Here the 100 images whose number n has n % 5 = 4 are the test split, and the other 400 the
training split. Of the five remainders, 4 gives a test split with the same share of 256 x 256 images as the whole set
(62 of 100; 311 of 500). No image is there twice, but some motorway views look much alike, and these are in both
splits.

Paper: Liang, Jiang, Liang, Zhao: Saliency prediction with scene structural guidance, IEEE SMC 2017.
"""

from functools import partial
from pathlib import Path

import numpy as np

from salbench.datasets._common import (
    Dataset,
    DatasetProblem,
    Published,
    check_inside,
    check_published,
    default_sigma,
    part_of,
    present,
    require_files,
)
from salbench.datasets._mat import read_mat, structure
from salbench.datasets._source import Source, locate
from salbench.files import read_image
from salbench.sample import Sample

EXPECTED = Published(images=500, fixations=43_894, mean=(273.4820, 230.0826))
OBSERVERS = 12
SOURCE = Source(
    folders=("Scene", "Scene-master"),
    marks=("data/stimuli/[0-5]??.jpg", "data/tidy"),
    how="NUS scenes: clone the authors' repository Yanakz/Scene from GitHub into a folder Scene in the data root "
    "(--data-root or $SALBENCH_DATA); if it is there already, clone it again. Project page: "
    "www-users.cs.umn.edu/~qzhao/scene.html.",
    licence="MIT",
    size="many; 311 of 500 are 256 x 256",
    archive="https://github.com/Yanakz/Scene/archive/HEAD.zip",
    sums={
        "data/tidy/fixations.mat": "aa87946cdbdb72187b893f1a0b5750cabfe58b462c898924875c24ecba463153",
        "data/tidy/imgInfo.mat": "d4640281f1baeae3e78df6d93b539ecb6895e011720e9c5ef09bab62fafa0146",
    },
)


def load(split: str, root: Path) -> Dataset:
    """Open the NUS scenes; `split` is "all", "train" (400 images) or "test" (100).

    Raises:
        DatasetProblem: files that are missing, unreadable or not the published ones.
    """
    data = locate(root, SOURCE) / "data"
    every = [f"{i + 1:03d}" for i in range(EXPECTED.images)]
    stems = [stem for stem in every if split == "all" or (int(stem) % 5 == 4) == (split == "test")]
    there = set(present(every, data / "stimuli", ".jpg", SOURCE.how))
    require_files(data / "tidy", ["fixations.mat", "imgInfo.mat"], SOURCE.how)
    sizes = _read_sizes(data / "tidy" / "imgInfo.mat")
    gaze = dict(
        zip(every, zip(sizes, _read_fixations(data / "tidy" / "fixations.mat", sizes), strict=True), strict=True)
    )
    samples = [
        Sample(
            id=stem,
            size=size,
            read_image=partial(read_image, data / "stimuli" / f"{stem}.jpg"),
            fixations=fixations,
            observers=observers,
            sigma=default_sigma(size),
        )
        for stem in stems
        if stem in there
        for size, (fixations, observers) in [gaze[stem]]
    ]
    return Dataset(
        name="nus_scene" if split == "all" else f"nus_scene_{split}",
        samples=samples,
        whole=part_of(samples, len(stems)),
        gaze="eye tracker, 12 observers, free viewing",
        licence=SOURCE.licence,
        redistribute=True,
        citation="Liang et al., Saliency prediction with scene structural guidance, IEEE SMC 2017",
    )


def _read_sizes(path):
    """[(height, width)] of the images."""
    expected = (EXPECTED.images, 2)
    with structure(path, f"imgInfo.size, an array of shape {expected}"):
        sizes = read_mat(path, ["imgInfo"])["imgInfo"]["size"].item()
        if sizes.shape != expected:
            raise DatasetProblem(f"{path}: expected imgInfo.size of shape {expected}, got {sizes.shape}. {SOURCE.how}")
        return [(int(height), int(width)) for height, width in sizes]


def _read_fixations(path, sizes):
    """[(fixations, observers)] of the images, checked against the published counts."""
    cells = read_mat(path, ["fixations"])["fixations"]
    expected = (EXPECTED.images, OBSERVERS)
    if cells.shape != expected:
        raise DatasetProblem(f"{path}: expected fixations, a cell of shape {expected}, got {cells.shape}. {SOURCE.how}")
    gaze = []
    with structure(path, "cells of K x 4 numbers"):
        for i, (row, size) in enumerate(zip(cells, sizes, strict=True)):
            counts = [len(cell) for cell in row]
            points = np.concatenate([cell.reshape(-1, 4)[:, [1, 0]] for cell in row])
            check_inside(points, size, f"{path}, image {i + 1:03d}", SOURCE.how)
            gaze.append((points, np.repeat(np.arange(OBSERVERS), counts)))
    stored = np.concatenate([points for points, _ in gaze])
    check_published(path, stored, EXPECTED, f"This is not the published file. {SOURCE.how}")
    return gaze
