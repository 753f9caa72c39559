"""Which map belongs to which image: by the image's id, or by a pattern around it such as {id}_saliency."""

import os
from collections import defaultdict
from collections.abc import Iterable
from pathlib import PurePosixPath

from salbench.files import IMAGE_SUFFIXES, MAP_SUFFIXES

ID = "{id}"
_SUFFIXES = {*MAP_SUFFIXES, *IMAGE_SUFFIXES}
_SEPARATORS = "_-. "  # between an id and what is around it, if nobody gave the pattern


class Names:
    """The names of maps, to be found by image id.

    Args:
        names: with folders, separated by slashes, and usually with a suffix.
        pattern: the end of each name, with {id} in place of the image's id. With or without a suffix; without one, any
            will do. By default the id alone.
    """

    def __init__(self, names: Iterable[str], pattern: str = ID) -> None:
        self.pattern = pattern
        self._by_stem: dict[str, list[str]] = defaultdict(list)
        for name in names:
            self._by_stem[_stem(PurePosixPath(name).name)].append(name)

    def fitting(self, id: str) -> list[str]:
        """The names that fit an image's id: one, unless there is no map for it or there are several."""
        wanted = self.pattern.replace(ID, id)
        candidates = self._by_stem.get(_stem(PurePosixPath(wanted).name), [])
        return [name for name in candidates if _ends_with(name, wanted)]

    def pattern_around(self, id: str) -> str | None:
        """The pattern that all names share and that fits one of them to this id; None unless there is exactly one.

        What is around an id must begin or end with one of the characters "_-. ", so that 1 is not found in img_12.
        """
        stems = list(self._by_stem)
        prefix, suffix = _common(stems), _common([stem[::-1] for stem in stems])[::-1]
        last = PurePosixPath(id).name
        heads = ["", *(prefix[:end] for end in range(1, len(prefix) + 1) if prefix[end - 1] in _SEPARATORS)]
        tails = ["", *(suffix[start:] for start in range(len(suffix)) if suffix[start] in _SEPARATORS)]
        fitting = [f"{head}{ID}{tail}" for head in heads for tail in tails if f"{head}{last}{tail}" in stems]
        return fitting[0] if len(fitting) == 1 else None


def _stem(name: str) -> str:
    """A name without the suffix of a picture or map. Other dots belong to the name."""
    suffix = PurePosixPath(name).suffix
    return name.removesuffix(suffix) if suffix.lower() in _SUFFIXES else name


def _ends_with(name: str, wanted: str) -> bool:
    """Whether the last parts of a name are those wanted; the name's suffix counts only if one is wanted."""
    if _stem(wanted) == wanted:
        name = _stem(name)
    return f"/{name}".endswith(f"/{wanted}")


def _common(texts: list[str]) -> str:
    """What all texts begin with."""
    return os.path.commonprefix(texts)  # noqa: RUF071 - characters, not folders
