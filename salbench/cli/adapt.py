"""Fit a few numbers of a method to images of a new data set.

The numbers are an input scale, a blur, a temperature and a Gaussian centre prior. They are fitted to the fixations on N
images, drawn at random several times, and scored on the other images of the data set. If the data set has a training
split, they are fitted to images of that and scored on all images. No image is scored with numbers fitted to itself.

Prints a table with 95 % intervals. Writes OUT/DATASET_adapt/METHOD/fits.json (the numbers) and scores.csv (the score of
every image under every fit). Rerun the same command to resume, or to print the table again.
"""

import argparse
import sys

from salbench.cli import _options, _values

USAGE = "--methods NAME --dataset NAME [options]"
EXAMPLES = (
    "salbench adapt --methods lite --dataset nus_scene --data-root DIR --figure curve.png",
    "salbench adapt --methods from_folder:MAPS --dataset folder:MY_SET --images 10,all --scales 1",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench adapt`."""
    parser.add_argument(
        "--methods", required=True, metavar="NAME", help="the method to adapt; see: salbench list methods"
    )
    parser.add_argument(
        "--dataset", required=True, metavar="NAME", help="data set to adapt to; see: salbench list datasets"
    )
    parser.add_argument(
        "--images",
        type=_values.words,
        default="10,50,all",
        metavar="N,N,...",
        help="numbers of images to fit to; without a training split, all means five folds (default: 10,50,all)",
    )
    parser.add_argument(
        "--draws",
        type=_values.positive,
        default=5,
        metavar="K",
        help="random draws of the images for each number (default: 5)",
    )
    parser.add_argument(
        "--scales",
        type=_values.numbers,
        default="0.5,0.71,1,1.41",
        metavar="X,X,...",
        help="factors to resize images by before the prediction; the best is chosen (default: 0.5,0.71,1,1.41)",
    )
    parser.add_argument(
        "--protocol",
        default="tuebingen",
        metavar="NAME",
        help="how maps are prepared and scored (default: tuebingen); see: salbench list protocols",
    )
    parser.add_argument(
        "--figure", type=_values.path, metavar="FILE", help="also draw the curve, as .png, .pdf or .svg"
    )
    parser.add_argument("--format", choices=("md", "latex", "csv"), default="md", help="format (default: md)")
    _options.add_seed(parser, "the draws, bootstrap intervals and fitting")
    _options.add_out(parser, "results", "folder for results")
    parser.add_argument(
        "--overwrite", action="store_true", help="replace an adaptation that was made with other settings"
    )
    _options.add_runtime(parser, "device", "backbone", "workers", "batch_size")
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Adapt, print the table and draw the figure."""
    from salbench import figure
    from salbench.adaptation import report
    from salbench.adaptation.run import Wanted, adapt
    from salbench.datasets import load, training_split
    from salbench.protocol import named

    if options.figure:
        figure.check(options.figure)
    wanted = Wanted(tuple(options.images), options.draws, tuple(options.scales))
    spec, protocol, runtime = _options.one_spec(options), named(options.protocol), _options.runtime(options)
    dataset = load(options.dataset, options.data_root)
    adapted = adapt(
        spec,
        dataset,
        protocol,
        options.out,
        runtime,
        wanted,
        train=lambda: training_split(dataset, options.data_root),
        overwrite=options.overwrite,
    )
    print(report.table(adapted, options.out, options.format), end="")
    if options.figure:
        figure.save(report.figure(adapted, options.out), options.figure)
        print(f"figure: {options.figure}", file=sys.stderr)
    return 0
