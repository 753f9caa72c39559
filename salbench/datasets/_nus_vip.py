"""OSIE and EyeCrowd, which one group (NUS-VIP) distributes in one layout.

Layout below the folder `data` of the authors' repository::

    stimuli/STEM.jpg     all of one size
    eye/fixations.mat    fixations: N x 1 cell of {img, subjects}; subjects: cell with one {fix_x, fix_y, fix_duration}
                         per observer

fix_x and fix_y are fractions of pixels. The authors' computeFixationMaps.m rounds them to MATLAB indices, so pixel i,
counted from 0, covers [i + 0.5, i + 1.5) in their numbers, and 0.5 is subtracted here. Durations are not read.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np

from salbench.datasets._common import (
    NO_DOWNLOAD,
    DatasetProblem,
    Published,
    check_inside,
    check_published,
    present,
)
from salbench.datasets._mat import read_mat, structure
from salbench.files import read_image
from salbench.sample import Sample


def read_samples(
    data: Path,
    every: Sequence[str],
    stems: Sequence[str],
    size: tuple[int, int],
    sigma: float,
    expected: Published,
    how: str,
) -> list[Sample]:
    """Read a split of a data set. The fixations of the whole set are checked.

    Args:
        data: the folder `data`.
        every: stems of all images of the data set.
        stems: stems of the images of the split, in order.
        size: (height, width) of every image.
        sigma: the authors' blur in pixels.
        expected: the published counts; the mean is that of the stored positions, before the subtraction.
        how: end of every error message: how to get the data set.

    Raises:
        DatasetProblem: files that are missing, unreadable or not the published ones.
    """
    there = set(present(every, data / "stimuli", ".jpg", how))
    gaze = _read_fixations(data / "eye" / "fixations.mat", size, expected, how)
    single = sorted(set(every) ^ set(gaze))
    if single:
        raise DatasetProblem(
            f"{data}: expected an image and its fixations, got only one of them for {single[0]}. {how}"
        )
    return [
        Sample(
            id=stem,
            size=size,
            read_image=partial(read_image, data / "stimuli" / f"{stem}.jpg"),
            fixations=gaze[stem][0],
            observers=gaze[stem][1],
            sigma=sigma,
        )
        for stem in stems
        if stem in there
    ]


def _read_fixations(path, size, expected, how):
    """{stem: (fixations, observers)} of the whole data set, checked against the published counts."""
    if not path.is_file():
        raise DatasetProblem(f"{path}: no such file; expected the fixations. {how} {NO_DOWNLOAD}")
    gaze, stored = {}, [np.empty((0, 2))]
    with structure(path, "fixations, a cell of {img, subjects {fix_x, fix_y}}"):
        for image in read_mat(path, ["fixations"])["fixations"].ravel():
            name = str(image["img"].item().item())
            points, observers = _join_subjects(image["subjects"].item())
            check_inside(points - 0.5, size, f"{path}, image {name}", how)
            stored.append(points)
            gaze[name.removesuffix(".jpg")] = points - 0.5, observers
    check_published(path, np.concatenate(stored), expected, f"This is not the published file. {how}")
    return gaze


def _join_subjects(subjects):
    lists = []
    for subject in subjects.ravel():
        x, y = (np.asarray(subject[field].item(), dtype=np.float64).ravel() for field in ("fix_x", "fix_y"))
        lists.append(np.stack([x, y], axis=1))
    return np.concatenate(lists), np.repeat(np.arange(len(lists)), [len(points) for points in lists])
