"""The command line of salbench: parse, call one function, print."""

import argparse
import errno
import json
import logging
import os
import sys
from pathlib import Path

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
  python benchmark.py edit --dataset salicon_train --type contrast --strength 1.2,1.5,2.0 --out EDITS
  python benchmark.py edit --image FILE --caption "a red bus on a street" --word bus --type color --color purple
  python benchmark.py study --original FIX_A --edited FIX_B --masks MASKS --figure study.pdf
  python benchmark.py study --edits EDITS --methods spectral_residual,lite
  python benchmark.py weights                                                which published files, found or not
  python benchmark.py weights convert --methods unisal
  python benchmark.py speed
  python benchmark.py speed --methods unisal,simplenet --init random

`run` is the default verb; python benchmark.py VERB --help tells the options of each.
"""

SHOWN = 3  # failed images that are named; the result file has all


def main(arguments=None):
    """Run the command line; returns the exit status: 0, 1 if images failed or nothing ran, 2 for an error."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments.insert(0, "run")
    options = _parser().parse_args(arguments)
    from salbench.registry import MethodUnavailable

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every glyph of a figure
    try:
        return VERBS[options.verb](options) or 0
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, the same command goes on from there", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `| head` has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        where = "" if error.filename else f" (writing under {options.out})" if "out" in options else ""
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        kept = "; what is finished is kept, the same command goes on from here" if full else ""
        print(f"error: {error}{where}{kept}", file=sys.stderr)
        return 2
    except (ValueError, MethodUnavailable) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser():
    from salbench import __version__

    parser = argparse.ArgumentParser(
        description="Score models that predict where people look.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"salbench {__version__}")
    verbs = parser.add_subparsers(dest="verb", metavar="VERB", required=True)

    run = _verb(verbs, "run", "score methods on a data set and print the table (the default verb)")
    _add_inputs(run, methods="all")
    run.add_argument("--protocol", default="tuebingen", help="default: tuebingen; see list protocols")
    run.add_argument("--out", default="results", metavar="DIR", help="folder of the results (default: results)")
    run.add_argument("--save-maps", metavar="DIR", help="also write the scored maps as 8-bit PNG")
    run.add_argument("--overwrite", action="store_true", help="replace results made under other settings")
    run.add_argument(
        "--init", choices=("random",), help="run networks with random weights: for plumbing only, in no table"
    )
    run.add_argument(
        "--batch-size", type=_positive, metavar="N",
        help="images that a network takes together (default: 1 on the CPU, 8 elsewhere)",
    )  # fmt: skip
    _add_weights_root(run)

    lists = _verb(verbs, "list", "print what there is")
    lists.add_argument("what", choices=("methods", "datasets", "metrics", "protocols", "augmentations"))
    lists.add_argument("--json", action="store_true", help="as JSON")
    _add_methods_dir(lists)
    _add_augmentations_dir(lists)

    fit = _verb(verbs, "fit", "train methods on a data set; a training that was stopped goes on")
    _add_inputs(fit, methods=None, dataset="osie_train", what="data sets with commas between")
    fit.add_argument(
        "--augment", default="", metavar="NAMES",
        help="show every image in turn as itself and as its augmented copies, one of them per epoch; or edits:DIR: "
        "show an image of this edit set by chance instead of its source",
    )  # fmt: skip
    fit.add_argument(
        "--edit-losses", type=_loss_weights, metavar="NAME=WEIGHT,...",
        help="on edited images (default: agreement=1, the paper's): agreement, increase, kl, cc, nss, sim",
    )  # fmt: skip
    _add_regime(fit)
    fit.add_argument("--epochs", type=_positive, metavar="N", help="instead of what the method's recipe says")
    fit.add_argument(
        "--out", default="checkpoints", metavar="DIR", help="folder of the checkpoints (default: checkpoints)"
    )
    _add_augmentations_dir(fit)

    ablate = _verb(verbs, "ablate", "train with one augmentation at a time and compare; what is finished is kept")
    ablate.add_argument("--methods", required=True, help="names of learned methods with commas between")
    ablate.add_argument(
        "--dataset", default="osie", help="one with splits _train and _test, +NAME to train on more (default: osie)"
    )
    ablate.add_argument(
        "--augmentations", default="paper12", help="names or presets with commas between; see list; or: edits:DIR"
    )
    ablate.add_argument(
        "--edit-losses", type=_loss_weights, action="append", metavar="NAME=WEIGHT,...",
        help="of edited images, as for fit; give it again for one more arm (default: agreement=1)",
    )  # fmt: skip
    ablate.add_argument(
        "--seeds", type=_seeds, default=[0], metavar="0,1,2", help="trainings per augmentation (default: 0)"
    )
    _add_regime(ablate)
    ablate.add_argument("--labels", choices=("moved", "as_released"), default="moved", help="default: moved")
    ablate.add_argument("--epochs", type=_positive, metavar="N", help="instead of what the method's recipe says")
    ablate.add_argument("--out", default="results", metavar="DIR", help="folder of the results (default: results)")
    ablate.add_argument(
        "--checkpoints", default="checkpoints", metavar="DIR", help="folder of the trainings (default: checkpoints)"
    )
    _add_machine(ablate)
    _add_methods_dir(ablate)
    _add_augmentations_dir(ablate)

    table = _verb(verbs, "table", "print results, or the paper's tables, from files")
    source = table.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", help="results of this data set")
    source.add_argument("--paper", metavar="TABLE", help="table1 or table2 of the paper, measured rows beside it")
    source.add_argument("--ablation", metavar="DATASET", help="what each augmentation changed on this data set")
    table.add_argument("--figure", metavar="FILE", help="of --ablation: draw it too, as .png, .pdf or .svg")
    table.add_argument("--format", choices=("md", "latex", "csv"), default="md")
    table.add_argument("--out", default="results", metavar="DIR", help="folder of the results (default: results)")

    submit = _verb(verbs, "submit", "write and validate a challenge file")
    _add_inputs(submit, methods=None, dataset="salicon_test")
    submit.add_argument("--format", choices=("lsun17",), default="lsun17")
    submit.add_argument("--out", default="submissions", metavar="DIR", help="folder of the files")
    submit.add_argument("--allow-partial", action="store_true", help="write what there is when images fail")
    _add_weights_root(submit)

    show = _verb(verbs, "show", "draw an image and its augmentations, fixations overlaid, on one picture")
    show.add_argument("--augmentations", default="paper12", help="names or presets with commas between; see list")
    _add_picture(show)
    show.add_argument("--labels", choices=("moved", "as_released"), default="moved", help="default: moved")
    show.add_argument("--seed", type=_seed, default=0, help="of crops and noise (default: 0)")
    _add_augmentations_dir(show)

    features = _verb(verbs, "features", "draw what a method's feature maps look like")
    features.add_argument("--methods", default="diffusion_readout", help="name, or name:CHECKPOINT, of one method")
    _add_picture(features)
    _add_weights_root(features)
    _add_device(features)
    _add_methods_dir(features)

    edit = _verb(verbs, "edit", "edit images where people look, or where a word or a mask says, by a diffusion model")
    edit.add_argument("--methods", default="diffusion_readout", help="name, or name:CHECKPOINT, of one method")
    _add_picture(edit)
    edit.set_defaults(out=None)
    edit.add_argument("--type", default="contrast", metavar="TYPES", help="contrast, brightness, color, or several")
    edit.add_argument(
        "--strength", type=_numbers, metavar="1.2,1.5", help="contrast: a factor, below 1 lowers it (1.2,1.5,2); "
        "brightness: black to white is 2 (0.1,0.2,0.4); color: scale of the attention (1,2,4)",
    )  # fmt: skip
    edit.add_argument("--color", metavar="WORD", help="of --type color")
    edit.add_argument("--word", help="of the caption, to edit (default: the most salient one)")
    edit.add_argument("--caption", help="of --image")
    edit.add_argument(
        "--mask", metavar="FILE_OR_DIR", help="region to edit, a picture; for --dataset a folder of ID.png; or: "
        "saliency, for where people look, or are predicted to (no caption is needed then)",
    )  # fmt: skip
    edit.add_argument("--unconstrained", action="store_true", help="do not weaken edits that look too strong")
    edit.add_argument("--limit", type=_positive, metavar="N", help="only the first N images of --dataset")
    _add_weights_root(edit)
    _add_device(edit)
    _add_methods_dir(edit)

    study = _verb(verbs, "study", "did attention inside the edited regions change? fixations, maps, or models")
    study.add_argument(
        "--original", metavar="DIR", help="fixations (.csv, .npy) or maps on the originals, one file each"
    )
    study.add_argument("--edited", metavar="DIR", help="the same on the edited images, files of the same stems")
    study.add_argument("--masks", metavar="DIR", help="grey pictures of the regions, files of the same stems")
    study.add_argument("--images", metavar="DIR", help="pictures shown, where masks are not of their size")
    study.add_argument("--edits", metavar="DIR", help="instead: an edit set, on which --methods predict")
    study.add_argument(
        "--methods", default="", metavar="NAMES", help="of --edits: names with commas between, or all; see list"
    )
    study.add_argument("--out", default="results/study", metavar="DIR", help="folder (default: results/study)")
    study.add_argument("--figure", metavar="FILE", help="draw it too, as .png, .pdf or .svg")
    _add_weights_root(study)
    _add_device(study)
    _add_methods_dir(study)

    published = _verb(verbs, "weights", "list the published files that methods need, or convert them to safetensors")
    published.add_argument("what", nargs="?", choices=("list", "convert"), default="list", help="default: list")
    published.add_argument("--methods", default="all", help="names with commas between (default: all); see list")
    _add_weights_root(published)
    published.add_argument("--json", action="store_true", help="list as JSON")
    _add_methods_dir(published)

    speed = _verb(verbs, "speed", "how fast the metric core is on this machine, beside pysaliency; or networks")
    speed.add_argument("--methods", metavar="NAMES", help="time these networks instead of the metric core")
    speed.add_argument("--init", choices=("random",), help="with random weights, which take as long as trained ones")
    _add_weights_root(speed)
    _add_device(speed)
    _add_methods_dir(speed)
    return parser


def _verb(verbs, name, text):
    lines = [line for line in EXAMPLES.splitlines() if line.startswith("  ")]
    own = [line for line in lines if f"benchmark.py {name}" in line or (name == "run" and _is_run(line))]
    return verbs.add_parser(
        name,
        help=text,
        description=text,
        epilog="\n".join(["examples:", *own]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def _is_run(example):
    words = example.split()
    return len(words) < 3 or words[2].startswith("--") or words[2] not in VERBS


def _add_inputs(parser, methods, dataset="popout", what="data set"):
    parser.add_argument(
        "--methods", default=methods, required=methods is None, help="names with commas between, or all; see list"
    )
    default = f"{dataset}{', embedded' if dataset == 'popout' else ''}"
    parser.add_argument("--dataset", default=dataset, help=f"{what} (default: {default}); see list datasets")
    parser.add_argument("--limit", type=_positive, metavar="N", help="only the first N images")
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
    parser.add_argument("--out", default="sheet.png", metavar="FILE", help="default: sheet.png")


def _picture(options):
    from salbench import sheet

    if options.image:
        return sheet.sample_of_files(options.image, options.fixations)
    return sheet.sample_of_dataset(options.dataset, options.id, options.data_root)


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


def _p(options, edits=False):
    if options.mode == "copies" and (edits or options.p is not None):
        what = "--augment edits" if edits else "--p"
        raise ValueError(f"{what}: expected --mode replace with it, got copies, which shows all in turn")
    return 0.5 if options.p is None and (edits or options.mode == "replace") else options.p


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
    if not weights or not all(0 <= weight < float("inf") for weight in weights.values()):
        raise argparse.ArgumentTypeError(f"expected NAME=WEIGHT with commas between, weights from 0 up, got {text!r}")
    return weights


def _positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number above 0, got {text}")
    return value


def _run(options):
    from salbench import tables
    from salbench.datasets import training_split
    from salbench.evaluate import Broken, Evaluation, Skipped
    from salbench.protocol import named
    from salbench.results import Result

    specs = _methods(options)
    dataset = _dataset(options)
    evaluation = Evaluation(
        dataset,
        named(options.protocol),
        options.out,
        train=lambda: training_split(dataset, options.data_root),
        workers=options.workers,
        device=options.device,
        batch_size=options.batch_size,
        backbone=options.backbone,
        weights_root=options.weights_root,
        init=options.init,
        seed=options.seed,
        save_maps=options.save_maps,
        overwrite=options.overwrite,
    )
    finished = [evaluation.run(spec) for spec in specs]
    results = [f for f in finished if isinstance(f, Result)]
    if not all(result.untrained for result in results):
        print("\n" + tables.dataset_table(options.out, dataset.name))
    print("".join(f"in no table, random weights: {r.key.method}\n" for r in results if r.untrained), end="")
    for other in finished:
        if isinstance(other, Skipped):
            print(f"skipped {other.method}: {other.reason}")
        elif isinstance(other, Broken):
            print(f"broken {other.method}: {other.reason}", file=sys.stderr)
    _print_failures(results, options.out)
    if results:
        print(f"results: {Path(options.out) / dataset.name}")
    return int(len(results) == 0 or any(isinstance(f, Broken) for f in finished) or any(r.n_failed for r in results))


def _print_failures(results, out):
    from salbench.results import paths

    for result in results:
        path, _, _ = paths(out, result.key.dataset, result.key.method)
        for id, message in list(result.failures.items())[:SHOWN]:
            print(f"failed {result.key.method}, {id}: {message}", file=sys.stderr)
        if result.n_failed > SHOWN:
            print(f"and {result.n_failed - SHOWN} more failed images, see {path}", file=sys.stderr)


def _fit(options):
    from salbench import edits, training

    specs = _methods(options)
    names, edit_set = _augmentation(options, options.augment)
    p, losses = _p(options, edit_set is not None), options.edit_losses
    if not (names or edit_set) and (p is not None or options.mode):
        raise ValueError("--mode, --p: expected --augment with them, they say how augmentations are shown")
    if losses and not edit_set:
        raise ValueError("--edit-losses: expected --augment edits:DIR with it")
    dataset = _dataset(options)
    if edit_set:
        place = f"{dataset.name}+{edits.training_name(edit_set, p, losses)}"
    else:
        place = "+".join([dataset.name, *names]) + (f"-p{p:g}" if p is not None else "")
    for spec in specs:
        method = training.create(spec, epochs=options.epochs, p=p, edit_losses=losses)
        method.device, method.backbone = options.device, options.backbone
        method.folder = Path(options.out) / method.name / place / f"seed{options.seed}"
        method.fit(dataset.samples, augment=names, edits=edit_set, seed=options.seed)
        typed = f"{method.name}:{method.folder}" + (f" --backbone {options.backbone}" if options.backbone else "")
        print(f"trained; score it with: python benchmark.py --dataset NAME --methods {typed}")


def _augmentation(options, typed):
    """(names, edit set or None) of what was typed."""
    from salbench import augment, edits

    _use_augmentations_dir(options)
    words = typed.split(",")
    if not any(word.startswith("edits:") for word in words):
        return augment.select(typed) if typed else [], None
    if len(words) > 1:
        raise ValueError(
            f"expected edits:DIR alone, got {typed}; the random augmentation of a method's own recipe comes on top of "
            "edits"
        )
    return [], edits.read(typed.removeprefix("edits:"))


def _ablate(options):
    from salbench.ablation import report
    from salbench.ablation.run import ablate

    names, edit_set = _augmentation(options, options.augmentations)
    if options.edit_losses and not edit_set:
        raise ValueError("--edit-losses: expected --augmentations edits:DIR with it")
    losses = (options.edit_losses or [{"agreement": 1.0}]) if edit_set else []
    failures = []
    for name in _methods(options):
        failures += ablate(
            name,
            options.dataset,
            names,
            options.seeds,
            out=options.out,
            checkpoints=options.checkpoints,
            root=options.data_root,
            epochs=options.epochs,
            p=_p(options, edit_set is not None),
            labels=options.labels,
            edit_set=edit_set,
            edit_losses=losses,
            device=options.device,
            backbone=options.backbone,
            workers=options.workers,
        )
    for failure in failures:
        print(f"failed: {failure.arm}, seed {failure.seed}: {failure.reason}", file=sys.stderr)
    print(report.table(options.out, options.dataset))
    print(f"again, drawn too: python benchmark.py table --ablation {options.dataset} --out {options.out} --figure FILE")
    return int(bool(failures))


def _list(options):
    from salbench import listing

    _use_methods_dir(options)
    _use_augmentations_dir(options)
    rows = listing.ROWS[options.what]()
    print(json.dumps(rows, indent=2) if options.json else listing.text(rows))


def _table(options):
    from salbench import tables

    if options.figure and not options.ablation:
        raise ValueError("--figure: expected --ablation with it, nothing else is drawn yet")
    if options.paper:
        print(tables.paper_table(options.paper, options.out, options.format), end="")
    elif options.ablation:
        from salbench.ablation import report

        if options.figure:
            report.figure(options.out, options.ablation, options.figure)
            print(f"figure: {options.figure}", file=sys.stderr)
        print(report.table(options.out, options.ablation, options.format), end="")
    else:
        from salbench.datasets import results_name

        print(tables.dataset_table(options.out, results_name(options.dataset), options.format), end="")


def _submit(options):
    from salbench import registry, submission
    from salbench.datasets import training_split

    dataset = _dataset(options)
    failed = 0
    for spec in _methods(options):
        method = registry.create(spec)
        method.device, method.backbone, method.weights_root = options.device, options.backbone, options.weights_root
        registry.fit_at_run(method, dataset, lambda: training_split(dataset, options.data_root), seed=options.seed)
        path = Path(options.out) / f"{dataset.name}_{method.label}.zip"
        write = submission.FORMATS[options.format]
        summary = write(method, dataset.samples, path, workers=options.workers, allow_partial=options.allow_partial)
        failed += len(summary.failed)
        print(summary)
    return int(failed > 0)


def _show(options):
    from salbench import augment, sheet

    _use_augmentations_dir(options)
    names = augment.select(options.augmentations)
    sample = _picture(options)
    failed = sheet.augmentation_sheet(sample, names, options.out, seed=options.seed, labels=options.labels)
    for name, reason in failed.items():
        print(f"not applied: {name}: {reason}", file=sys.stderr)
    print(f"sheet: {options.out}")
    return int(len(failed) == len(names))


def _features(options):
    from salbench import sheet

    method, sample = _one_method(options), _picture(options)
    sheet.feature_sheet(sample, method.features(sample.blind()), options.out)
    print(f"sheet: {options.out}")


def _one_method(options):
    from salbench import registry

    spec, *others = _methods(options)
    if others:
        raise registry.MethodProblem(f"--methods: expected one method, got {options.methods}")
    method = registry.create(spec)
    method.device, method.backbone, method.weights_root = options.device, options.backbone, options.weights_root
    return method


def _edit(options):
    from salbench import edits

    method, wanted = _one_method(options), edits.wanted(options.type, options.strength)
    request = {"color": options.color, "word": options.word, "constrained": not options.unconstrained}
    edit = _edit_picture if options.image or options.id else _edit_dataset
    return edit(options, method, wanted, request)


def _edit_picture(options, method, wanted, request):
    from salbench import making, sheet

    sample, out = _picture(options), options.out or "sheet.png"
    made = making.edit_one(method, sample, wanted, caption=options.caption, mask=options.mask, **request)
    sheet.edit_sheet(sample, made, making.predicting(method) if request["constrained"] else None, out)
    for dropped in made.dropped:
        print(f"dropped: {dropped['type']} {dropped['asked']:g}: {dropped['reason']}", file=sys.stderr)
    print(f"sheet: {out}")
    return int(not made.edits)


def _edit_dataset(options, method, wanted, request):
    from salbench import edits, making
    from salbench.datasets import load

    dataset, out = load(options.dataset, options.data_root), options.out or "edits"
    failures = making.make(method, dataset, out, wanted, limit=options.limit, masks=options.mask, **request)
    for id, reason in list(failures.items())[:SHOWN]:
        print(f"not edited: {id}: {reason}", file=sys.stderr)
    if len(failures) > SHOWN:
        print(f"and {len(failures) - SHOWN} more images that were not edited", file=sys.stderr)
    made = edits.read(out)
    print(f"edit set: {out}: {made.summary()}")
    if dataset.name.endswith("_train"):
        print(f"train with it: python benchmark.py fit --methods lite --dataset {dataset.name} --augment edits:{out}")
    return int(bool(failures) or not any(made.edits.values()))


def _study(options):
    from salbench import edits
    from salbench.study import figures, report
    from salbench.study.observed import observe
    from salbench.study.predicted import predict

    folders = options.original, options.edited, options.masks
    if any((*folders, options.images)) if options.edits else options.methods or not all(folders):
        raise ValueError(
            "study: expected --original, --edited and --masks (and --images), or --edits with --methods; not both"
        )
    if options.figure:
        figures.check(options.figure)
    if options.edits:
        specs = _methods(options)
        here = {"device": options.device, "backbone": options.backbone, "weights_root": options.weights_root}
        study = predict(edits.read(options.edits), specs, **here)
        table, rows, draw = report.predicted_table(study), report.predicted_rows(study), figures.predicted_figure
        complete = not (study.left_out or study.failures) and bool(study.models)
    else:
        study = observe(*folders, options.images)
        table, rows, draw = report.observed_table(study), report.observed_rows(study), figures.observed_figure
        complete = not study.left_out
    report.write(options.out, table, rows)
    print(table)
    if options.figure:
        figures.save(draw(study), options.figure)
        print(f"figure: {options.figure}", file=sys.stderr)
    print(f"study: {options.out}", file=sys.stderr)
    return int(not complete)


def _weights(options):
    from salbench import listing, registry

    rows = listing.checkpoints(_methods(options), options.weights_root)
    if not rows:
        raise registry.MethodProblem(f"--methods: expected some with published weights, got {options.methods}")
    if options.what == "convert":
        return _convert(dict.fromkeys(row["method"] for row in rows), options.weights_root)
    print(json.dumps(rows, indent=2) if options.json else listing.text(rows))


def _convert(names, root):
    from salbench import registry, training

    skipped = 0
    for name in names:
        method = training.create(name)
        method.weights_root = root
        try:
            print(f"{name}: {method.convert()}, hash {method.weights_hash()}")
        except registry.MethodUnavailable as reason:
            print(f"skipped {name}: {reason}")
            skipped += 1
    return int(skipped == len(names))


def _speed(options):
    given = {"--init": options.init, "--weights-root": options.weights_root, "--backbone": options.backbone}
    given |= {"--methods-dir": options.methods_dir, "--device": None if options.device == "cpu" else options.device}
    if not options.methods:
        alone = [name for name, value in given.items() if value]
        if alone:
            raise ValueError(f"{alone[0]}: expected --methods with it, the networks to time")
        from salbench.speed import metrics

        print(metrics.report())
        return 0
    from salbench.speed import networks

    here = networks.Settings(options.init, options.device, options.backbone, options.weights_root, options.methods_dir)
    text, timed = networks.report(_methods(options), here)
    print(text)
    return int(timed == 0)


VERBS = {
    "run": _run,
    "fit": _fit,
    "ablate": _ablate,
    "list": _list,
    "table": _table,
    "submit": _submit,
    "show": _show,
    "features": _features,
    "edit": _edit,
    "study": _study,
    "weights": _weights,
    "speed": _speed,
}


def _use_methods_dir(options):
    from salbench import registry

    if options.methods_dir:
        registry.add_folder(options.methods_dir)


def _use_augmentations_dir(options):
    from salbench import augment

    if options.augmentations_dir:
        augment.add_folder(options.augmentations_dir)


def _methods(options):
    from salbench import registry
    from salbench.checks import check_device

    if "device" in options:
        check_device(options.device)
    _use_methods_dir(options)
    typed = [spec.strip() for spec in options.methods.split(",") if spec.strip()]
    specs = [name for spec in typed for name in (registry.available() if spec == "all" else [spec])]
    if not specs:
        raise registry.MethodProblem("--methods: expected names with commas between, or all, got nothing")
    for spec in specs:
        registry.find(spec.partition(":")[0])  # a wrong name is told before anything runs
    return list(dict.fromkeys(specs))


def _dataset(options):
    from salbench.datasets import join, load

    names = options.dataset.split(",") if options.verb == "fit" else [options.dataset]
    dataset = join([load(name.strip(), options.data_root) for name in names])
    return dataset if options.limit is None else dataset.first(options.limit)


if __name__ == "__main__":
    sys.exit(main())
