"""The finished images of an unfinished run: a line of JSON and its hash each, appended at once."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from salbench.files import hash_bytes
from salbench.identity import Identity


class JournalProblem(ValueError):
    """A journal that cannot be continued: another process writes to it, or it has another identity."""


class Journal:
    """Opens a journal, or resumes one with the same identity.

    Failed images (entries with an "error") are dropped, so they are tried again. So are lines from the first that was
    cut off or changed.

    Args:
        path: of the file; its folder is made.
        identity: of the run.
        overwrite: start again if the journal has another identity, instead of raising an error.

    Attributes:
        entries: {id: entry} of the finished images.

    Raises:
        JournalProblem: another process writes to the file; or it has another identity and `overwrite` is false.
    """

    def __init__(self, path: Path, identity: Identity, *, overwrite: bool = False) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = FileLock(path.with_name(f".{path.name}.lock"))
        try:
            self._lock.acquire(timeout=0)
        except Timeout as error:
            raise JournalProblem(
                f"{path}: another run is writing this result; wait for it, or choose another --out"
            ) from error
        try:
            self._file = open(path, "a+b")  # noqa: SIM115 - closed by close()
            self._resume(identity, overwrite)
        except BaseException:
            self.close()
            raise

    def _resume(self, identity: Identity, overwrite: bool) -> None:
        self._file.seek(0)
        content = self._file.read()
        lines = _whole_lines(content)
        found = _identity_of(lines[0]) if lines else Identity({}) if b"\n" in content else identity
        if found != identity and not overwrite:
            remedy = "Choose another --out, or give that run up with --overwrite"
            identity.require_same(found, f"{self.path} (an unfinished run)", remedy, JournalProblem)
        lines = lines if found == identity else []
        entries = {entry["id"]: entry for entry in map(json.loads, lines[1:])}
        self.entries: dict[str, dict[str, Any]] = {id: e for id, e in entries.items() if "error" not in e}
        self._file.truncate(sum(len(_sealed(line)) for line in lines))
        if not lines:
            self._append({"identity": identity.facts})

    def add(self, entry: dict[str, Any]) -> None:
        """Record one finished image: a dict with "id"."""
        self._append(entry)
        self.entries[entry["id"]] = entry

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._file.write(_sealed(json.dumps(entry).encode()))
        self._file.flush()

    def close(self, *, remove: bool = False) -> None:
        """Close the file, and delete it if asked to."""
        if hasattr(self, "_file"):
            self._file.close()
        if remove:
            self.path.unlink()
        with suppress(OSError):  # before the release, or it could delete the next run's lock; Windows may refuse
            Path(self._lock.lock_file).unlink()
        self._lock.release()


def _sealed(line: bytes) -> bytes:
    """A line as it stands in the file: with a tab and its hash, which shows whether it was cut off or changed."""
    return line + b"\t" + hash_bytes(line).encode() + b"\n"


def _whole_lines(content: bytes) -> list[bytes]:
    """The lines of a journal, without hash, before the first that was cut off or changed."""
    lines = []
    for sealed in content.splitlines(keepends=True):
        line, _, _ = sealed.rpartition(b"\t")
        if _sealed(line) != sealed:
            break
        lines.append(line)
    return lines


def _identity_of(line: bytes) -> Identity:
    """The identity in a journal's first line; an empty one if there is none."""
    try:
        return Identity(json.loads(line)["identity"])
    except (ValueError, KeyError, TypeError):
        return Identity({})
