"""Measure the speed of the metrics, or of networks, on this machine.

Without --methods: times the metrics, and pysaliency for comparison. With --methods: images per second of each network,
its peak memory, and how much of the time passes outside the network.
"""

import argparse

from salbench.cli import _options

USAGE = "[options]"
EXAMPLES = (
    "salbench speed",
    "salbench speed --methods lite --device cuda",
    "salbench speed --methods unisal,simplenet --init random",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench speed`."""
    parser.add_argument(
        "--methods", metavar="NAMES", help="networks to time instead of the metrics, separated by commas, or all"
    )
    _options.add_runtime(parser, "device", "backbone", "init")
    _options.add_folders(parser, "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Measure and print; returns 1 if no network could be timed."""
    if options.methods:
        return _networks(options)
    given_device = ["device"] if options.device != "cpu" else []
    for name in (*given_device, "init", "backbone", "weights_root", "methods_dir"):
        _options.require(options, name, "--methods")
    from salbench.speed import metrics

    print(metrics.report())
    return 0


def _networks(options: argparse.Namespace) -> int:
    from salbench.speed import networks

    text, timed = networks.report(_options.methods(options), _options.runtime(options), options.methods_dir)
    print(text)
    return int(timed == 0)
