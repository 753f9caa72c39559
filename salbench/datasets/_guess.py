"""A guess, from the names of folders and files, at where an unknown folder keeps images, fixations and maps."""

import os
import re
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path, PurePosixPath

from salbench.datasets._gaze_csv import is_table
from salbench.datasets._layout import SUFFIXES
from salbench.datasets._manifest import NAME as MANIFEST

_TEXT = (".csv", ".tsv", ".txt")  # of tables
_MOST_FILES = 20_000  # that are looked at
_SEPARATORS = "_-. "  # between the id of an image and an ending such as "_fix"


def guessed(root: Path) -> dict[str, str]:
    """Return a pattern for each role of which the folder seems to hold files: "images", "fixations", "maps".

    It is empty if there are no images. Patterns are those of `_layout`.
    """
    every = (path.relative_to(root) for path in islice(root.rglob("*"), _MOST_FILES) if path.is_file())
    paths = sorted(PurePosixPath(path.as_posix()) for path in every if not any(part[0] == "." for part in path.parts))
    by_role: dict[str, dict[tuple[str, str], list[PurePosixPath]]] = {role: {} for role in SUFFIXES}
    for (folder, ending), group in _groups(paths).items():
        role = _role_by_name(folder, ending)
        fitting = [path for path in group if path.suffix.lower() in SUFFIXES[role]]
        if fitting and not (role == "images" and ending):
            by_role[role][folder, ending] = fitting
    tops = {_top(folder) for groups in by_role.values() for folder, _ in groups}
    found = {role: _pattern(groups, tops) for role, groups in by_role.items() if groups}
    if "images" not in found:
        return {}
    images = {path.stem for group in by_role["images"].values() for path in group}
    tables = [path for path in paths if path.suffix.lower() in _TEXT and path.stem not in images]
    tables = [path for path in tables if is_table(root / path)]
    return found | ({"fixations": str(tables[0])} if len(tables) == 1 else {})


def how_to_describe(root: Path) -> str:
    """Return a dataset.toml to start from, for an error message."""
    lines = [f'{role} = "{pattern}"' for role, pattern in guessed(root).items()]
    if not lines:
        return "The folder holds no pictures"
    path, example = root / MANIFEST, "\n  ".join(lines)
    how = f"in {path}" if path.exists() else f"in a file {path}, which `salbench data import {root} --write` can write"
    return f"Say where they are {how}, for example:\n  {example}"


def _groups(paths: Iterable[PurePosixPath]) -> dict[tuple[str, str], list[PurePosixPath]]:
    """{(folder, ending of the stems): files}."""
    by_folder: dict[str, list[PurePosixPath]] = defaultdict(list)
    for path in paths:
        by_folder[str(path.parent)].append(path)
    groups: dict[tuple[str, str], list[PurePosixPath]] = defaultdict(list)
    for folder, files in by_folder.items():
        endings = _endings({path.stem for path in files})
        for path in files:
            groups[folder, endings[path.stem]].append(path)
    return groups


def _endings(stems: Collection[str]) -> dict[str, str]:
    """{stem: what it has after another stem}, such as "_fix" for dog_fix beside dog; "" for an id.

    An ending counts if half of the ids have it.
    """
    endings = dict.fromkeys(stems, "")
    for stem in stems:
        cuts = (i for i in range(1, len(stem)) if stem[i] in _SEPARATORS and stem[:i] in endings)
        endings[stem] = stem[next(cuts, len(stem)) :]
    counts = Counter(endings.values())
    return {stem: ending if 2 * counts[ending] >= counts[""] else "" for stem, ending in endings.items()}


def _role_by_name(folder: str, ending: str) -> str:
    name = f"{folder}{ending}".lower()
    if re.search(r"\bfix|_fix|fixat|points|\bpts|_pts|locs|gaze", name):
        return "fixations" if not re.search("fix(ation)?_?maps?$|density|densities", name) else "maps"
    return "maps" if re.search(r"map|saliency|\bsal\b|_sal\b|dens|heat", name) else "images"


def _pattern(groups: Mapping[tuple[str, str], Sequence[PurePosixPath]], tops: Collection[str]) -> str:
    """The pattern of one role: of the folder with most files, or of all folders beside it.

    Args:
        groups: the files of the role, as `_groups` returns them.
        tops: the top folders of all roles. If each of them holds files of this role, they are taken together.
    """
    folder, ending = max(groups, key=lambda key: len(groups[key]))
    alike = {each: files for (each, its), files in groups.items() if its == ending}
    if {_top(each) for each in alike} != set(tops):
        alike = {each: files for each, files in alike.items() if _top(each) == _top(folder)}
    suffixes = {path.suffix for files in alike.values() for path in files}
    name = f"{{id}}{ending}{suffixes.pop() if len(suffixes) == 1 else ''}"
    if len(alike) == 1:
        return str(PurePosixPath(folder, name))
    return str(PurePosixPath(os.path.commonpath([f"/{each}" for each in alike])[1:], "**", name))


def _top(folder: str) -> str:
    return PurePosixPath(folder).parts[0] if folder != "." else "."
