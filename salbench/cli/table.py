"""Print tables from result files.

Nothing is computed anew: the table shows the results that `run` or `ablate` wrote to OUT.
"""

import argparse

from salbench.cli import _options, _values

USAGE = "(--dataset NAME | --paper TABLE | --ablation DATASET) [options]"
EXAMPLES = (
    "salbench table --dataset osie_test --format latex",
    "salbench table --dataset osie_test --methods lite,center_bias --metrics auc,nss",
    "salbench table --paper table2",
    "salbench table --ablation salicon --protocol augsal",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench table`."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", metavar="NAME", help="the results on this data set")
    source.add_argument(
        "--paper", metavar="TABLE", help="table1 or table2 of the paper, with the rows measured here beneath its rows"
    )
    source.add_argument("--ablation", metavar="DATASET", help="what each augmentation changed on this data set")
    parser.add_argument(
        "--methods",
        type=_values.words,
        metavar="NAMES",
        help="rows of --dataset by name, separated by commas, in this order (default: all)",
    )
    parser.add_argument(
        "--metrics",
        type=_values.words,
        metavar="NAMES",
        help="columns of --dataset, separated by commas, in this order (default: all); see: salbench list metrics",
    )
    parser.add_argument("--test", metavar="NAME", help="data set that --ablation was tested on, as given to `ablate`")
    parser.add_argument(
        "--protocol", metavar="NAME", help="protocol that --ablation was scored by (default: tuebingen)"
    )
    parser.add_argument("--format", choices=("md", "latex", "csv"), default="md", help="format (default: md)")
    _options.add_out(parser, "results", "folder with results")


def execute(options: argparse.Namespace) -> int:
    """Print the table."""
    if not options.dataset:
        for name in ("methods", "metrics"):
            _options.require(options, name, "--dataset")
    if not options.ablation:
        for name in ("test", "protocol"):
            _options.require(options, name, "--ablation")
    print(_table(options), end="")
    return 0


def _table(options: argparse.Namespace) -> str:
    from salbench import tables

    if options.paper:
        return tables.paper_table(options.paper, options.out, options.format)
    if options.dataset:
        from salbench.datasets import results_name

        return tables.dataset_table(
            options.out,
            results_name(options.dataset),
            options.format,
            methods=options.methods,
            metrics=options.metrics,
        )
    from salbench.ablation import report
    from salbench.ablation.splits import PROTOCOL, Ablation

    ablation = Ablation(options.ablation, options.test, options.protocol or PROTOCOL)
    return report.table(options.out, ablation, options.format)
