"""Options that several verbs share: each group with the function that makes objects of what was typed."""

from __future__ import annotations

import argparse
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from salbench.cli import _values

if TYPE_CHECKING:
    from salbench.datasets import Dataset
    from salbench.edits import EditSet
    from salbench.registry import SaliencyMethod
    from salbench.runtime import Runtime
    from salbench.sample import Sample

_SHOWN = 3  # reasons that are printed
_FOLDERS = {
    "data_root": "folder with one subfolder per data set (default: $SALBENCH_DATA, otherwise the user's cache)",
    "weights_root": "folder with one subfolder of published weights per method (default: $SALBENCH_WEIGHTS, "
    "otherwise the user's cache)",
    "methods_dir": "folder with methods of your own",
    "augmentations_dir": "folder with augmentations of your own",
}
_RUNTIME: dict[str, dict[str, Any]] = {  # field of Runtime -> its option
    "device": {"default": "cpu", "help": "where networks run: cpu, cuda, cuda:1 (default: cpu)"},
    "backbone": {
        "metavar": "DIR_OR_HUB_ID",
        "help": "frozen diffusion model, for methods that build on one (default: $SALBENCH_BACKBONE, otherwise the "
        "small one that comes with the method)",
    },
    "workers": {
        "type": _values.positive,
        "default": 0,
        "metavar": "N",
        "help": "number of threads (default: one per core)",
    },
    "batch_size": {
        "type": _values.positive,
        "default": 0,
        "metavar": "N",
        "help": "images that a network takes together (default: 1 on the CPU, 8 elsewhere)",
    },
    "init": {
        "choices": ("random",),
        "help": "random: give networks random weights, to test speed and plumbing",
    },
}


def add_folders(parser: ArgumentParser, *names: str) -> None:
    """Add options for folders: "data_root" (with --off-image and --partial), "weights_root" and so on."""
    group = parser.add_argument_group("folders")
    for name in names:
        group.add_argument(_typed(name), type=_values.path, metavar="DIR", help=_FOLDERS[name])
    if "data_root" in names:
        group.add_argument(
            "--off-image",
            choices=("error", "drop"),
            help="fixations off their image in folder:DIR: refuse the data set, or leave them out and count them "
            "(default: as its dataset.toml says, otherwise error)",
        )
        group.add_argument(
            "--partial",
            action="store_true",
            help="use a data set although images are missing; results say how many of the whole there were, and a "
            "submission may lack maps",
        )


def off_image(options: Namespace) -> AbstractContextManager[None]:
    """A context in which data sets are opened as --off-image says."""
    if getattr(options, "off_image", None) is None:
        return nullcontext()
    from salbench import datasets

    return datasets.off_image(options.off_image)


def partial(options: Namespace) -> AbstractContextManager[None]:
    """A context in which data sets are opened as --partial says."""
    if not getattr(options, "partial", False):
        return nullcontext()
    from salbench import datasets

    return datasets.allow_partial()


def add_runtime(parser: ArgumentParser, *names: str) -> None:
    """Add options for fields of `Runtime`: "device", "backbone", "workers", "batch_size", "init"."""
    group = parser.add_argument_group("runtime")
    for name in names:
        group.add_argument(_typed(name), dest=name, **_RUNTIME[name])


def add_cluster(parser: ArgumentParser) -> None:
    """Add --cluster and --dashboard."""
    group = parser.add_argument_group("cluster")
    group.add_argument(
        "--cluster",
        metavar="PLACE",
        help="work on a Dask cluster: local:N (N processes of this machine), tcp://HOST:PORT, a scheduler's .json "
        "file, or a .toml file with settings of SLURM or another queue; see: docs, Run it on a cluster",
    )
    group.add_argument("--dashboard", action="store_true", help="print the address of the cluster's dashboard")


@contextmanager
def cluster(options: Namespace) -> Iterator[None]:
    """A context in which work is done as --cluster says."""
    if getattr(options, "cluster", None) is None:
        if getattr(options, "dashboard", False):
            raise ValueError("--dashboard requires --cluster")
        yield
        return
    from salbench import cluster_places, executors

    cluster_places.check(options.cluster)
    paths = [value for value in vars(options).values() if isinstance(value, Path)]
    gpu = getattr(options, "device", "cpu").startswith("cuda")
    place = cluster_places.connect(options.cluster, paths, gpu=gpu, dashboard=options.dashboard)
    with ExitStack() as opened, executors.using(executors.OnFirstUse(lambda: opened.enter_context(place))):
        yield


def runtime(options: Namespace) -> Runtime:
    """The runtime of a command: its options, and the defaults of `Runtime` for options that its verb lacks."""
    from salbench.runtime import Runtime

    given = vars(options)
    return Runtime(**{field.name: given[field.name] for field in fields(Runtime) if field.name in given})


def add_seed(parser: argparse._ActionsContainer, purpose: str) -> None:
    """Add --seed."""
    parser.add_argument(
        "--seed", type=_values.seed, default=0, metavar="N", help=f"random seed for {purpose} (default: 0)"
    )


def add_out(parser: ArgumentParser, default: str, content: str, metavar: str = "DIR") -> None:
    """Add --out."""
    help = f"{content} (default: {default})"
    parser.add_argument("--out", type=_values.path, default=default, metavar=metavar, help=help)


def methods(options: Namespace) -> list[str]:
    """The methods of --methods as typed, without repetition; the name of a group stands for all its methods.

    Raises:
        MethodProblem: a name is unknown, or there is none.
    """
    from salbench import registry

    if options.methods_dir:
        registry.add_folder(options.methods_dir)
    typed = _values.words(options.methods)
    specs = [name for spec in typed for name in _members(spec, getattr(options, "weights_root", None))]
    if not specs:
        raise registry.MethodProblem(
            "--methods: expected names separated by commas, classical, table1 or all, got nothing"
        )
    for spec in specs:
        registry.find(spec.partition(":")[0])  # reports a wrong name before anything runs
    return list(dict.fromkeys(specs))


def _members(spec: str, weights_root: Path | None) -> list[str]:
    """The methods that a word stands for: a group of `registry`, a table of the paper, or one method.

    "all" includes the trainings that are kept beside the published weights.
    """
    from salbench import registry, tables, weights

    if spec in tables.paper_tables():
        return tables.paper_methods(spec)
    if spec not in registry.GROUPS:
        return [spec]
    names = registry.members(spec)
    if spec != "all":
        return names
    trained = {name: weights.trained(name, weights_root) for name in names}
    return names + [f"{name}:{variant}={place}" for name in names for variant, place in trained[name].items()]


def methods_to_train(options: Namespace) -> list[str]:
    """The methods of --methods, if all of them learn from a training.

    Raises:
        MethodProblem: as for `methods`; or one is fitted in every run, or was given weights.
    """
    from salbench import registry

    names = methods(options)
    for name in names:
        if ":" in name:
            raise registry.MethodProblem(
                f"{name}: expected the name of a method alone, because training starts from new weights"
            )
        if registry.get(name).fits_at_run:
            raise registry.MethodProblem(
                f"{name} is fitted in every run, so there is nothing to train; "
                f"score it with: salbench run --methods {name}{registry.folder_option(name)}"
            )
    return names


def one_method(options: Namespace) -> SaliencyMethod:
    """The method of --methods, which must be one."""
    from salbench import registry

    return registry.create(one_spec(options), runtime(options))


def one_spec(options: Namespace) -> str:
    """The method of --methods as typed, which must be one."""
    from salbench import registry

    spec, *others = methods(options)
    if others:
        raise registry.MethodProblem(f"--methods: expected one method, got {options.methods}")
    return spec


def add_limit(parser: ArgumentParser, help: str) -> None:
    """Add --limit."""
    parser.add_argument("--limit", type=_values.positive, metavar="N", help=help)


def dataset(name: str, options: Namespace) -> Dataset:
    """A data set, reduced to its first images by --limit."""
    from salbench.datasets import load

    found = load(name, options.data_root)
    return found if options.limit is None else found.first(options.limit)


def add_augmentation(parser: argparse._ActionsContainer, *, several: bool = False) -> None:
    """Add how augmentations and edits are shown in a training, and what of its recipe changes.

    Args:
        parser: the verb's, or one of its groups.
        several: whether --p takes several probabilities, one arm each.
    """
    parser.add_argument(
        "--mode",
        choices=("copies", "replace"),
        help="copies: show one version per epoch: the original, then each augmented copy; "
        "replace: draw the original or an augmented version at random (default: copies; edits always use replace)",
    )
    parser.add_argument(
        "--p",
        type=_values.probabilities if several else _values.probability,
        metavar="P,P,..." if several else "P",
        help="probability of drawing the original (default: 0.5); implies --mode replace"
        + ("; several make an arm each" if several else ""),
    )
    add_length(parser)


def add_length(parser: argparse._ActionsContainer) -> None:
    """Add what a training costs: --epochs, --batch-size and --size."""
    parser.add_argument(
        "--epochs", dest="recipe_epochs", type=_values.positive, metavar="N", help="epochs, instead of the recipe's"
    )
    parser.add_argument(
        "--batch-size",
        dest="recipe_batch_size",
        type=_values.positive,
        metavar="N",
        help="images per optimisation step, instead of the recipe's",
    )
    parser.add_argument(
        "--size",
        dest="recipe_size",
        type=_values.shape,
        metavar="HxW",
        help="height and width in pixels of the images trained on, such as 192x256, instead of the recipe's",
    )


def add_start(
    parser: argparse._ActionsContainer, default: str = "imagenet if the method cannot do without, otherwise none"
) -> None:
    """Add --from, as `start`; `default` says in words what is usual."""
    parser.add_argument(
        "--from",
        dest="start",
        metavar="START",
        help="what training starts from: none (random weights), imagenet, published, or a checkpoint or folder of "
        f"another training of the method (default: {default})",
    )


def augmentation(options: Namespace, typed: str) -> tuple[list[str], list[EditSet]]:
    """The augmentations or edit sets that were typed; one of the two lists is empty."""
    from salbench import augment, edits

    use_augmentations_dir(options)
    words = _values.words(typed)
    folders = [word.removeprefix("edits:") for word in words if word.startswith("edits:")]
    if not folders:
        return augment.select(typed) if typed else [], []
    if len(folders) < len(words):
        raise ValueError(
            f"expected either augmentations or edit sets (edits:DIR), got both in {typed}; "
            "the random augmentation of the method's own recipe is applied to edits too"
        )
    return [], [edits.read(folder) for folder in folders]


def use_augmentations_dir(options: Namespace) -> None:
    """Make the augmentations of --augmentations-dir known."""
    from salbench import augment

    if options.augmentations_dir:
        augment.add_folder(options.augmentations_dir)


def probability_of_original(mode: str | None, p: float | None, *, edits: bool) -> float | None:
    """The probability of drawing the original, or None if copies are shown in turn.

    Args:
        mode: value of --mode.
        p: value of --p.
        edits: whether edits are shown.

    Raises:
        ValueError: --mode copies together with --p or edits.
    """
    if mode == "copies" and p is not None:
        raise ValueError("--p requires --mode replace; got copies, which shows every copy in turn")
    if mode == "copies" and edits:
        raise ValueError("edits require --mode replace; got copies, which shows every copy in turn")
    return 0.5 if p is None and (edits or mode == "replace") else p


def recipe(options: Namespace) -> dict[str, Any]:
    """The fields of a recipe that --epochs, --batch-size and --size change."""
    typed = {"epochs": options.recipe_epochs, "batch_size": options.recipe_batch_size, "size": options.recipe_size}
    return {name: value for name, value in typed.items() if value is not None}


def add_picture(parser: ArgumentParser, without_id: str = "its first image", *, fixations: bool = True) -> None:
    """Add the options for one image: a file, or an image of a data set.

    Args:
        parser: the verb's.
        without_id: what the verb takes from --dataset if --id is not given.
        fixations: whether the verb uses fixations, so that --fixations is offered.
    """
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--image", type=_values.path, metavar="FILE", help="an image file of your own")
    source.add_argument(
        "--dataset",
        default="popout",
        metavar="NAME",
        help="data set (default: popout, which comes with salbench); see: salbench list datasets",
    )
    parser.add_argument("--id", help=f"id of an image of --dataset (default: {without_id}); see: salbench list images")
    if not fixations:
        parser.set_defaults(fixations=None)
        return
    parser.add_argument(
        "--fixations",
        type=_values.path,
        metavar="FILE",
        help="fixations on --image: a .csv with columns x and y, or a .npy (N x 2), in pixels from 0",
    )


def picture(options: Namespace) -> Sample:
    """The image that was asked for, with its fixations if they are known."""
    from salbench import contact_sheet

    if options.image:
        require(options, "id", "--dataset")
        return contact_sheet.sample_of_files(options.image, options.fixations)
    require(options, "fixations", "--image")
    return contact_sheet.sample_of_dataset(options.dataset, options.id, options.data_root)


def require(options: Namespace, name: str, other: str) -> None:
    """Raise `ValueError` if an option was given that has no effect without another one."""
    if getattr(options, name) is not None:
        raise ValueError(f"{_typed(name)} requires {other}")


def print_reasons(what: str, reasons: Mapping[str, str], more: str = "more") -> None:
    """Print the first few reasons to stderr, and how many more there are."""
    for name, reason in list(reasons.items())[:_SHOWN]:
        print(f"{what}: {name}: {reason}", file=sys.stderr)
    if len(reasons) > _SHOWN:
        print(f"{what}: {len(reasons) - _SHOWN} {more}", file=sys.stderr)


def _typed(name: str) -> str:
    return f"--{name.replace('_', '-')}"
