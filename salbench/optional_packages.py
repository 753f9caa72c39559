"""Optional packages: how to install what an import did not find."""

import re
from importlib.metadata import PackageNotFoundError, requires

_REQUIREMENT = re.compile(r"(?P<package>[\w.-]+).*;\s*extra\s*==\s*['\"](?P<extra>[\w-]+)['\"]")


def needs(error: ModuleNotFoundError) -> str:
    """What a failed import needs, with the command that installs it: "needs torch: python -m pip install ..."."""
    package = (error.name or "").partition(".")[0]
    return f"needs {package}: python -m pip install {_target(package)}"


def _target(package: str) -> str:
    """The extra of salbench that brings a package; the package itself if no extra does."""
    for match in map(_REQUIREMENT.fullmatch, _requirements()):
        if match and match["package"].replace("-", "_").lower() == package.lower():
            return f"'salbench[{match['extra']}]'"
    return package


def _requirements() -> list[str]:
    try:
        return requires("salbench") or []
    except PackageNotFoundError:  # a clone that is not installed
        return []
