"""Which files of a folder are images, fixations and maps: known layouts, and the patterns that describe any other.

A pattern is a path in the folder. `{id}` stands for the id of an image, `{split}` for the name of a split, `*` for any
name, and `**/{id}` for an id that includes the folders it lies in. Without a suffix, a pattern matches files of every
suffix that can be read.
"""

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import NamedTuple

from salbench.datasets import _fixation_maps
from salbench.datasets._common import DatasetProblem
from salbench.files import IMAGE_SUFFIXES, MAP_SUFFIXES

DATA_SUFFIXES = (".csv", ".npy", ".mat")
SUFFIXES = {
    "images": IMAGE_SUFFIXES,
    "fixations": (*DATA_SUFFIXES, *_fixation_maps.SUFFIXES),
    "maps": MAP_SUFFIXES,
}
TABLE = "fixations.csv"


@dataclass(frozen=True)
class Layout:
    """Where a folder keeps its files, as patterns.

    Attributes:
        name: whose layout it is.
        images, fixations, maps: patterns. Fixations without `{id}` are one table for all images.
    """

    name: str
    images: str
    fixations: str
    maps: str


OURS = Layout("salbench", "images/{id}", "fixations/{id}", "maps/{id}")
BESIDE = Layout("salbench, images beside the folders", "{id}", "fixations/{id}", "maps/{id}")
OF_SALICON = (  # as published, and three repackagings, which hold MIT1003 and others too
    Layout("SALICON", "images/{split}/{id}", "fixations/{split}/{id}", "maps/{split}/{id}"),
    Layout("SALICON, images in one folder (UNISAL)", "images/{id}", "fixations/{split}/{id}", "maps/{split}/{id}"),
    Layout("MSI-Net", "stimuli/{id}", "fixations/{id}", "saliency/{id}"),
    Layout("MSI-Net, in splits", "stimuli/{split}/{id}", "fixations/{split}/{id}", "saliency/{split}/{id}"),
    Layout(
        "TranSalNet",
        "{split}/{split}_stimuli/{id}",
        "{split}/{split}_fixation/{id}",
        "{split}/{split}_saliency/{id}",
    ),
)
OTHERS = (
    *OF_SALICON,
    Layout("MIT1003", "ALLSTIMULI/{id}", "ALLFIXATIONMAPS/{id}_fixPts", "ALLFIXATIONMAPS/{id}_fixMap"),
    Layout("ETTO", "*ALLSTIMULI/{id}", "*ALLFIXATIONLOCS/{id}", "*ALLFIXATIONMAPS/{id}"),
)


class Match(NamedTuple):
    """A file that matches a pattern; `split` is None if the pattern names no split."""

    id: str
    split: str | None
    path: Path


def recognised(root: Path) -> Layout | None:
    """Return the layout of which the folder holds most of images, fixations and maps; None if it holds no images."""
    known = (OURS, BESIDE) if (root / TABLE).exists() else (OURS, BESIDE, *OTHERS)
    found = {layout: [role for role in SUFFIXES if _any(root, getattr(layout, role), role)] for layout in known}
    with_images = [layout for layout in known if "images" in found[layout]]
    return max(with_images, key=lambda layout: len(found[layout]), default=None)


def _any(root: Path, pattern: str, role: str) -> bool:
    return next(iter(_matches(root, pattern, SUFFIXES[role])), None) is not None


def matches(root: Path, pattern: str, role: str) -> list[Match]:
    """Return the files of one role, sorted by path, one per id. A picture beside data of the same id is left out.

    Args:
        root: the folder.
        pattern: as above.
        role: "images", "fixations" or "maps".

    Raises:
        DatasetProblem: two files of one id; or a file of another type in a folder of fixations or maps.
    """
    if role != "images":
        _check_types(root, pattern, SUFFIXES[role])
    found = list(_matches(root, pattern, SUFFIXES[role]))
    if role == "fixations":
        data = {match.id for match in found if match.path.suffix.lower() in DATA_SUFFIXES}
        found = [m for m in found if m.path.suffix.lower() in DATA_SUFFIXES or m.id not in data]
    first: dict[str, Path] = {}
    for match in found:
        other = first.setdefault(match.id, match.path)
        if other != match.path and other.parent == match.path.parent:
            raise DatasetProblem(f"{other.parent}: {other.name} and {match.path.name} share a stem; rename one of them")
        if other != match.path:
            raise DatasetProblem(
                f"{root}: {other.relative_to(root)} and {match.path.relative_to(root)} have the same id; describe the "
                'images in dataset.toml by a pattern with **/{id}, such as images = "stimuli/**/{id}.jpg"'
            )
    return found


def stem_suffix(ids: Sequence[str], images: Container[str]) -> str:
    """Return the ending that all `ids` have after the id of an image, such as "_fixPts"; empty if there is none."""
    endings = (ids[0][start:] for start in range(1, len(ids[0])))
    return next((e for e in endings if all(id.endswith(e) and id.removesuffix(e) in images for id in ids)), "")


def _matches(root: Path, pattern: str, suffixes: Sequence[str]) -> Iterator[Match]:
    has_suffix = PurePath(pattern).suffix.lower() in suffixes
    expression = re.compile(
        _expression(pattern) + ("" if has_suffix else rf"(?i:{'|'.join(map(re.escape, suffixes))})")
    )
    for path in _candidates(root, pattern if has_suffix else f"{pattern}.*"):
        match = expression.fullmatch(path.relative_to(root).as_posix())
        if match:
            yield Match(match["id"], match.groupdict().get("split"), path)


def _expression(pattern: str) -> str:
    """A pattern as a regular expression."""
    seen: set[str] = set()
    parts = []
    for part in re.split(r"(\*\*/\{id\}|\{id\}|\{split\}|\*\*/|\*)", pattern):
        name = "split" if part == "{split}" else "id"
        if part in ("{id}", "{split}", "**/{id}"):
            parts.append(
                f"(?P={name})" if name in seen else rf"(?P<{name}>{'(?:[^/]+/)*' if '*' in part else ''}[^/]+)"
            )
            seen.add(name)
        else:
            parts.append({"**/": "(?:[^/]+/)*", "*": "[^/]*"}.get(part, re.escape(part)))
    return "".join(parts)


def _candidates(root: Path, pattern: str) -> list[Path]:
    globbed = re.sub(r"\{(id|split)\}", "*", pattern.replace("[", "[[]"))
    try:
        return sorted(path for path in root.glob(globbed) if not path.name.startswith(".") and path.is_file())
    except (NotImplementedError, ValueError) as error:  # an absolute path, or ** beside other characters
        raise DatasetProblem(
            f"{root / 'dataset.toml'}: expected a path in this folder, with ** only as **/{{id}}, got {pattern!r}"
        ) from error


def _check_types(root: Path, pattern: str, suffixes: Sequence[str]) -> None:
    """Raise an error for a file of another type in a folder that holds nothing else."""
    if not pattern.endswith("/{id}"):
        return
    for path in _candidates(root, pattern):
        if path.suffix.lower() not in suffixes:
            raise DatasetProblem(f"{path}: expected one of {', '.join(suffixes)} in this folder; move it elsewhere")
