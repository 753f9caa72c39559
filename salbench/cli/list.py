"""List methods, data sets, metrics, protocols, augmentations and other things to name.

A method that cannot run here is listed with what it lacks: a package, or its published weights.
"""

import argparse
import json
from typing import Any

from salbench.cli import _options

USAGE = "{methods,datasets,images,metrics,protocols,augmentations,edits,controls} [options]"
EXAMPLES = (
    "salbench list methods",
    "salbench list datasets --json",
    "salbench list images --dataset popout                   # the ids that --id takes",
    "salbench list methods --methods-dir my_methods",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench list`."""
    parser.add_argument(
        "what",
        choices=("methods", "datasets", "images", "metrics", "protocols", "augmentations", "edits", "controls"),
        metavar="WHAT",
        help="methods, datasets, images, metrics, protocols, augmentations, edits or controls",
    )
    parser.add_argument("--dataset", metavar="NAME", help="the data set of `list images`; popout if not given")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir", "augmentations_dir")


def execute(options: argparse.Namespace) -> int:
    """Print the list."""
    from salbench import listing, registry

    if options.what != "images":
        _options.require(options, "dataset", "images")
    if options.methods_dir:
        registry.add_folder(options.methods_dir)
    _options.use_augmentations_dir(options)
    more: dict[str, dict[str, Any]] = {
        "methods": {"root": options.weights_root},
        "images": {"dataset": options.dataset or "popout", "root": options.data_root},
    }
    rows = listing.ROWS[options.what](**more.get(options.what, {}))
    print(json.dumps(rows, indent=2) if options.json else listing.text(rows))
    return 0
