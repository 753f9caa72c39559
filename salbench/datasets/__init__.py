"""Data sets by name: `load("osie_test")`, `load("folder:/my/images")`.

To add a data set here, write a file in this folder with a function `load(split, root)` that returns a `Dataset` and a
constant `SOURCE` that says where its files come from, and add one row per split to `DATASETS`. To add one from a
package of your own, declare a `Row` as an entry point (see `salbench.plugins`); the row's name is the name of the entry
point.
"""

import importlib
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from salbench import plugins
from salbench.datasets._common import (
    NO_DOWNLOAD,
    Dataset,
    DatasetProblem,
    allow_partial,
    collect_problems,
    default_sigma,
    folder_name,
    off_image,
)
from salbench.datasets._describe import describe
from salbench.datasets._manifest import NAME as MANIFEST
from salbench.datasets._source import Source, locate
from salbench.files import user_cache
from salbench.suggestions import suggestion

log = logging.getLogger(__name__)
__all__ = [
    "DATASETS",
    "MANIFEST",
    "Dataset",
    "DatasetProblem",
    "Row",
    "Source",
    "allow_partial",
    "collect_problems",
    "data_root",
    "default_sigma",
    "describe",
    "get",
    "join",
    "load",
    "locate",
    "names",
    "off_image",
    "results_name",
    "source",
    "training_split",
]
GROUP = "salbench.datasets"


@dataclass(frozen=True)
class Row:
    """One data set as named on the command line.

    Attributes:
        module: full name of the module whose `load(split, root)` opens it, such as "salbench.datasets.osie".
        split: first argument of `load`.
        summary: one line.
        train: name of the data set that methods may be fitted on when this one is scored, or None.
        takes_folder: the name is typed as NAME:DIR or NAME:LABEL=DIR, and DIR is the second argument of `load`;
            otherwise that is the data root. After DIR, #SPLIT replaces `split`.
        test: name of the data set that a training on this one is tested on, or None. It has fixations.
        images: number of images, or None if it is not known before the data set is opened.
    """

    module: str
    split: str
    summary: str
    train: str | None = None
    takes_folder: bool = False
    test: str | None = None
    images: int | None = None


def _row(module: str, split: str, images: int | None, summary: str, train: str | None = None, **others: Any) -> Row:
    return Row(f"salbench.datasets.{module}", split, summary, train, images=images, **others)


DATASETS = {
    "popout": _row("popout", "all", 30, "30 generated displays and scenes with SIMULATED gaze; needs no download"),
    "salicon_train": _row(
        "salicon", "train", 10_000, "SALICON 2017, 10 000 images, mouse-tracked fixations", test="salicon_val"
    ),
    "salicon_val": _row(
        "salicon", "val", 5_000, "SALICON 2017, 5 000 images, mouse-tracked fixations", "salicon_train"
    ),
    "salicon_test": _row(
        "salicon", "test", 5_000, "SALICON 2017, 5 000 images, no public fixations: `submit` only", "salicon_train"
    ),
    "salicon2015_examples": _row("salicon2015", "all", 10, "SALICON 2015, the authors' 10 examples, mouse-tracked"),
    "osie": _row("osie", "all", 700, "OSIE, 700 photographs, 15 observers"),
    "osie_train": _row(
        "osie", "train", 500, "OSIE, the 500 photographs whose number n has n % 7 not in {0, 1}", test="osie_test"
    ),
    "osie_test": _row(
        "osie", "test", 200, "OSIE, the 200 photographs whose number n has n % 7 in {0, 1}", "osie_train"
    ),
    "eyecrowd": _row("eyecrowd", "all", 500, "EyeCrowd, 500 photographs of crowds, 16 observers"),
    "eyecrowd_train": _row(
        "eyecrowd", "train", 400, "EyeCrowd, the 400 photographs whose number n has n % 5 != 4", test="eyecrowd_test"
    ),
    "eyecrowd_test": _row(
        "eyecrowd", "test", 100, "EyeCrowd, the 100 photographs whose number n has n % 5 = 4", "eyecrowd_train"
    ),
    "augsal_contrast100": _row(
        "augsal",
        "all",
        100,
        "Aydemir et al. 2024, 100 reconstructed SALICON images, to train on edits; fixations if you add SALICON's",
    ),
    "nus_scene": _row("nus_scene", "all", 500, "NUS scenes, 500 photographs of many sizes, 12 observers"),
    "nus_scene_train": _row(
        "nus_scene",
        "train",
        400,
        "NUS scenes, the 400 photographs whose number n has n % 5 != 4",
        test="nus_scene_test",
    ),
    "nus_scene_test": _row(
        "nus_scene", "test", 100, "NUS scenes, the 100 photographs whose number n has n % 5 = 4", "nus_scene_train"
    ),
    "mit1003": _row("mit1003", "all", 1_003, "MIT1003, 1003 photographs of many sizes, 15 observers"),
    "cat2000_train": _row("cat2000", "train", 2_000, "CAT2000, 2000 images of 20 categories, 18 observers"),
    "figrim": _row("figrim", "all", 630, "FIGRIM, 630 scenes of 21 categories, memory task, 11 to 22 observers"),
    "toronto": _row("toronto", "all", 120, "Toronto, 120 photographs, 20 observers"),
    "folder": _row(
        "folder", "all", None, "your own images and fixations: folder:DIR, or folder:DIR#SPLIT", takes_folder=True
    ),
}


def names() -> list[str]:
    """Return the names of all data sets, those of other installed packages last. Imports nothing."""
    return list(dict.fromkeys([*DATASETS, *plugins.declared(GROUP)]))


def get(name: str) -> Row:
    """Return the row of a data set. A row of another package is imported; its loader is not.

    Raises:
        DatasetProblem: an unknown name (the message suggests one), a name that several packages define, or a row
            that cannot be imported.
    """
    if name not in names():
        raise DatasetProblem(suggestion("data set", name, names()))
    try:
        plugins.check_owner(GROUP, name, DATASETS)
        return DATASETS[name] if name in DATASETS else plugins.load(GROUP, name, Row)
    except plugins.PluginProblem as problem:
        raise DatasetProblem(f"data set {problem}") from problem


def source(name: str) -> Source | None:
    """Return where a data set comes from and where its files are; None if it needs no files of others.

    Raises:
        DatasetProblem: see `get`, or the module of the loader cannot be imported.
    """
    return getattr(_module(name, get(name)), "SOURCE", None)


def data_root(root: Path | str | None = None) -> Path:
    """Return the folder that holds one folder per data set: `root`, else $SALBENCH_DATA, else in the user cache."""
    return Path(root or os.environ.get("SALBENCH_DATA") or user_cache() / "data").expanduser()


def results_name(name: str) -> str:
    """Return the name of a data set in results: the name itself, or folder+LABEL for folder:DIR."""
    name, _, argument = name.partition(":")
    return f"{name}+{folder_name(argument)[0]}" if argument else name


def load(name: str, root: Path | str | None = None) -> Dataset:
    """Open a data set by its name on the command line, such as "osie_test" or "folder:DIR".

    Fixations are read at once and checked against the published counts. Images are read on each use.

    Args:
        root: see `data_root`.

    Raises:
        DatasetProblem: see `get`; or files that are missing, unreadable or not the published ones. The message says
            which files it expected where, how to get them, and which data set needs no download.
    """
    name, _, argument = name.partition(":")
    row = get(name)
    if row.takes_folder and not argument:
        raise DatasetProblem(f"{name}: expected {name}:DIR with the folder of your images. {NO_DOWNLOAD}")
    if argument and not row.takes_folder:
        raise DatasetProblem(f"{name} takes no argument, got {argument!r}; set the data root with --data-root")
    label, place, split = folder_name(argument) if argument else ("", data_root(root), None)
    module = _module(name, row)
    if not callable(getattr(module, "load", None)):
        raise DatasetProblem(f"{name}: cannot import `load` of {row.module}: there is no such function")
    dataset = module.load(split or row.split, place)
    if not isinstance(dataset, Dataset):
        raise DatasetProblem(f"{name}: expected {row.module}.load to return a Dataset, got {type(dataset).__name__}")
    family = row.module.rpartition(".")[2]  # the splits of a data set share a module
    samples = [replace(sample, dataset=family) for sample in dataset.samples]
    part = f"_partial{len(samples)}" if dataset.whole else ""  # keeps the results apart from those of the whole
    return replace(dataset, samples=samples, train=row.train, name=f"{name}+{label}" if label else f"{name}{part}")


def _module(name: str, row: Row) -> ModuleType:
    try:
        return importlib.import_module(row.module)
    except Exception as error:  # the module can belong to another package, whose code can raise anything
        raise DatasetProblem(f"{name}: cannot import {row.module}: {error}") from error


def join(datasets: Sequence[Dataset]) -> Dataset:
    """Return one data set with all samples in order, to train on, named as in "osie_train+augsal_contrast100".

    Raises:
        DatasetProblem: two samples of one data set have the same id.
    """
    if len(datasets) == 1:
        return datasets[0]
    return Dataset(
        name="+".join(dataset.name for dataset in datasets),
        samples=[sample for dataset in datasets for sample in dataset.samples],
        gaze="; ".join(dataset.gaze for dataset in datasets),
        licence="; ".join(dataset.licence for dataset in datasets),
        redistribute=all(dataset.redistribute for dataset in datasets),
        citation="; ".join(dataset.citation for dataset in datasets),
    )


def training_split(dataset: Dataset, root: Path | str | None = None) -> Dataset | None:
    """Return the data set that methods may be fitted on when `dataset` is scored; None if it has none on disk."""
    if dataset.train is None:
        return None
    try:
        return load(dataset.train, root)
    except DatasetProblem as problem:
        log.info("fitting on %s itself, leaving one image out, because %s", dataset.name, problem)
        return None
