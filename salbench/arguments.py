"""The command line's verbs, their options and examples."""

import argparse
import os
from os.path import expanduser

from salbench import __version__

EXAMPLES = """\
examples:
  python benchmark.py                                                        every method on the embedded set
  python benchmark.py --methods all --dataset osie_test --data-root DIR
  python benchmark.py --methods all --dataset salicon_val --protocol lsun17
  python benchmark.py --methods center_bias,from_folder:MAPS --dataset folder:IMAGES
  python benchmark.py list methods
  python benchmark.py table --dataset osie_test --format latex
  python benchmark.py table --paper table2
  python benchmark.py submit --methods spectral_residual --dataset salicon_test --out submissions
  python benchmark.py fit --methods lite --dataset osie_train --augment hflip --seed 1
  python benchmark.py fit --methods lite --dataset osie_train,augsal_contrast100 --augment edits:EDITS --p 0.5
  python benchmark.py ablate --methods lite --dataset osie --augmentations paper12 --seeds 0,1,2
  python benchmark.py table --ablation osie --figure ablation.pdf
  python benchmark.py show --augmentations paper12 --dataset osie --id 1001 --out sheet.png
  python benchmark.py features --image FILE --backbone DIR --out sheet.png
  python benchmark.py edit --dataset popout --mask saliency --type contrast,brightness --out EDITS
  python benchmark.py edit --dataset salicon_train --type contrast --strength 1.2,1.5,2.0 --out EDITS
  python benchmark.py edit --image FILE --caption "a red bus on a street" --word bus --type color --color purple
  python benchmark.py study --original FIX_A --edited FIX_B --masks MASKS --figure study.pdf
  python benchmark.py study --edits EDITS --methods spectral_residual,lite
  python benchmark.py study --edits EDITS --methods lite --original FIX_A --edited FIX_B
  python benchmark.py weights                                                which published files, found or not
  python benchmark.py weights convert --methods unisal
  python benchmark.py speed
  python benchmark.py speed --methods unisal,simplenet --init random

`run` is the default verb; python benchmark.py VERB --help tells the options of each.
"""


def parser():
    """The parser of all verbs; what it gives has `verb` and the options of that verb."""
    parser = argparse.ArgumentParser(
        description="Score models that predict where people look.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"salbench {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)
    for name, (add_options, text) in VERBS.items():
        add_options(_verb(verbs, name, text))
    return parser


def _verb(verbs, name, text):
    lines = [line for line in EXAMPLES.splitlines() if line.startswith("  ")]
    own = [line for line in lines if f"benchmark.py {name}" in line or (name == "run" and _is_run(line))]
    verb = verbs.add_parser(
        name,
        help=text,
        description=text,
        epilog="\n".join(["examples:", *own]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    verb.register("type", None, expanduser)  # of what has no other type: a shell does not expand --image=~/cat.jpg
    return verb


def _is_run(example):
    words = example.split()
    return len(words) < 3 or words[2].startswith("--") or words[2] not in VERBS


def _run(parser):
    _add_inputs(parser, methods="all")
    parser.add_argument("--protocol", default="tuebingen", help="default: tuebingen; see list protocols")
    parser.add_argument("--out", default="results", metavar="DIR", help="folder of the results (default: results)")
    parser.add_argument("--save-maps", metavar="DIR", help="also write the scored maps as 8-bit PNG")
    parser.add_argument("--overwrite", action="store_true", help="replace results made under other settings")
    parser.add_argument(
        "--init", choices=("random",), help="run networks with random weights: for plumbing only, in no table"
    )
    parser.add_argument(
        "--batch-size", type=_positive, metavar="N",
        help="images that a network takes together (default: 1 on the CPU, 8 elsewhere)",
    )  # fmt: skip
    _add_weights_root(parser)


def _list(parser):
    parser.add_argument("what", choices=("methods", "datasets", "metrics", "protocols", "augmentations"))
    parser.add_argument("--json", action="store_true", help="as JSON")
    _add_methods_dir(parser)
    _add_augmentations_dir(parser)


def _fit(parser):
    _add_inputs(parser, methods=None, dataset="osie_train", what="data sets with commas between")
    parser.add_argument(
        "--augment", default="", metavar="NAMES",
        help="show every image in turn as itself and as its augmented copies, one of them per epoch; or edits:DIR: "
        "show an image of this edit set by chance instead of its source",
    )  # fmt: skip
    parser.add_argument(
        "--edit-losses", type=_loss_weights, metavar="NAME=WEIGHT,...",
        help="on edited images (default: agreement=1, the paper's): agreement, increase, kl, cc, nss, sim",
    )  # fmt: skip
    _add_regime(parser)
    _add_recipe(parser)
    parser.add_argument(
        "--out", default="checkpoints", metavar="DIR", help="folder of the checkpoints (default: checkpoints)"
    )
    _add_augmentations_dir(parser)


def _ablate(parser):
    parser.add_argument("--methods", required=True, help="names of learned methods with commas between")
    parser.add_argument(
        "--dataset", default="osie", help="one with splits _train and _test, +NAME to train on more (default: osie)"
    )
    parser.add_argument(
        "--augmentations", default="paper12", help="names or presets with commas between; see list; or: edits:DIR"
    )
    parser.add_argument(
        "--edit-losses", type=_loss_weights, action="append", metavar="NAME=WEIGHT,...",
        help="of edited images, as for fit; give it again for one more arm (default: agreement=1)",
    )  # fmt: skip
    parser.add_argument(
        "--seeds", type=_seeds, default=[0], metavar="0,1,2", help="trainings per augmentation (default: 0)"
    )
    _add_regime(parser)
    parser.add_argument("--labels", choices=("moved", "as_released"), default="moved", help="default: moved")
    _add_recipe(parser)
    parser.add_argument("--out", default="results", metavar="DIR", help="folder of the results (default: results)")
    parser.add_argument(
        "--checkpoints", default="checkpoints", metavar="DIR", help="folder of the trainings (default: checkpoints)"
    )
    _add_machine(parser)
    _add_methods_dir(parser)
    _add_augmentations_dir(parser)


def _table(parser):
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", help="results of this data set")
    source.add_argument("--paper", metavar="TABLE", help="table1 or table2 of the paper, measured rows beside it")
    source.add_argument("--ablation", metavar="DATASET", help="what each augmentation changed on this data set")
    parser.add_argument("--figure", metavar="FILE", help="of --ablation: draw it too, as .png, .pdf or .svg")
    parser.add_argument("--format", choices=("md", "latex", "csv"), default="md")
    parser.add_argument("--out", default="results", metavar="DIR", help="folder of the results (default: results)")


def _submit(parser):
    _add_inputs(parser, methods=None, dataset="salicon_test")
    parser.add_argument("--format", choices=("lsun17",), default="lsun17")
    parser.add_argument("--out", default="submissions", metavar="DIR", help="folder of the files")
    parser.add_argument("--allow-partial", action="store_true", help="write what there is when images fail")
    _add_weights_root(parser)


def _show(parser):
    parser.add_argument("--augmentations", default="paper12", help="names or presets with commas between; see list")
    _add_picture(parser)
    _add_sheet(parser)
    parser.add_argument("--labels", choices=("moved", "as_released"), default="moved", help="default: moved")
    parser.add_argument("--seed", type=_seed, default=0, help="of crops and noise (default: 0)")
    _add_augmentations_dir(parser)


def _features(parser):
    parser.add_argument("--methods", default="diffusion_readout", help="name, or name:CHECKPOINT, of one method")
    _add_picture(parser)
    _add_sheet(parser)
    _add_weights_root(parser)
    _add_device(parser)
    _add_methods_dir(parser)


def _edit(parser):
    parser.add_argument("--methods", default="diffusion_readout", help="name, or name:CHECKPOINT, of one method")
    _add_picture(parser)
    parser.add_argument(
        "--out", metavar="PLACE", help="of one picture the sheet (default: sheet.png), of a data set a folder (edits)"
    )
    parser.add_argument("--type", default="contrast", metavar="TYPES", help="contrast, brightness, color, or several")
    parser.add_argument(
        "--strength", type=_numbers, metavar="1.2,1.5", help="of each type. contrast: a factor, below 1 lowers "
        "it (1.2,1.5,2); brightness: black to white is 2, below 0 darkens, written --strength=-0.2,0.2 (0.1,0.2,0.4); "
        "color: scale of the attention (1,2,4)",
    )  # fmt: skip
    parser.add_argument("--color", metavar="WORD", help="of --type color")
    parser.add_argument("--word", help="of the caption, to edit (default: the most salient one)")
    parser.add_argument("--caption", help="of --image")
    parser.add_argument(
        "--mask", metavar="FILE_OR_DIR", help="region to edit: a grey picture, for --dataset a folder of ID.png; or: "
        "saliency, for where people look, or are predicted to (no caption is needed then)",
    )  # fmt: skip
    parser.add_argument("--unconstrained", action="store_true", help="do not weaken edits that look too strong")
    parser.add_argument("--limit", type=_positive, metavar="N", help="only the first N images of --dataset")
    _add_weights_root(parser)
    _add_device(parser)
    _add_methods_dir(parser)


def _study(parser):
    parser.add_argument(
        "--original", metavar="DIR", help="fixations (.csv, .npy) or maps on the originals, one file each"
    )
    parser.add_argument("--edited", metavar="DIR", help="the same on the edited images, files of the same stems")
    parser.add_argument("--masks", metavar="DIR", help="grey pictures of the regions, files of the same stems")
    parser.add_argument("--images", metavar="DIR", help="pictures shown, where masks are not of their size")
    parser.add_argument(
        "--edits", metavar="DIR", help="instead of masks: an edit set, on which --methods predict, or people looked: "
        "files of --original named as its sources, of --edited <source>_<type>_<strength>",
    )  # fmt: skip
    parser.add_argument(
        "--methods", default="", metavar="NAMES", help="of --edits: names with commas between, or all; see list"
    )
    parser.add_argument("--out", default="results/study", metavar="DIR", help="folder (default: results/study)")
    parser.add_argument("--figure", metavar="FILE", help="draw it too, as .png, .pdf or .svg")
    _add_weights_root(parser)
    _add_device(parser)
    _add_methods_dir(parser)


def _weights(parser):
    parser.add_argument("what", nargs="?", choices=("list", "convert"), default="list", help="default: list")
    parser.add_argument("--methods", default="all", help="names with commas between (default: all); see list")
    _add_weights_root(parser)
    parser.add_argument("--json", action="store_true", help="list as JSON")
    _add_methods_dir(parser)


def _speed(parser):
    parser.add_argument("--methods", metavar="NAMES", help="time these networks instead of the metric core")
    parser.add_argument("--init", choices=("random",), help="with random weights, which take as long as trained ones")
    _add_weights_root(parser)
    _add_device(parser)
    _add_methods_dir(parser)


def _add_inputs(parser, methods, dataset="popout", what="data set"):
    parser.add_argument(
        "--methods", default=methods, required=methods is None, help="names with commas between, or all; see list"
    )
    default = f"{dataset}{', embedded' if dataset == 'popout' else ''}"
    parser.add_argument("--dataset", default=dataset, help=f"{what} (default: {default}); see list datasets")
    parser.add_argument("--limit", type=_positive, metavar="N", help="only the first N images, of each data set")
    parser.add_argument("--seed", type=_seed, default=0, help="of the bootstrap and of fitting (default: 0)")
    _add_machine(parser)
    _add_methods_dir(parser)


def _add_picture(parser):
    source = parser.add_mutually_exclusive_group()
    source.add_argument("--image", metavar="FILE", help="a picture of your own")
    source.add_argument("--dataset", default="popout", help="data set (default: popout, embedded); see list datasets")
    parser.add_argument("--fixations", metavar="FILE", help="of --image: .npy (N x 2), or .csv with columns x and y")
    parser.add_argument("--id", help="image of --dataset (default: its first)")
    _add_data_root(parser)


def _add_sheet(parser):
    parser.add_argument("--out", default="sheet.png", metavar="FILE", help="default: sheet.png")


def _add_data_root(parser):
    parser.add_argument(
        "--data-root", metavar="DIR", help="holds one folder per data set (default: $SALBENCH_DATA, then the cache)"
    )


def _add_weights_root(parser):
    parser.add_argument(
        "--weights-root", metavar="DIR",
        help="holds one folder of published weights per method (default: $SALBENCH_WEIGHTS, then the cache)",
    )  # fmt: skip


def _add_machine(parser):
    _add_data_root(parser)
    parser.add_argument("--workers", type=_positive, default=os.cpu_count(), metavar="N", help="threads (default: all)")
    _add_device(parser)


def _add_device(parser):
    parser.add_argument("--device", default="cpu", help="where networks run: cpu, cuda, cuda:1 (default: cpu)")
    parser.add_argument(
        "--backbone", metavar="DIR_OR_HUB_ID", help="frozen diffusion model of methods that build on one "
        "(default: $SALBENCH_BACKBONE, then a small one that comes with the method)",
    )  # fmt: skip


def _add_regime(parser):
    parser.add_argument(
        "--mode", choices=("copies", "replace"),
        help="copies: an image and its augmented copies in turn; replace: one or the other by chance "
        "(default: copies, but replace for edits)",
    )  # fmt: skip
    parser.add_argument(
        "--p", type=_probability, metavar="P", help="share of originals (default: 0.5); implies --mode replace"
    )


def _add_recipe(parser):
    for option in ("--epochs", "--batch-size"):
        parser.add_argument(option, type=_positive, metavar="N", help="instead of what the method's recipe says")


def _add_methods_dir(parser):
    parser.add_argument("--methods-dir", metavar="DIR", help="a folder of method files of your own")


def _add_augmentations_dir(parser):
    parser.add_argument("--augmentations-dir", metavar="DIR", help="a folder of augmentation files of your own")


def _seeds(text):
    return [_seed(seed) for seed in text.split(",")]


def _seed(text):
    if not text.strip().isdecimal():
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 up, got {text!r}")
    return int(text)


def _numbers(text):
    try:
        return [float(number) for number in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"expected numbers with commas between, got {text!r}") from error


def _probability(text):
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"expected a probability from 0 to 1, got {text}")
    return value


def _loss_weights(text):
    pairs = [pair.partition("=") for pair in text.split(",")]
    try:
        weights = {name.strip(): float(weight) for name, _, weight in pairs}
    except ValueError:
        weights = {}
    if not any(weights.values()) or not all(0 <= weight < float("inf") for weight in weights.values()):
        raise argparse.ArgumentTypeError(
            f"expected NAME=WEIGHT with commas between, weights from 0 up and one above, got {text!r}"
        )
    return weights


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text}")
    return value


VERBS = {
    "run": (_run, "score methods on a data set and print the table (the default verb)"),
    "list": (_list, "print what there is"),
    "fit": (_fit, "train methods on a data set; a training that was stopped goes on"),
    "ablate": (_ablate, "train with one augmentation at a time and compare; what is finished is kept"),
    "table": (_table, "print results, or the paper's tables, from files"),
    "submit": (_submit, "write and validate a challenge file"),
    "show": (_show, "draw an image and its augmentations, fixations overlaid, on one picture"),
    "features": (_features, "draw what a method's feature maps look like"),
    "edit": (_edit, "edit images where people look, or where a word or a mask says, by a diffusion model"),
    "study": (_study, "did attention inside the edited regions change? fixations, maps, or models"),
    "weights": (_weights, "list the published files that methods need, or convert them to safetensors"),
    "speed": (_speed, "how fast the metric core is on this machine, beside pysaliency; or networks"),
}
