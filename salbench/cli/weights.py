"""List the published weights that methods need, or convert them.

`list` prints each file, whether it was found, its licence, what it was trained on, and the page to get it from. Files
trained on ImageNet alone are for `salbench fit --from imagenet`.
`convert` checks the files of a method and writes them as METHOD.safetensors beside them; salbench then uses that file.
"""

import argparse
import json

from salbench.cli import _options

USAGE = "[list | convert] [options]"
EXAMPLES = (
    "salbench weights",
    "salbench weights list --methods unisal --weights-root DIR",
    "salbench weights convert --methods unisal",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench weights`."""
    parser.add_argument(
        "what", nargs="?", choices=("list", "convert"), default="list", help="what to do (default: list)"
    )
    parser.add_argument(
        "--methods",
        default="all",
        metavar="NAMES",
        help="methods, separated by commas, or all (default: all); see: salbench list methods",
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    _options.add_folders(parser, "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """List or convert; returns 1 if there was nothing to convert."""
    from salbench import listing, registry

    names = _options.methods(options)
    rows = listing.checkpoints(names, options.weights_root)
    if not rows:
        raise registry.MethodProblem(f"--methods: expected methods with published weights, got {options.methods}")
    if options.what == "convert":
        return _convert(options, [name for name in names if registry.get(name).checkpoints])
    print(json.dumps(rows, indent=2) if options.json else listing.text(rows))
    return 0


def _convert(options: argparse.Namespace, names: list[str]) -> int:
    from salbench import registry

    runtime, skipped = _options.runtime(options), 0
    for name in names:
        method = registry.create(name, runtime)
        try:
            print(f"{name}: {method.convert()}, hash {method.weights_hash()}")
        except registry.MethodUnavailable as reason:
            print(f"skipped {name}: {reason}")
            skipped += 1
    return int(skipped == len(names))
