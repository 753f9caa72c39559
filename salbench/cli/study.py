"""Measure how attention in edited regions changes, or plan an eye-tracking study.

Compares the share of fixations or of saliency inside each region before and after the edit: means with 95 % bootstrap
intervals, paired t-test, Wilcoxon test and Cohen's d_z; on an edit set also dose and response, the slope of the share
over the strengths. Prints the tables, and writes them as OUT/study.md and one row per image as OUT/images.csv.

Give either folders of fixations or maps on the original and the edited images, with masks of the regions; or an edit
set, on which --methods predict, people looked (--fixations, or --original and --edited), or both.

With --plan, draws images from an edit set and writes OUT/presentations.csv (who sees which version of which image, and
when), OUT/stimuli/ and OUT/plan.md (what to record, and how small a change the study will find). Record fixations and
give them as --fixations: participants and images are then random effects.
"""

import argparse
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import fields
from typing import Any

from salbench.cli import _options, _values

# tables, rows of the CSV files, what draws the figure, is it complete?
Study = tuple[str, Mapping[str, Iterable[Sequence[Any]]], Callable[[], Any], bool]
USAGE = "(--original DIR --edited DIR --masks DIR | --edits DIR [--plan]) [options]"
EXAMPLES = (
    "salbench study --original FIX_A --edited FIX_B --masks MASKS --figure study.pdf",
    "salbench study --edits EDITS --methods spectral_residual,lite",
    "salbench study --edits EDITS --plan --participants 24",
    "salbench study --edits EDITS --fixations fixations.csv --methods lite",
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
        "--fixations",
        type=_values.path,
        metavar="FILE",
        help="fixations of all participants on an edit set: a .csv with columns participant, image, x, y",
    )
    parser.add_argument(
        "--methods",
        default="",
        metavar="NAMES",
        help="methods for --edits, separated by commas, classical, table1 or all; see: salbench list methods",
    )
    _options.add_out(parser, "results/study", "folder for the tables, or for the plan")
    parser.add_argument(
        "--figure", type=_values.path, metavar="FILE", help="also draw the changes, as .png, .pdf or .svg"
    )
    _add_plan(parser)
    _options.add_runtime(parser, "device", "backbone", "workers", "batch_size")
    _options.add_cluster(parser)
    _options.add_folders(parser, "weights_root", "methods_dir")


def _add_plan(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("plan")
    group.add_argument("--plan", action="store_true", help="plan a study on --edits instead of analysing one")
    for name, typed, metavar, help in (
        ("--participants", _values.positive, "N", "number of participants (default: 24)"),
        ("--per-type", _values.positive, "N", "number of images for each type of edit (default: 50)"),
        ("--strengths", _values.positive, "N", "number of strengths beside the unedited image (default: 3)"),
        ("--seconds", _seconds, "S", "how long a picture is shown (default: 5)"),
        ("--blank", _seconds, "S", "how long the screen is blank after it (default: 2)"),
    ):
        group.add_argument(name, type=typed, metavar=metavar, help=help)
    _options.add_seed(group, "the plan")
    group.add_argument(
        "--all-versions",
        action="store_true",
        default=None,
        help="show every version of an image to every participant (default: one version, which rotates)",
    )


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"expected a number of seconds, 0 or above, got {text!r}")
    return value


def execute(options: argparse.Namespace) -> int:
    """Plan a study, or measure, print and write; returns 1 if something could not be measured."""
    return _plan(options) if options.plan else _analyse(options)


def _plan(options: argparse.Namespace) -> int:
    from salbench import edits
    from salbench.study import plan, power

    others = "original", "edited", "masks", "images", "fixations", "methods", "figure"
    if not options.edits or any(getattr(options, name) for name in others):
        raise ValueError("--plan needs --edits, and no methods, fixations, masks, images or figure")
    drawn = plan.draw(edits.read(options.edits), plan.Design(**_given(options)))
    plan.check_free(drawn, options.out)
    text = power.text(drawn)
    plan.write(drawn, options.out, text)
    print(text)
    print(f"plan: {options.out}", file=sys.stderr)
    return 0


def _given(options: argparse.Namespace) -> dict[str, Any]:
    """The numbers of a plan that were typed."""
    from salbench.study.plan import Design

    return {field.name: value for field in fields(Design) if (value := getattr(options, field.name)) is not None}


def _analyse(options: argparse.Namespace) -> int:
    from salbench import figure
    from salbench.study import report

    for name in _given(options).keys() - {"seed"}:  # which has a default
        _options.require(options, name, "--plan")
    _check_combination(options)
    if options.figure:
        figure.check(options.figure)
    text, tables, draw, complete = _of_an_edit_set(options) if options.edits else _of_folders(options)
    report.write(options.out, text, tables)
    print(text)
    if options.figure:
        figure.save(draw(), options.figure)
        print(f"figure: {options.figure}", file=sys.stderr)
    print(f"study: {options.out}", file=sys.stderr)
    return int(not complete)


def _check_combination(options: argparse.Namespace) -> None:
    gaze = options.original, options.edited
    if options.edits:
        asked = (all(gaze) and not options.fixations) or ((options.methods or options.fixations) and not any(gaze))
        is_right = asked and not (options.masks or options.images)
    else:
        is_right = all((*gaze, options.masks)) and not (options.methods or options.fixations)
    if not is_right:
        raise ValueError(
            "study needs --original, --edited and --masks; or --edits with --methods, with --fixations or with "
            "--original and --edited, or with methods and one of these; or --edits with --plan"
        )


def _of_folders(options: argparse.Namespace) -> Study:
    from salbench.study import figures, report
    from salbench.study.observed import observe

    study = observe(options.original, options.edited, options.masks, options.images)
    tables = {"images.csv": report.observed_rows(study)}
    return report.observed_table(study), tables, lambda: figures.observed_figure(study), not study.left_out


def _of_an_edit_set(options: argparse.Namespace) -> Study:
    from salbench import edits
    from salbench.study import figures, participants, report
    from salbench.study.predicted import predict

    runtime = _options.runtime(options)
    specs = _options.methods(options) if options.methods else []
    gaze = (options.original, options.edited) if options.original else None
    study = predict(edits.read(options.edits), specs, options.out, runtime, gaze=gaze, fixations=options.fixations)
    has_shares = bool(study.models or study.participants)
    complete = has_shares and not (study.left_out or study.failures)
    tables: dict[str, Iterable[Sequence[Any]]] = {"images.csv": report.predicted_rows(study)}
    if study.participants:
        tables["trials.csv"] = participants.rows(study.participants)
    return report.predicted_table(study), tables, lambda: figures.predicted_figure(study), complete
