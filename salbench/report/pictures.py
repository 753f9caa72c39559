"""Pictures of the site: WebP files named after what they are made of, so that those that exist are kept."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from salbench.files import hash_bytes
from salbench.report.names import harmless
from salbench.writing import atomic_write

FOLDER = "pictures"
_VERSION = "1"  # goes up when pictures of the same content should look different


class Pictures:
    """The pictures of a site.

    Args:
        out: folder of the site.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._used: set[str] = set()

    def add(
        self, folder: str, name: str, made_of: list[str], make: Callable[[], np.ndarray], *, longest: int, quality: int
    ) -> str:
        """Write a picture unless it exists.

        Args:
            folder: part of its path; a name of `Names`.
            name: what it shows, in any characters.
            made_of: hashes of all that decides what it looks like, beside the size and the quality.
            make: returns the picture, uint8 (h, w) grey or (h, w, 3) RGB.
            longest: its longer side in pixels, unless it is smaller.
            quality: of WebP, 0 to 100.

        Returns:
            Its path in the site, with /.
        """
        key = hash_bytes(_VERSION, *made_of, str(longest), str(quality))
        path = f"{FOLDER}/{folder}/{harmless(name)}-{key}.webp"
        if not (self._out / path).is_file():
            picture = Image.fromarray(make())
            picture.thumbnail((longest, longest), Image.Resampling.LANCZOS)
            # Thousands of pictures do not wait for the disk: they can be made again.
            with atomic_write(self._out / path, "wb", durable=False) as file:
                picture.save(file, "WEBP", quality=quality, method=2)
        self._used.add(path)
        return path

    def keep(self, paths: list[str]) -> bool:
        """Keep pictures of an earlier site, unless one is missing; returns whether all are there."""
        if not all((self._out / path).is_file() for path in paths):
            return False
        self._used.update(paths)
        return True

    def remove_others(self) -> None:
        """Delete the pictures of an earlier site that this one does not use: they may no longer be shown."""
        for path in sorted((self._out / FOLDER).rglob("*.webp")):
            if path.relative_to(self._out).as_posix() not in self._used:
                path.unlink()
