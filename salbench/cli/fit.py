"""Train methods on a data set.

Each training writes its checkpoints and its log to OUT/METHOD/DATASET/seedN. Rerun the same command to resume a
training that was stopped. To score what was trained: salbench run --methods METHOD:FOLDER

Some images are held out to choose the best epoch. With --augment, the network also sees augmented or edited versions
of the images.
"""

import argparse
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salbench.cli import _options, _values

if TYPE_CHECKING:
    from salbench.datasets import Dataset
    from salbench.edits import EditSet

USAGE = "--methods NAMES [options]"
EXAMPLES = (
    "salbench fit --methods lite --dataset osie_train --data-root DIR",
    "salbench fit --methods lite --dataset osie_train --augment hflip --seed 1 --epochs 10",
    "salbench fit --methods lite --dataset osie_train,augsal_contrast100 --augment edits:EDITS --p 0.5",
    "salbench fit --methods unisal --dataset salicon_train --from imagenet",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench fit`."""
    parser.add_argument(
        "--methods", required=True, metavar="NAMES", help="methods to train, separated by commas, such as lite"
    )
    parser.add_argument(
        "--dataset",
        default="osie_train",
        metavar="NAMES",
        help="data sets to train on, separated by commas (default: osie_train); see: salbench list datasets",
    )
    _options.add_limit(parser, "train on only the first N images of each data set")
    _options.add_seed(parser, "the first weights, the order of the images and the augmentations")
    _options.add_out(parser, "checkpoints", "folder for checkpoints")
    group = parser.add_argument_group("training")
    _options.add_start(group)
    group.add_argument(
        "--augment",
        default="",
        metavar="NAMES",
        help="augmentations or presets, separated by commas; see: salbench list augmentations. Or edit sets: "
        "edits:DIR (several: edits:A,edits:B)",
    )
    _options.add_augmentation(group)
    group.add_argument(
        "--edit-losses",
        type=_values.loss_weights,
        metavar="NAME=WEIGHT,...",
        help="losses on edited images: agreement, increase, soft_target, kl_outside, kl, cc, nss, sim (default: "
        "agreement=1, as in the paper)",
    )
    group.add_argument(
        "--logger",
        choices=("none", "csv", "tensorboard"),
        default="csv",
        help="what to write after every epoch: nothing, log.csv, or events for TensorBoard, in the folder tensorboard "
        "(default: csv)",
    )
    _options.add_runtime(parser, "device", "backbone", "workers")
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir", "augmentations_dir")


def execute(options: argparse.Namespace) -> int:
    """Train the methods one after the other."""
    from salbench import registry
    from salbench.training import start
    from salbench.training_plan import Plan

    runtime = _options.runtime(options)
    specs = _options.methods_to_train(options)
    suffixes = [start.suffix(registry.get(spec), options.start) for spec in specs]
    names, edit_set, recipe = _what_to_show(options)
    dataset = _training_data(options)
    for spec, suffix in zip(specs, suffixes, strict=True):
        method = registry.create(spec, runtime)
        place = _place(dataset, names, edit_set, recipe) + suffix
        folder = options.out / method.name / place / f"seed{options.seed}"
        plan = Plan(folder, dataset.name, tuple(names), edit_set, recipe, options.start, options.logger)
        method.fit(dataset.samples, plan)
        print(f"trained; score it with: {_command(options, f'{method.name}:{folder}')}")
    return 0


def _what_to_show(options: argparse.Namespace) -> "tuple[list[str], EditSet | None, dict[str, Any]]":
    """Names of augmentations, or the edit set instead, and the fields of the recipe that change."""
    from salbench import edits

    names, edit_sets = _options.augmentation(options, options.augment)
    if not (names or edit_sets) and (options.p is not None or options.mode):
        raise ValueError(f"{'--mode' if options.mode else '--p'} requires --augment")
    if options.edit_losses and not edit_sets:
        raise ValueError("--edit-losses requires --augment edits:DIR")
    p = _options.probability_of_original(options.mode, options.p, edits=bool(edit_sets))
    recipe = _options.recipe(options)
    recipe |= {} if p is None else {"p": p}
    recipe |= {"edit_losses": options.edit_losses} if options.edit_losses else {}
    return names, edits.join(edit_sets) if edit_sets else None, recipe


def _training_data(options: argparse.Namespace) -> "Dataset":
    from salbench.datasets import join

    return join([_options.dataset(name, options) for name in _values.words(options.dataset)])


def _place(dataset: "Dataset", names: list[str], edit_set: "EditSet | None", recipe: dict[str, Any]) -> str:
    """Name of the folder for a training: the data, and what is shown beside it."""
    from salbench import edits

    if edit_set:
        return f"{dataset.name}+{edits.training_name(edit_set, recipe['p'], recipe.get('edit_losses'))}"
    return "+".join([dataset.name, *names]) + (f"-p{recipe['p']:g}" if "p" in recipe else "")


def _command(options: argparse.Namespace, spec: str) -> str:
    given: dict[str, Path | str | None] = {"--backbone": options.backbone, "--methods-dir": options.methods_dir}
    more = [word for name, value in given.items() if value for word in (name, str(value))]
    return shlex.join(["salbench", "run", "--dataset", "NAME", "--methods", spec, *more])
