"""Draw the feature maps of a method, or measure how well it reads them.

Writes one PNG: the image, then each of its feature maps. Red, green and blue are the first three principal components
of a feature map's channels.

--scorecard prints tables instead: how well the method reads colours, brightness and contrasts of areas, compared with
the pixels of a data set's images, by the size of the area.
"""

import argparse

from salbench.cli import _options

USAGE = "[options]"
EXAMPLES = (
    "salbench features --image cat.jpg",
    "salbench features --dataset osie --id 1001 --data-root DIR --backbone DIR --out features.png",
    "salbench features --scorecard --dataset osie_test --limit 40 --data-root DIR",
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
    parser.add_argument("--scorecard", action="store_true", help="print the scorecard of the readings on --dataset")
    _options.add_limit(parser, "measure only the first N images; requires --scorecard")
    _options.add_out(parser, "sheet.png", "file to write", "FILE")
    _options.add_runtime(parser, "device", "backbone")
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Draw the sheet, or print the scorecard."""
    if options.scorecard:
        return _scorecard(options)
    _options.require(options, "limit", "--scorecard")
    from salbench import contact_sheet

    method, sample = _options.one_method(options), _options.picture(options)
    contact_sheet.feature_sheet(sample, method.features(sample.blind()), options.out)
    print(f"sheet: {options.out}")
    return 0


def _scorecard(options: argparse.Namespace) -> int:
    from tabulate import tabulate
    from tqdm import tqdm

    if options.image or options.id:
        raise ValueError("--scorecard: expected a --dataset, because it compares images; leave out --image and --id")
    method, samples = _options.one_method(options), _options.dataset(options.dataset, options).samples
    bar = tqdm([sample.blind() for sample in samples], desc=method.name, unit="image", disable=None)
    card = method.scorecard(bar)
    card["share"] = card["share"].map("{:.0%}".format)
    print(f"{method.label} on {options.dataset}, {len(samples)} images. Columns: area as a share of the image\n")
    for measure in card.columns[2:]:
        table = card.pivot(index="property", columns="share", values=measure)
        table = table.loc[card["property"].unique(), card["share"].unique()]
        print(f"{card.attrs[measure]}.\n")
        print(tabulate(table, ["property", *table.columns], "github", floatfmt=".2f"), end="\n\n")
    return 0
