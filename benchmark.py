"""The command line of salbench: parse, call one function, print."""

import errno
import json
import logging
import os
import sys
from pathlib import Path

from tqdm.contrib.logging import logging_redirect_tqdm

from salbench.arguments import parser

# Threads of torch that wait for each other give way after a moment (GNU's OpenMP, which reads this when torch is
# imported). By default they spin, and where other programs hold the cores, networks take up to twice as long.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
SHOWN = 3  # failed images that are named; the result file has all


def main(arguments=None):
    """Run the command line; returns the exit status: 0, 1 if images failed or nothing ran, 2 for an error."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or (arguments[0].startswith("-") and arguments[0] not in ("-h", "--help", "--version")):
        arguments.insert(0, "run")
    options = parser().parse_args(arguments)
    from salbench.registry import MethodUnavailable

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every glyph of a figure
    try:
        with logging_redirect_tqdm():  # lines between progress bars, not in them
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


def _picture(options):
    from salbench import sheet

    if options.image:
        _refuse(options, "id", "--dataset, it names one of its images")
        return sheet.sample_of_files(options.image, options.fixations)
    _refuse(options, "fixations", "--image, a data set has its own")
    return sheet.sample_of_dataset(options.dataset, options.id, options.data_root)


def _refuse(options, name, expected):
    """Raise `ValueError` if an option was given that would do nothing here."""
    if getattr(options, name) is not None:
        raise ValueError(f"--{name}: expected {expected}; got it without")


def _p(options, edits=False):
    if options.mode == "copies" and (edits or options.p is not None):
        what = "--augment edits" if edits else "--p"
        raise ValueError(f"{what}: expected --mode replace with it, got copies, which shows all in turn")
    return 0.5 if options.p is None and (edits or options.mode == "replace") else options.p


def _run(options):
    from salbench import tables
    from salbench.datasets import training_split
    from salbench.evaluate import Broken, Evaluation, Refused, Skipped
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
        elif isinstance(other, Broken | Refused):
            print(f"{type(other).__name__.lower()} {other.method}: {other.reason}", file=sys.stderr)
    _print_failures(results, options.out)
    if results:
        print(f"results: {Path(options.out) / dataset.name}")
    failed = any(isinstance(f, Broken | Refused) for f in finished) or any(r.n_failed for r in results)
    return int(failed or not results)


def _print_failures(results, out):
    from salbench.results import paths

    for result in results:
        path, _, _ = paths(out, result.key.dataset, result.key.method)
        for id, message in list(result.failures.items())[:SHOWN]:
            print(f"failed {result.key.method}, {id}: {message}", file=sys.stderr)
        if result.n_failed > SHOWN:
            print(f"and {result.n_failed - SHOWN} more failed images, see {path}", file=sys.stderr)


def _print_reasons(what, reasons):
    for name, reason in list(reasons.items())[:SHOWN]:
        print(f"{what}: {name}: {reason}", file=sys.stderr)
    if len(reasons) > SHOWN:
        print(f"{what}: {len(reasons) - SHOWN} more", file=sys.stderr)


def _fit(options):
    from salbench import edits, training

    specs = _methods(options)
    names, edit_sets = _augmentation(options, options.augment)
    edit_set = edits.join(edit_sets) if edit_sets else None
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
        method = training.create(spec, epochs=options.epochs, batch_size=options.batch_size, p=p, edit_losses=losses)
        method.device, method.backbone = options.device, options.backbone
        method.folder = Path(options.out) / method.name / place / f"seed{options.seed}"
        method.training_data = dataset.name
        method.fit(dataset.samples, augment=names, edits=edit_set, seed=options.seed)
        typed = f"{method.name}:{method.folder}" + (f" --backbone {options.backbone}" if options.backbone else "")
        print(f"trained; score it with: python benchmark.py --dataset NAME --methods {typed}")


def _augmentation(options, typed):
    """(names, edit sets) of what was typed; one of the two is empty."""
    from salbench import augment, edits

    _use_augmentations_dir(options)
    words = [word.strip() for word in typed.split(",")]
    folders = [word.removeprefix("edits:") for word in words if word.startswith("edits:")]
    if not folders:
        return augment.select(typed) if typed else [], []
    if len(folders) < len(words):
        raise ValueError(
            f"expected edits:DIR alone or several of them, got {typed}; the random augmentation of a method's own "
            "recipe comes on top of edits"
        )
    return [], [edits.read(folder) for folder in folders]


def _ablate(options):
    from salbench.ablation import report
    from salbench.ablation.run import ablate

    names, edit_sets = _augmentation(options, options.augmentations)
    if options.edit_losses and not edit_sets:
        raise ValueError("--edit-losses: expected --augmentations edits:DIR with it")
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
            batch_size=options.batch_size,
            p=_p(options, bool(edit_sets)),
            labels=options.labels,
            edit_sets=edit_sets,
            edit_losses=options.edit_losses or [{"agreement": 1.0}],
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
    if "color" not in wanted:
        _refuse(options, "color", "--type color with it")
    request = {"color": options.color, "word": options.word, "constrained": not options.unconstrained}
    edit = _edit_picture if options.image or options.id else _edit_dataset
    return edit(options, method, wanted, request)


def _edit_picture(options, method, wanted, request):
    from salbench import making, sheet

    _refuse(options, "limit", "--dataset without --id")
    sample, out = _picture(options), options.out or "sheet.png"
    made = making.edit_one(method, sample, wanted, caption=options.caption, mask=options.mask, **request)
    sheet.edit_sheet(sample, made, making.predicting(method), out)
    for dropped in made.dropped:
        print(f"dropped: {dropped['type']} {dropped['asked']:g}: {dropped['reason']}", file=sys.stderr)
    print(f"sheet: {out}")
    return int(not made.edits)


def _edit_dataset(options, method, wanted, request):
    from salbench import edits, making
    from salbench.datasets import load

    for name in ("caption", "fixations"):
        _refuse(options, name, "--image, a data set has its own")
    dataset, out = load(options.dataset, options.data_root), options.out or "edits"
    failures = making.make(method, dataset, out, wanted, limit=options.limit, masks=options.mask, **request)
    _print_reasons("not edited", failures)
    made = edits.read(out)
    _print_reasons("dropped", made.dropped)
    print(f"edit set: {out}: {made.summary()}")
    if dataset.name.endswith("_train"):
        print(f"train with it: python benchmark.py fit --methods lite --dataset {dataset.name} --augment edits:{out}")
    return int(bool(failures) or not any(made.edits.values()))


def _study(options):
    from salbench import edits
    from salbench.study import figures, report
    from salbench.study.observed import observe
    from salbench.study.predicted import predict

    gaze = options.original, options.edited
    if options.edits:
        is_right = not (options.masks or options.images) and all(gaze) == any(gaze) and (all(gaze) or options.methods)
    else:
        is_right = all((*gaze, options.masks)) and not options.methods
    if not is_right:
        raise ValueError(
            "study: expected --original, --edited and --masks (and --images), or --edits with --methods, or with "
            "--original and --edited, or all three"
        )
    if options.figure:
        figures.check(options.figure)
    if options.edits:
        specs = _methods(options) if options.methods else []
        here = {"device": options.device, "backbone": options.backbone, "weights_root": options.weights_root}
        study = predict(edits.read(options.edits), specs, options.out, gaze=gaze if any(gaze) else None, **here)
        table, rows, draw = report.predicted_table(study), report.predicted_rows(study), figures.predicted_figure
        complete = not (study.left_out or study.failures) and bool(study.models)
    else:
        study = observe(*gaze, options.masks, options.images)
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
    datasets = [load(name.strip(), options.data_root) for name in names]
    return join(datasets if options.limit is None else [dataset.first(options.limit) for dataset in datasets])


if __name__ == "__main__":
    sys.exit(main())
