"""The files of data sets: check them, download them, and recognise what a folder holds."""

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from salbench import checksums, datasets
from salbench.archives import unpack_zip
from salbench.datasets import MANIFEST, Dataset, DatasetProblem, describe
from salbench.locks import only_one
from salbench.sample import Sample


class Checked(NamedTuple):
    """What `check` returns: the number of images that were read, and every problem as one line or more."""

    images: int
    problems: list[str]


def check(name: str, root: Path | str | None = None, progress: bool = False) -> Checked:
    """Open a data set and read all its images and densities.

    Args:
        name: as on the command line.
        root: see `salbench.datasets.data_root`.
        progress: show a progress bar.

    Returns:
        Missing and unreadable files, other counts than the published ones, images or maps of another size, and images
        without fixations and density.

    Raises:
        DatasetProblem: there is no data set of this name.
    """
    datasets.get(name.partition(":")[0])
    with datasets.collect_problems() as problems:
        try:
            samples = datasets.load(name, root).samples
        except ValueError as problem:
            return Checked(0, [*problems, str(problem)])
        for sample in tqdm(samples, desc=f"{name}: reading images", unit="image", disable=not progress):
            problems += _problems(sample)
        problems += _without_ground_truth(samples)
    return Checked(len(samples), problems)


def _without_ground_truth(samples: Sequence[Sample]) -> list[str]:
    """Images that no metric can be computed on, if others have fixations or a density."""
    bare = [sample.id for sample in samples if _is_bare(sample)]
    if not bare or len(bare) == len(samples):
        return []
    return [f"{len(bare)} of {len(samples)} images have no fixations and no density, such as {bare[0]}"]


def _is_bare(sample: Sample) -> bool:
    return sample.read_density is None and (sample.fixations is None or not len(sample.fixations))


def _problems(sample: Sample) -> Iterator[str]:
    readers: list[Callable[[], object]] = [lambda: sample.image]
    if sample.read_density is not None:
        readers.append(sample.read_density)
    for read in readers:
        try:
            read()
        except (ValueError, OSError) as error:
            yield str(error)


def download(name: str, root: Path | str | None = None, progress: bool = False) -> Path:
    """Download a data set whose authors offer one ZIP file, and unpack it in the data root.

    Args:
        name: as on the command line.
        root: see `salbench.datasets.data_root`.
        progress: show progress bars.

    Returns:
        The folder of the data set.

    Raises:
        DatasetProblem: no direct link, already there, the download failed, or the fixations are not those that
            salbench knows.
        Busy: another process is downloading it.
        ArchiveProblem: a damaged or unsafe ZIP file.
        ModuleNotFoundError: the package pooch is not installed.
    """
    source, place = datasets.source(name), datasets.data_root(root)
    if source is None or source.archive is None:
        offered = ", ".join(each for each in datasets.DATASETS if getattr(datasets.source(each), "archive", None))
        how = f"{source.how} " if source else ""
        raise DatasetProblem(f"{name}: has no direct link. {how}These can be downloaded: {offered}")
    target = place / source.folders[0]
    if target.exists():
        raise DatasetProblem(f"{target}: is there already; check it: salbench data check {name}; or remove it first")
    with only_one(target, "is downloading this data set"), _scratch(place / f".{target.name}.download") as scratch:
        content = scratch / "content"
        unpack_zip(_retrieve(name, source, scratch, progress), content, progress)
        inside = list(content.iterdir())
        if len(inside) != 1 or not inside[0].is_dir():
            raise DatasetProblem(f"{source.archive}: expected a ZIP file with one folder, got {len(inside)} entries")
        _check_sums(source, inside[0])
        os.replace(inside[0], target)
    return target


def _check_sums(source: datasets.Source, folder: Path) -> None:
    for name in checksums.changed(folder, source.sums):
        raise DatasetProblem(
            f"{source.archive}: expected {name} with SHA-256 {source.sums[name][:12]}..., got another or "
            f"none; nothing was kept. If the authors have published a new version, look at it first. {source.how}"
        )


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A new folder that is removed at the end. What a download that was killed left there is removed first."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _retrieve(name: str, source: datasets.Source, folder: Path, progress: bool) -> Path:
    import pooch

    try:
        return Path(pooch.retrieve(source.archive, source.hash, fname="archive.zip", path=folder, progressbar=progress))
    except (OSError, ValueError) as error:  # no connection, or another hash
        raise DatasetProblem(f"{name}: cannot download {source.archive}: {error}. {source.how}") from error


class Recognised(NamedTuple):
    """A data set that `recognise` found in a folder.

    Attributes:
        names: of its splits, as on the command line; one name for a folder of your own.
        root: its data root, or None for a folder of your own.
        dataset: the opened data set for a folder of your own, otherwise None.
        toml: content of a dataset.toml for a folder of your own that has none, otherwise None.
        needs_toml: whether `dataset` can only be opened with that file.
    """

    names: list[str]
    root: Path | None
    dataset: Dataset | None = None
    toml: str | None = None
    needs_toml: bool = False


def recognise(folder: Path) -> list[Recognised]:
    """Say what a folder holds: known data sets, or else images of your own.

    Raises:
        DatasetProblem: neither; the message says what `folder:` expects.
    """
    found: dict[tuple[str, ...], list[str]] = {}
    for name in datasets.DATASETS:
        source = datasets.source(name)
        if source and any(source.is_in(place) for place in (folder, *(folder / each for each in source.folders))):
            found.setdefault(source.folders, []).append(name)
    if found:
        return [Recognised(names, folder) for names in found.values()]
    name = f"folder:{folder}"
    if not folder.is_dir() or (folder / MANIFEST).exists():
        return [Recognised([name], None, datasets.load(name))]
    return [Recognised([name], None, *describe(folder))]


def write_manifest(folder: Path, found: Recognised) -> Path:
    """Write the dataset.toml of a folder of your own.

    Returns:
        Its path.

    Raises:
        DatasetProblem: the folder has one, or holds a data set that is opened by its name. Nothing is written.
    """
    path = folder / MANIFEST
    if found.root is not None:
        raise DatasetProblem(f"{folder}: needs no {MANIFEST}, because it holds {', '.join(found.names)}")
    if found.toml is None:
        raise DatasetProblem(f"{path}: is there already; edit it, or remove it first")
    with open(path, "x", encoding="utf-8") as file:
        file.write(found.toml)
    return path
