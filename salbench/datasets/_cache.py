"""What is parsed from a data set's files is kept in the user cache folder, so that the next start need not parse."""

import logging

import numpy as np

from salbench.files import atomic_write, hash_bytes, user_cache

log = logging.getLogger(__name__)


def cached(name, paths, parse, whole):
    """The arrays that `parse` returns, from the cache where the files are unchanged since.

    Args:
        name: how the file in the cache starts; after it comes a hash of the names, sizes and times of `paths`.
        paths: the files that are parsed.
        parse: returns {name: array}.
        whole: gets the arrays by their names; True if they are as `parse` would return them.
    """
    listing = "\n".join(f"{path.name} {stat.st_size} {stat.st_mtime_ns}" for path in paths for stat in [path.stat()])
    cache = user_cache() / "parsed" / f"{name}_{hash_bytes(listing)}.npz"
    try:
        with np.load(cache, allow_pickle=False) as file:
            arrays = dict(file)
        if whole(**arrays):
            return arrays
    except Exception:  # absent, or broken in any way that zip, zlib and NumPy know: it is only a cache
        pass
    arrays = parse()
    try:
        with atomic_write(cache, "wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        log.warning("%s is not kept, the next start will parse again: %s", cache, error)
    return arrays
