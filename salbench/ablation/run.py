"""One factor at a time: train a method without augmentation and with each one, score all, keep every per-image score.

All arms share seeds, images, their order, and the number of optimisation steps; an arm with an augmentation shows
each image in turn as itself and as its augmented copy, or by chance as one or the other. Finished arms are kept, a
stopped one goes on, a failing one does not take the others with it.
"""

import itertools
import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from salbench import registry, training
from salbench.ablation import arms
from salbench.datasets import load
from salbench.evaluate import Evaluation
from salbench.protocol import PROTOCOLS

log = logging.getLogger(__name__)
NEVER = 10**9  # epochs of patience: all arms take the same number of steps, whatever their validation says


@dataclass(frozen=True)
class Failure:
    """An arm that could not be trained or scored, and why."""

    arm: str
    seed: int
    reason: str


def ablate(
    name, dataset, augmentations, seeds, *, out, checkpoints, root=None, epochs=None, p=None, labels="moved",
    device="cpu", backbone=None, workers=1, progress=True,
):  # fmt: skip
    """Train and score every arm with every seed.

    Args:
        name: of a learned method. Its recipe is used without its own random augmentation (`jitter`).
        dataset: name of a data set with the splits <dataset>_train and <dataset>_test.
        augmentations: names; the arm without any comes first.
        seeds: ints.
        out: folder of the results; they go to <out>/<dataset>_ablation.
        checkpoints: folder of the trainings.
        root: of the data. epochs: instead of the recipe's.
        p: probability of the original, else its augmentation is shown; None: both in turn.
        labels: "moved", or "as_released" to see what labels left in place do (see `augment`).
        device, backbone, workers, progress: as for `Evaluation`.

    Returns:
        list of `Failure`.

    Raises:
        DatasetProblem, MethodProblem: no such data set or method.
        AblationProblem: no splits, or arms by another recipe in the same folder.
    """
    train, test = (load(split, root) for split in arms.splits(dataset))
    folder = arms.results_name(dataset)
    evaluation = Evaluation(
        replace(test, name=folder), PROTOCOLS["tuebingen"], out, workers=workers, device=device, backbone=backbone,
        progress=progress,
    )  # fmt: skip
    recipes = {arms.BASELINE: ((), {})}
    recipes |= {arms.arm_name(a, p, labels): ((a,), {"p": p, "labels": labels}) for a in augmentations}
    recipe = asdict(training.create(name, epochs=epochs, jitter=(), patience=NEVER).recipe)
    arms.keep_recipe(out, dataset, name, {k: v for k, v in recipe.items() if k not in ("p", "labels", "edit_losses")})
    failures = []
    for number, (seed, (arm, (augment, changes))) in enumerate(itertools.product(seeds, recipes.items()), 1):
        method = training.create(name, epochs=epochs, jitter=(), patience=NEVER, **changes)
        method.variant, method.device, method.backbone = arms.variant(arm, seed), device, backbone
        method.folder = Path(checkpoints) / folder / name / arm / f"seed{seed}"
        log.info("%s: %s, seed %d (%d of %d)", name, arm, seed, number, len(seeds) * len(recipes))
        try:
            method.fit(train.samples, augment=augment, seed=seed)
            if evaluation.run_method(method).n_failed:
                raise ValueError("images failed when it was scored; see its result file")
        except (ValueError, registry.MethodUnavailable) as error:
            log.warning("%s, seed %d failed: %s", arm, seed, error)
            failures.append(Failure(arm, seed, str(error)))
    return failures
