"""Predict where people look in pictures of your own.

For each picture NAME, the folder of --out gets NAME.png (a map with 16 bits, white where people look most),
NAME_overlay.jpg (the picture with the map as colour; the lines enclose 50 % and 90 % of the attention) and NAME.json
(the most salient points, and the share of the attention in a grid and in named regions). predictions.csv has one row
per picture.

A folder is searched with its subfolders. Rerun the same command to resume. Predictions made with other settings, and
files of your own, are replaced only with --overwrite. The exit status is 1 if a picture could not be predicted.
"""

import argparse

from salbench import DEFAULT_METHOD
from salbench.cli import _options, _values

USAGE = "PICTURE_OR_FOLDER... [options]"
EXAMPLES = (
    "salbench predict photo.jpg",
    "salbench predict PHOTOS more.png --regions regions.json --grid 2x4",
    "salbench predict photo.jpg --method spectral_residual --density --size 256x256",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench predict`."""
    parser.add_argument(
        "pictures", nargs="+", type=_values.path, metavar="PICTURE_OR_FOLDER", help="pictures, and folders of pictures"
    )
    parser.add_argument(
        "--method",
        default=DEFAULT_METHOD,
        metavar="NAME",
        help=f"the method (default: {DEFAULT_METHOD}); spectral_residual needs no torch; see: salbench list methods",
    )
    _options.add_out(parser, "predictions", "folder for the predictions")
    parser.add_argument(
        "--format",
        choices=("png", "npy"),
        help="png: a grey picture, 65535 at the peak; npy: an array of floats, 1 at the peak (default: png; with "
        "--density, npy)",
    )
    parser.add_argument(
        "--density", action="store_true", help="write a density, which sums to one, instead of a map; needs npy"
    )
    parser.add_argument(
        "--size", type=_values.shape, metavar="HEIGHTxWIDTH", help="size of the map (default: that of the picture)"
    )
    parser.add_argument(
        "--overwrite",
        action="store_true",
        help="replace predictions made with other settings, and other files in the way",
    )
    group = parser.add_argument_group("shares of the attention")
    group.add_argument(
        "--grid", type=_values.shape, metavar="ROWSxCOLUMNS", default="3x3", help="cells of the grid (default: 3x3)"
    )
    group.add_argument(
        "--regions",
        type=_values.path,
        metavar="FILE",
        help='.json such as {"face": [left, top, right, bottom], "sign": "mask.png"}, or .csv with the header '
        "[image,]region,left,top,right,bottom; in pixels from 0",
    )
    _options.add_runtime(parser, "device", "backbone", "workers", "batch_size")
    _options.add_cluster(parser)
    _options.add_folders(parser, "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Write the predictions; returns 1 if a picture could not be predicted."""
    from salbench import predict_pictures, registry
    from salbench.named_regions import read_regions
    from salbench.pictures import find_pictures

    if options.methods_dir:
        registry.add_folder(options.methods_dir)
    regions = read_regions(options.regions) if options.regions else None
    format = options.format or ("npy" if options.density else "png")
    wanted = predict_pictures.Wanted(format, options.density, options.size, options.grid, regions)
    pictures = find_pictures(options.pictures, leave_out=options.out)
    method = registry.create(options.method, _options.runtime(options))
    found = predict_pictures.predict_pictures(method, pictures, options.out, wanted, overwrite=options.overwrite)
    table = options.out / predict_pictures.TABLE
    _options.print_reasons("failed", found.failures, f"more, see {table}")
    if found.summaries:
        first = next(picture.name for picture in pictures if picture.name in found.summaries)
        kept = f" ({found.kept} of them by an earlier run)" if found.kept else ""
        print(f"predicted {len(found.summaries)} of {len(pictures)} pictures{kept}: {table}")
        print(f"look at: {options.out / first}_overlay.jpg")
    return int(bool(found.failures))
