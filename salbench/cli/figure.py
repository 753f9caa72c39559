"""Draw a figure for a paper.

  ranking      methods on one data set
  scatter      methods by two metrics, or on two data sets
  matrix       methods by data sets
  examples     images with fixations and predicted maps
  ablation     what each augmentation changed
  comparisons  the planned comparisons of an ablation

All but examples are drawn from result files, with 95 % intervals where there are some. Figures fit one column (3.35
inches) or the page (6.9 inches) of a paper,
their fonts are embedded, and their colours are safe for colour-blind readers.
"""

import argparse
from typing import TYPE_CHECKING

from salbench.cli import _options, _values

if TYPE_CHECKING:
    from matplotlib.figure import Figure

USAGE = "{ranking,scatter,matrix,examples,ablation,comparisons} [options]"
EXAMPLES = (
    "salbench figure ranking --datasets osie_test --metrics nss",
    "salbench figure scatter --datasets osie_test,nus_scene_test --metrics ig --methods lite,fastgaze",
    "salbench figure examples --images osie_test:1008,popout:color_03 --methods lite,gaze_lite",
    "salbench figure ablation --datasets osie --metrics auc,nss,kl --out ablation.svg",
)
_TAKEN_BY = {  # option: figures that take it
    "datasets": ("ranking", "scatter", "matrix", "ablation"),
    "metrics": ("ranking", "scatter", "matrix", "ablation"),
    "protocol": ("ranking", "scatter", "matrix", "ablation"),
    "methods": ("ranking", "scatter", "matrix", "examples"),
    "test": ("ablation",),
    "images": ("examples",),
    "columns": ("examples",),
    "plan": ("comparisons",),
}


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of `salbench figure`."""
    parser.add_argument(
        "kind",
        choices=("ranking", "scatter", "matrix", "examples", "ablation", "comparisons"),
        metavar="KIND",
        help="ranking, scatter, matrix, examples, ablation or comparisons",
    )
    parser.add_argument(
        "--datasets", type=_values.words, metavar="NAMES", help="data sets with results, separated by commas"
    )
    parser.add_argument(
        "--metrics",
        type=_values.words,
        metavar="NAMES",
        help="metrics, separated by commas (default: auc; for ablation, all); see: salbench list metrics",
    )
    parser.add_argument(
        "--methods",
        metavar="NAMES",
        help="methods to show, separated by commas (default: all that have results); required for examples",
    )
    parser.add_argument("--protocol", metavar="NAME", help="protocol of the results (default: tuebingen)")
    parser.add_argument("--test", metavar="NAME", help="data set that an ablation was tested on, as given to `ablate`")
    parser.add_argument(
        "--images", type=_values.words, metavar="DATASET:ID,...", help="the images of examples, from top to bottom"
    )
    parser.add_argument(
        "--columns", type=_values.positive, metavar="N", help="pictures side by side in examples (default: all)"
    )
    parser.add_argument("--plan", type=_values.path, metavar="FILE", help="TOML file of the planned comparisons")
    group = parser.add_argument_group("files")
    group.add_argument(
        "--results", type=_values.path, default="results", metavar="DIR", help="folder with results (default: results)"
    )
    group.add_argument("--out", type=_values.path, metavar="FILE", help="the file to write (default: KIND.FORMAT)")
    group.add_argument("--format", choices=("pdf", "svg", "png", "jpg"), help="format (default: that of --out, or pdf)")
    _options.add_runtime(parser, "device", "backbone", "batch_size")
    _options.add_folders(parser, "data_root", "weights_root", "methods_dir")


def execute(options: argparse.Namespace) -> int:
    """Draw the figure."""
    from salbench import figure

    for name, kinds in _TAKEN_BY.items():
        if options.kind not in kinds:
            _options.require(options, name, f"figure {' or '.join(kinds)}")
    path = options.out or f"{options.kind}.{options.format or 'pdf'}"
    figure.check(path)
    if options.format and not str(path).lower().endswith(f".{options.format}"):
        raise ValueError(f"--out: expected a name ending in .{options.format}, as --format says, got {path}")
    figure.save(_DRAWN[options.kind](options), path)
    print(f"figure: {path}")
    return 0


def _ranking(options: argparse.Namespace) -> "Figure":
    from salbench import plots

    (dataset,), (metric,) = _datasets(options, "one", 1), _metrics(options, "one", 1)
    return plots.ranking(options.results, dataset, metric, _protocol(options), methods=_labels(options))


def _scatter(options: argparse.Namespace) -> "Figure":
    from salbench import plots

    datasets, metrics = _datasets(options, "one or two", 1, 2), _metrics(options, "one or two", 1, 2)
    if len(datasets) == len(metrics):
        raise ValueError(
            "figure scatter: expected one data set and two metrics, or two data sets and one metric, got "
            f"{len(datasets)} and {len(metrics)}"
        )
    x, y = (datasets[0], metrics[0]), (datasets[-1], metrics[-1])
    return plots.scatter(options.results, x, y, _protocol(options), methods=_labels(options))


def _matrix(options: argparse.Namespace) -> "Figure":
    from salbench import plots

    datasets, (metric,) = _datasets(options, "one or more"), _metrics(options, "one", 1)
    return plots.matrix(options.results, datasets, metric, _protocol(options), methods=_labels(options))


def _examples(options: argparse.Namespace) -> "Figure":
    from salbench import plots

    if not options.images or not options.methods:
        missing = "--methods" if options.images else "--images"
        raise ValueError(f"figure examples: expected --images DATASET:ID,... and --methods NAMES, got no {missing}")
    specs = _options.methods(options)
    runtime = _options.runtime(options)
    return plots.examples(options.images, specs, runtime, root=options.data_root, columns=options.columns)


def _ablation(options: argparse.Namespace) -> "Figure":
    from salbench import plots
    from salbench.ablation.splits import Ablation
    from salbench.metrics import METRICS

    (dataset,) = _datasets(options, "one", 1)
    which = Ablation(dataset, options.test, _protocol(options))
    return plots.ablation(options.results, which, _metrics(options, "one or more") if options.metrics else [*METRICS])


def _comparisons(options: argparse.Namespace) -> "Figure":
    from salbench import plots
    from salbench.ablation import comparisons

    if not options.plan:
        raise ValueError("figure comparisons: expected --plan FILE, got none")
    return plots.comparisons(options.results, comparisons.read(options.plan))


_DRAWN = {
    "ranking": _ranking,
    "scatter": _scatter,
    "matrix": _matrix,
    "examples": _examples,
    "ablation": _ablation,
    "comparisons": _comparisons,
}


def _datasets(options: argparse.Namespace, number: str, *counts: int) -> list[str]:
    found = options.datasets or []
    if not found or (counts and len(found) not in counts):
        given = ", ".join(found) or "nothing"
        raise ValueError(f"figure {options.kind}: expected {number} of --datasets, got {given}")
    return found


def _metrics(options: argparse.Namespace, number: str, *counts: int) -> list[str]:
    from salbench.metrics import METRICS
    from salbench.suggestions import suggestion

    found = options.metrics or ["auc"]
    unknown = [name for name in found if name not in METRICS]
    if unknown:
        raise ValueError(suggestion("metric", unknown[0], METRICS))
    if counts and len(found) not in counts:
        raise ValueError(f"figure {options.kind}: expected {number} of --metrics, got {', '.join(found)}")
    return found


def _protocol(options: argparse.Namespace) -> str:
    return options.protocol or "tuebingen"


def _labels(options: argparse.Namespace) -> list[str] | None:
    return _values.words(options.methods) if options.methods else None
