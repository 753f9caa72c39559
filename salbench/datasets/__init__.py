"""Data sets by name: `load("osie_test")`, `load("folder:/my/images")`.

To add a data set, write one file beside this one with a function `load(split, root)` that returns a
`Dataset`, and add one row per split to `DATASETS`. Listing, errors and tables follow from the row.
"""

import difflib
import importlib
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path

from salbench.datasets._common import NO_DOWNLOAD, Dataset, DatasetProblem, default_sigma, folder_name
from salbench.files import user_cache

log = logging.getLogger(__name__)
__all__ = [
    "DATASETS",
    "Dataset",
    "DatasetProblem",
    "Row",
    "data_root",
    "default_sigma",
    "join",
    "load",
    "results_name",
    "training_split",
]


@dataclass(frozen=True)
class Row:
    """One name on the command line: which file loads it, which split, and what it is in one line."""

    module: str
    split: str
    summary: str
    train: str | None = None  # the split that methods may be fitted on when this one is scored


DATASETS = {
    "popout": Row("popout", "all", "embedded: procedural displays with SIMULATED gaze; needs no download"),
    "salicon_train": Row("salicon", "train", "SALICON 2017, 10 000 images, mouse-tracked fixations"),
    "salicon_val": Row("salicon", "val", "SALICON 2017, 5 000 images, mouse-tracked fixations", "salicon_train"),
    "salicon_test": Row(
        "salicon", "test", "SALICON 2017, 5 000 images, no public fixations: `submit` only", "salicon_train"
    ),
    "salicon2015_examples": Row("salicon2015", "all", "SALICON 2015, the authors' 10 examples, mouse-tracked"),
    "osie": Row("osie", "all", "OSIE, 700 photographs, 15 observers"),
    "osie_train": Row("osie", "train", "OSIE, the 500 photographs whose number n has n % 7 not in {0, 1}"),
    "osie_test": Row("osie", "test", "OSIE, the 200 photographs whose number n has n % 7 in {0, 1}", "osie_train"),
    "augsal_contrast100": Row(
        "augsal", "all", "Aydemir et al. 2024, 100 reconstructed SALICON images, no fixations: to train with edits"
    ),
    "nus_scene": Row("nus_scene", "all", "NUS scenes, 500 photographs of many sizes, 12 observers"),
    "folder": Row("folder", "all", "your own images and fixations: folder:DIR"),
}


def data_root(root=None):
    """The folder that holds one folder per data set: `root`, else $SALBENCH_DATA, else the user cache folder."""
    return Path(root or os.environ.get("SALBENCH_DATA") or user_cache() / "data").expanduser()


def results_name(name):
    """The name under which results of a data set are kept: its own, and folder+NAME for folder:DIR."""
    name, _, argument = name.partition(":")
    return f"{name}+{folder_name(argument)[0]}" if argument else name


def load(name, root=None):
    """Open a data set by its name on the command line, such as "osie_test" or "folder:DIR".

    Images are decoded when they are used; fixations are read now and checked against the published counts.

    Raises:
        DatasetProblem: an unknown name, or files that are missing, unreadable or not the published ones; the
            message says what was expected where, how to get it, and which set needs no download.
    """
    name, _, argument = name.partition(":")
    if name not in DATASETS:
        near = difflib.get_close_matches(name, DATASETS, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise DatasetProblem(f"no data set is named {name!r}: {hint}known are {', '.join(DATASETS)}")
    row = DATASETS[name]
    if name == "folder" and not argument:
        raise DatasetProblem(f"folder: expected folder:DIR with the place of your images. {NO_DOWNLOAD}")
    if argument and name != "folder":
        raise DatasetProblem(f"{name} takes no argument, got {argument!r}; use --data-root for its place on disk")
    module = importlib.import_module(f"salbench.datasets.{row.module}")
    label, place = folder_name(argument) if argument else (None, data_root(root))
    dataset = module.load(row.split, place)
    return replace(dataset, train=row.train, name=f"{name}+{label}" if label else dataset.name)


def join(datasets):
    """Data sets as one, to train on: all samples in order, named as in "osie_train+augsal_contrast100".

    Raises:
        DatasetProblem: two samples of one id.
    """
    if len(datasets) == 1:
        return datasets[0]
    names, gaze, licences, citations = zip(*((d.name, d.gaze, d.licence, d.citation) for d in datasets), strict=True)
    return Dataset(
        name="+".join(names),
        samples=[sample for dataset in datasets for sample in dataset.samples],
        gaze="; ".join(gaze),
        licence="; ".join(licences),
        citation="; ".join(citations),
    )


def training_split(dataset, root=None):
    """The split that methods may be fitted on when `dataset` is scored; None where there is none on disk."""
    if dataset.train is None:
        return None
    try:
        return load(dataset.train, root)
    except DatasetProblem as problem:
        log.info("fitting on %s itself, leaving one image out, because %s", dataset.name, problem)
        return None
