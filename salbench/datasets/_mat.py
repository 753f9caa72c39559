"""MATLAB files, and the `gaze` structure that SALICON's authors write."""

from contextlib import contextmanager

import numpy as np
import scipy.io

from salbench.datasets._common import DatasetProblem


def read_mat(path, names=None):
    """Read variables of a MATLAB file (up to version 7) into a dict; all of them if `names` is None.

    Raises:
        DatasetProblem: missing, empty, truncated, corrupt, version 7.3, or without one of `names`.
    """
    try:
        content = scipy.io.loadmat(path, variable_names=names, appendmat=False)
    except FileNotFoundError as error:
        raise DatasetProblem(f"{path}: no such file") from error
    except NotImplementedError as error:
        raise DatasetProblem(f"{path}: MATLAB 7.3 files are not read; in MATLAB, save it again with -v7") from error
    except Exception as error:  # a broken file makes scipy raise almost anything
        raise DatasetProblem(f"{path}: not a readable MATLAB file (empty, truncated or corrupt): {error}") from error
    variables = {key: value for key, value in content.items() if not key.startswith("__")}
    missing = [name for name in names or () if name not in variables]
    if missing:
        raise DatasetProblem(f"{path}: expected the variable {missing[0]!r}, found {', '.join(variables) or 'none'}")
    return variables


@contextmanager
def structure(path, expected):
    """Turn whatever goes wrong while a MATLAB structure is taken apart into `DatasetProblem`."""
    try:
        yield
    except DatasetProblem:
        raise
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise DatasetProblem(f"{path}: expected {expected}: {error}") from error


def gaze_points(gaze, path):
    """Stored fixations of a `gaze` structure: one element per observer, its `fixations` K x 2 with x first.

    Returns:
        (points, observers): (N, 2) array of the stored numbers, which count pixels from 1, and int64 (N,)
        index of each fixation's observer.
    """
    with structure(path, "gaze, a structure array whose field fixations is K x 2"):
        lists = [np.asarray(fixations) for fixations in gaze["fixations"].ravel()]
        wrong = [a for a in lists if a.size and (a.ndim != 2 or a.shape[1] != 2 or a.dtype.kind not in "fiu")]
        if wrong:
            raise ValueError(f"got {wrong[0].dtype} of shape {wrong[0].shape}")
        points = [a for a in lists if a.size]
        observers = np.repeat(np.arange(len(lists)), [len(a) if a.size else 0 for a in lists])
        return (np.concatenate(points) if points else np.empty((0, 2))), observers
