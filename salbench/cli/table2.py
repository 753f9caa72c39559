"""Repeat the paper's Table 2: train networks without and with edits, and compare.

Each method is trained twice with each random seed, once without edits and once with them, for the same number of steps,
and scored with the protocol of the paper. Checkpoints go to CHECKPOINTS/DATASET_ablation, results to
OUT/DATASET_ablation-augsal. Rerun the same command to resume: finished trainings are kept.
"""

import argparse
import sys

from salbench.cli import _options, _values

USAGE = "--edits DIR [options]"
EXAMPLES = (
    "salbench table2 --edits EDITS --seeds 0,1,2 --data-root DIR --device cuda",
    "salbench table2 --edits EDITS --methods unisal --dataset osie --epochs 2",
)
PROTOCOL = "augsal"


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench table2`."""
    parser.add_argument(
        "--edits", type=_values.path, required=True, metavar="DIR", help="edit set of the training images"
    )
    parser.add_argument(
        "--methods",
        default="table2",
        metavar="NAMES",
        help="methods to train, separated by commas; table2 stands for those of the paper (default: table2)",
    )
    parser.add_argument(
        "--dataset",
        default="salicon",
        metavar="NAME",
        help="data set with a split NAME_train to train on (default: salicon)",
    )
    parser.add_argument("--seeds", type=_values.seeds, default=[0], metavar="N,N,...", help="random seeds (default: 0)")
    _options.add_out(parser, "results", "folder for results")
    parser.add_argument(
        "--checkpoints",
        type=_values.path,
        default="checkpoints",
        metavar="DIR",
        help="folder for checkpoints (default: checkpoints)",
    )
    group = parser.add_argument_group("training")
    _options.add_start(group, "imagenet for methods that have ImageNet weights, otherwise what is usual for the method")
    group.add_argument(
        "--p",
        type=_values.probability,
        default=0.5,
        metavar="P",
        help="probability of the original; otherwise one of its edits is drawn (default: 0.5)",
    )
    _options.add_length(group)
    _options.add_runtime(parser, "device", "backbone", "workers")
    _options.add_cluster(parser)
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Train, score and print; returns 1 if a training failed."""
    from salbench import edits, registry
    from salbench.ablation import paper_layout
    from salbench.ablation.run import ablate
    from salbench.ablation.splits import Ablation

    ablation, edit_set, losses = (
        Ablation(options.dataset, protocol=PROTOCOL),
        edits.read(options.edits),
        {"agreement": 1.0},
    )
    failures = []
    for name in _options.methods_to_train(options):
        found = ablate(
            name,
            ablation,
            [],
            options.seeds,
            out=options.out,
            checkpoints=options.checkpoints,
            runtime=_options.runtime(options),
            root=options.data_root,
            recipe=_options.recipe(options),
            p=[options.p],
            edit_sets=[edit_set],
            edit_losses=[losses],
            start=options.start or ("imagenet" if registry.get(name).imagenet else None),
        )
        failures += [f"{name}, {failure.arm}, seed {failure.seed}: {failure.reason}" for failure in found]
    for failure in failures:
        print(f"failed: {failure}", file=sys.stderr)
    print(paper_layout.table(options.out, ablation, edits.training_name(edit_set, options.p, losses)))
    return int(bool(failures))
