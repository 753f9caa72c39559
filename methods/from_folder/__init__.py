"""Maps written by another program: a folder, zip or HDF5 file with one map per image."""

from pathlib import Path
from threading import Lock

import numpy as np

from salbench.checks import check_aspect
from salbench.files import FileProblem, hash_bytes
from salbench.registry import MethodUnavailable, SaliencyMethod, register
from salbench.sample import Sample

from .._spec import label_of, output_of
from .names import ID, Names
from .places import opened


@register
class FromFolder(SaliencyMethod):
    """Maps from disk, named by image id: from_folder:DIR, or from_folder:density:DIR for densities."""

    output = "map"

    def __init__(self, place: str) -> None:
        """Find the maps.

        Args:
            place: a folder, zip or HDF5 file, after NAME= and OUTPUT: if wanted. NAME labels the row in tables; the
                default is the name of the folder or file. OUTPUT is "map" (the default), "density" or "log_density".
                A pattern may follow after a slash, such as DIR/{id}_saliency.png.

        Raises:
            MethodUnavailable: no place is given.
            FileProblem: an unknown output; nothing is there, it holds no maps, pictures are declared log densities, or
                the file is damaged or unsafe.
            ModuleNotFoundError: the maps need a package that is not installed.
        """
        if not place:
            raise MethodUnavailable("needs a folder, zip or HDF5 file of maps: --methods from_folder:DIR")
        name, rest = label_of(place)
        self.output, rest = output_of(rest)
        path, self._pattern = _split(rest)
        self.place = opened(path)
        self.variant = name or (path.stem if path.is_file() else path.name)  # ".5" of a folder "v1.5" is no suffix
        self._names = Names(self.place.names, self._pattern or ID)
        self._lock = Lock()
        if self.output == "log_density" and self.place.pictures:
            raise FileProblem(
                f"{path}: expected log densities as floats, such as .npy, because pictures hold no negative values, "
                f"got {self.place.pictures[0]}"
            )

    def weights_hash(self) -> str:
        """16 hex digits of the maps: contents, names, pattern and declared output, not the place."""
        maps = self.place.content_hash()
        given = [self.output] if self.output != "map" else []
        given += [self._pattern] if self._pattern else []
        return hash_bytes(*given, maps) if given else maps

    def notes(self) -> list[str]:
        """The pattern of the names, if nobody gave it."""
        if self._pattern or self._names.pattern == ID:
            return []
        return [f"its maps are the files named {self._names.pattern}: a pattern that all names share, found by itself."]

    def predict(self, sample: Sample) -> np.ndarray:
        """The map of an image, at its own size.

        Raises:
            FileProblem: no or several maps with the image's id, or one that cannot be read or has another aspect ratio.
        """
        found = self.place.read(self._find(sample.id))
        try:
            check_aspect(found.shape, sample.size, f"{self.place.path}: map of {sample.id}")
        except ValueError as error:
            raise FileProblem(f"{error}; transpose or resize the map") from error
        return found

    def _find(self, id: str) -> str:
        with self._lock:  # one thread finds the pattern for all
            fitting = self._names.fitting(id)
            if not fitting and not self._pattern and self._names.pattern == ID:
                self._names.pattern = self._names.pattern_around(id) or ID
                fitting = self._names.fitting(id)
        if len(fitting) != 1:
            wanted = self._names.pattern.replace(ID, id)
            found = f"found {' and '.join(fitting[:2]) or 'none'}"
            hint = "" if self._pattern else f"; if names hold more than the id, give a pattern, such as DIR/{ID}_map"
            raise FileProblem(f"{self.place.path}: expected one map named {wanted}, {found}{hint}")
        return fitting[0]


def _split(text: str) -> tuple[Path, str | None]:
    """(place, pattern or None) of PLACE or PLACE/PATTERN."""
    path = Path(text).expanduser()
    parts = [ID in part for part in path.parts]
    if not any(parts):
        return path.resolve(), None
    first = parts.index(True)
    return Path(*path.parts[:first]).resolve(), "/".join(path.parts[first:])
