"""The pages of a site, one after the other."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from salbench import edits as edit_sets
from salbench.datasets import results_name
from salbench.edits import EditSet
from salbench.report import ablations, boards, citations, generalisation, images, provenance, studies
from salbench.report.boards import Board
from salbench.report.names import Names
from salbench.report.site import ReportProblem, Site
from salbench.runtime import Runtime
from salbench.suggestions import suggestion

HEAT = (  # red, green and blue of the colour map inferno from 0.2 to 0.95, at equal steps
    ".26 .41 .56 .71 .84 .93 .98 .98 .95",
    ".04 .09 .14 .20 .29 .42 .58 .76 .94",
    ".41 .43 .41 .35 .25 .14 .03 .16 .46",
)
_UNKNOWN = {"licence": "", "citation": ""}  # of a data set that was not opened


@dataclass(frozen=True)
class Content:
    """What a site shows.

    Attributes:
        results: folder of results.
        datasets: data sets to show, as typed on the command line; by default all that have results.
        root: folder of the data sets; see `salbench.datasets.data_root`.
        maps: folder that was given to `salbench run --save-maps`; by default the site has no maps of methods.
        edits: folder of an edit set, shown with the studies of it.
        pictures: whose pictures it has: "allowed" (data whose licence allows to pass them on), "all" or "none".
    """

    results: Path | str
    datasets: Collection[str] = field(default=())
    root: Path | str | None = None
    maps: Path | str | None = None
    edits: Path | str | None = None
    pictures: str = images.ALLOWED

    @property
    def typed(self) -> dict[str, str]:
        """{name in results: name as typed}."""
        return {results_name(name): name for name in self.datasets}


def build(out: Path | str, content: Content, runtime: Runtime | None = None) -> list[str]:
    """Make or update a site.

    Args:
        out: its folder: a new one, or one with an earlier site. Pictures made of the same are kept.
        content: what it shows.
        runtime: number of threads, and whether to show progress bars.

    Returns:
        What was left out, and why.

    Raises:
        ReportProblem: there is nothing to show, a data set has no results, the folder of maps does not exist, or `out`
            holds other files.
        ResultProblem: a file is not a result of this version.
    """
    _check(content)
    site, names = Site(Path(out)), Names()
    found = boards.read(content.results, names, content.typed or None)
    whole = not content.datasets
    pages = ablations.read(content.results, names, site.left_out) if whole else []
    studied = studies.read(content.results, names) if whole else []
    if not (found or pages or studied):
        raise ReportProblem(f"{content.results}: expected results of runs, found none. Make some: salbench run")
    site.navigation = [("index.html", "Results"), ("provenance.html", "Provenance")]
    site.assets()
    about = {board.slug: _write_board(site, content, board, runtime or Runtime()) for board in found}
    for page in pages:
        texts = page.texts | {"bibtex": citations.bibtex({})}
        site.page(f"{page.slug}.html", "ablation.html", ablation=page, texts=texts)
    edit_set = None if content.edits is None else edit_sets.read(content.edits)
    for study in studied:
        _write_study(site, study, edit_set, content)
    _write_index(site, content, found, [*pages, *studied])
    commands = {board.slug: [provenance.command(result) for result in board.results] for board in found}
    site.page(
        "provenance.html", "provenance.html", boards=found, about=about, commands=commands, left_out=site.left_out
    )
    site.remove_others()
    return site.left_out


def _check(content: Content) -> None:
    if not Path(content.results).is_dir():
        raise ReportProblem(f"{content.results}: expected a folder of results, found none. Make some: salbench run")
    known = [folder.name for folder in boards.folders(content.results)]
    for name in content.typed:
        if name not in known:
            raise ReportProblem(f"{content.results}: {suggestion('folder of results', name, known)}")
    if content.maps is not None and not Path(content.maps).is_dir():
        raise ReportProblem(
            f"{content.maps}: expected a folder of maps, found none. Make some: salbench run --save-maps"
        )


def _write_index(
    site: Site, content: Content, found: Sequence[Board], others: Sequence[ablations.Page | studies.Page]
) -> None:
    matrices = generalisation.read(content.results, found)
    for matrix in matrices:
        matrix.texts["bibtex"] = citations.bibtex(citations.of_methods(line.name for line in matrix.lines))
    several = len({matrix.protocol for matrix in matrices}) > 1
    links = [
        (f"{page.slug}.html", page.title, page.counts if isinstance(page, ablations.Page) else "study of edits")
        for page in others
    ]
    site.page("index.html", "index.html", boards=found, matrices=matrices, several_protocols=several, others=links)


def _write_board(site: Site, content: Content, board: Board, runtime: Runtime) -> Mapping[str, str]:
    """Write the pages of a leaderboard; returns licence and citation of its data set if it was opened."""
    reason, shown, about = "", None, _UNKNOWN
    try:
        album = images.open_album(board, content.typed, content.root, content.maps, content.pictures)
    except images.NoPictures as problem:
        reason = str(problem)
        site.left_out.append(f"Pictures of {board.dataset}: {reason}")
    else:
        shown = images.write(album, site, runtime)
        about = {"licence": album.dataset.licence, "citation": album.dataset.citation}
    record = {"slug": board.slug, **boards.data(board), "pictures": shown}
    site.script(f"data/{board.slug}/scores.js", "salbench.board", record)
    _write_scores(site, board, about)
    site.page(
        f"images-{board.slug}.html", "images.html", board=board, about=about, reason=reason, heat=HEAT,
        mapped=bool(shown and shown["mapped"]), save_maps=provenance.save_maps(board.first),
    )  # fmt: skip
    return about


def _write_scores(site: Site, board: Board, about: Mapping[str, str]) -> None:
    lines, texts = board.lines(), board.texts()
    cited = citations.of_methods(board.methods) | (citations.of_paper() if lines["claimed"] else {})
    cited |= {board.dataset: about["citation"]} if about["citation"] else {}
    texts["bibtex"] = citations.bibtex(cited)
    notes = boards.notes_of(texts["md"])
    site.page(f"scores-{board.slug}.html", "scores.html", board=board, lines=lines, texts=texts, notes=notes)


def _write_study(site: Site, study: studies.Page, edit_set: EditSet | None, content: Content) -> None:
    shown: list[dict[str, Any]] = []
    reason = ""
    if edit_set is not None and studies.shows(study, edit_set):
        if content.pictures == images.ALL:
            shown = studies.edits(study, edit_set, site.pictures)
        else:
            licence = edit_set.licence or "not stated"
            reason = f"The pictures of the edit set {edit_set.name} (licence: {licence}) are shown with --pictures all."
    if shown:
        site.script(f"data/{study.slug}/edits.js", "salbench.edits", shown)
    site.page(
        f"{study.slug}.html", "study.html", study=study, rows=studies.lines(study), has_edits=bool(shown),
        reason=reason, texts={"md": study.text, "csv": study.table}, notes=boards.notes_of(study.text),
    )  # fmt: skip
