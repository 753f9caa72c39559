"""Write a challenge file and validate it.

Each method predicts a split without public fixations. The maps go to OUT/DATASET_METHOD.zip in the format of the
SALICON challenge of LSUN 2017 (one 8-bit grey PNG per image), and the file is opened again and checked. The challenge's
server is closed; the format is still used to exchange maps.
"""

import argparse

from salbench.cli import _options

USAGE = "--methods NAMES [options]"
EXAMPLES = (
    "salbench submit --methods spectral_residual --data-root DIR",
    "salbench submit --methods lite,unisal --dataset salicon_test --out submissions",
)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench submit`."""
    parser.add_argument(
        "--methods",
        required=True,
        metavar="NAMES",
        help="methods, separated by commas, or all; see: salbench list methods",
    )
    parser.add_argument(
        "--dataset", default="salicon_test", metavar="NAME", help="data set to predict (default: salicon_test)"
    )
    _options.add_limit(parser, "predict only the first N images")
    _options.add_seed(parser, "fitting")
    _options.add_out(parser, "submissions", "folder for the files")
    parser.add_argument(
        "--allow-partial", action="store_true", help="if images fail, write the file without them instead of stopping"
    )
    _options.add_runtime(parser, "device", "backbone", "workers", "batch_size")
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Write the files; returns 1 if an image was left out."""
    from salbench import registry, submission
    from salbench.datasets import training_split

    runtime = _options.runtime(options)
    specs = _options.methods(options)
    dataset = _options.dataset(options.dataset, options)
    failed = 0
    for spec in specs:
        method = registry.create(spec, runtime)
        registry.fit_at_run(method, dataset, lambda: training_split(dataset, options.data_root))
        path = options.out / f"{dataset.name}_{method.label}.zip"
        summary = submission.write_lsun17(method, dataset.samples, path, runtime, allow_partial=options.allow_partial)
        failed += len(summary.failed)
        print(summary)
    return int(failed > 0)
