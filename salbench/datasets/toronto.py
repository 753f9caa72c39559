"""Toronto: 120 photographs of 681 x 511 pixels; eye tracker, 20 observers, 4 s of free viewing.

Layout below the data root: unpack the authors' archive eyetrackingdata.zip in a folder Toronto::

    Toronto/eyetrackingdata/fixdens/Original Image Set/1.jpg ... 120.jpg
    Toronto/eyetrackingdata/fixdens/origfixdata.mat     white: 1 x 120 cell of arrays of the image's size, 1 where
                                                        somebody looked, otherwise 0

Several fixations on one pixel count once, and the observers are unknown. Sigma is 3 % of the longer side.

The loader has been tested only on generated files in this layout.

Paper: Bruce, Tsotsos: Attention based on information maximization, Journal of Vision 7(9):950, 2007.
"""

from functools import partial
from pathlib import Path

import numpy as np

from salbench.datasets._common import (
    Dataset,
    DatasetProblem,
    Published,
    check_published,
    default_sigma,
    part_of,
    present,
    require_files,
)
from salbench.datasets._mat import read_mat
from salbench.datasets._per_image import Fixations, pixels_of
from salbench.datasets._source import Source, locate
from salbench.files import read_image
from salbench.sample import Sample

SIZE = (511, 681)
EXPECTED = Published(images=120, fixations=11_199, mean=(345.7467, 244.1139))  # counted from 0
SOURCE = Source(
    folders=("Toronto/eyetrackingdata", "Toronto", "eyetrackingdata"),
    marks=("fixdens/origfixdata.mat",),
    how="Toronto: unpack eyetrackingdata.zip from www-sop.inria.fr/members/Neil.Bruce (MD5 "
    "38d5c02217060d4d2d1a4649cc632af1) into a folder Toronto in the data root (--data-root or $SALBENCH_DATA).",
    licence="none stated",
    size="681 x 511",
)


def load(split: str, root: Path) -> Dataset:
    """Open Toronto. The only split is "all".

    Raises:
        DatasetProblem: files that are missing, unreadable or not the published ones.
    """
    folder = locate(root, SOURCE) / "fixdens"
    images = folder / "Original Image Set"
    every = [str(i + 1) for i in range(EXPECTED.images)]
    there = set(present(every, images, ".jpg", SOURCE.how))
    gaze = dict(zip(every, _read(folder / "origfixdata.mat"), strict=True))
    samples = [
        Sample(stem, SIZE, partial(read_image, images / f"{stem}.jpg"), fixations=points, sigma=default_sigma(SIZE))
        for stem, (points, _) in gaze.items()
        if stem in there
    ]
    return Dataset(
        name="toronto",
        samples=samples,
        whole=part_of(samples, EXPECTED.images),
        gaze="eye tracker, 20 observers, 4 s of free viewing; each fixated pixel once",
        licence=SOURCE.licence,
        citation="Bruce, Tsotsos, Attention based on information maximization, Journal of Vision 7(9):950, 2007",
    )


def _read(path: Path) -> list[Fixations]:
    """The fixations of all images, checked against the published counts."""
    require_files(path.parent, [path.name], SOURCE.how)
    cells = read_mat(path, ["white"])["white"].ravel()
    if len(cells) != EXPECTED.images or cells.dtype != object:
        raise DatasetProblem(
            f"{path}: expected white, a cell of {EXPECTED.images} arrays, got {len(cells)}. {SOURCE.how}"
        )
    gaze = [pixels_of(cell, SIZE, f"{path}, image {i + 1}") for i, cell in enumerate(cells)]
    points = np.concatenate([points for points, _ in gaze])
    check_published(path, points, EXPECTED, f"This is not the published file. {SOURCE.how}")
    return gaze
