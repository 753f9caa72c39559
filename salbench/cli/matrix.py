"""Print how methods generalise: every method on several data sets.

One table has a row per method and a column per data set, with 95 % intervals over images. Values on a data set that a
method has learned from are marked and not ranked. A second table shows which part of the explainable information each
method reaches, on data sets with results of a ceiling such as inter_observer.

With --methods, each method is first scored where results are missing, as by `salbench run`; rerun the same command to
resume. Without, the table shows the results that are in OUT, and no data set is needed.
"""

import argparse
import sys

from salbench.cli import _options, _values

USAGE = "--datasets NAMES [options]"
EXAMPLES = (
    "salbench matrix --methods lite,inter_observer --datasets osie_test,nus_scene --data-root DIR",
    "salbench matrix --datasets osie_test,salicon2015_examples --metric nss --format latex",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench matrix`."""
    parser.add_argument(
        "--datasets",
        required=True,
        metavar="NAMES",
        help="data sets, separated by commas; see: salbench list datasets",
    )
    parser.add_argument(
        "--methods",
        default="",
        metavar="NAMES",
        help="methods to show, separated by commas, classical, table1 or all (default: those with results in OUT)",
    )
    parser.add_argument(
        "--metric", default="auc", metavar="NAME", help="metric (default: auc); see: salbench list metrics"
    )
    parser.add_argument(
        "--protocol",
        default="tuebingen",
        metavar="NAME",
        help="how maps are prepared and scored (default: tuebingen); see: salbench list protocols",
    )
    parser.add_argument("--format", choices=("md", "latex", "csv"), default="md", help="format (default: md)")
    _options.add_seed(parser, "bootstrap intervals and for fitting")
    _options.add_out(parser, "results", "folder for results")
    _options.add_runtime(parser, "device", "backbone", "workers", "batch_size")
    _options.add_cluster(parser)
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Score what is missing and print the tables; returns 1 if a method did not run or an image failed."""
    from salbench import matrix
    from salbench.metrics import METRICS

    names = _values.words(options.datasets)
    if not names:
        raise ValueError("--datasets: expected names separated by commas, got nothing")
    if options.metric not in METRICS:
        raise ValueError(f"--metric: expected one of {', '.join(METRICS)}, got {options.metric!r}")
    labels, complete = None, True
    if options.methods:
        names, labels, complete = _scored(options, names)
    text = matrix.table(options.out, names, options.metric, options.protocol, methods=labels, style=options.format)
    print(text, end="")
    return int(not complete)


def _scored(options: argparse.Namespace, names: list[str]) -> tuple[list[str], set[str], bool]:
    """Run the methods on every data set.

    Returns:
        Names of the data sets in results, labels of the methods that ran, and whether all did completely.
    """
    from salbench.datasets import load, training_split
    from salbench.evaluation import Evaluation
    from salbench.protocol import named
    from salbench.results import Result

    runtime, specs, protocol = _options.runtime(options), _options.methods(options), named(options.protocol)
    labels, complete = set(), True
    opened = [load(name, options.data_root) for name in names]  # a wrong name shows before the first run
    for dataset in opened:
        train = lambda dataset=dataset: training_split(dataset, options.data_root)  # noqa: E731
        evaluation = Evaluation(dataset, protocol, options.out, runtime, train=train)
        for outcome in map(evaluation.run, specs):
            if isinstance(outcome, Result):
                labels.add(outcome.method)
                _options.print_reasons(f"failed {outcome.method} on {dataset.name}", outcome.failures)
                complete &= not outcome.n_failed
            else:
                kind = type(outcome).__name__.lower()
                print(f"{kind} {outcome.method} on {dataset.name}: {outcome.reason}", file=sys.stderr)
                complete = False
    return [dataset.name for dataset in opened], labels, complete
