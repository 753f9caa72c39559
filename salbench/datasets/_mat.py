"""Reading MATLAB files, and the `gaze` structure in SALICON's."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from salbench.datasets._common import DatasetProblem
from salbench.mat_files import read_variables


def read_mat(path: Path, names: Sequence[str] | None = None) -> dict[str, Any]:
    """Read variables of a MATLAB file (up to version 7): those in `names`, or all if it is None.

    Raises:
        DatasetProblem: a file that is missing, empty, truncated, corrupt, of version 7.3, or without one of `names`.
    """
    try:
        variables = read_variables(path.read_bytes(), names)
    except FileNotFoundError as error:
        raise DatasetProblem(f"{path}: no such file") from error
    except NotImplementedError as error:
        raise DatasetProblem(f"{path}: cannot read MATLAB 7.3 files; save it again in MATLAB with -v7") from error
    except Exception as error:  # a damaged file makes scipy raise almost anything
        raise DatasetProblem(
            f"{path}: not a readable MATLAB file (empty, truncated or corrupt), replace it: {error}"
        ) from error
    missing = [name for name in names or () if name not in variables]
    if missing:
        raise DatasetProblem(f"{path}: expected the variable {missing[0]!r}, found {', '.join(variables) or 'none'}")
    return variables


@contextmanager
def structure(path: Path, expected: str) -> Iterator[None]:
    """Turn errors while the content of a file is taken apart into `DatasetProblem`; `expected` describes it."""
    try:
        yield
    except DatasetProblem:
        raise
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        raise DatasetProblem(f"{path}: expected {expected}: {error}") from error


def gaze_points(gaze: np.ndarray, path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Read the fixations of a `gaze` structure: one element per observer, its field `fixations` K x 2 of x, y.

    Returns:
        (points, observers): (N, 2) array of the stored x, y, which count pixels from 1, and int64 (N,) index of each
        fixation's observer.
    """
    with structure(path, "gaze, a structure array whose field fixations is K x 2"):
        lists = [np.asarray(fixations) for fixations in gaze["fixations"].ravel()]
        wrong = [a for a in lists if a.size and (a.ndim != 2 or a.shape[1] != 2 or a.dtype.kind not in "fiu")]
        if wrong:
            raise ValueError(f"got {wrong[0].dtype} of shape {wrong[0].shape}")
        points = [a for a in lists if a.size]
        observers = np.repeat(np.arange(len(lists)), [len(a) if a.size else 0 for a in lists])
        return (np.concatenate(points) if points else np.empty((0, 2))), observers
