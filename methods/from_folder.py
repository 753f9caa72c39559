"""Maps written by another program: a folder or zip of PNG, JPG or NPY files, one per image."""

import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from salbench.checks import check_aspect
from salbench.files import MAP_SUFFIXES, FileProblem, hash_bytes, hash_file, read_map
from salbench.registry import OUTPUTS, MethodUnavailable, SaliencyMethod, register
from salbench.sample import Sample
from salbench.suggestions import suggestion

MAX_MEMBER = 2**28  # bytes; larger zip members are an error


@register
class FromFolder(SaliencyMethod):
    """Maps from disk, named by image id: from_folder:DIR, or from_folder:density:DIR for densities."""

    output = "map"

    def __init__(self, place: str) -> None:
        """Find the maps.

        Args:
            place: a folder or zip, after NAME= and OUTPUT: if wanted. NAME labels the row in tables; the default is
                the name of the folder or zip. OUTPUT is "map" (the default), "density" or "log_density".

        Raises:
            MethodUnavailable: no place is given.
            FileProblem: an unknown output; nothing is there, it holds no maps or two maps for one image, pictures are
                declared log densities, or the zip is damaged or unsafe.
        """
        if not place:
            raise MethodUnavailable("needs a folder or zip of maps: --methods from_folder:DIR")
        name, rest = _prefix(place, "=")
        output, rest = _prefix(rest, ":")
        self.output = output or "map"
        if self.output not in OUTPUTS:
            raise FileProblem(f"{place}: {suggestion('output', output, OUTPUTS)}")
        self.place = Path(rest).expanduser().resolve()
        own_name = self.place.stem if self.place.is_file() else self.place.name  # ".5" of a folder "v1.5" is no suffix
        self.variant = name or own_name
        if not self.place.exists():
            raise FileProblem(f"{self.place}: expected a folder or a zip of maps, found nothing")
        self._maps = self._zip_members() if self.place.is_file() else self._folder_files()
        if not self._maps:
            raise FileProblem(f"{self.place}: expected maps ending in {', '.join(MAP_SUFFIXES)}, found none")
        pictures = [str(file) for file in self._maps.values() if not str(file).lower().endswith(".npy")]
        if self.output == "log_density" and pictures:
            raise FileProblem(
                f"{self.place}: expected log densities as .npy, because pictures hold no negative values, got "
                f"{pictures[0]}"
            )

    def weights_hash(self) -> str:
        """16 hex digits of the maps: contents, ids and declared output, not the place."""
        if self.place.is_file():
            maps = hash_file(self.place)
        else:
            maps = hash_bytes(*(part for id, path in sorted(self._maps.items()) for part in (id, hash_file(path))))
        return maps if self.output == "map" else hash_bytes(self.output, maps)

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


def _prefix(text: str, separator: str) -> tuple[str, str]:
    """(prefix, rest) of what is typed. There is no prefix, "", if the whole text is a place that exists."""
    prefix, given, rest = text.partition(separator)
    return (prefix, rest) if given and not Path(text).expanduser().exists() else ("", text)


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
