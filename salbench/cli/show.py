"""Draw an image and its augmentations.

Writes one PNG: the image, then each augmentation of it, with the fixations as dots. If an augmentation cannot be
applied to the image, the reason is printed in its place.
"""

import argparse

from salbench.cli import _options

USAGE = "[options]"
EXAMPLES = (
    "salbench show --dataset osie --id 1001 --data-root DIR",
    "salbench show --image cat.jpg --fixations cat.csv --augmentations hflip,crop_128 --out cat.png",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench show`."""
    _options.add_picture(parser)
    parser.add_argument(
        "--augmentations",
        default="paper12",
        metavar="NAMES",
        help="augmentations or presets, separated by commas (default: paper12); see: salbench list augmentations",
    )
    parser.add_argument(
        "--labels",
        choices=("moved", "as_released"),
        default="moved",
        help="moved: fixations move with the pixels; as_released: they stay, as in the paper's released code "
        "(default: moved)",
    )
    _options.add_seed(parser, "crops and noise")
    _options.add_out(parser, "sheet.png", "file to write", "FILE")
    _options.add_folders(parser, "data_root", "augmentations_dir")


def execute(options: argparse.Namespace) -> int:
    """Draw the sheet; returns 1 if no augmentation could be applied."""
    from salbench import augment, contact_sheet

    _options.use_augmentations_dir(options)
    names = augment.select(options.augmentations)
    sample = _options.picture(options)
    failed = contact_sheet.augmentation_sheet(sample, names, options.out, seed=options.seed, labels=options.labels)
    _options.print_reasons("not applied", failed)
    print(f"sheet: {options.out}")
    return int(len(failed) == len(names))
