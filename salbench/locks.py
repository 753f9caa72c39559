"""Locks between processes. The operating system releases them when a process ends, however it ends."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

try:
    import fcntl
except ImportError:  # Windows, which lets nobody remove or replace a file that is open
    fcntl = None  # type: ignore[assignment]


class Busy(ValueError):
    """Another process holds a lock. The message names what it works on."""


@contextmanager
def only_one(path: Path, doing: str) -> Iterator[None]:
    """Keep all others from working on a file or folder; a lock file beside it is removed at the end.

    Args:
        path: the file or folder; its parent is made.
        doing: what this process does with it, such as "is training here", for the error.

    Raises:
        Busy: another process holds the lock.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(path.with_name(f".{path.name}.lock"))
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise Busy(f"{path}: another process {doing}; wait for it, or choose another folder") from error
    try:
        yield
    finally:
        with suppress(OSError):  # before the release, or it could delete the next one's lock; Windows may refuse
            Path(lock.lock_file).unlink()
        lock.release()


def try_to_lock(file: int) -> bool | None:
    """Lock an open file, given by its descriptor, until it is closed.

    Returns:
        Whether it is locked now; None if its file system has no locks.
    """
    if fcntl is None:
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
