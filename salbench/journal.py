"""The finished images of an unfinished run: a line of JSON and its hash each, appended at once."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from salbench.files import hash_bytes
from salbench.identity import Identity
from salbench.locks import Busy, only_one


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
        with ExitStack() as opened:  # closed by close(), or here on any error
            try:
                opened.enter_context(only_one(path, "is writing this result"))
            except Busy as error:
                raise JournalProblem(str(error)) from error
            self._file = opened.enter_context(open(path, "a+b"))
            self._resume(identity, overwrite)
            self._opened = opened.pop_all()

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
        with self._opened:
            self._file.close()
            if remove:
                self.path.unlink(missing_ok=True)  # its folder may have been removed while it was open


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
