"""The finished images of an unfinished run: one line of JSON each, appended and flushed at once."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from salbench.identity import Identity
from salbench.locks import Busy, only_one


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
        with self._opened:
            self._file.close()
            if remove:
                self.path.unlink(missing_ok=True)  # its folder may have been removed while it was open


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
