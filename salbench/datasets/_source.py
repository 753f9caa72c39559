"""Where the files of a data set come from and where they are on disk."""

import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from salbench.datasets._common import NO_DOWNLOAD, DatasetProblem

log = logging.getLogger(__name__)
_SHOWN = 5  # names of files in a message


@dataclass(frozen=True)
class Source:
    """Facts on the files of a data set. The module of a loader holds its own in a constant `SOURCE`.

    Attributes:
        folders: possible names of its folder in the data root; the first is the one to choose.
        marks: patterns for `Path.glob` inside that folder. Every copy of the data set has a match for each. The sign |
            separates alternatives.
        how: how to get it; every error message of the loader ends with it.
        licence: licence of the images and fixations.
        size: size of the images in words, such as "800 x 600".
        archive: address of a ZIP file of the whole data set that `salbench data get` can download, or None. Its single
            top folder becomes the folder of the data set.
        hash: hash of that ZIP file, such as "md5:0123...", or None if its authors give none.
        sums: {path in the folder of the data set: SHA-256} of its files of fixations. `salbench data get` refuses
            others.
    """

    folders: tuple[str, ...]
    marks: tuple[str, ...]
    how: str
    licence: str
    size: str
    archive: str | None = None
    hash: str | None = None
    sums: Mapping[str, str] = field(default_factory=dict)

    def is_in(self, folder: Path) -> bool:
        """Return whether `folder` looks like the folder of the data set."""
        return all(any(any(folder.glob(each)) for each in mark.split("|")) for mark in self.marks)


def locate(root: Path, source: Source) -> Path:
    """Return the folder of a data set, also if `root` is one level too deep or too high.

    Raises:
        DatasetProblem: the folder was not found, or found in several places. The message says where it was looked for
            and what is there.
    """
    named = [root / folder for folder in source.folders]
    for folder in named:
        if source.is_in(folder):
            return folder
    near = _near(root, source)
    if len(near) > 1:
        places = ", ".join(map(str, near))
        raise DatasetProblem(f"{root}: expected {source.folders[0]}/, found it in {places}; choose one as --data-root")
    if near:
        log.info("%s: no %s/ here, using %s", root, source.folders[0], near[0])
        return near[0]
    for folder in named:
        if folder.is_dir():
            return folder  # incomplete: the loader says what is missing
    raise DatasetProblem(
        f"{root}: expected the folder {' or '.join(source.folders)}, found {_content(root)}. Looked also at this "
        f"folder itself, the one above and the ones inside. {source.how} {NO_DOWNLOAD}"
    )


def _near(root: Path, source: Source) -> list[Path]:
    """Folders of the data set one level away from where it should be."""
    inside = sorted(path for path in root.iterdir() if path.is_dir()) if root.is_dir() else []
    places = [root, root.absolute().parent, *(child / folder for child in inside for folder in source.folders)]
    return list({place.resolve(): place for place in places if source.is_in(place)}.values())


def _content(folder: Path) -> str:
    if not folder.is_dir():
        return "no such folder" if not folder.exists() else "a file"
    names = sorted(os.listdir(folder))
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more if names else "an empty folder"
