"""BibTeX of what a table shows. Entries hold citations as their owners state them, without taking them apart."""

import re
from collections.abc import Iterable

from salbench import __version__, registry, tables

_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_SPECIAL = str.maketrans({c: rf"\{c}" for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\~{}", "^": r"\^{}"})


def bibtex(cited: dict[str, str]) -> str:
    """BibTeX of salbench and of other works.

    Args:
        cited: {name, such as that of a data set: citation in words}.
    """
    works = {"salbench": f"salbench {__version__}: a benchmark for models that predict where people look"} | cited
    return "\n".join(_entry(name, text) for name, text in works.items())


def of_methods(labels: Iterable[str]) -> dict[str, str]:
    """{method: citation} of the methods that have a paper."""
    found = {}
    for name in dict.fromkeys(label.partition("+")[0] for label in labels):
        try:
            paper = registry.get(name).paper
        except (registry.MethodProblem, registry.MethodUnavailable):
            continue
        if paper:
            found[name] = paper
    return found


def of_paper() -> dict[str, str]:
    """{key: citation} of the paper whose numbers are claimed."""
    return {"paper": tables.paper(tables.paper_tables()[0])["source"]}


def _entry(name: str, text: str) -> str:
    key = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_") or "_"
    year = _YEAR.findall(text)
    lines = [f"  note = {{{text.translate(_SPECIAL)}}}", *([f"  year = {{{year[-1]}}}"] if year else [])]
    return f"@misc{{{key},\n" + ",\n".join(lines) + "\n}\n"
