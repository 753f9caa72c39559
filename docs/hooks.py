"""MkDocs hooks: fill the pages with what the code says, and add notebooks and the pages of results/ to the site.

A page asks for a table or a help text with a comment on a line of its own:

    <!-- list metrics: name, better, unit -->    these columns of `salbench list metrics`
    <!-- weights: method, file, licence -->      these columns of `salbench weights`
    <!-- data: name, images, licence -->         these columns of `salbench data`
    <!-- protocols -->                           every choice of every protocol
    <!-- help -->                                the help of every verb
    <!-- modules -->                             the modules of salbench, each with its layer

The line after it, "*On the site ...*", is for readers of the clone. The site leaves it out.
"""

import argparse
import ast
import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))  # document this clone, whatever is installed
os.environ["COLUMNS"] = "100"  # width of the help texts

from salbench import cli, listing, registry  # noqa: E402
from salbench.protocol import PROTOCOLS  # noqa: E402

_COMMENT = re.compile(
    r"^<!-- (list (?P<what>\w+)|\w+)(?:: (?P<columns>[^>]+))? -->$(?:\n\*On the site[^\n]*)?", re.MULTILINE
)
_TO_RESULTS = re.compile(r"\]\(\.\./\.\./((?:\.\./)*results/)")  # as written in docs/pages, for readers of the clone
_TO_PAGES = "](../docs/pages/"  # as written in results/


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of results/, the tables of the studies, every figure, and notebooks as pages."""
    for pattern in ("*.md", "*/*.md", "*/*.png"):
        for path in sorted((ROOT / "results").glob(pattern)):
            files.append(File.generated(config, path.relative_to(ROOT).as_posix(), abs_src_path=str(path)))
    for file in [file for file in files if file.src_uri.endswith(".ipynb")]:
        files.append(File.generated(config, file.src_uri.replace(".ipynb", ".md"), content=_page(file)))
    return files


def _page(file: File) -> str:
    """A notebook as a page: its text and its code."""
    cells = json.loads(file.content_string)["cells"]
    parts = [(cell["cell_type"], "".join(cell["source"])) for cell in cells]
    parts = [text if kind == "markdown" else f"```python\n{text}\n```" for kind, text in parts]
    title, *rest = "\n\n".join(parts).split("\n\n")
    return "\n\n".join([title, f'<a href="{Path(file.src_uri).name}" download>The notebook of this page</a>', *rest])


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Replace the comments, and point links between docs/pages and results/ to the site."""
    markdown = _TO_RESULTS.sub(r"](\1", markdown).replace(_TO_PAGES, "](../").replace(".ipynb)", ".md)")
    return _COMMENT.sub(_filled, markdown)


def _filled(match: re.Match[str]) -> str:
    columns = (match["columns"] or "").split(", ")
    if match["what"]:
        return _table(listing.ROWS[match["what"]](), columns)
    if match[1] == "weights":
        return _table(listing.checkpoints(registry.available()), columns)
    if match[1] == "data":
        return _table(listing.data_files(), columns)
    fill = {"protocols": _protocols, "help": _help, "modules": _modules}.get(match[1])
    return fill() if fill else match[0]


def _table(rows: Iterable[Mapping[str, Any]], columns: list[str]) -> str:
    return _markdown([[_text(row[column]) for column in columns] for row in rows], columns)


def _protocols() -> str:
    choices = {name: _choices(asdict(protocol)) for name, protocol in PROTOCOLS.items()}
    labels = dict.fromkeys(label for choice in choices.values() for label in choice)
    rows = [[f"`{label}`", *(_text(choice.get(label, "default")) for choice in choices.values())] for label in labels]
    return _markdown(rows, ["", *(f"`{name}`" for name in choices)])


def _choices(protocol: dict[str, Any]) -> dict[str, Any]:
    """The choices of a protocol by name, options of metrics as "metric.option"."""
    options = protocol.pop("options")
    for name in ("name", "version", "summary"):
        del protocol[name]
    return protocol | {f"{metric}.{name}": value for metric, own in options.items() for name, value in own.items()}


def _help() -> str:
    verbs = next(a for a in cli.parser()._actions if isinstance(a, argparse._SubParsersAction)).choices
    return "\n\n".join(f"## {name}\n\n```text\n{verb.format_help().strip()}\n```" for name, verb in verbs.items())


def _modules() -> str:
    layers, rows = _layers(), []
    for path in [*ROOT.glob("salbench/[!_]*.py"), *ROOT.glob("salbench/*/__init__.py")]:
        name = path.parent.name if path.name == "__init__.py" else path.stem
        docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
        rows.append([str(layers.get(name, "")), f"`{name}`", docstring.partition("\n")[0]])
    return _markdown(sorted(rows), ["layer", "module", "what it is"])


def _layers() -> dict[str, int]:
    """{module: layer}, from the test that checks the imports."""
    test = ast.parse((ROOT / "tests" / "test_imports.py").read_text(encoding="utf-8"))
    assigned = {node.targets[0].id: node.value for node in test.body if isinstance(node, ast.Assign)}
    return ast.literal_eval(assigned["LAYERS"])


def _markdown(rows: list[list[str]], headers: list[str]) -> str:
    return tabulate(rows, headers, tablefmt="pipe", disable_numparse=True)


def _text(value: Any) -> str:
    """A value as the text of a cell: yes and no, lists without brackets, and a dash for None."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, Mapping):
        return "; ".join(f"{name} {_text(part)}" for name, part in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(_text(part) for part in value)
    return "–" if value is None else str(value).replace("|", "\\|")
