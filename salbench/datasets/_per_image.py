"""Reading fixations that are in one file per image."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from salbench.datasets._cache import Arrays, cached
from salbench.datasets._common import DatasetProblem, is_checking, report
from salbench.datasets._fixation_maps import read_fixation_map
from salbench.datasets._mat import read_mat

Fixations = tuple[np.ndarray, np.ndarray]
_SHOWN = 3  # damaged files in a message


def read_per_image(name: str, paths: Sequence[Path], read: Callable[[Path], Fixations]) -> list[Fixations]:
    """Read the fixations of all images, or get them from the user cache if no file has changed.

    Args:
        name: names the data set and its split, for the cache and the progress bar.
        paths: one file per image.
        read: returns (points, observers) of a file: (K, 2) of x, y and int (K,).

    Returns:
        One (points, observers) per file. Points are float.

    Raises:
        DatasetProblem: files that cannot be read. All files are tried first.
    """
    read_all = partial(_read_all, name, paths, read)
    parsed = read_all() if is_checking() else cached(name, paths, read_all, partial(_is_whole, len(paths)))
    ends = np.cumsum(parsed["counts"])[:-1]
    points, observers = parsed["points"].astype(np.float64), parsed["observers"]
    return list(zip(np.split(points, ends), np.split(observers, ends), strict=True))


def _read_all(name: str, paths: Sequence[Path], read: Callable[[Path], Fixations]) -> Arrays:
    """Arrays by name: points (N, 2) and observers (N,) of all files; counts, the number per file."""
    found, problems = [], []
    for path in tqdm(paths, desc=f"{name}: reading fixations (once)", unit="file", disable=None):
        try:
            found.append(read(path))
        except DatasetProblem as problem:
            problems.append(problem)
            found.append((np.empty((0, 2)), np.empty(0, dtype=np.int32)))
    if problems and not is_checking():
        more = f"\n({len(problems) - _SHOWN} more files; see: salbench data check)" if len(problems) > _SHOWN else ""
        raise DatasetProblem("\n".join(map(str, problems[:_SHOWN])) + more)
    for each in problems:
        report(each)
    points, observers = zip(*found, strict=True)
    counts = np.array([len(p) for p in points])
    return {"points": np.concatenate(points), "observers": np.concatenate(observers), "counts": counts}


def _is_whole(files: int, points: np.ndarray, observers: np.ndarray, counts: np.ndarray) -> bool:
    return len(points) == len(observers) == counts.sum() and len(counts) == files


def read_picture(path: Path, size: tuple[int, int]) -> Fixations:
    """Read the fixated pixels of a picture, each once, all as observer 0.

    Raises:
        DatasetProblem: an unreadable picture, another size than `size`, or a picture that is no fixation map.
    """
    points, _ = read_fixation_map(path, size)
    return points, np.zeros(len(points), dtype=np.int32)


def read_fix_locs(path: Path, size: tuple[int, int], variable: str = "fixLocs") -> Fixations:
    """Read the fixated pixels of a MATLAB file with one array of zeros and ones, each once, all as observer 0.

    Raises:
        DatasetProblem: an unreadable file, or anything but zeros and ones of shape `size`.
    """
    return pixels_of(read_mat(path, [variable])[variable], size, f"{path}: {variable}")


def pixels_of(values: np.ndarray, size: tuple[int, int], source: str) -> Fixations:
    """Return the pixels that are one in an array of zeros and ones as float (K, 2) of x, y from 0; all as observer 0.

    Raises:
        DatasetProblem: other values, or another shape than `size`; the message starts with `source`.
    """
    if values.shape != size:
        raise DatasetProblem(f"{source}: expected the (height, width) of its image, {size}, got {values.shape}")
    if values.dtype.kind not in "biuf" or not np.isin(values, (0, 1)).all():
        raise DatasetProblem(f"{source}: expected zeros and ones, got other values")
    rows, columns = np.nonzero(values)
    return np.stack([columns, rows], axis=1).astype(np.float64), np.zeros(len(rows), dtype=np.int32)
