"""Send results as one file, check what others sent, and merge it.

  pack   write the results in a folder to a ZIP file
  check  list every fault of archives
  merge  unite the results of archives in a folder

Means are computed again from the scores of the images. If an archive holds maps, and their data set is on disk, check
scores them again and prints the claimed means beside those of the maps. merge writes equal results once, and shows
results that disagree instead of merging them.

The exit status is 1 if check found a fault, or if results that merge was given disagree.
"""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from salbench.cli import _options, _values

if TYPE_CHECKING:
    from salbench.result_archives import Report

USAGE = "{pack,check,merge} [FOLDER | FILE...] [options]"
EXAMPLES = (
    "salbench results pack results --datasets osie_test --out mine.zip",
    "salbench results pack results --maps MAPS      # maps from: salbench run --save-maps MAPS",
    "salbench results check mine.zip yours.zip --data-root DIR",
    "salbench results merge mine.zip yours.zip --out everybody",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench results`."""
    parser.add_argument(
        "what", choices=("pack", "check", "merge"), metavar="WHAT", help="what to do: pack, check or merge"
    )
    parser.add_argument(
        "places", nargs="*", type=_values.path, metavar="FOLDER_OR_FILE", help="the folder to pack, or the archives"
    )
    parser.add_argument(
        "--out",
        type=_values.path,
        metavar="PLACE",
        help="for pack, the file (default: FOLDER.zip); for merge, the folder",
    )
    group = parser.add_argument_group("what to pack")
    group.add_argument("--datasets", type=_values.words, metavar="NAMES", help="data sets (default: all)")
    group.add_argument("--methods", type=_values.words, metavar="NAMES", help="labels of methods (default: all)")
    group.add_argument(
        "--maps",
        type=_values.path,
        metavar="DIR",
        help="also pack the maps in DIR, as `run --save-maps DIR` wrote them",
    )
    _options.add_folders(parser, "data_root")


def execute(options: argparse.Namespace) -> int:
    """Pack, check or merge; returns 1 for faults or results that disagree."""
    if options.what != "pack":
        for name in ("datasets", "methods", "maps"):
            _options.require(options, name, "results pack")
    return {"pack": _pack, "check": _check, "merge": _merge}[options.what](options)


def _pack(options: argparse.Namespace) -> int:
    from salbench import result_archives

    if len(options.places) > 1:
        raise ValueError(f"results pack: expected one folder, got {', '.join(map(str, options.places))}")
    folder = options.places[0] if options.places else Path("results")
    path = options.out or folder.with_name(f"{folder.resolve().name}.zip")
    report = result_archives.pack(folder, path, datasets=options.datasets, methods=options.methods, maps=options.maps)
    print(f"{path}: {_content(report)}, {path.stat().st_size / 1e3:,.0f} kB")
    return 0


def _check(options: argparse.Namespace) -> int:
    from salbench import result_archives

    _options.require(options, "out", "results pack or merge")
    if not options.places:
        raise ValueError("results check: expected archives after it, got nothing")
    faults = 0
    for path in options.places:
        report = result_archives.check(path, options.data_root)
        for line in (*report.faults, *report.remarks):
            print(f"{path}: {line}")
        _print_rescored(report)
        faults += len(report.faults)
        state = f"{len(report.faults)} fault{'s'[: len(report.faults) != 1]}" if report.faults else "valid"
        print(f"{path}: {_content(report)}: {state}")
    return int(faults > 0)


def _print_rescored(report: "Report") -> None:
    from salbench import listing

    for found in report.rescored:
        kind = "the maps that were scored" if found.exact else "8-bit copies of the scored maps, so scores differ a bit"
        rows = [
            {"metric": metric, "claimed": f"{claimed:.4f}", "recomputed": f"{found.recomputed[metric]:.4f}"}
            for metric, claimed in found.claimed.items()
        ]
        print(f"\n{found.name}, from {kind}:\n{listing.text(rows)}\n")


def _content(report: "Report") -> str:
    datasets = len({run.dataset for run in report.runs})
    return f"{len(report.runs)} result{'s'[: len(report.runs) != 1]} on {datasets} data set{'s'[: datasets != 1]}"


def _merge(options: argparse.Namespace) -> int:
    from salbench import result_archives

    if options.out is None or not options.places:
        raise ValueError(
            "results merge: expected archives and --out DIR, such as: salbench results merge A.zip --out DIR"
        )
    merged = result_archives.merge(options.places, options.out)
    for line in merged.conflicts:
        print(f"not merged: {line}")
    print(
        f"{options.out}: {len(merged.added)} added, {len(merged.kept)} there already, {len(merged.conflicts)} disagree"
    )
    return int(bool(merged.conflicts))
