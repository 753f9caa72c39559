"""The fixations of one image as a file holds them, and what remains of them after checks."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from salbench.checks import fixated_pixels
from salbench.datasets._common import DatasetProblem, check_inside, is_inside
from salbench.datasets._mat import gaze_points, read_mat
from salbench.files import FileProblem, read_npy

HINT = (
    "Give x first, in pixels of the image, counted from 0 in .csv and .npy files and from 1 in .mat files. If the eye "
    "was off the image, leave such fixations out with --off-image drop"
)


@dataclass(frozen=True)
class Gaze:
    """Fixations on one image, in the order of the file.

    Attributes:
        points: float (N, 2) of x, y, counted from 0; NaN in a lost sample.
        observers: (N,) index of each fixation's observer, or None.
        durations: float (N,) in milliseconds, or None.
        order: float (N,), the place of each fixation in its scanpath, or None.
        lines: (N,) line in a text file, or None.
        n_lost, n_off_image: number of fixations that `cleaned` left out.
    """

    points: np.ndarray
    observers: np.ndarray | None = None
    durations: np.ndarray | None = None
    order: np.ndarray | None = None
    lines: np.ndarray | None = None
    n_lost: int = 0
    n_off_image: int = 0

    def only(self, chosen: np.ndarray) -> "Gaze":
        """Return some fixations, chosen by a bool (N,) mask or by their row numbers."""
        names = ("points", "observers", "durations", "order", "lines")
        return replace(self, **{n: getattr(self, n)[chosen] for n in names if getattr(self, n) is not None})


def cleaned(gaze: Gaze, size: tuple[int, int], source: Path | str, off_image: str) -> Gaze:
    """Leave out lost samples, and fixations off the image if `off_image` is "drop".

    Args:
        gaze: as read from the file.
        size: (height, width) of the image.
        source: start of an error message.
        off_image: "drop", or "error" to raise an error.

    Raises:
        DatasetProblem: fixations off the image, or observers that are not whole numbers.
    """
    lost = np.isnan(gaze.points).any(1)
    seen = gaze.only(~lost)
    inside = is_inside(seen.points, size)
    if off_image == "error":
        check_inside(seen.points, size, source, HINT, seen.lines)
    kept = seen.only(inside)
    observers = None if kept.observers is None else _whole(kept.observers, source)
    return replace(kept, observers=observers, n_lost=int(lost.sum()), n_off_image=int((~inside).sum()))


def _whole(observers, source):
    wrong = observers[~(np.abs(observers) < 2**53) | (observers != np.floor(observers))]
    if len(wrong):
        raise DatasetProblem(f"{source}: expected whole numbers as observers, got {wrong[0]:g}; number the observers")
    return observers.astype(np.int64)


def read_npy_gaze(path: Path, size: tuple[int, int], base: int | None) -> Gaze:
    """Read an array N x 2 or N x 3 (x, y, observer), or a map of counts; `base` is 0 if it is None."""
    try:
        array = read_npy(path)
    except FileProblem as error:
        raise DatasetProblem(str(error)) from error
    return _gaze_of_array(array, size, path, base or 0)


def read_mat_gaze(path: Path, size: tuple[int, int], base: int | None) -> Gaze:
    """Read SALICON's `gaze`, or one variable that holds what an .npy file can; `base` is 1 if it is None."""
    base = 1 if base is None else base
    variables = read_mat(path)
    if "gaze" in variables:
        points, observers = gaze_points(variables["gaze"], path)
        return Gaze(points.astype(np.float64) - base, observers)
    numeric = [v for v in variables.values() if isinstance(v, np.ndarray) and v.dtype.kind in "fiub"]
    if len(numeric) != 1:
        raise DatasetProblem(
            f"{path}: expected the variable gaze or one numeric variable, found {len(numeric)} numeric ones among "
            f"{', '.join(variables) or 'no variables'}; save only the fixations"
        )
    return _gaze_of_array(numeric[0], size, path, base)


def _gaze_of_array(array, size, path, base):
    if array.shape == size:
        return Gaze(_points_of_counts(array, path))
    if array.size == 0:
        return Gaze(np.empty((0, 2)))
    if array.ndim != 2 or array.shape[1] not in (2, 3):
        raise DatasetProblem(
            f"{path}: expected N x 2 (x, y), N x 3 (x, y, observer) or a map of counts of {size[0]} x {size[1]} "
            f"(height, width), got shape {array.shape}"
        )
    numbers = array.astype(np.float64)
    return Gaze(numbers[:, :2] - base, numbers[:, 2] if numbers.shape[1] == 3 else None)


def _points_of_counts(counts, path):
    try:
        index, count = fixated_pixels(counts, counts.shape, str(path))
    except ValueError as error:
        raise DatasetProblem(str(error)) from error
    rows, columns = np.divmod(np.repeat(index, count), counts.shape[1])
    return np.stack([columns, rows], axis=1).astype(np.float64)
