"""What computed a result: versions of packages and the git commit."""

import os
import platform
import subprocess
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from salbench import __version__

PACKAGES = ("numpy", "scipy", "pandas", "numba", "pillow", "torch")


@cache
def provenance() -> dict[str, Any]:
    """{"versions", "machine", "cores", "commit"}. The commit ends with "+" if the source has been edited since."""
    versions = {"python": platform.python_version(), "salbench": __version__}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"versions": versions, "machine": platform.machine(), "cores": os.cpu_count(), "commit": _commit()}


def _commit() -> str | None:
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():  # perhaps installed into somebody else's repository
        return None
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()
