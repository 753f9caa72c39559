"""The finished images of an unfinished run: one line of JSON each, appended and flushed at once."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from salbench.identity import Identity


class JournalProblem(ValueError):
    """A journal that cannot be continued: another process writes to it, or it has another identity."""


class Journal:
    """Opens a journal, or resumes one with the same identity.

    Failed images (entries with an "error") are dropped, so they are tried again. So is a line that was cut off.

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
        lines = _whole_lines(self._file.read())
        found = _identity_of(lines[0]) if lines else identity
        if found != identity and not overwrite:
            remedy = "Choose another --out, or give that run up with --overwrite"
            identity.require_same(found, f"{self.path} (an unfinished run)", remedy, JournalProblem)
        lines = lines if found == identity else []
        entries = {entry["id"]: entry for entry in map(json.loads, lines[1:])}
        self.entries: dict[str, dict[str, Any]] = {id: e for id, e in entries.items() if "error" not in e}
        self._file.truncate(sum(len(line) + 1 for line in lines))
        if not lines:
            self._append({"identity": identity.facts})

    def add(self, entry: dict[str, Any]) -> None:
        """Record one finished image: a dict with "id"."""
        self._append(entry)
        self.entries[entry["id"]] = entry

    def _append(self, entry: Mapping[str, Any]) -> None:
        self._file.write(json.dumps(entry).encode() + b"\n")
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


def _whole_lines(content: bytes) -> list[bytes]:
    """The lines of a journal before the first that was not written completely."""
    lines = []
    for line in content.split(b"\n")[:-1]:
        try:
            json.loads(line)
        except ValueError:
            break
        lines.append(line)
    return lines


def _identity_of(line: bytes) -> Identity:
    """The identity in a journal's first line; an empty one if there is none."""
    try:
        return Identity(json.loads(line)["identity"])
    except (ValueError, KeyError, TypeError):
        return Identity({})
