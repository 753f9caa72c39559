"""Maps that some other program has written: a folder or a zip of PNG, JPG or NPY, one per image."""

import zipfile
import zlib
from pathlib import Path, PurePosixPath

from salbench.files import MAP_SUFFIXES, FileProblem, hash_bytes, hash_file, read_map
from salbench.registry import MethodUnavailable, SaliencyMethod, register

MAX_MEMBER = 2**28  # bytes; a zip member that claims to unpack to more is refused


@register
class FromFolder(SaliencyMethod):
    """Maps from disk: from_folder:DIR, from_folder:MAPS.zip or from_folder:NAME=DIR, file stem = image id."""

    output = "map"

    def __init__(self, place=None):
        if not place:
            raise MethodUnavailable("needs a folder or zip of maps: --methods from_folder:DIR")
        name, given, rest = place.partition("=")
        named = given and not Path(place).expanduser().exists()
        self.place = Path(rest if named else place).expanduser().resolve()
        own_name = self.place.stem if self.place.is_file() else self.place.name  # "v1.5" is no suffix
        self.variant = name if named else own_name
        if not self.place.exists():
            raise FileProblem(f"{self.place}: expected a folder or a zip of maps, found nothing there")
        self._maps = self._zip_members() if self.place.is_file() else self._folder_files()
        if not self._maps:
            raise FileProblem(f"{self.place}: expected maps ending in {', '.join(MAP_SUFFIXES)}, found none")

    def weights_hash(self):
        if self.place.is_file():
            return hash_file(self.place)
        return hash_bytes(*(part for id, path in sorted(self._maps.items()) for part in (id, hash_file(path))))

    def predict(self, sample):
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

    def _folder_files(self):
        return _by_stem((p for p in sorted(self.place.rglob("*")) if p.is_file()), self.place)

    def _zip_members(self):
        """Names by stem. Members are read into memory and never extracted, but a hostile archive is refused."""
        try:
            with zipfile.ZipFile(self.place) as archive:
                members = [m for m in archive.infolist() if not m.is_dir()]
        except zipfile.BadZipFile as error:
            raise FileProblem(f"{self.place}: expected a folder or a zip, got a file that is neither") from error
        for member in members:
            path = PurePosixPath(member.filename.replace("\\", "/"))
            if path.is_absolute() or ".." in path.parts:
                raise FileProblem(f"{self.place}: refused, member {member.filename!r} points outside the archive")
            if member.file_size > MAX_MEMBER:
                raise FileProblem(f"{self.place}: refused, member {member.filename!r} unpacks to {member.file_size} B")
        return _by_stem((m.filename for m in members), self.place)


def _by_stem(names, place):
    found = {}
    for name in names:
        path = PurePosixPath(str(name).replace("\\", "/"))  # zips made on Windows
        if path.suffix.lower() in MAP_SUFFIXES and not path.name.startswith((".", "._")):
            if path.stem in found:
                raise FileProblem(f"{place}: expected one map per image, got {found[path.stem]} and {name}")
            found[path.stem] = name
    return found
