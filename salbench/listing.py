"""What there is, by name: methods, data sets, metrics, ..., as rows for people or for programs."""

import inspect
import shutil

from tabulate import tabulate

from salbench import augment, registry, weights
from salbench.datasets import DATASETS
from salbench.metrics import METRICS
from salbench.protocol import PROTOCOLS


def methods():
    """One row per method; a file that cannot be imported is listed with its error instead of hiding the rest."""
    return [_method(name) for name in registry.available()]


def _method(name):
    try:
        cls = registry.get(name)
    except (registry.MethodProblem, registry.MethodUnavailable) as error:
        what = "BROKEN" if isinstance(error, registry.MethodProblem) else "not available"
        nothing = dict.fromkeys(("output", "kind", "paper", "skipped"))
        return {"name": name, "summary": f"{what}: {error}"} | nothing
    kind = "ceiling" if cls.sees_fixations else "fitted at run" if cls.fits_at_run else "fixed"
    summary = (inspect.getdoc(cls) or "").partition("\n")[0]
    missing = not weights.converted(name).is_file() and weights.remedy(name, cls.checkpoints)
    skipped = "no weights, see: python benchmark.py weights" if missing else None
    row = {"name": name, "summary": summary, "output": cls.output, "kind": kind, "paper": cls.paper}
    return row | {"skipped": skipped}


def checkpoints(names, root=None):
    """One row per published file that methods need; `root` is where they are looked for (see `weights`)."""
    return [_checkpoint(name, published, root) for name in names for published in registry.get(name).checkpoints]


def _checkpoint(name, published, root):
    path, converted = weights.folder(name, root) / published.file, weights.converted(name, root)
    found = [str(place) for place in (converted, path) if place.is_file()]
    return {
        "method": name,
        "file": published.file,
        "found": found[0] if found else f"not in {path.parent}",
        "licence": published.licence,
        "trained on": published.trained_on,
        "page": published.source,
    }


def datasets():
    """One row per data set."""
    return [{"name": name, "summary": row.summary, "train": row.train} for name, row in DATASETS.items()]


def metrics():
    """One row per metric."""
    return [
        {
            "name": name,
            "better": "higher" if metric.higher_is_better else "lower",
            "bounds": [bound if abs(bound) < float("inf") else None for bound in metric.bounds],
            "unit": metric.unit,
            "needs": list(metric.needs),
            "checked against": metric.reference,
        }
        for name, metric in METRICS.items()
    ]


def protocols():
    """One row per protocol."""
    return [
        {
            "name": p.name,
            "version": p.version,
            "summary": p.summary,
            "options": {metric: dict(options) for metric, options in p.options.items()},
        }
        for p in PROTOCOLS.values()
    ]


def augmentations():
    """One row per augmentation."""
    return [_augmentation(augment.get(name)) for name in augment.names()]


def _augmentation(row):
    return {
        "name": row.name,
        "kind": row.kind,
        "summary": row.summary,
        "parameters": {name: list(v) if isinstance(v, tuple) else v for name, v in row.parameters.items()},
        "presets": [preset for preset, names in augment.PRESETS.items() if row.name in names],
        "source": row.source,
    }


ROWS = {
    "methods": methods,
    "datasets": datasets,
    "metrics": metrics,
    "protocols": protocols,
    "augmentations": augmentations,
}


NARROW, WIDE = 20, 60  # characters: a column is not wrapped below the one, and always above the other


def text(rows, width=None):
    """Rows as a table as wide as the terminal, or nearly: where a column would get less than 20 characters."""
    rows = [{k: _plain(v) for k, v in row.items()} for row in rows]
    columns = [[name, *(str(row[name]) for row in rows)] for name in (rows[0] if rows else ())]
    longest = [max(map(len, column)) for column in columns]
    narrow = [length for length in longest if length <= NARROW]
    room = (width or shutil.get_terminal_size().columns) - sum(narrow) - 2 * len(longest)
    share = room // max(1, len(longest) - len(narrow))
    widest = min(max(share, NARROW), WIDE)
    return tabulate(rows, headers="keys", maxcolwidths=widest, break_long_words=False, break_on_hyphens=False)


def _plain(value):
    if isinstance(value, dict):
        return "; ".join(f"{k}: {_plain(v)}" for k, v in value.items())
    if isinstance(value, list):
        return ", ".join("-" if v is None else str(v) for v in value)
    return {None: "", True: "yes", False: ""}.get(value, value) if isinstance(value, bool | None) else value
