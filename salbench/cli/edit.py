"""Edit images with a diffusion model, to raise or lower the saliency of a region.

The contrast, brightness or colour of one region changes; the rest stays. The region belongs to the most salient word
of the caption, unless --word or --mask says otherwise.

With --image or --id, one image is edited, and one PNG shows it, its region and its edits. Otherwise all images of
--dataset are edited and written as an edit set, which `fit` can train with and `study` can measure. Rerun the same
command to resume an edit set that was stopped.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from salbench.cli import _options, _values

if TYPE_CHECKING:
    from salbench.registry import SaliencyMethod

USAGE = "[options]"
EXAMPLES = (
    "salbench edit --image cat.jpg --mask region.png --strength 0.5,1.5,2",
    'salbench edit --image bus.jpg --caption "a red bus" --word bus --type color --color purple',
    "salbench edit --dataset osie_train --mask saliency --type contrast,brightness --out EDITS",
    "salbench edit --dataset salicon_train --backbone DIR --methods diffusion_readout:CHECKPOINT",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench edit`."""
    _options.add_picture(parser, without_id="all images")
    _options.add_limit(parser, "edit only the first N images of --dataset")
    parser.add_argument(
        "--out",
        type=_values.path,
        metavar="PLACE",
        help="PNG for the edits of one image (default: sheet.png), or folder for the edit set (default: edits)",
    )
    group = parser.add_argument_group("edits")
    group.add_argument(
        "--type",
        default="contrast",
        metavar="TYPES",
        help="types of edit, separated by commas (default: contrast); see: salbench list edits",
    )
    group.add_argument(
        "--strength",
        type=_values.numbers,
        metavar="N,N,...",
        help="strengths for every type, as in 1.5,2 or, if the first is negative, --strength=-0.2,0.2 (default: those "
        "of each type); see: salbench list edits",
    )
    group.add_argument(
        "--color",
        metavar="WORD,...",
        help="the new colour, such as purple, for types that need one; one of several is drawn for each image",
    )
    group.add_argument("--caption", metavar="TEXT", help="caption of the image")
    group.add_argument("--word", help="word of the caption whose region is edited (default: the most salient word)")
    group.add_argument(
        "--mask",
        metavar="MASK",
        help="region to edit: a grey image (for a data set, a folder of ID.png), or `saliency` for where people look "
        "or, without fixations, where the method predicts they look. Default: the region of a caption word",
    )
    group.add_argument(
        "--unconstrained",
        action="store_true",
        help="keep edits that look too strong, instead of weakening or dropping them",
    )
    group.add_argument(
        "--unscaled",
        action="store_true",
        help="add brightness to all channels of the latents alike, which shifts colours (the paper's figure 6)",
    )
    group.add_argument(
        "--methods",
        default="diffusion_readout",
        metavar="NAME",
        help="the method that edits, or NAME:CHECKPOINT for weights of your own (default: diffusion_readout)",
    )
    _options.add_runtime(parser, "device", "backbone", "batch_size")
    _options.add_cluster(parser)
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Edit one image or a data set; returns 1 if an image was not edited."""
    from salbench import edits

    method, wanted = _options.one_method(options), edits.wanted(options.type, options.strength)
    colored = {name for name, edit_type in edits.EDIT_TYPES.items() if edit_type.needs_color}
    if colored.isdisjoint(wanted):
        _options.require(options, "color", f"--type {' or '.join(sorted(colored))}")
    limits = {"constrained": not options.unconstrained, "scaled": not options.unscaled}
    request = {"color": options.color, "word": options.word, **limits}
    edit = _edit_picture if options.image or options.id else _edit_dataset
    return edit(options, method, wanted, request)


def _edit_picture(
    options: argparse.Namespace,
    method: "SaliencyMethod",
    wanted: Mapping[str, Sequence[float]],
    request: Mapping[str, Any],
) -> int:
    from salbench import contact_sheet, make_edits

    _options.require(options, "limit", "--dataset without --id")
    if options.batch_size:
        raise ValueError("--batch-size requires --dataset without --id")
    sample, out = _options.picture(options), options.out or _values.path("sheet.png")
    made = make_edits.edit_one(method, sample, wanted, caption=options.caption, mask=options.mask, **request)
    contact_sheet.edit_sheet(sample, made, make_edits.predicting(method), out)
    for edit in made.edits:
        if edit.strength != edit.asked:
            print(f"weakened: {edit.type}: asked for {edit.asked:g}, used {edit.strength:.3g}", file=sys.stderr)
    _options.print_reasons("dropped", {f"{each['type']} {each['asked']:g}": each["reason"] for each in made.dropped})
    print(f"sheet: {out}")
    return int(not made.edits)


def _edit_dataset(
    options: argparse.Namespace,
    method: "SaliencyMethod",
    wanted: Mapping[str, Sequence[float]],
    request: Mapping[str, Any],
) -> int:
    from salbench import edits, make_edits
    from salbench.datasets import load

    _options.require(options, "caption", "--image or --id")
    _options.require(options, "fixations", "--image")
    dataset, out = load(options.dataset, options.data_root), options.out or _values.path("edits")
    failures = make_edits.make(method, dataset, out, wanted, limit=options.limit, masks=options.mask, **request)
    made = edits.read(out)
    _options.print_reasons("not edited", failures)
    _options.print_reasons("dropped", made.dropped)
    print(f"edit set: {out}: {made.summary()}")
    if dataset.name.endswith("_train"):
        command = ["salbench", "fit", "--methods", "NAME", "--dataset", options.dataset, "--augment", f"edits:{out}"]
        command += ["--data-root", str(options.data_root)] if options.data_root else []
        command += ["--off-image", options.off_image] if options.off_image else []
        print(f"train a method with it (see: salbench list methods): {shlex.join(command)}")
    return int(bool(failures) or not any(made.edits.values()))
