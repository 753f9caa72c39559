"""One factor at a time: train a method without augmentation and with each one, score all, keep every per-image score.

All arms share seeds, images, their order, and the number of optimisation steps; an arm with an augmentation shows
each image in turn as itself and as its augmented copy. Finished arms are kept, a stopped one goes on, a failing
one does not take the others with it.
"""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

from salbench import registry, training
from salbench.datasets import load
from salbench.evaluate import Evaluation
from salbench.protocol import PROTOCOLS

log = logging.getLogger(__name__)
BASELINE = "none"  # the arm without augmentation
NEVER = 10**9  # epochs of patience: all arms take the same number of steps, whatever their validation says


@dataclass(frozen=True)
class Failure:
    """An arm that could not be trained or scored, and why."""

    arm: str
    seed: int
    reason: str


def results_name(dataset):
    """Name of the results folder of an ablation on a data set."""
    return f"{dataset}_ablation"


def label(arm, seed):
    """The variant of a method that was trained in an arm."""
    return f"{arm}-seed{seed}"


def ablate(
    name, dataset, augmentations, seeds, *, out, checkpoints, root=None, epochs=None, device="cpu", workers=1,
    progress=True,
):  # fmt: skip
    """Train and score every arm with every seed.

    Args:
        name: of a learned method. Its recipe is used without its own random augmentation (`jitter`).
        dataset: name of a data set with the splits <dataset>_train and <dataset>_test.
        augmentations: names; the arm without any comes first.
        seeds: ints.
        out: folder of the results; they go to <out>/<dataset>_ablation.
        checkpoints: folder of the trainings.
        root: of the data. epochs: instead of the recipe's. device, workers, progress: as named.

    Returns:
        list of `Failure`.

    Raises:
        DatasetProblem, MethodProblem: no such data set or method.
    """
    train, test = load(f"{dataset}_train", root), load(f"{dataset}_test", root)
    evaluation = Evaluation(
        replace(test, name=results_name(dataset)), PROTOCOLS["tuebingen"], out, workers=workers, device=device,
        progress=progress,
    )  # fmt: skip
    failures = []
    for seed in seeds:
        for arm in (BASELINE, *augmentations):
            method = training.create(name, epochs=epochs, jitter=(), patience=NEVER)
            method.variant, method.device = label(arm, seed), device
            method.folder = Path(checkpoints) / results_name(dataset) / name / arm / f"seed{seed}"
            log.info("%s: %s, seed %d", name, arm, seed)
            try:
                method.fit(train.samples, augment=() if arm == BASELINE else (arm,), seed=seed)
                if evaluation.run_method(method).n_failed:
                    raise ValueError("images failed when it was scored; see its result file")
            except (ValueError, registry.MethodUnavailable) as error:
                log.warning("%s, seed %d failed: %s", arm, seed, error)
                failures.append(Failure(arm, seed, str(error)))
    return failures
