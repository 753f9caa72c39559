"""Methods, data sets and augmentations of other installed packages, found by their entry points.

A package declares them in its pyproject.toml, one line per name::

    [project.entry-points."salbench.methods"]
    bright = "saliency_sets.bright"                 # a module as in `salbench.registry`, named as the method

    [project.entry-points."salbench.datasets"]
    toronto = "saliency_sets.toronto:ROW"           # a salbench.datasets.Row

    [project.entry-points."salbench.augmentations"]
    fog = "saliency_sets.weather:fog"               # a function with @photometric or @geometric

Names are read from the metadata of the installed packages. A package is imported only when one of its names is used.
"""

from collections import defaultdict
from collections.abc import Container, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import TypeVar

T = TypeVar("T")


class PluginProblem(ValueError):
    """An entry point cannot be used. The message names its package."""


@cache
def declared(group: str) -> Mapping[str, list[EntryPoint]]:
    """Return the entry points of `group` by name. Imports nothing; the metadata are read once per process."""
    points = defaultdict(list)
    for point in entry_points(group=group):
        points[point.name].append(point)
    return dict(sorted(points.items()))


def check_owner(group: str, name: str, own: Container[str]) -> None:
    """Raise an error if more than one package defines `name`.

    Args:
        own: names that salbench itself defines.

    Raises:
        PluginProblem: the message names all packages that define it.
    """
    owners = ["salbench"] if name in own else []
    owners += [_package(point) for point in declared(group).get(name, ())]
    if len(owners) > 1:
        raise PluginProblem(
            f"{name!r} is defined by {' and by '.join(owners)}: expected one package; uninstall or rename the others"
        )


def load(group: str, name: str, expected: type[T]) -> T:
    """Import the object that the entry point `name` refers to.

    Raises:
        PluginProblem: the import fails, or the object is not an instance of `expected`.
    """
    point = declared(group)[name][0]
    where = f"{name!r} of package {_package(point)} ({point.value})"
    try:
        found = point.load()
    except Exception as error:  # someone else's code can raise anything
        raise PluginProblem(f"{where}: cannot be imported: {type(error).__name__}: {error}") from error
    if not isinstance(found, expected):
        raise PluginProblem(f"{where}: expected an object of class {expected.__name__}, got {type(found).__name__}")
    return found


def _package(point: EntryPoint) -> str:
    return point.dist.name if point.dist else "an unknown package"
