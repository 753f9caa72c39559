"""What every loader shares: the `Dataset` it returns, the error it raises, and the checks of files on disk."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from salbench.checks import check_density
from salbench.files import hash_bytes, read_map
from salbench.sample import Sample

NO_DOWNLOAD = "The embedded set needs no download: --dataset popout"
SIGMA_SHARE = 0.03  # of the longer side: OSIE's authors blur 800 pixels by 24, SALICON's 640 by 19


class DatasetProblem(ValueError):
    """A data set that cannot be opened; the message says what was expected where and how to get it."""


@dataclass(frozen=True)
class Dataset:
    """An ordered split of samples with unique ids.

    Attributes:
        name: as typed on the command line, and the name of its results folder.
        samples: the samples, in the data set's own order.
        gaze: how the fixations were recorded, in a few words; "simulated" where nobody looked.
        licence: of the images and fixations.
        citation: the paper to cite.
        split: all samples of the split, where `samples` are only the first of them: what the rest of the split says
            (negatives, baseline, a fitted centre bias) does not depend on how many images are scored.
        train: name of the split that methods may be fitted on when this one is scored, or None.

    Raises:
        DatasetProblem: no samples, or two with the same id.
    """

    name: str
    samples: Sequence[Sample]
    gaze: str
    licence: str
    citation: str
    train: str | None = None
    split: Sequence[Sample] | None = None

    def __post_init__(self):
        if not self.samples:
            raise DatasetProblem(f"{self.name}: expected at least one image, found none")
        seen = set()
        twice = sorted({s.id for s in self.samples if s.id in seen or seen.add(s.id)})
        if twice:
            raise DatasetProblem(f"{self.name}: expected unique ids, got {len(twice)} twice, such as {twice[0]!r}")

    def first(self, n):
        """The first `n` samples, under a name of their own, so that their results never mix with the whole."""
        if n >= len(self.samples):
            return self
        return replace(self, name=f"{self.name}_first{n}", samples=self.samples[:n], split=self.samples)

    @property
    def has_fixations(self):
        return all(s.fixations is not None for s in self.samples)

    @cached_property
    def fingerprint(self):
        """16 hex digits that change with the ids, sizes, captions, fixations, observers or sigmas of the data set.

        So does whether densities are distributed with it. Pixel data is left out on purpose: reading every image
        of a large split to start a run costs minutes.
        """
        parts = []
        for s in self.split or self.samples:
            parts += [s.id, repr(s.size), repr(s.sigma), repr(s.read_density is None)]
            if s.caption is not None:
                parts.append(s.caption)
            for array in (s.fixations, s.observers):
                parts.append(b"" if array is None else np.ascontiguousarray(array, dtype="<f8").tobytes())
        return hash_bytes(*parts)


@dataclass(frozen=True)
class Published:
    """What the published files of one split hold, to tell them from a half-unpacked copy or another release.

    Attributes:
        images: number of images.
        fixations: number of fixations, or None where they are not public.
        mean: (x, y) mean of the fixations, to four decimals, in the coordinates that the loader says.
    """

    images: int
    fixations: int | None = None
    mean: tuple[float, float] | None = None


def folder_name(argument):
    """(name, place) of DIR or NAME=DIR; the name of a folder is that of its last part."""
    name, given, rest = argument.partition("=")
    if given and not Path(argument).expanduser().exists():
        return name, Path(rest).expanduser()
    place = Path(argument).expanduser()
    return place.resolve().name, place


def default_sigma(size):
    """Standard deviation in pixels of the density's Gaussian where the authors of a data set gave none."""
    return SIGMA_SHARE * max(size)


def require_files(folder, names, how):
    """Raise `DatasetProblem` unless `folder` holds a file of every name; `how` says how to get them."""
    present = set(os.listdir(folder)) if folder.is_dir() else set()
    missing = [name for name in names if name not in present]
    if missing:
        state = f"{len(missing)} of them are missing, such as {', '.join(missing[:3])}" if present else "found none"
        raise DatasetProblem(f"{folder}: expected {len(names)} files, {state}. {how} {NO_DOWNLOAD}")


def check_published(source, fixations, expected, cause):
    """Raise `DatasetProblem` unless `fixations` (N, 2) have the published number and mean."""
    mean = fixations.mean(0, dtype=np.float64) if len(fixations) else np.full(2, np.nan)
    if len(fixations) == expected.fixations and np.abs(mean - expected.mean).max() <= 1e-4:
        return
    raise DatasetProblem(
        f"{source}: expected the published {expected.fixations} fixations with mean x {expected.mean[0]:.4f} and "
        f"y {expected.mean[1]:.4f}, got {len(fixations)} with {mean[0]:.4f} and {mean[1]:.4f}. {cause} {NO_DOWNLOAD}"
    )


def check_inside(fixations, size, source, hint, lines=None):
    """Raise `DatasetProblem` unless all `fixations` (N, 2) of x, y from 0 lie on an image of `size`.

    Args:
        source: the file, and the image where a file holds many; the message starts with it.
        hint: what to do about it; the message ends with it.
        lines: (N,) line of each fixation in the file, where it has lines.
    """
    height, width = size
    outside = np.flatnonzero(~((fixations >= 0) & (fixations < (width, height))).all(1))  # NaN is outside
    if len(outside):
        first = outside[0]
        place = f"number {first + 1}" if lines is None else f"line {lines[first]}"
        raise DatasetProblem(
            f"{source}: {len(outside)} of {len(fixations)} fixations are off the image of {width} x {height} pixels; "
            f"the first, {place}, is at x={fixations[first, 0]:g}, y={fixations[first, 1]:g}, counted from 0. {hint}"
        )


def read_density(path, size):
    """Read a distributed density map as it is. Raises `ValueError` unless it has `size` and is a density."""
    density = read_map(path)
    if density.shape != size:
        raise DatasetProblem(f"{path}: expected the (height, width) of its image, {size}, got {density.shape}")
    return check_density(density, size, str(path))
