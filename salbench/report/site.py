"""The site: which pages there are, and their files."""

import json
import logging
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salbench import __version__
from salbench.datasets import results_name
from salbench.files import atomic_write
from salbench.metrics import METRICS
from salbench.report import boards, citations, generalisation, images, provenance
from salbench.report.boards import Board
from salbench.report.images import Album
from salbench.report.names import Names
from salbench.report.pictures import Pictures
from salbench.runtime import Runtime

if TYPE_CHECKING:
    from jinja2 import Environment

log = logging.getLogger(__name__)
ASSETS = ("report.css", "report.js", "compare.js", "images.js")
HEAT = (  # red, green and blue of the colour map inferno from 0.2 to 0.95, at equal steps
    ".26 .41 .56 .71 .84 .93 .98 .98 .95", ".04 .09 .14 .20 .29 .42 .58 .76 .94", ".41 .43 .41 .35 .25 .14 .03 .16 .46",
)  # fmt: skip
_MARK = "assets/report.js"  # a folder with this file is a site


class ReportProblem(ValueError):
    """A site that cannot be made. The message says what was expected and what to do."""


@dataclass
class Site:
    """The pages and files of a site while it is made.

    Attributes:
        out: its folder.
        left_out: what a reader could expect but the site does not show, with the reason.
    """

    out: Path
    left_out: list[str] = field(default_factory=list)
    navigation: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise ReportProblem(f"{self.out}: expected a folder for the site, found a file; choose another --out")
        if self.out.is_dir() and any(self.out.iterdir()) and not (self.out / _MARK).is_file():
            raise ReportProblem(
                f"{self.out}: expected an empty folder or a site made by `salbench report`, found other files; "
                "choose another --out"
            )
        self._environment = _environment()

    def write(self, name: str, text: str) -> None:
        """Write a text file of the site, whole or not at all."""
        with atomic_write(self.out / name) as file:
            file.write(text)

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


def to_json(value: Any) -> str:
    """JSON that can stand in a script element: it holds no character that could end the element or a line."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _environment() -> "Environment":
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("salbench.report"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["json"] = lambda value: Markup(to_json(value))
    environment.filters["breakable"] = lambda text: Markup("_<wbr>").join(text.split("_"))
    environment.filters["number"] = boards.number
    return environment


def build(
    out: Path | str,
    results: Path | str,
    *,
    datasets: Collection[str] | None = None,
    root: Path | str | None = None,
    maps: Path | str | None = None,
    pictures: str = images.ALLOWED,
    runtime: Runtime | None = None,
) -> list[str]:
    """Make or update a site.

    Args:
        out: its folder: a new one, or one with an earlier site.
        results: folder of results.
        datasets: data sets to show, as typed on the command line; by default all that have results.
        root: folder of the data sets; see `salbench.datasets.data_root`.
        maps: folder that was given to `salbench run --save-maps`; by default the site has no maps of methods.
        pictures: whose pictures it has: "allowed" (data whose licence allows it), "all" or "none".
        runtime: number of threads, and whether to show progress bars.

    Returns:
        What was left out, and why.

    Raises:
        ReportProblem: there is nothing to show, or `out` holds other files.
        ResultProblem: a file is not a result of this version.
    """
    if not Path(results).is_dir():
        raise ReportProblem(f"{results}: expected a folder of results, found none. Make some: salbench run")
    site, names = Site(Path(out)), Names()
    typed = {results_name(name): name for name in datasets or ()}
    found = boards.read(results, names, typed or None)
    if not found:
        raise ReportProblem(f"{results}: expected results of runs, found none. Make some: salbench run")
    site.navigation = [("index.html", "Results"), ("provenance.html", "Provenance")]
    site.assets()
    shown = Pictures(site.out)
    about = {}
    for board in found:
        try:
            album = images.open_album(board, typed, root, maps, pictures)
        except images.NoPictures as problem:
            site.left_out.append(f"Pictures of {board.dataset}: {problem}")
            about[board.slug] = _write_board(site, board, None, str(problem), shown, runtime or Runtime())
        else:
            about[board.slug] = _write_board(site, board, album, "", shown, runtime or Runtime())
    shown.remove_others()
    matrices = generalisation.read(results, found)
    for matrix in matrices:
        matrix.texts["bibtex"] = citations.bibtex(citations.of_methods(line.name for line in matrix.lines))
    several = len({matrix.protocol for matrix in matrices}) > 1
    site.page("index.html", "index.html", boards=found, matrices=matrices, several_protocols=several, others=[])
    site.page(
        "provenance.html", "provenance.html", boards=found, left_out=site.left_out,
        about=about,
        commands={board.slug: [provenance.command(result) for result in board.results] for board in found},
    )  # fmt: skip
    return site.left_out


def _write_board(
    site: Site, board: Board, album: Album | None, reason: str, shown: Pictures, runtime: Runtime
) -> dict[str, str]:
    """Write the pages of a leaderboard; returns licence and citation of the data set if it was opened."""
    record = {"slug": board.slug, **boards.data(board), "pictures": None}
    about = {"licence": "", "citation": ""}
    if album is not None:
        write = lambda name, value: site.script(name, f"salbench.images[{value['index']}]", value)  # noqa: E731
        record["pictures"] = images.write(album, shown, site.out, write, runtime)
        about = {"licence": album.dataset.licence, "citation": album.dataset.citation}
    site.script(f"data/{board.slug}/scores.js", "salbench.board", record)
    lines, texts = board.lines(), board.texts()
    cited = citations.of_methods(board.methods) | (citations.of_paper() if lines["claimed"] else {})
    cited |= {board.dataset: about["citation"]} if about["citation"] else {}
    site.page(
        f"scores-{board.slug}.html", "scores.html", board=board, lines=lines,
        texts={**texts, "bibtex": citations.bibtex(cited)}, notes=boards.notes_of(texts["md"]),
    )  # fmt: skip
    site.page(
        f"images-{board.slug}.html", "images.html", board=board, about=about, reason=reason, heat=HEAT,
        mapped=bool(record["pictures"] and record["pictures"]["mapped"]), save_maps=provenance.save_maps(board.first),
    )  # fmt: skip
    return about
