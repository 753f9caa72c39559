"""Measure how attention inside edited regions changes.

Compares the share of fixations or of saliency inside each region before and after the edit: means with 95 % bootstrap
intervals, paired t-test, Wilcoxon test and Cohen's d_z. Prints the tables, and writes them as OUT/study.md and one row
per image as OUT/images.csv.

Give either folders of fixations or maps on the original and the edited images, with masks of the regions; or an edit
set, on which --methods predict, people looked (--original, --edited), or both.
"""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from salbench.cli import _options, _values

Study = tuple[str, list[list[Any]], Callable[[], Any], bool]  # table, rows, what draws the figure, is it complete?
USAGE = "(--original DIR --edited DIR --masks DIR | --edits DIR) [options]"
EXAMPLES = (
    "salbench study --original FIX_A --edited FIX_B --masks MASKS --figure study.pdf",
    "salbench study --edits EDITS --methods spectral_residual,lite",
    "salbench study --edits EDITS --methods lite --original FIX_A --edited FIX_B",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench study`."""
    parser.add_argument(
        "--original",
        type=_values.path,
        metavar="DIR",
        help="fixations (.csv, .npy) or maps on the original images: one file per image",
    )
    parser.add_argument(
        "--edited",
        type=_values.path,
        metavar="DIR",
        help="the same on the edited images: files of the same names; with --edits, named SOURCE_TYPE_STRENGTH",
    )
    parser.add_argument(
        "--masks", type=_values.path, metavar="DIR", help="grey images of the regions: files of the same names"
    )
    parser.add_argument(
        "--images",
        type=_values.path,
        metavar="DIR",
        help="the images that people saw: needed if the masks have other sizes",
    )
    parser.add_argument("--edits", type=_values.path, metavar="DIR", help="an edit set, instead of masks")
    parser.add_argument(
        "--methods",
        default="",
        metavar="NAMES",
        help="methods for --edits, separated by commas, classical, table1 or all; see: salbench list methods",
    )
    _options.add_out(parser, "results/study", "folder for the tables")
    parser.add_argument(
        "--figure", type=_values.path, metavar="FILE", help="also draw the changes, as .png, .pdf or .svg"
    )
    _options.add_runtime(parser, "device", "backbone", "workers", "batch_size")
    _options.add_folders(parser, "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Measure, print and write; returns 1 if something could not be measured."""
    from salbench import figure
    from salbench.study import report

    _check_combination(options)
    if options.figure:
        figure.check(options.figure)
    table, rows, draw, complete = _of_an_edit_set(options) if options.edits else _of_folders(options)
    report.write(options.out, table, rows)
    print(table)
    if options.figure:
        figure.save(draw(), options.figure)
        print(f"figure: {options.figure}", file=sys.stderr)
    print(f"study: {options.out}", file=sys.stderr)
    return int(not complete)


def _check_combination(options: argparse.Namespace) -> None:
    gaze = options.original, options.edited
    if options.edits:
        asked = all(gaze) or (options.methods and not any(gaze))
        is_right = asked and not (options.masks or options.images)
    else:
        is_right = all((*gaze, options.masks)) and not options.methods
    if not is_right:
        raise ValueError(
            "study needs --original, --edited and --masks; or --edits with --methods, with --original and --edited, "
            "or with all three"
        )


def _of_folders(options: argparse.Namespace) -> Study:
    from salbench.study import figures, report
    from salbench.study.observed import observe

    study = observe(options.original, options.edited, options.masks, options.images)
    table, rows = report.observed_table(study), report.observed_rows(study)
    return table, rows, lambda: figures.observed_figure(study), not study.left_out


def _of_an_edit_set(options: argparse.Namespace) -> Study:
    from salbench import edits
    from salbench.study import figures, report
    from salbench.study.predicted import predict

    runtime = _options.runtime(options)
    specs = _options.methods(options) if options.methods else []
    gaze = (options.original, options.edited) if options.original else None
    study = predict(edits.read(options.edits), specs, options.out, runtime, gaze=gaze)
    complete = bool(study.models) and not (study.left_out or study.failures)
    table, rows = report.predicted_table(study), report.predicted_rows(study)
    return table, rows, lambda: figures.predicted_figure(study), complete
