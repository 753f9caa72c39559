"""An archive: its layout, its manifest, and reading its members one by one."""

import hashlib
import json
import re
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from salbench.archives import ArchiveProblem, check_member

FORMAT, SCHEMA = "salbench results", 1
MANIFEST = "manifest.json"
RESULT = re.compile(r"results/(?P<dataset>[^/]+)/(?P<label>[^/]+)\.(?P<kind>json|csv)")
MAP = re.compile(r"maps/(?P<dataset>[^/]+)/(?P<label>[^/]+)/(?P<id>.+)\.(?P<kind>png|npy)")
LARGEST = 2**26  # bytes of a member; a map of 4096 x 4096 pixels as float32 is as large
_DAMAGE = (zipfile.BadZipFile, EOFError, RuntimeError, NotImplementedError, zlib.error, OSError)


class Archive:
    """An open archive.

    Attributes:
        path: of the ZIP file, for messages.
        faults: what was found so far, a line each.
        members: names of the members that can be read safely.
    """

    def __init__(self, path: Path, file: zipfile.ZipFile) -> None:
        self.path, self._file = path, file
        self.faults: list[str] = []
        self.members: dict[str, zipfile.ZipInfo] = {}
        infos = [info for info in file.infolist() if not info.is_dir()]
        times = Counter(info.filename for info in infos)
        unsafe: dict[str, None] = {}  # each fault once; there can be a hundred thousand
        for info in infos:
            fault = _unsafe(info, path, times[info.filename])
            if fault is None:
                self.members[info.filename] = info
            else:
                unsafe[fault] = None
        self.faults.extend(unsafe)

    def read(self, name: str) -> bytes | None:
        """The content of a member; None, and a fault, if it is damaged."""
        try:
            return self._file.read(self.members[name])
        except _DAMAGE as error:
            self.faults.append(f"{name}: damaged in the ZIP file ({error}); expected a member that can be unpacked")
            return None


def _unsafe(info: zipfile.ZipInfo, path: Path, times: int) -> str | None:
    """Why a member is not read."""
    try:
        check_member(info, path)
    except ArchiveProblem as problem:
        return str(problem)
    name = info.filename
    if not name.isprintable():
        return f"{name!r}: expected a printable name"
    if times > 1:
        return f"{name}: expected once, the ZIP file holds it {times} times"
    if info.flag_bits & 1:
        return f"{name}: expected a member without a password, got an encrypted one"
    if info.file_size > LARGEST:
        return f"{name}: expected at most {LARGEST >> 20} MiB, unpacks to {info.file_size / 2**20:.0f} MiB"
    if name != MANIFEST and not RESULT.fullmatch(name) and not MAP.fullmatch(name):
        return f"{name}: expected results/DATASET/LABEL.json or .csv, or maps/DATASET/LABEL/ID.png or .npy"
    return None


@contextmanager
def opened(path: Path | str) -> Iterator[Archive]:
    """Open an archive and look at the names in it and at its manifest.

    Raises:
        ArchiveProblem: no ZIP file.
    """
    path = Path(path)
    try:
        file = zipfile.ZipFile(path)
    except FileNotFoundError as error:
        raise ArchiveProblem(f"{path}: no such file") from error
    except (zipfile.BadZipFile, IsADirectoryError, EOFError, ValueError, NotImplementedError) as error:
        raise ArchiveProblem(
            f"{path}: expected a ZIP file made by `salbench results pack`, got something else ({error})"
        ) from error
    with file:
        archive = Archive(path, file)
        _compare_with_manifest(archive)
        yield archive


def digest(content: bytes) -> str:
    """SHA-256 in hex digits."""
    return hashlib.sha256(content).hexdigest()


def _compare_with_manifest(archive: Archive) -> None:
    """Compare the members with the manifest; those that differ from it are faults."""
    listed = _manifest(archive)
    if listed is None:
        return
    held = archive.members.keys() - {MANIFEST}
    archive.faults += [f"{name}: expected by {MANIFEST}, not in the archive" for name in sorted(listed.keys() - held)]
    archive.faults += [f"{name}: not listed in {MANIFEST}" for name in sorted(held - listed.keys())]
    for name in sorted(listed.keys() & held):
        content = archive.read(name)
        if content is not None and digest(content) != listed[name]:
            archive.faults.append(
                f"{name}: expected SHA-256 {str(listed[name])[:12]}..., got {digest(content)[:12]}...; edited since it "
                "was packed"
            )


def _manifest(archive: Archive) -> dict[str, str] | None:
    """{name: SHA-256} of the members, as the manifest says; None, and a fault, if it cannot be read."""
    expected = f'expected {{"format": "{FORMAT}", "schema": {SCHEMA}, "files": {{...}}}}'
    if MANIFEST not in archive.members:
        archive.faults.append(f"{MANIFEST}: missing; {expected}")
        return None
    content = archive.read(MANIFEST)
    if content is None:
        return None
    try:
        manifest = json.loads(content)
        found, files = (manifest["format"], manifest["schema"]), manifest["files"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        archive.faults.append(f"{MANIFEST}: {expected}, got something else ({error!r})")
        return None
    if found != (FORMAT, SCHEMA) or not isinstance(files, dict):
        archive.faults.append(f"{MANIFEST}: {expected}, got format {found[0]!r}, schema {found[1]!r}")
        return None
    return files
