"""Atomic writes: a file is written whole or not at all.

While a file NAME is written it is called `.NAME.0.tmp`, or `.NAME.1.tmp` if another process writes NAME too. A process
that is killed leaves that file behind; the next one that writes NAME takes or removes it.
"""

import errno
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from salbench.locks import try_to_lock


@contextmanager
def atomic_write(path: Path | str, mode: str = "w", *, durable: bool = True) -> Iterator[IO]:
    """Open a temporary file that replaces `path` on success; on any error `path` stays untouched.

    Args:
        path: the file; its folder is made.
        mode: "w" for UTF-8 text, "wb" for bytes.
        durable: wait until the disk has the content, so that it survives a power cut. It takes a few milliseconds.

    Raises:
        OSError: the disk failed. It names `path`.
    """
    with atomic_path(path, durable=durable) as temporary:
        if "b" in mode:
            with _WithoutNumber(open(temporary, "wb", buffering=0)) as file:
                yield file
        else:
            with open(temporary, mode, encoding="utf-8", newline="\n") as text:
                yield text


class _WithoutNumber(io.BufferedWriter):
    """A file without a file number. Pillow would write JPEG to that itself, and lose what the disk does not take."""

    def fileno(self) -> int:
        raise io.UnsupportedOperation("fileno")


@contextmanager
def atomic_path(path: Path | str, *, durable: bool = True) -> Iterator[Path]:
    """Give the path of a temporary file that replaces `path` on success; on any error `path` stays untouched.

    What a process that was killed has left behind is used or removed by the next one that writes `path`.

    Args:
        path, durable: see `atomic_write`.

    Raises:
        OSError: the disk failed. It names `path`.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with _naming(path), _temporary(path) as temporary:
        yield temporary
        with open(temporary, "rb+") as file:
            if durable:
                os.fsync(file.fileno())
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Make errors of the disk name a file that is written, also those that a library reports in words only."""
    try:
        yield
    except Exception as error:
        number, about = _errno(error), getattr(error, "filename", None)
        if number is None or (about is not None and not _is_temporary(Path(about).name)):
            raise
        raise OSError(number, os.strerror(number), str(path)) from error


def _errno(error: Exception) -> int | None:
    """The error number of the operating system; None if the error has another cause.

    h5py and safetensors say it in words. NumPy and Pillow do not say it if the disk does not take all bytes.
    """
    if getattr(error, "errno", None) is not None:
        return error.errno  # type: ignore[attr-defined]
    in_words = re.search(r"(?:os error |errno = )(\d+)", str(error))
    if in_words:
        return int(in_words[1])
    return errno.EIO if isinstance(error, OSError) else None


def has_files(folder: Path) -> bool:
    """Whether a folder or its subfolders hold files, other than the temporary ones of a process that was killed."""
    return any(path.is_file() and not _is_temporary(path.name) for path in folder.rglob("*"))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


@contextmanager
def _temporary(path: Path) -> Iterator[Path]:
    """An empty file beside `path`, removed on any error. Its lock tells others that it is not abandoned."""
    temporary, lock = _claim(path)
    try:
        yield temporary
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    finally:
        _release(lock)


def _claim(path: Path) -> tuple[Path, int | None]:
    """The first temporary file of `path` that no other process writes, and its lock. Removes later abandoned ones."""
    number = 0
    while (claimed := _claimed(_numbered(path, number))) is None:
        number += 1
    later = number + 1
    while (other := _numbered(path, later)).exists():
        if abandoned := _claimed(other):
            other.unlink()
            _release(abandoned[1])
        later += 1
    return claimed


def _numbered(path: Path, number: int) -> Path:
    return path.with_name(f".{path.name}.{number}.tmp")


def _is_temporary(name: str) -> bool:
    """Whether a file name is that of a temporary file."""
    return name.startswith(".") and name.endswith(".tmp")


def _claimed(temporary: Path) -> tuple[Path, int | None] | None:
    """A temporary file and its lock, if it is new or abandoned. If there are no locks, none counts as abandoned."""
    try:
        file, is_new = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), True
    except FileExistsError:
        try:
            file, is_new = os.open(temporary, os.O_RDWR), False
        except (FileNotFoundError, PermissionError):  # just renamed; or another user's
            return None
    is_locked = try_to_lock(file)
    if is_locked and _is_same(file, temporary):
        os.ftruncate(file, 0)
        return temporary, file
    os.close(file)
    return (temporary, None) if is_new and is_locked is None else None


def _is_same(file: int, path: Path) -> bool:
    """Whether an open file is still at its path: another process may have renamed or removed it before the lock."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _release(lock: int | None) -> None:
    if lock is not None:
        os.close(lock)
