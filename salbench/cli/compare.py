"""Answer the questions that were planned before an ablation was trained.

PLAN is a TOML file that names arms to compare, written before the trainings. Every comparison gets its difference with
a 95 % interval over images and seeds, a p-value after Holm's correction over all comparisons and test sets, and the
difference that such an experiment would have found significant.

Nothing is trained: train the arms first, with `salbench ablate`, once for each test set. To draw the differences, see:
salbench figure --help
"""

import argparse

from salbench.cli import _options, _values

USAGE = "PLAN [options]"
EXAMPLES = (
    "salbench compare comparisons.toml --out mine",
    "salbench compare comparisons.toml --out mine --csv",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench compare`."""
    parser.add_argument("plan", type=_values.path, metavar="PLAN", help="TOML file of the planned comparisons")
    _options.add_out(parser, "results", "folder with results")
    parser.add_argument("--csv", action="store_true", help="print CSV instead of tables")


def execute(options: argparse.Namespace) -> int:
    """Print the answers."""
    from salbench.ablation import comparisons

    planned = comparisons.read(options.plan)
    answers = comparisons.answer(options.out, planned)
    if options.csv:
        print(comparisons.frame(planned, answers).to_csv(index=False), end="")
    else:
        print(comparisons.table(planned, answers), end="")
    return 0
