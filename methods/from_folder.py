"""Maps written by another program: a folder or zip of PNG, JPG or NPY files, one per image."""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from salbench.checks import check_aspect
from salbench.files import MAP_SUFFIXES, FileProblem, hash_bytes, hash_file, read_map
from salbench.registry import MethodUnavailable, SaliencyMethod, register
from salbench.sample import Sample

MAX_MEMBER = 2**28  # bytes; larger zip members are an error


@register
class FromFolder(SaliencyMethod):
    """Maps from disk, named by image id: from_folder:DIR, from_folder:MAPS.zip or from_folder:NAME=DIR."""

    output = "map"

    def __init__(self, place: str | None = None) -> None:
        """Find the maps.

        Args:
            place: DIR, ZIP, NAME=DIR or NAME=ZIP. NAME labels the row in tables; the default is the name of the
                folder or zip.

        Raises:
            MethodUnavailable: no place is given.
            FileProblem: nothing is there, it holds no maps or two maps for one image, or the zip is damaged or unsafe.
        """
        if not place:
            raise MethodUnavailable("needs a folder or zip of maps: --methods from_folder:DIR")
        name, given, rest = place.partition("=")
        named = given and not Path(place).expanduser().exists()
        self.place = Path(rest if named else place).expanduser().resolve()
        own_name = self.place.stem if self.place.is_file() else self.place.name  # ".5" of a folder "v1.5" is no suffix
        self.variant = name if named else own_name
        if not self.place.exists():
            raise FileProblem(f"{self.place}: expected a folder or a zip of maps, found nothing")
        self._maps = self._zip_members() if self.place.is_file() else self._folder_files()
        if not self._maps:
            raise FileProblem(f"{self.place}: expected maps ending in {', '.join(MAP_SUFFIXES)}, found none")

    def weights_hash(self) -> str:
        """16 hex digits of the maps: contents and ids, not the place."""
        if self.place.is_file():
            return hash_file(self.place)
        return hash_bytes(*(part for id, path in sorted(self._maps.items()) for part in (id, hash_file(path))))

    def predict(self, sample: Sample) -> np.ndarray:
        """The map of an image, at its own size.

        Raises:
            FileProblem: there is no map with the image's id, it cannot be read, or it has another aspect ratio.
        """
        found = self._read(sample)
        try:
            check_aspect(found.shape, sample.size, f"{self.place}: map of {sample.id}")
        except ValueError as error:
            raise FileProblem(f"{error}; transpose or resize the map") from error
        return found

    def _read(self, sample: Sample) -> np.ndarray:
        if sample.id not in self._maps:
            raise FileProblem(f"{self.place}: expected a map named {sample.id} with one of {', '.join(MAP_SUFFIXES)}")
        entry = self._maps[sample.id]
        if isinstance(entry, Path):
            return read_map(entry)
        with zipfile.ZipFile(self.place) as archive:
            try:
                content = archive.read(entry)
            except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError) as error:
                raise FileProblem(f"{self.place}, {entry}: cannot be unpacked: {error}") from error
        return read_map(content, entry)

    def _folder_files(self) -> dict[str, Path]:
        return _by_stem((p for p in sorted(self.place.rglob("*")) if p.is_file()), self.place)

    def _zip_members(self) -> dict[str, str]:
        """{stem: member}. Members are read into memory and never extracted; an unsafe archive is an error anyway."""
        try:
            with zipfile.ZipFile(self.place) as archive:
                members = [m for m in archive.infolist() if not m.is_dir()]
        except zipfile.BadZipFile as error:
            raise FileProblem(f"{self.place}: expected a folder or a zip, got a file that is neither") from error
        for member in members:
            path = PurePosixPath(member.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                raise FileProblem(f"{self.place}: member {member.filename!r} points outside the archive; remove it")
            if member.file_size > MAX_MEMBER:
                raise FileProblem(
                    f"{self.place}: member {member.filename!r} unpacks to {member.file_size} bytes, expected at most "
                    f"{MAX_MEMBER}"
                )
        return _by_stem((m.filename for m in members), self.place)


def _by_stem(names: Iterable[Path | str], place: Path) -> dict[str, Any]:
    """{file stem: name} of the maps among files."""
    found = {}
    for name in names:
        path = PurePosixPath(str(name).replace("\\", "/"))  # zip files made on Windows
        if path.suffix.lower() in MAP_SUFFIXES and not path.name.startswith((".", "._")):
            if path.stem in found:
                raise FileProblem(f"{place}: expected one map per image, got {found[path.stem]} and {name}")
            found[path.stem] = name
    return found
