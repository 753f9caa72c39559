"""Shared by all loaders: the `Dataset` they return, the error they raise, and checks of the files on disk."""

import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path, PurePath

import numpy as np

from salbench.checks import check_density
from salbench.files import hash_bytes, read_map
from salbench.sample import Sample

NO_DOWNLOAD = "To start without a download: --dataset popout"
_USE = "To use only these, add --partial."
SIGMA_SHARE = 0.03  # of the longer side: OSIE's authors use 24 pixels for 800, SALICON's 19 for 640


class DatasetProblem(ValueError):
    """A data set cannot be opened. The message says what was expected where, and how to get it."""


@dataclass(frozen=True)
class Dataset:
    """An ordered split of samples. An id is unique among the samples of one data set.

    Attributes:
        name: as typed on the command line; also the name of its results folder.
        samples: in the order of the data set.
        gaze: how the fixations were recorded, in a few words; "simulated" if nobody looked at the images.
        licence: licence of the images and fixations.
        citation: the paper to cite.
        train: name of the data set that methods may be fitted on when this one is scored, or None.
        split: all samples of the split if `samples` are only the first of them (see `first`), otherwise None.
            Negatives, baseline and fitted centre bias come from all samples, however many are scored.
        notes: what every table of this data set must say, a sentence each.
        left_out: {"off_image", "lost": number of recorded fixations that no sample holds}; empty if there are none.
        whole: number of images of the published split if only a part of it is on disk (see `allow_partial`), or None.
        redistribute: whether the licence allows to pass on the images and fixations, such as in a site of results.

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
    notes: Sequence[str] = ()
    left_out: Mapping[str, int] = field(default_factory=dict)
    whole: int | None = None
    redistribute: bool = False

    def __post_init__(self) -> None:
        if not self.samples:
            raise DatasetProblem(f"{self.name}: expected at least one image, found none")
        times = Counter((s.dataset, s.id) for s in self.samples)
        twice = sorted(id for (_, id), number in times.items() if number > 1)
        if twice:
            raise DatasetProblem(f"{self.name}: expected unique ids, got {len(twice)} twice, such as {twice[0]!r}")

    def first(self, n: int) -> "Dataset":
        """Return the first `n` samples under another name, which keeps their results apart from those of the whole."""
        if n >= len(self.samples):
            return self
        return replace(self, name=f"{self.name}_first{n}", samples=self.samples[:n], split=self.samples)

    @property
    def has_fixations(self) -> bool:
        """True if every sample has fixations, possibly zero of them."""
        return all(s.fixations is not None for s in self.samples)

    @property
    def is_scorable(self) -> bool:
        """True if every sample has fixations, possibly zero of them, or a density."""
        return all(s.fixations is not None or s.read_density is not None for s in self.samples)

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits: hash of the ids, sizes, captions, fixations, observers, sigmas, and of which have densities.

        Pixels are not hashed, because reading all images of a large split takes minutes.
        """
        parts: list[str | bytes] = []
        for s in self.split or self.samples:
            parts += [s.id, repr(s.size), repr(s.sigma), repr(s.read_density is None)]
            if s.caption is not None:
                parts.append(s.caption)
            for array in (s.fixations, s.observers):
                parts.append(b"" if array is None else np.ascontiguousarray(array, dtype="<f8").tobytes())
        return hash_bytes(*parts)


@dataclass(frozen=True)
class Published:
    """Counts of the published files of one split, to detect incomplete copies and other releases.

    Attributes:
        images: number of images.
        fixations: number of fixations, or None if they are not public.
        mean: mean (x, y) of the fixations to four decimals, or None; each loader says in which coordinates.
    """

    images: int
    fixations: int | None = None
    mean: tuple[float, float] | None = None


_partial: ContextVar[bool] = ContextVar("partial", default=False)
_problems: ContextVar[list[str] | None] = ContextVar("problems", default=None)


@contextmanager
def allow_partial(allowed: bool = True) -> Iterator[None]:
    """Inside this context, a data set with missing images can be opened. It then holds the images on disk."""
    token = _partial.set(allowed)
    try:
        yield
    finally:
        _partial.reset(token)


@contextmanager
def collect_problems() -> Iterator[list[str]]:
    """Inside this context, opening a data set continues after a problem where it can. The list holds the problems."""
    found: list[str] = []
    token = _problems.set(found)
    try:
        yield found
    finally:
        _problems.reset(token)


def is_checking() -> bool:
    """Return whether `collect_problems` is in effect."""
    return _problems.get() is not None


def report(problem: DatasetProblem) -> None:
    """Raise `problem`; inside `collect_problems`, add it to the list instead."""
    found = _problems.get()
    if found is None:
        raise problem
    found.append(str(problem))


def part_of(samples: Sequence[Sample], published: int) -> int | None:
    """Return `published`, the number of images of the whole split, if `samples` are fewer; None if they are all."""
    return published if len(samples) < published else None


OFF_IMAGE = ("error", "drop")
_off_image: ContextVar[str | None] = ContextVar("off_image", default=None)


@contextmanager
def off_image(policy: str | None) -> Iterator[None]:
    """Inside this context, folders of your own are opened with a choice for fixations off their image.

    Args:
        policy: "error" refuses the data set, "drop" leaves such fixations out and counts them; None does what the
            folder's dataset.toml says, by default "error".

    Raises:
        ValueError: another policy.
    """
    if policy not in (None, *OFF_IMAGE):
        raise ValueError(f"off_image: expected one of {', '.join(OFF_IMAGE)}, got {policy!r}")
    token = _off_image.set(policy)
    try:
        yield
    finally:
        _off_image.reset(token)


def chosen_off_image() -> str | None:
    """Return the choice of the innermost `off_image`, or None."""
    return _off_image.get()


def folder_name(argument: str) -> tuple[str, Path, str | None]:
    """Split DIR, LABEL=DIR, DIR#SPLIT or LABEL=DIR#SPLIT into (label, folder, split or None).

    The label of DIR is its last part. A split is appended to the label, as in mine_val. A character = or # that is part
    of an existing path separates nothing.
    """
    label, place = _label_and_folder(argument)
    before, hash, split = argument.rpartition("#")
    if not hash or place.exists():
        return label, place, None
    label, place = _label_and_folder(before)
    return f"{label}_{split}", place, split


def _label_and_folder(argument: str) -> tuple[str, Path]:
    label, given, rest = argument.partition("=")
    if given and not Path(argument).expanduser().exists():
        return label, Path(rest).expanduser()
    place = Path(argument).expanduser()
    return place.resolve().name, place


def default_sigma(size: tuple[int, int]) -> float:
    """Return the blur in pixels for an image of `size` if the authors of its data set gave none."""
    return SIGMA_SHARE * max(size)


def require_files(folder: Path, names: Collection[str], how: str) -> None:
    """Raise `DatasetProblem` unless `folder` holds all the files `names`; `how` says how to get them."""
    if missing := _missing(folder, names):
        raise _incomplete(folder, len(names), missing, how)


def present(stems: Sequence[str], folder: Path, suffix: str, how: str) -> list[str]:
    """Return the stems of images whose file is in `folder`: all of them, or fewer inside `allow_partial`.

    Args:
        stems: of all images of the data set; a stem may hold slashes.
        folder: holds a file STEM + `suffix` for each.
        suffix: end of the file names, such as ".jpg".
        how: how to get the files.

    Raises:
        DatasetProblem: files are missing and that is not allowed, or all are missing.
    """
    missing = set(_missing(folder, [f"{stem}{suffix}" for stem in stems]))
    if len(missing) == len(stems):
        raise _incomplete(folder, len(stems), sorted(missing), how)
    if missing and not _partial.get():
        report(_incomplete(folder, len(stems), sorted(missing), f"Found {len(stems) - len(missing)}. {_USE} {how}"))
    return [stem for stem in stems if f"{stem}{suffix}" not in missing]


def check_number(folder: Path, found: int, expected: int, what: str, how: str) -> None:
    """Raise `DatasetProblem` unless the number of images is the published one, or smaller inside `allow_partial`.

    Args:
        folder: where the images are.
        found: their number.
        expected: the published number.
        what: what was counted, such as "images *.jpeg".
        how: how to get them.
    """
    if found == expected or (_partial.get() and 0 < found < expected):
        return
    hint = "" if not found or found > expected else f" (was the archive unpacked completely?). {_USE}"
    problem = DatasetProblem(f"{folder}: expected {expected} {what}, found {found}{hint or '.'} {how} {NO_DOWNLOAD}")
    if not found:
        raise problem
    report(problem)


def _missing(folder, names):
    """The names, relative to `folder`, that are not files in it."""
    folders = {str(PurePath(name).parent) for name in names}
    listed = {place: set(os.listdir(folder / place)) if (folder / place).is_dir() else set() for place in folders}
    return [name for name in names if PurePath(name).name not in listed[str(PurePath(name).parent)]]


def _incomplete(folder, expected, missing, how):
    state = (
        "found none" if len(missing) == expected else f"{len(missing)} are missing, such as {', '.join(missing[:3])}"
    )
    return DatasetProblem(f"{folder}: expected {expected} files, {state}. {how} {NO_DOWNLOAD}")


def check_published(source: Path, fixations: np.ndarray, expected: Published, cause: str) -> None:
    """Raise `DatasetProblem` unless `fixations` (N, 2) have the published number and mean; `cause` says why not."""
    mean = fixations.mean(0, dtype=np.float64) if len(fixations) else np.full(2, np.nan)
    wanted = mean if expected.mean is None else np.asarray(expected.mean, dtype=np.float64)
    if len(fixations) == expected.fixations and np.abs(mean - wanted).max() <= 1e-4:
        return
    problem = f"expected the published {expected.fixations} fixations"
    if expected.mean is None:
        problem += f", got {len(fixations)}"
    else:
        problem += (
            f" with mean x {wanted[0]:.4f} and y {wanted[1]:.4f}, got {len(fixations)} with {mean[0]:.4f} and "
            f"{mean[1]:.4f}"
        )
    report(DatasetProblem(f"{source}: {problem}. {cause} {NO_DOWNLOAD}"))


def is_inside(fixations: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return which of `fixations` (N, 2) of x, y from 0 lie on an image of `size`, bool (N,). NaN does not."""
    height, width = size
    return np.asarray(((fixations >= 0) & (fixations < (width, height))).all(1))


def check_inside(
    fixations: np.ndarray, size: tuple[int, int], source: Path | str, hint: str, lines: np.ndarray | None = None
) -> None:
    """Raise `DatasetProblem` unless all `fixations` (N, 2) of x, y from 0 lie on an image of `size`.

    Args:
        source: start of the message: the file, and the image if the file holds several.
        hint: end of the message: what to do.
        lines: (N,) line of each fixation in the file, if it is a text file.
    """
    height, width = size
    outside = np.flatnonzero(~is_inside(fixations, size))
    if len(outside):
        first = outside[0]
        place = f"number {first + 1}" if lines is None else f"line {lines[first]}"
        raise DatasetProblem(
            f"{source}: {len(outside)} of {len(fixations)} fixations are off the image of {width} x {height} pixels; "
            f"the first, {place}, is at x={fixations[first, 0]:g}, y={fixations[first, 1]:g}, counted from 0. {hint}"
        )


def read_density(path: Path, size: tuple[int, int]) -> np.ndarray:
    """Read a distributed density map without change.

    Raises:
        ValueError: a map of another size than `size`, or with negative or non-finite values.
    """
    density = read_map(path)
    if density.shape != size:
        raise DatasetProblem(f"{path}: expected the (height, width) of its image, {size}, got {density.shape}")
    return check_density(density, size, str(path))
