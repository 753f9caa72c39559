"""The arms of an ablation on disk, and what each changed against training without augmentation."""

import json
from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from salbench import results
from salbench.ablation.splits import Ablation, AblationProblem
from salbench.identity import Identity
from salbench.metrics import METRICS
from salbench.stats import holm, random_effects_difference
from salbench.writing import atomic_write

BASELINE = "none"  # the arm without augmentation
Scores = dict[str, np.ndarray]  # {metric: float (seeds, images)}
Change = dict[str, float]  # "mean", "low", "high", "p", "n"


def arm_name(augmentation: str, p: float | None = None, labels: str = "moved") -> str:
    """Name of an arm: the augmentation, then how it was shown unless that is as copies with moved labels."""
    return augmentation + (f"-p{p:g}" if p is not None else "") + (f"-{labels}" if labels != "moved" else "")


def keep_recipe(out: Path | str, ablation: Ablation, method: str, recipe: Mapping[str, Any]) -> None:
    """Record the recipe that all arms of a method share, or check that it is the recorded one.

    Raises:
        AblationProblem: there are arms with another recipe.
    """
    path, identity = Path(out) / ablation.folder / "recipes" / f"{method}.json", Identity(recipe)
    if path.exists():
        found = Identity(json.loads(path.read_text(encoding="utf-8")))
        remedy = f"All arms of {method} need one recipe: choose another --out (and --checkpoints), or remove the folder"
        identity.require_same(found, path.parent.parent, remedy, AblationProblem)
        return
    with atomic_write(path) as file:
        file.write(json.dumps(identity.facts, indent=2) + "\n")


def variant(arm: str, seed: int) -> str:
    """Variant of a method that was trained in an arm."""
    return f"{arm}-seed{seed}"


def read(out: Path | str, ablation: Ablation, wanted: Collection[str] | None = None) -> dict[str, dict[str, Scores]]:
    """Per-image scores of a complete ablation.

    Args:
        out: folder of the results.
        ablation: as given to `ablate`.
        wanted: names of the arms to read, beside the baseline; other arms do not matter, and a method without all of
            these is left out. None: all arms of all methods.

    Returns:
        {method: {arm: {metric: float (seeds, images)}}} for the seeds that all these arms of a method have, the
        baseline first; NaN if a metric is not defined for an image.

    Raises:
        AblationProblem: no method; or without `wanted`, one without a complete baseline and at least one more arm.
    """
    folder = ablation.folder
    scores: dict[str, dict[str, dict[int, Scores]]] = defaultdict(lambda: defaultdict(dict))
    for result in results.read_all(out, folder).values():
        method, _, rest = result.method.partition("+")
        arm, _, seed = rest.rpartition("-seed")
        if not result.n_failed:
            rows = results.read_scores(out, folder, result.method).reindex(columns=list(METRICS))
            scores[method][arm][int(seed)] = {metric: rows[metric].to_numpy() for metric in METRICS}
    if wanted is not None:
        chosen = {BASELINE, *wanted}
        having = {method: by_arm for method, by_arm in scores.items() if chosen <= by_arm.keys()}
        scores = {method: {arm: by_arm[arm] for arm in chosen} for method, by_arm in having.items()}
    if not scores:
        raise _incomplete(out, folder, f"none with {', '.join(wanted)}" if wanted else "nothing")
    return {method: _complete(by_arm, out, folder) for method, by_arm in scores.items()}


def _complete(scores, out, folder) -> dict[str, Scores]:
    seeds = sorted(set.intersection(*map(set, scores.values())))
    arms = [BASELINE, *sorted(set(scores) - {BASELINE})]
    if not seeds or BASELINE not in scores or len(arms) < 2:
        raise _incomplete(out, folder, ", ".join(f"{arm} (seeds {sorted(scores[arm])})" for arm in sorted(scores)))
    return {arm: {m: np.array([scores[arm][s][m] for s in seeds]) for m in METRICS} for arm in arms}


def _incomplete(out: Path | str, folder: str, found: str) -> AblationProblem:
    return AblationProblem(
        f"{out}/{folder}: expected an arm without augmentation and one with, trained with the same seeds, found "
        f"{found}; make them with: salbench ablate"
    )


def changes(arms: Mapping[str, Scores]) -> dict[str, dict[str, Change]]:
    """What each arm changed against the baseline.

    Args:
        arms: {arm: {metric: (seeds, images)}} for one method.

    Returns:
        {arm: {metric: {"mean", "low", "high", "p", "n"}}} without the baseline: the mean difference, its 95 % interval
        over images and seeds, its p-value after Holm's correction over the arms (see `random_effects_difference`), and
        the number of images in it.
    """
    names = [arm for arm in arms if arm != BASELINE]
    found: dict[str, dict[str, Change]] = {arm: {} for arm in names}
    for metric in METRICS:
        each = [random_effects_difference(arms[arm][metric], arms[BASELINE][metric]) for arm in names]
        for arm, one, p in zip(names, each, holm([one.p for one in each]), strict=True):
            cell = {"mean": one.mean, "low": one.low, "high": one.high, "p": float(p), "n": one.n_images}
            found[arm][metric] = cell
    return found
