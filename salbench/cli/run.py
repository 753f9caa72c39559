"""Score methods on a data set and print the table (the default verb).

Each method predicts a map for every image, and metrics compare the maps with the fixations. Each run writes
OUT/DATASET/METHOD.json (means with 95 % bootstrap intervals, counts, versions) and METHOD.csv (one row per image).
The table shows all results in that folder.

Rerun the same command to resume a run that was stopped. Results that were made with other settings are never mixed
in; --overwrite replaces them. A method that lacks a file or package is skipped; salbench prints how to get it. The
exit status is 1 if an image failed or nothing was scored.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from salbench.cli import _options, _values

if TYPE_CHECKING:
    from salbench.results import Result

USAGE = "[options]"
EXAMPLES = (
    "salbench run",
    "salbench run --methods all --dataset osie_test --data-root DIR",
    "salbench run --methods center_bias,lite --dataset salicon_val --protocol lsun17",
    "salbench run --methods from_folder:MAPS --dataset folder:MY_SET",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench run`."""
    parser.add_argument(
        "--methods",
        default="all",
        metavar="NAMES",
        help="methods, separated by commas, classical, table1 or all (default: all); see: salbench list methods",
    )
    parser.add_argument(
        "--dataset",
        default="popout",
        metavar="NAME",
        help="data set (default: popout, which comes with salbench); see: salbench list datasets",
    )
    parser.add_argument(
        "--protocol",
        default="tuebingen",
        metavar="NAME",
        help="how maps are prepared and scored (default: tuebingen); see: salbench list protocols",
    )
    _options.add_limit(parser, "score only the first N images; the results go to a folder of their own")
    _options.add_seed(parser, "bootstrap intervals and for fitting")
    _options.add_out(parser, "results", "folder for results")
    parser.add_argument("--save-maps", type=_values.path, metavar="DIR", help="also save the scored maps, as 8-bit PNG")
    parser.add_argument("--overwrite", action="store_true", help="replace results that were made with other settings")
    _options.add_runtime(parser, "device", "backbone", "workers", "batch_size", "init")
    _options.add_cluster(parser)
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Score the methods; returns 1 if something failed or nothing was scored."""
    from salbench import tables
    from salbench.datasets import training_split
    from salbench.evaluation import Broken, Evaluation, Refused, Skipped
    from salbench.protocol import named
    from salbench.results import Result

    runtime = _options.runtime(options)
    specs = _options.methods(options)
    dataset = _options.dataset(options.dataset, options)
    evaluation = Evaluation(
        dataset,
        named(options.protocol),
        options.out,
        runtime,
        train=lambda: training_split(dataset, options.data_root),
        save_maps=options.save_maps,
        overwrite=options.overwrite,
    )
    finished = [evaluation.run(spec) for spec in specs]
    results = [outcome for outcome in finished if isinstance(outcome, Result)]
    if not all(result.untrained for result in results):
        print("\n" + tables.dataset_table(options.out, dataset.name))
    for outcome in finished:
        if isinstance(outcome, Skipped):
            print(f"skipped {outcome.method}: {outcome.reason}")
        elif isinstance(outcome, Broken | Refused):
            print(f"{type(outcome).__name__.lower()} {outcome.method}: {outcome.reason}", file=sys.stderr)
    _print_results(results, options.out)
    failed = any(isinstance(outcome, Broken | Refused) for outcome in finished) or any(r.n_failed for r in results)
    return int(failed or not results)


def _print_results(found: "Sequence[Result]", out: Path) -> None:
    from salbench.results import paths

    for result in found:
        if result.untrained:
            print(f"not in the table, because its weights are random: {result.method}")
        path, _, _ = paths(out, result.dataset, result.method)
        _options.print_reasons(f"failed {result.method}", result.failures, f"more, see {path}")
    if found:
        print(f"results: {out / found[0].dataset}")
