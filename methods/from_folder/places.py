"""Places that hold one map per image: a folder, a zip and an HDF5 file."""

import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import numpy as np

from salbench.archives import ArchiveProblem, check_member
from salbench.files import (
    MAP_SUFFIXES,
    MAX_PIXELS,
    FileProblem,
    hash_bytes,
    hash_file,
    map_of_array,
    read_map,
)

MAX_MEMBER = 2**28  # bytes; larger zip members are an error
PICTURES = (".png", ".jpg", ".jpeg")
HDF5_SUFFIXES = (".h5", ".hdf5", ".hdf")


def opened(path: Path) -> "Place":
    """The place at a path.

    Raises:
        FileProblem: nothing is there, it holds no maps, or it is damaged or unsafe.
        ModuleNotFoundError: it is an HDF5 file, and h5py is not installed.
    """
    if not path.exists():
        raise FileProblem(f"{path}: expected a folder, a zip or an HDF5 file of maps, found nothing")
    kind = Folder if path.is_dir() else Hdf5 if path.suffix.lower() in HDF5_SUFFIXES else Zip
    return kind(path)


class Place(ABC):
    """Where maps are.

    Attributes:
        path: of the folder or file.
        names: of the maps inside it, with folders, separated by slashes; sorted.
        expected: what it should hold, for errors.
    """

    expected = f"maps ending in {', '.join(MAP_SUFFIXES)}"

    def __init__(self, path: Path) -> None:
        self.path = path
        self.names = sorted(self.find())
        if not self.names:
            raise FileProblem(f"{path}: expected {self.expected}, found none")

    @property
    def pictures(self) -> list[str]:
        """The names of maps without negative values, because their format has none."""
        return [name for name in self.names if name.lower().endswith(PICTURES)]

    @abstractmethod
    def find(self) -> Iterable[str]:
        """The names of all maps."""

    @abstractmethod
    def read(self, name: str) -> np.ndarray:
        """The map of a name, float (h, w)."""

    def content_hash(self) -> str:
        """16 hex digits of the content, wherever it is."""
        return hash_file(self.path)


class Folder(Place):
    """Files in a folder and the folders below it."""

    def find(self) -> Iterable[str]:
        paths = (path for path in self.path.rglob("*") if path.is_file())
        return filter(_is_map, (path.relative_to(self.path).as_posix() for path in paths))

    def read(self, name: str) -> np.ndarray:
        return read_map(self.path / name)

    def content_hash(self) -> str:
        return hash_bytes(*(part for name in self.names for part in (name, hash_file(self.path / name))))


class Zip(Place):
    """Members of a zip. They are read into memory and never extracted; an unsafe archive is an error anyway."""

    def find(self) -> Iterable[str]:
        try:
            with zipfile.ZipFile(self.path) as archive:
                members = [member for member in archive.infolist() if not member.is_dir()]
        except zipfile.BadZipFile as error:
            raise FileProblem(
                f"{self.path}: expected a folder, a zip, or an HDF5 file ending in {', '.join(HDF5_SUFFIXES)}, got a "
                "file that is neither"
            ) from error
        for member in members:
            self._check(member)
        self._members = {_with_slashes(member.filename): member.filename for member in members}
        return filter(_is_map, self._members)

    def _check(self, member: zipfile.ZipInfo) -> None:
        try:
            check_member(member, self.path)
        except ArchiveProblem as error:
            raise FileProblem(str(error)) from error
        if member.file_size > MAX_MEMBER:
            raise FileProblem(
                f"{self.path}: member {member.filename!r} unpacks to {member.file_size} bytes, expected at most "
                f"{MAX_MEMBER}"
            )

    def read(self, name: str) -> np.ndarray:
        with zipfile.ZipFile(self.path) as archive:
            try:
                content = archive.read(self._members[name])
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
                raise FileProblem(f"{self.path}, {name}: cannot be unpacked: {error}") from error
        return read_map(content, name)


class Hdf5(Place):
    """Data sets in an HDF5 file and in its groups."""

    expected = "maps as data sets"
    pictures = ()  # the names may end as those of the images

    def find(self) -> Iterable[str]:
        import h5py

        names: list[str] = []
        with self._reading("the file"), h5py.File(self.path, "r") as file:
            file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
        return names

    def read(self, name: str) -> np.ndarray:
        import h5py

        with self._reading(name), h5py.File(self.path, "r") as file:
            stored = file[name]
            if stored.size is None or stored.size > MAX_PIXELS or stored.dtype.kind not in "fiub":
                raise FileProblem(
                    f"{self.path}, {name}: expected a map of at most {MAX_PIXELS} real numbers, got {stored.dtype} of "
                    f"shape {stored.shape}"
                )
            return map_of_array(stored[()], f"{self.path}, {name}")

    @contextmanager
    def _reading(self, what: str) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            if isinstance(error, FileProblem):
                raise
            raise FileProblem(f"{self.path}: cannot read {what}: {error}") from error


def _is_map(name: str) -> bool:
    path = PurePosixPath(name)
    return path.suffix.lower() in MAP_SUFFIXES and not path.name.startswith(".")  # macOS adds ._NAME to a zip


def _with_slashes(name: str) -> str:
    return name.replace("\\", "/")  # zip files made on Windows
