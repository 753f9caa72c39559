"""List methods, data sets, metrics, protocols, augmentations or types of edit.

A method that cannot run here is listed with what it lacks: a package, or its published weights.
"""

import argparse
import json

from salbench.cli import _options

USAGE = "{methods,datasets,metrics,protocols,augmentations,edits} [options]"
EXAMPLES = (
    "salbench list methods",
    "salbench list datasets --json",
    "salbench list methods --methods-dir my_methods",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench list`."""
    parser.add_argument(
        "what", choices=("methods", "datasets", "metrics", "protocols", "augmentations", "edits"), help="what to list"
    )
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    _options.add_folders(parser, "methods_dir", "augmentations_dir")


def execute(options: argparse.Namespace) -> int:
    """Print the list."""
    from salbench import listing, registry

    if options.methods_dir:
        registry.add_folder(options.methods_dir)
    _options.use_augmentations_dir(options)
    rows = listing.ROWS[options.what]()
    print(json.dumps(rows, indent=2) if options.json else listing.text(rows))
    return 0
