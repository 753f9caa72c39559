"""What README, docs/ and results/ print: commands parse, and what needs no data runs.

A block after the line `<!-- runs -->` needs no data and is run: the blocks of a page in order, in one folder, within
the process of the tests. Python whose first line is a comment with a path is written to that path instead. The folders
MY_SET and MAPS of the pages are made here.
"""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from salbench import cli, registry
from salbench.augment import catalog
from salbench.datasets import load

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([ROOT / "README.md", *(ROOT / "docs").rglob("*.md"), *(ROOT / "results").glob("*.md")])
BLOCK = re.compile(r"(?P<runs><!-- runs -->\n)?^```(?P<language>sh|python)\n(?P<code>.*?)^```$", re.S | re.M)
FILE = re.compile(r"# (?P<path>[\w/]+\.py)\n")  # first line of a block
LINK = re.compile(r"\]\((?!https?:)(?P<path>[\w./+-]+)(#[\w.-]+)?\)")
PROGRAMS = (["salbench"], ["python", "benchmark.py"], ["python", "-m", "salbench"])
IMAGES = 3  # of MY_SET


class Block(NamedTuple):
    language: str
    code: str
    runs: bool


def blocks(page: Path) -> list[Block]:
    return [Block(m["language"], m["code"], bool(m["runs"])) for m in BLOCK.finditer(page.read_text(encoding="utf-8"))]


def commands(code: str) -> list[list[str]]:
    """The arguments of every salbench command in a block: continued lines joined, comments and variables left out."""
    lines = [shlex.split(line, comments=True) for line in code.replace("\\\n", " ").splitlines()]
    return [arguments for line in lines for words in _split(line) if (arguments := _arguments(words)) is not None]


def _split(words: list[str]) -> list[list[str]]:
    """The commands of a line, which && separates."""
    if "&&" not in words:
        return [words]
    at = words.index("&&")
    return [words[:at], *_split(words[at + 1 :])]


def _arguments(words: list[str]) -> list[str] | None:
    while words and re.fullmatch(r"[A-Z_]+=.*", words[0]):
        words = words[1:]
    return next((words[len(p) :] for p in PROGRAMS if words[: len(p)] == p), None)


PRINTED = [
    pytest.param(arguments, id=f"{page.relative_to(ROOT)}: {shlex.join(arguments)}")
    for page in PAGES
    for block in blocks(page)
    if block.language == "sh"
    for arguments in commands(block.code)
]


def test_finds_commands_in_every_form():
    code = "ls && salbench\nOMP_NUM_THREADS=1 salbench list \\\n    methods  # all\npython benchmark.py speed"
    assert commands(code + "\nls") == [[], ["list", "methods"], ["speed"]]


def test_every_verb_is_shown():
    shown = {arguments[0] for (arguments,) in (param.values for param in PRINTED) if arguments}
    assert shown >= set(cli.verbs()) - {"run"}  # the default verb


@pytest.mark.parametrize("arguments", PRINTED)
def test_printed_command_parses(arguments):
    if not arguments or (arguments[0].startswith("-") and arguments[0] != "--help"):
        arguments = ["run", *arguments]
    parser = cli.parser(None if arguments[0] == "--help" else arguments[:1])
    if "--help" in arguments:
        with pytest.raises(SystemExit, match="0"):
            parser.parse_args(arguments)
    else:
        assert parser.parse_args(arguments).verb == arguments[0]


def named(pages: list[Path]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


@named(PAGES)
def test_links_lead_to_files(page):
    paths = [match["path"] for match in LINK.finditer(page.read_text(encoding="utf-8"))]
    assert [path for path in paths if not (page.parent / path).exists()] == []


@named(PAGES)
def test_python_compiles(page):
    for block in blocks(page):
        if block.language == "python":
            compile(block.code, str(page), "exec")


@pytest.fixture
def place(tmp_path):
    """A folder with MY_SET (images and fixations) and MAPS, made of `popout`."""
    samples = load("popout").samples[:IMAGES]
    for folder in ("MY_SET/images", "MAPS"):
        (tmp_path / folder).mkdir(parents=True)
    lines = ["image,x,y"]
    for sample in samples:
        image = sample.read_image()
        Image.fromarray(image).save(tmp_path / f"MY_SET/images/{sample.id}.png")
        np.save(tmp_path / f"MAPS/{sample.id}.npy", image.mean(axis=2))
        lines += [f"{sample.id},{x},{y}" for x, y in sample.fixations]
    (tmp_path / "MY_SET/fixations.csv").write_text("\n".join(lines) + "\n")
    return tmp_path


def running() -> list:
    """Pages with blocks that run. A page that trains a network is slow."""
    code = {page: "".join(block.code for block in blocks(page) if block.runs) for page in PAGES}
    slow = {page: [pytest.mark.slow] if "salbench fit" in code[page] else [] for page in PAGES}
    return [pytest.param(page, marks=slow[page], id=str(page.relative_to(ROOT))) for page in PAGES if code[page]]


@pytest.mark.parametrize("page", running())
def test_page_runs(page, place, monkeypatch):
    monkeypatch.chdir(place)
    for block in (block for block in blocks(page) if block.runs):
        file = FILE.match(block.code)
        if file:
            path = place / file["path"]
            path.parent.mkdir(exist_ok=True)
            path.write_text(block.code)
        elif block.language == "python":
            exec(compile(block.code, str(page), "exec"), {})
        else:
            for arguments in commands(block.code):
                assert status(arguments, monkeypatch) == 0, shlex.join(arguments)


def status(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> int:
    """The exit status of a command, which knows nothing that an earlier command has added."""
    with monkeypatch.context() as patch:
        patch.setattr(registry, "_FOLDERS", list(registry._FOLDERS))
        patch.setattr(catalog, "_CATALOG", dict(catalog._CATALOG))
        patch.setattr(catalog, "_FOLDERS", list(catalog._FOLDERS))
        try:
            return cli.main(arguments)
        except SystemExit as stop:  # of --help
            return stop.code
