"""Make a site from results: leaderboards, comparisons of methods, and the images.

The pages open from disk, without a server or a network. Their numbers are those of `salbench table`, `matrix` and
`ablate`. Rerun the same command after new runs to update the site.
"""

import argparse
import sys

from salbench.cli import _options, _values

USAGE = "[options]"
EXAMPLES = ("salbench report --out site",)


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
    _options.add_out(parser, "site", "folder for the site")


def execute(options: argparse.Namespace) -> int:
    """Make the site and print where it is."""
    from salbench import report

    for line in report.build(options.out, options.results, datasets=options.datasets):
        print(line, file=sys.stderr)
    print(f"site: {options.out / 'index.html'}")
    return 0
