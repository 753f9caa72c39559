"""OSIE: 700 photographs of 800 x 600 pixels; eye tracker, 15 observers, 3 s of free viewing.

Layout below the data root, as in the authors' repository::

    OSIE/data/stimuli/1001.jpg ... 1700.jpg
    OSIE/data/eye/fixations.mat     fixations: 700 x 1 cell of {img, subjects}; subjects: 15 x 1 cell of
                                    {fix_x, fix_y, fix_duration}

fix_x and fix_y are fractions of pixels. The authors round them to MATLAB indices, so pixel i, counted from 0, covers
[i + 0.5, i + 1.5) in their numbers, and 0.5 is subtracted here. Durations are not read. The authors blur with a
Gaussian of 24 pixels. They define no split. Here the 200 photographs whose number n has n % 7 in {0, 1} are the test
split, and the other 500 the training split.

Paper: Xu, Jiang, Wang, Kankanhalli, Zhao: Predicting human gaze beyond pixels, Journal of Vision 14(1):28, 2014.
"""

from functools import partial
from pathlib import Path

import numpy as np

from salbench.datasets._common import (
    NO_DOWNLOAD,
    Dataset,
    DatasetProblem,
    Published,
    check_inside,
    check_published,
    require_files,
)
from salbench.datasets._mat import read_mat, structure
from salbench.files import read_image
from salbench.sample import Sample

SIZE = (600, 800)
SIGMA = 24.0
FIRST = 1001  # the number of the first photograph
EXPECTED = Published(images=700, fixations=98_321, mean=(401.4660, 283.5829))  # mean before the subtraction
HOW = (
    "OSIE: clone the repository NUS-VIP/predicting-human-gaze-beyond-pixels from GitHub into a folder OSIE in the "
    "data root (--data-root or $SALBENCH_DATA); if it is there already, clone it again."
)


def load(split: str, root: Path) -> Dataset:
    """Open OSIE; `split` is "all", "train" (500 photographs) or "test" (200).

    Raises:
        DatasetProblem: files that are missing, unreadable or not the published ones.
    """
    data = root / "OSIE" / "data"
    stems = [str(FIRST + i) for i in range(EXPECTED.images)]
    require_files(data / "stimuli", [f"{stem}.jpg" for stem in stems], HOW)
    gaze = _read_fixations(data / "eye" / "fixations.mat")
    single = sorted(set(stems) ^ set(gaze))
    if single:
        raise DatasetProblem(
            f"{data}: expected an image and its fixations, got only one of them for {single[0]}. {HOW}"
        )
    return Dataset(
        name="osie" if split == "all" else f"osie_{split}",
        samples=[
            Sample(
                id=stem,
                size=SIZE,
                read_image=partial(read_image, data / "stimuli" / f"{stem}.jpg"),
                fixations=gaze[stem][0],
                observers=gaze[stem][1],
                sigma=SIGMA,
            )
            for stem in stems
            if split == "all" or (int(stem) % 7 in (0, 1)) == (split == "test")
        ],
        gaze="eye tracker, 15 observers, 3 s of free viewing",
        licence="MIT",
        citation="Xu et al., Predicting human gaze beyond pixels, Journal of Vision 14(1):28, 2014",
    )


def _read_fixations(path):
    """{stem: (fixations, observers)} of the whole data set, checked against the published counts."""
    if not path.is_file():
        raise DatasetProblem(f"{path}: no such file; expected OSIE's fixations. {HOW} {NO_DOWNLOAD}")
    gaze, stored = {}, [np.empty((0, 2))]
    with structure(path, "fixations, a cell of {img, subjects {fix_x, fix_y}}"):
        for image in read_mat(path, ["fixations"])["fixations"].ravel():
            name = str(image["img"].item().item())
            points, observers = _join_subjects(image["subjects"].item())
            check_inside(points - 0.5, SIZE, f"{path}, image {name}", HOW)
            stored.append(points)
            gaze[name.removesuffix(".jpg")] = points - 0.5, observers
    check_published(path, np.concatenate(stored), EXPECTED, f"This is not the published file. {HOW}")
    return gaze


def _join_subjects(subjects):
    lists = []
    for subject in subjects.ravel():
        x, y = (np.asarray(subject[field].item(), dtype=np.float64).ravel() for field in ("fix_x", "fix_y"))
        lists.append(np.stack([x, y], axis=1))
    return np.concatenate(lists), np.repeat(np.arange(len(lists)), [len(points) for points in lists])
