"""The arms of an ablation on disk, and what each changed against training without augmentation."""

import csv
import json
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from salbench import results
from salbench.datasets import DATASETS
from salbench.files import atomic_write
from salbench.metrics import METRICS
from salbench.stats import holm, random_effects_difference

BASELINE = "none"  # the arm without augmentation


class AblationProblem(ValueError):
    """An ablation that cannot be compared from the files that are there; says which command makes them."""


def results_name(dataset):
    """Name of the results folder of an ablation on a data set."""
    return f"{dataset}_ablation"


def arm_name(augmentation, p=None, labels="moved"):
    """The arm of one augmentation: its name, and how it was shown where that is not as copies with moved labels."""
    return augmentation + (f"-p{p:g}" if p is not None else "") + (f"-{labels}" if labels != "moved" else "")


def splits(dataset):
    """Names of what is trained on, a list, and of the test split of a data set.

    "osie" trains on osie_train; "osie+augsal_contrast100" on the images of another data set too.

    Raises:
        AblationProblem: it has none.
    """
    dataset, *more = [dataset] if dataset.startswith("folder:") else dataset.split("+")
    whole = sorted(name[: -len("_train")] for name in DATASETS if name.endswith("_train"))
    whole = [name for name in whole if f"{name}_test" in DATASETS]
    if dataset not in whole and not dataset.startswith("folder:"):
        raise AblationProblem(
            f"--dataset: expected one with splits to train and to test on, {', '.join(whole)}, or folder:X for the "
            f"folders X_train and X_test, got {dataset}"
        )
    return [f"{dataset}_train", *more], f"{dataset}_test"


def keep_recipe(out, dataset, method, recipe):
    """Write down by which recipe all arms of a method are trained, or check that it is the one written down.

    Raises:
        AblationProblem: there are arms by another recipe.
    """
    path = Path(out) / results_name(dataset) / "recipes" / f"{method}.json"
    recipe = json.loads(json.dumps(recipe))
    if path.exists():
        kept = json.loads(path.read_text(encoding="utf-8"))
        other = [f"{name} {kept.get(name)}, here {recipe[name]}" for name in recipe if kept.get(name) != recipe[name]]
        if other:
            raise AblationProblem(
                f"{path.parent.parent}: holds an ablation of {method} with {'; '.join(other)}. Arms are compared by "
                "one recipe only: choose another --out (and --checkpoints), or remove it"
            )
        return
    with atomic_write(path) as file:
        file.write(json.dumps(recipe, indent=2) + "\n")


def variant(arm, seed):
    """The variant of a method that was trained in an arm."""
    return f"{arm}-seed{seed}"


def read(out, dataset):
    """Per-image scores of a complete ablation.

    Args:
        out: folder of the results. dataset: as given to `ablate`.

    Returns:
        {method: {arm: {metric: float (seeds, images)}}} of the seeds that all arms of a method have, the baseline
        first; NaN where an image says nothing about a metric.

    Raises:
        AblationProblem: a method without a complete baseline and at least one more arm, or no method.
    """
    folder, scores = results_name(dataset), defaultdict(lambda: defaultdict(dict))
    for result in results.read_all(out, folder).values():
        method, _, rest = result.key.method.partition("+")
        arm, _, seed = rest.rpartition("-seed")
        if not result.n_failed:
            _, path, _ = results.paths(out, folder, result.key.method)
            scores[method][arm][int(seed)] = _columns(path)
    if not scores:
        raise _nothing(out, folder, "nothing")
    return {method: _complete(by_arm, out, folder) for method, by_arm in scores.items()}


def _complete(scores, out, folder):
    seeds = sorted(set.intersection(*map(set, scores.values())))
    arms = [BASELINE, *sorted(set(scores) - {BASELINE})]
    if not seeds or BASELINE not in scores or len(arms) < 2:
        raise _nothing(out, folder, ", ".join(f"{arm} (seeds {sorted(scores[arm])})" for arm in sorted(scores)))
    return {arm: {m: np.array([scores[arm][s][m] for s in seeds]) for m in METRICS} for arm in arms}


def _nothing(out, folder, found):
    return AblationProblem(
        f"{out}/{folder}: expected an arm without augmentation and one with, of the same seeds, found {found}; make "
        "them with: python benchmark.py ablate"
    )


def _columns(path):
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: [float(row[name] or "nan") for row in rows] for name in METRICS}


def changes(arms: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, dict[str, dict[str, float]]]:
    """Compare each arm with the baseline.

    Args:
        arms: {arm: {metric: (seeds, images)}}, of one method.

    Returns:
        {arm: {metric: {"mean", "low", "high", "p"}}} without the baseline: the mean difference, its 95 % interval over
        images and seeds, and its p-value after Holm's correction over the arms; see `random_effects_difference`.
    """
    names = [arm for arm in arms if arm != BASELINE]
    found: dict[str, dict[str, dict[str, float]]] = {arm: {} for arm in names}
    for metric in METRICS:
        each = [random_effects_difference(arms[arm][metric], arms[BASELINE][metric]) for arm in names]
        for arm, one, p in zip(names, each, holm([one.p for one in each]), strict=True):
            found[arm][metric] = {"mean": one.mean, "low": one.low, "high": one.high, "p": float(p)}
    return found
