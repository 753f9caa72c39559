"""Make a site from results: leaderboards, comparisons of methods, and the images.

The pages open from disk, without a server or a network. Their numbers are those of `salbench table`, `matrix` and
`ablate`. Rerun the same command after new runs to update the site.
"""

import argparse
import sys

from salbench.cli import _options, _values

USAGE = "[options]"
EXAMPLES = (
    "salbench report --out site",
    "salbench report --datasets osie_test --maps MAPS --data-root DIR",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench report`."""
    parser.add_argument(
        "--results", type=_values.path, default="results", metavar="DIR", help="folder with results (default: results)"
    )
    parser.add_argument(
        "--datasets",
        type=_values.words,
        metavar="NAMES",
        help="data sets to show, separated by commas (default: all with results)",
    )
    parser.add_argument(
        "--maps",
        type=_values.path,
        metavar="DIR",
        help="maps to show, as saved by `salbench run --save-maps DIR` (default: no maps)",
    )
    parser.add_argument(
        "--edits",
        type=_values.path,
        metavar="DIR",
        help="an edit set, to show on the page of its study, before and after",
    )
    parser.add_argument(
        "--pictures",
        choices=("allowed", "all", "none"),
        default="allowed",
        help="whose images and fixations to show: of data sets whose licence allows to pass them on; of all, for "
        "private use; or of none (default: allowed)",
    )
    _options.add_out(parser, "site", "folder for the site")
    _options.add_runtime(parser, "workers")
    _options.add_folders(parser, "data_root")


def execute(options: argparse.Namespace) -> int:
    """Make the site and print where it is."""
    from salbench import report

    content = report.Content(
        results=options.results,
        datasets=options.datasets or (),
        root=options.data_root,
        maps=options.maps,
        edits=options.edits,
        pictures=options.pictures,
    )
    for line in report.build(options.out, content, _options.runtime(options)):
        print(f"left out: {line}", file=sys.stderr)
    print(f"site: {options.out / 'index.html'}")
    return 0
