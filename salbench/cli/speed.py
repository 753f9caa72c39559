"""Measure the speed of the metrics, of methods, or of a cluster, on this machine.

Without --methods: times the metrics, and pysaliency for comparison. With --methods: images per second of each method,
its peak memory, and how much of a network's time passes outside the network. With --size: seconds, operations and bytes
of each part of a method whose networks have another size, and what share it reaches of the speed at which this machine
multiplies matrices. With --cluster: how much faster several processes are than one, and what a cluster adds to the time
of an image.
"""

import argparse

from salbench.cli import _options, _values

USAGE = "[options]"
EXAMPLES = (
    "salbench speed",
    "salbench speed --methods lite --device cuda",
    "salbench speed --methods diffusion_readout --size full",
    "salbench speed --cluster 1,2,4",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench speed`."""
    parser.add_argument(
        "--methods",
        metavar="NAMES",
        help="methods to time instead of the metrics, separated by commas, classical, table1 or all",
    )
    parser.add_argument(
        "--size",
        metavar="SIZE",
        help="measure each part of the methods, and their edits, with networks of this size and random weights; "
        "full: that of the published model; on a CPU, diffusion_readout takes a minute per prediction, and 6.4 GB",
    )
    parser.add_argument(
        "--cluster",
        dest="processes",
        type=_values.counts,
        metavar="N,N,...",
        help="time clusters of so many processes of this machine instead of the metrics",
    )
    _options.add_runtime(parser, "device", "backbone", "init")
    _options.add_folders(parser, "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Measure and print; returns 1 if no method could be timed."""
    if options.methods and options.processes:
        raise ValueError("--cluster and --methods: expected one of them, got both")
    if options.methods:
        return _methods(options)
    given_device = ["device"] if options.device != "cpu" else []
    for name in (*given_device, "size", "init", "backbone", "weights_root", "methods_dir"):
        _options.require(options, name, "--methods")
    if options.processes:
        from salbench.speed import clusters

        print(clusters.report(options.processes))
        return 0
    from salbench.speed import metrics

    print(metrics.report())
    return 0


def _methods(options: argparse.Namespace) -> int:
    specs, runtime = _options.methods(options), _options.runtime(options)
    if options.size:
        from salbench.speed import sizes

        for name in ("init", "backbone"):
            if getattr(options, name):
                raise ValueError(f"--size and --{name}: expected one of them, got both")
        text, timed = sizes.report(specs, options.size, runtime, options.methods_dir)
    else:
        from salbench.speed import methods

        text, timed = methods.report(specs, runtime, options.methods_dir)
    print(text)
    return int(timed == 0)
