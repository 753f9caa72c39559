"""List the data sets and their files, or check, download or recognise them.

`list` prints for each data set whether it was found and where, the number and size of its images, its licence, and how
to get it. `check NAME` reads every file and reports all problems at once. `get NAME` downloads a data set that its
authors offer as one ZIP file (this needs the package pooch). `import DIR` says what a folder holds, and which command
uses it. For images of your own it prints the dataset.toml that describes them, and writes it with --write.
"""

import argparse
import json
import shlex
from pathlib import Path
from typing import TYPE_CHECKING

from salbench.cli import _options

if TYPE_CHECKING:
    from salbench.dataset_files import Recognised

USAGE = "[list | check NAME | get NAME | import DIR] [options]"
EXAMPLES = (
    "salbench data",
    "salbench data check osie_test --data-root DIR",
    "salbench data get osie --data-root DIR",
    "salbench data import MY_SET --write",
)
_COLUMNS = ("name", "images", "size", "licence", "found")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench data`."""
    parser.add_argument(
        "what", nargs="?", choices=("list", "check", "get", "import"), default="list", help="what to do (default: list)"
    )
    parser.add_argument("target", nargs="?", metavar="NAME_OR_DIR", help="the data set, or for import, the folder")
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.add_argument(
        "--write", action="store_true", help="for import: write DIR/dataset.toml, unless there is one already"
    )
    _options.add_folders(parser, "data_root")


def execute(options: argparse.Namespace) -> int:
    """List, check, download or recognise; returns 1 if a check found problems."""
    if options.write and options.what != "import":
        raise ValueError(f"--write requires: data import, got data {options.what}")
    if options.what == "list":
        return _list(options)
    if options.target is None:
        raise ValueError(f"data {options.what}: expected {'DIR' if options.what == 'import' else 'NAME'} after it")
    return {"check": _check, "get": _get, "import": _import}[options.what](options)


def _list(options: argparse.Namespace) -> int:
    from salbench import listing

    if options.target is not None:
        raise ValueError(f"data list: expected no name after it, got {options.target!r}")
    rows = listing.data_files(options.data_root)
    if options.json:
        print(json.dumps(rows, indent=2))
        return 0
    print(listing.text([{column: row[column] for column in _COLUMNS} for row in rows]))
    missing = [row["how"] for row in rows if row["how"] and row["found"].startswith(listing.NOT_FOUND)]
    if missing:
        print("\nHow to get those that are missing:", *dict.fromkeys(missing), sep="\n- ")
    return 0


def _check(options: argparse.Namespace) -> int:
    from salbench.dataset_files import check

    images, problems = check(options.target, options.data_root, progress=True)
    for problem in problems:
        print(f"problem: {problem}")
    print(f"{options.target}: {images} images read, {len(problems) or 'no'} problem{'s'[: len(problems) != 1]}")
    return int(bool(problems))


def _get(options: argparse.Namespace) -> int:
    from salbench.dataset_files import download

    print(f"{options.target}: downloaded to {download(options.target, options.data_root, progress=True)}")
    return _check(options)


def _import(options: argparse.Namespace) -> int:
    from salbench.dataset_files import recognise, write_manifest

    folder = Path(options.target).expanduser()
    for found in recognise(folder):
        written = write_manifest(folder, found) if options.write else None
        lines = _of_my_own(found, folder, written) if found.dataset else _known(found, folder)
        print(*lines, sep="\n")
    return 0


def _known(found: "Recognised", folder: Path) -> list[str]:
    from salbench.datasets import get

    scored = next((test for name in found.names if (test := get(name).test)), found.names[0])
    commands = [["data", "check", scored], ["run", "--dataset", scored]]
    return [
        f"{folder} holds {', '.join(found.names)}. Check it and score methods on it:",
        *(f"  {shlex.join(['salbench', *words, '--data-root', str(found.root)])}" for words in commands),
    ]


def _of_my_own(found: "Recognised", folder: Path, written: Path | None) -> list[str]:
    dataset = found.dataset
    assert dataset is not None
    if dataset.has_fixations:
        what = "fixations"
    elif dataset.is_scorable:
        what = "densities without fixations, so only the metrics that compare densities can be computed"
    else:
        what = "no fixations, so methods can predict but not be scored"
    lines = [
        f"{folder} is no data set that salbench knows by name. As a folder of your own: {len(dataset.samples)} images, "
        f"{what}."
    ]
    if found.toml is not None:
        needed = (
            "It needs this dataset.toml" if found.needs_toml else "It needs no dataset.toml; this one says the same"
        )
        lines.append(f"Wrote {written}:" if written else f"{needed} (--write writes it):")
        lines += [f"  {line}" for line in found.toml.splitlines()]
    command = ["salbench", "run" if dataset.is_scorable else "show", "--dataset", *found.names]
    return [*lines, "Score methods on it:" if dataset.is_scorable else "Look at it:", f"  {shlex.join(command)}"]
