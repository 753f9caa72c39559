"""Optional packages: how to install what an import did not find."""

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.metadata import PackageNotFoundError, requires

_REQUIREMENT = re.compile(
    r"(salbench\[(?P<inner>[\w-]+)\]|(?P<package>[\w.-]+)).*;\s*extra\s*==\s*['\"](?P<extra>[\w-]+)['\"]"
)


def needs(error: ModuleNotFoundError, others: Iterable[str] = ()) -> str:
    """What a failed import needs, with the command that installs it: "needs torch: python -m pip install ...".

    Args:
        error: names the package that was not found.
        others: packages that will be imported afterwards. The command installs them too if an extra brings them.
    """
    package = (error.name or "").partition(".")[0]
    return f"needs {package}: python -m pip install {_target(package, others)}"


def _target(package: str, others: Iterable[str]) -> str:
    """The extra of salbench that brings a package, most of the others and little else; the package if no extra does."""
    extras = {extra: packages for extra, packages in _extras().items() if _plain(package) in packages}
    if not extras:
        return package
    wanted = {_plain(package), *map(_plain, others)}
    best = max(extras, key=lambda extra: (len(extras[extra] & wanted), -len(extras[extra])))
    return f"'salbench[{best}]'"


def _extras() -> dict[str, set[str]]:
    """{extra: packages that it brings, directly or by another extra}."""
    direct: dict[str, set[str]] = {}
    for match in filter(None, map(_REQUIREMENT.fullmatch, _requirements())):
        direct.setdefault(match["extra"], set()).add(match["inner"] or _plain(match["package"]))
    return {extra: set(_leaves(extra, direct)) for extra in direct}


def _leaves(name: str, direct: Mapping[str, set[str]]) -> Iterator[str]:
    if name not in direct:
        yield name
    for inner in direct.get(name, ()):
        yield from _leaves(inner, direct)


def _plain(package: str) -> str:
    return package.replace("-", "_").lower()


def _requirements() -> list[str]:
    try:
        return requires("salbench") or []
    except PackageNotFoundError:  # a clone that is not installed
        return []
