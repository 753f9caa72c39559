"""Draw the feature maps of a method.

Writes one PNG: the image, then each of its feature maps. Red, green and blue are the first three principal components
of a feature map's channels.
"""

import argparse

from salbench.cli import _options

USAGE = "[options]"
EXAMPLES = (
    "salbench features --image cat.jpg",
    "salbench features --dataset osie --id 1001 --data-root DIR --backbone DIR --out features.png",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench features`."""
    _options.add_picture(parser, fixations=False)
    parser.add_argument(
        "--methods",
        default="diffusion_readout",
        metavar="NAME",
        help="one method, or NAME:CHECKPOINT for weights of your own (default: diffusion_readout)",
    )
    _options.add_out(parser, "sheet.png", "file to write", "FILE")
    _options.add_runtime(parser, "device", "backbone")
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Draw the sheet."""
    from salbench import sheet

    method, sample = _options.one_method(options), _options.picture(options)
    sheet.feature_sheet(sample, method.features(sample.blind()), options.out)
    print(f"sheet: {options.out}")
    return 0
