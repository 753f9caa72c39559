"""Keeps parsed arrays in the user cache folder, because parsing some data sets takes minutes."""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from salbench.files import hash_bytes, user_cache
from salbench.writing import atomic_write

log = logging.getLogger(__name__)
Arrays = dict[str, np.ndarray]


def cached(name: str, paths: Sequence[Path], parse: Callable[[], Arrays], whole: Callable[..., bool]) -> Arrays:
    """Return the arrays of `parse`, from the cache if the files are unchanged.

    Args:
        name: start of the cache file's name; a hash of the names, sizes and times of `paths` follows.
        paths: the files that `parse` reads.
        parse: returns the arrays by name.
        whole: takes the arrays as keyword arguments; returns whether they are complete.
    """
    listing = "\n".join(f"{path.name} {stat.st_size} {stat.st_mtime_ns}" for path in paths for stat in [path.stat()])
    cache = user_cache() / "parsed" / f"{name}_{hash_bytes(listing)}.npz"
    try:
        with np.load(cache, allow_pickle=False) as file:
            arrays = dict(file)
        if whole(**arrays):
            return arrays
    except Exception:  # missing, or damaged in any way: the cache can be made again
        pass
    arrays = parse()
    try:
        with atomic_write(cache, "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]  # a name "allow_pickle" would clash; none has it
    except OSError as error:
        log.warning("%s cannot be written, so the next start parses again: %s", cache, error)
    return arrays
