"""Evaluations of small data sets, and what they leave on disk."""

import csv
import json
from dataclasses import fields

from salbench.evaluation import Evaluation
from salbench.protocol import PROTOCOLS
from salbench.runtime import Runtime

MIT = PROTOCOLS["mit"]
PLAIN = "def predict(self, sample):\n    return sample.image.mean(2)"
RUNTIME = [field.name for field in fields(Runtime)]


def evaluation_of(dataset, out, protocol=MIT, **options):
    runtime = {name: options.pop(name) for name in RUNTIME if name in options}
    return Evaluation(dataset, protocol, out, Runtime(**{"workers": 1, "progress": False} | runtime), **options)


def files_of(out, dataset="tiny"):
    return sorted(path.name for path in (out / dataset).iterdir())


def rows_of(out, label, dataset="tiny"):
    with open(out / dataset / f"{label}.csv", encoding="utf-8", newline="") as file:
        return [
            {name: value if name == "id" else float(value or "nan") for name, value in row.items()}
            for row in csv.DictReader(file)
        ]


def summary_of(out, label, dataset="tiny"):
    """The result file without what may differ between two runs that are otherwise the same."""
    content = json.loads((out / dataset / f"{label}.json").read_text())
    del content["seconds"], content["provenance"]["date"]
    return content


def journal_of(out, label, dataset="tiny"):
    """The entries in the journal of an unfinished run."""
    _, *lines = (out / dataset / f"{label}.partial.jsonl").read_text().splitlines()
    return [json.loads(line.rpartition("\t")[0]) for line in lines]
