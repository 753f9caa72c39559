"""Train with one augmentation at a time and compare.

Every arm is a training with one augmentation, or without (the arm `none`). All arms of a method share images, their
order, the number of steps, and the random seeds. Each is scored on the test split; the tables show what each
augmentation changed, with 95 % intervals over images and seeds.

Checkpoints go to CHECKPOINTS/DATASET_ablation, results to OUT/DATASET_ablation. Rerun the same command to resume:
finished arms are kept. Rerun with other augmentations to add arms. Rerun with another --test or --protocol to score the
same trainings in another way; these results go to a folder of their own, such as OUT/DATASET_ablation-PROTOCOL.
"""

import argparse
import shlex
import sys

from salbench.cli import _options, _values

USAGE = "--methods NAMES [options]"
EXAMPLES = (
    "salbench ablate --methods lite --dataset osie --seeds 0,1,2 --data-root DIR",
    "salbench ablate --methods lite --dataset osie+augsal_contrast100 --augmentations edits:EDITS",
    "salbench ablate --methods unisal --dataset salicon --protocol augsal --p 0.25,0.5,0.75",
    "salbench ablate --methods lite --dataset folder:MY_SET      # folders MY_SET_train, MY_SET_test",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench ablate`."""
    parser.add_argument(
        "--methods", required=True, metavar="NAMES", help="methods to train, separated by commas, such as lite"
    )
    parser.add_argument(
        "--dataset",
        default="osie",
        metavar="NAME",
        help="data set with a split NAME_train to train on (default: osie); NAME+OTHER trains on OTHER too",
    )
    parser.add_argument(
        "--test",
        metavar="NAME",
        help="data set to test on (default: the one that goes with NAME_train, such as osie_test or salicon_val)",
    )
    parser.add_argument(
        "--protocol",
        default="tuebingen",
        metavar="NAME",
        help="how maps are prepared and scored (default: tuebingen); see: salbench list protocols",
    )
    parser.add_argument(
        "--augmentations",
        default="paper12",
        metavar="NAMES",
        help="augmentations or presets, separated by commas (default: paper12), one arm each; see: salbench list "
        "augmentations. Or edit sets: edits:DIR (several: edits:A,edits:B)",
    )
    parser.add_argument(
        "--seeds",
        type=_values.seeds,
        default=[0],
        metavar="N,N,...",
        help="random seeds; every arm is trained once with each (default: 0)",
    )
    _options.add_out(parser, "results", "folder for results")
    parser.add_argument(
        "--checkpoints",
        type=_values.path,
        default="checkpoints",
        metavar="DIR",
        help="folder for checkpoints (default: checkpoints)",
    )
    _add_training(parser)
    _options.add_runtime(parser, "device", "backbone", "workers")
    _options.add_cluster(parser)
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir", "augmentations_dir")


def _add_training(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training")
    _options.add_start(group)
    _options.add_augmentation(group, several=True)
    group.add_argument(
        "--labels",
        choices=("moved", "as_released"),
        default="moved",
        help="moved: fixations and density move with the pixels; as_released: they stay, as in the paper's released "
        "code (default: moved)",
    )
    group.add_argument(
        "--edit-losses",
        type=_values.loss_weights,
        action="append",
        metavar="NAME=WEIGHT,...",
        help="losses on edited images: agreement, increase, soft_target, kl_outside, kl, cc, nss, sim (default: "
        "agreement=1, as in the paper); repeat the option for one more arm",
    )


def execute(options: argparse.Namespace) -> int:
    """Train, score and compare; returns 1 if an arm failed."""
    from salbench.ablation import gradient_shares, report
    from salbench.ablation.run import ablate
    from salbench.ablation.splits import Ablation

    ablation = Ablation(options.dataset, options.test, options.protocol)
    runtime = _options.runtime(options)
    names, edit_sets = _options.augmentation(options, options.augmentations)
    if options.edit_losses and not edit_sets:
        raise ValueError("--edit-losses requires --augmentations edits:DIR")
    p = [_options.probability_of_original(options.mode, p, edits=bool(edit_sets)) for p in options.p or [None]]
    failures = []
    for name in _options.methods_to_train(options):
        failures += ablate(
            name,
            ablation,
            names,
            options.seeds,
            out=options.out,
            checkpoints=options.checkpoints,
            runtime=runtime,
            root=options.data_root,
            recipe=_options.recipe(options),
            p=p,
            labels=options.labels,
            edit_sets=edit_sets,
            edit_losses=options.edit_losses or [{"agreement": 1.0}],
            start=options.start,
        )
    for failure in failures:
        print(f"failed: {failure.arm}, seed {failure.seed}: {failure.reason}", file=sys.stderr)
    print(report.table(options.out, ablation))
    if of_losses := gradient_shares.table(options.checkpoints, ablation):
        print(of_losses)
    print(f"print this again: {_command(options, 'table', '--ablation', '--out')}")
    print(f"draw it: {_command(options, 'figure', 'ablation', '--datasets', '--results')}")
    return int(bool(failures))


def _command(options: argparse.Namespace, *words: str) -> str:
    """A command that reads the results: its first words, the option for the data set, and the one for the folder."""
    *first, dataset, folder = words
    test = ["--test", options.test] if options.test else []
    scored = [dataset, options.dataset, *test, "--protocol", options.protocol]
    return shlex.join(["salbench", *first, *scored, folder, str(options.out)])
