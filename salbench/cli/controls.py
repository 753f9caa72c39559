"""Make controls of an edit set, to find out why training with edits helps or does not.

A control shows the same images as the edit set, changed in another way: reconstructed without an edit, changed in
pixels, or changed in another region. Train with both and compare, see `salbench ablate`. The controls masks_random and
masks_least are folders of masks, with which `salbench edit --mask` makes edits in other regions.

Controls go to OUT/NAME. Rerun the same command to resume.
"""

import argparse

from salbench.cli import _options, _values

USAGE = "--edits DIR --dataset NAME [options]"
EXAMPLES = (
    "salbench controls --edits DIR/augsal_contrast100 --dataset augsal_contrast100 --data-root DIR",
    "salbench controls --edits EDITS --dataset osie_train --names reconstruction,masks_random",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench controls`."""
    parser.add_argument("--edits", type=_values.path, required=True, metavar="DIR", help="the edit set")
    parser.add_argument("--dataset", required=True, metavar="NAME", help="data set whose images were edited")
    parser.add_argument(
        "--names",
        default="pixels,pixels_random,pixels_least,pixels_everywhere",
        metavar="NAMES",
        help="controls, separated by commas (default: pixels,pixels_random,pixels_least,pixels_everywhere); see: "
        "salbench list controls",
    )
    _options.add_out(parser, "controls", "parent folder of the controls")
    _options.add_seed(parser, "random regions")
    _options.add_folders(parser, "data_root")


def execute(options: argparse.Namespace) -> int:
    """Make the controls; returns 0."""
    from salbench import edit_controls, edits
    from salbench.datasets import load

    edit_set, dataset = edits.read(options.edits), load(options.dataset, options.data_root)
    names = [name.strip() for name in options.names.split(",")]
    folders = edit_controls.make(edit_set, dataset, options.out, names, seed=options.seed, progress=True)
    for name, folder in zip(names, folders, strict=True):
        print(folder)
        if edit_controls.CONTROLS[name].makes != "mask":
            _options.print_reasons(f"dropped from {name}", edits.read(folder).dropped)
    return 0
