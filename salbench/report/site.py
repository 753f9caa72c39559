"""The site as files: its folder, its templates, its scripts."""

import json
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salbench import __version__
from salbench.metrics import METRICS
from salbench.report import boards
from salbench.report.pictures import Pictures
from salbench.writing import atomic_write, has_files

if TYPE_CHECKING:
    from jinja2 import Environment

ASSETS = ("report.js", "report.css", "compare.js", "images.js", "edits.js")
_MARK = "assets/report.js"  # a folder with this file is a site, so it is the first that is written


class ReportProblem(ValueError):
    """A site that cannot be made. The message says what was expected and what to do."""


@dataclass
class Site:
    """The files of a site while it is made.

    Attributes:
        out: its folder: a new one, or one with an earlier site.
        navigation: (page, text) of the links on every page.
        left_out: what a reader could expect but the site does not show, with the reason.

    Raises:
        ReportProblem: the folder holds other files.
    """

    out: Path
    navigation: list[tuple[str, str]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise ReportProblem(f"{self.out}: expected a folder for the site, found a file; choose another --out")
        if has_files(self.out) and not (self.out / _MARK).is_file():
            raise ReportProblem(
                f"{self.out}: expected an empty folder or a site made by `salbench report`, found other files; "
                "choose another --out"
            )
        self.pictures = Pictures(self.out)
        self._environment = _environment()
        self._written: set[Path] = set()

    def write(self, name: str, text: str) -> None:
        """Write a text file of the site, whole or not at all."""
        with atomic_write(self.out / name) as file:
            file.write(text)
        self.keep(name)

    def keep(self, name: str) -> None:
        """Keep a file of an earlier site."""
        self._written.add(self.out / name)

    def page(self, name: str, template: str, **values: Any) -> None:
        """Write a page from a template."""
        shared = {"page": name, "navigation": self.navigation, "version": __version__, "metrics": METRICS}
        text = self._environment.get_template(template).render(**shared, **values)
        self.write(name, "\n".join(line for line in text.splitlines() if line.strip()) + "\n")

    def script(self, name: str, target: str, value: Any) -> None:
        """Write data as a script that assigns them, because a page opened from disk can fetch no other file."""
        self.write(name, f"{target} = {to_json(value)};\n")

    def assets(self) -> None:
        """Write the style and the scripts."""
        for name in ASSETS:
            source = resources.files("salbench.report") / "assets" / name
            self.write(f"assets/{name}", source.read_text(encoding="utf-8"))

    def remove_others(self) -> None:
        """Delete pages, scripts and pictures of an earlier site that this one does not have."""
        self.pictures.remove_others()
        for path in [*self.out.glob("*.html"), *(self.out / "data").rglob("*.js")]:
            if path not in self._written:
                path.unlink()


def to_json(value: Any) -> str:
    """JSON that can stand in a script element: it holds no character that could end the element or a line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


@cache
def _environment() -> "Environment":
    """The templates, each of which is compiled once in a process."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("salbench.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["json"] = lambda value: Markup(to_json(value))
    environment.filters["breakable"] = lambda text: Markup("_<wbr>").join(text.split("_"))
    environment.filters["number"] = boards.number
    environment.filters["signed"] = boards.signed
    return environment
