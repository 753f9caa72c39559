"""Describe a folder of your own in a dataset.toml."""

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from salbench.datasets import folder
from salbench.datasets._common import Dataset, DatasetProblem, chosen_off_image
from salbench.datasets._folder_files import ALL, Files
from salbench.datasets._guess import guessed
from salbench.datasets._layout import SUFFIXES
from salbench.datasets._manifest import Manifest


class Described(NamedTuple):
    """What `describe` returns.

    Attributes:
        dataset: the folder as a data set.
        toml: content of a dataset.toml that says where its files are.
        is_needed: whether `folder.load` needs that file to find as much.
    """

    dataset: Dataset
    toml: str
    is_needed: bool


def describe(root: Path) -> Described:
    """Find images, fixations and densities in a folder that has no dataset.toml.

    They are looked for in the known layouts, and by the names of folders and files. What finds more counts.

    Raises:
        DatasetProblem: no images were found, or files cannot be read.
    """
    off_image, found, problem = chosen_off_image() or "error", [], None
    choices: list[dict[str, Any]] = [{}, {**guessed(root)}]
    for patterns in choices:
        manifest = Manifest(off_image=off_image, **patterns)
        try:
            dataset, files = folder.opened(root, ALL, manifest)
            found.append(Described(dataset, replace(manifest, **_patterns(files, root)).to_toml(), bool(patterns)))
        except DatasetProblem as error:
            problem = error
    if problem and not any(each.dataset.is_scorable for each in found):
        raise problem
    return max(found, key=lambda each: (each.dataset.has_fixations, each.dataset.is_scorable))


def _patterns(files: Files, root: Path) -> dict[str, Any]:
    """{role: pattern} of the roles of which there are files."""
    found = {role: getattr(files.layout, role) for role in SUFFIXES if getattr(files, role)}
    return found | ({"fixations": files.table.relative_to(root).as_posix()} if files.table else {})
