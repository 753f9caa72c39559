"""Write a challenge file, or check one for faults.

Each method predicts a split without public fixations, and the maps go to OUT/DATASET_METHOD.SUFFIX. lsun17 and lsun15
are the formats of the SALICON challenges (grey pictures in a zip), tuebingen that of the MIT/Tübingen benchmark (log
densities in an HDF5 file). The file is opened again and checked. The servers of SALICON's challenges are closed; their
formats are still used to exchange maps.

--check lists every fault of a file that anybody wrote. The exit status is 1 if it has one.
"""

import argparse

from salbench.cli import _options, _values

USAGE = "(--methods NAMES | --check FILE) [options]"
EXAMPLES = (
    "salbench submit --methods spectral_residual --data-root DIR",
    "salbench submit --methods lite,unisal --dataset salicon_test --out submissions",
    "salbench submit --methods gaze_lite --dataset folder:MIT300 --format tuebingen",
    "salbench submit --check maps.zip --dataset salicon_test --data-root DIR",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench submit`."""
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--methods",
        metavar="NAMES",
        help="methods, separated by commas, classical, table1 or all; see: salbench list methods",
    )
    what.add_argument("--check", type=_values.path, metavar="FILE", help="list the faults of a file instead")
    parser.add_argument(
        "--dataset", default="salicon_test", metavar="NAME", help="data set to predict (default: salicon_test)"
    )
    parser.add_argument(
        "--format",
        default="lsun17",
        metavar="NAME",
        help="format of the file: lsun17, lsun15 or tuebingen (default: lsun17)",
    )
    _options.add_limit(parser, "predict only the first N images")
    _options.add_seed(parser, "fitting")
    _options.add_out(parser, "submissions", "folder for the files")
    _options.add_runtime(parser, "device", "backbone", "workers", "batch_size")
    _options.add_cluster(parser)
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Write the files, or check one; returns 1 if an image was left out or a fault was found."""
    return _write(options) if options.check is None else _check(options)


def _write(options: argparse.Namespace) -> int:
    from salbench import registry, submission
    from salbench.datasets import training_split

    runtime = _options.runtime(options)
    specs = _options.methods(options)
    dataset = _options.dataset(options.dataset, options)
    suffix, failed = submission.named(options.format).suffix, 0
    for spec in specs:
        method = registry.create(spec, runtime)
        registry.fit_at_run(method, dataset, lambda: training_split(dataset, options.data_root))
        path = options.out / f"{dataset.name}_{method.label}{suffix}"
        summary = submission.write(method, dataset.samples, path, options.format, runtime, partial=options.partial)
        failed += len(summary.failed)
        print(summary)
    return int(failed > 0)


def _check(options: argparse.Namespace) -> int:
    from salbench import submission

    dataset = _options.dataset(options.dataset, options)
    report = submission.check(options.check, dataset.samples, options.format, partial=options.partial)
    for line in (*report.faults, *report.remarks):
        print(f"{options.check}: {line}")
    state = f"{len(report.faults)} faults" if report.faults else "valid"
    print(
        f"{options.check}: {options.format}, {report.images} of {len(dataset.samples)} maps of {dataset.name}: {state}"
    )
    return int(bool(report.faults))
