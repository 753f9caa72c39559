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
from salbench.datasets import join, load
from salbench.edits import training_name
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
    name, dataset, augmentations, seeds, *, out, checkpoints, root=None, epochs=None, batch_size=None, p=None,
    labels="moved", edit_sets=(), edit_losses=(), device="cpu", backbone=None, workers=1, progress=True,
):  # fmt: skip
    """Train and score every arm with every seed.

    Args:
        name: of a learned method. Its recipe is used without its own random augmentation (`jitter`).
        dataset: name of a data set with the splits <dataset>_train and <dataset>_test; see `arms.splits`.
        augmentations: names; the arm without any comes first.
        seeds: ints.
        out: folder of the results; they go to <out>/<dataset>_ablation.
        checkpoints: folder of the trainings.
        root: of the data. epochs, batch_size: instead of the recipe's.
        p: probability of the original, else its augmentation is shown; None: both in turn.
        edit_sets, edit_losses: `EditSet`s and losses of edited images, {name: weight}; each with each is an arm.
        labels: "moved", or "as_released" to see what labels left in place do (see `augment`).
        device, backbone, workers, progress: as for `Evaluation`.

    Returns:
        list of `Failure`.

    Raises:
        DatasetProblem, MethodProblem: no such data set or method.
        AblationProblem: no splits, or arms by another recipe in the same folder.
    """
    trained_on, tested_on = arms.splits(dataset)
    train, test = join([load(name, root) for name in trained_on]), load(tested_on, root)
    folder = arms.results_name(dataset)
    evaluation = Evaluation(
        replace(test, name=folder), PROTOCOLS["tuebingen"], out, workers=workers, device=device, backbone=backbone,
        progress=progress,
    )  # fmt: skip
    recipes = {arms.BASELINE: ({}, {})}
    for augmentation in augmentations:
        shown = {"augment": [augmentation]}, {"p": p, "labels": labels}
        recipes[arms.arm_name(augmentation, p, labels)] = shown
    for edit_set, losses in itertools.product(edit_sets, edit_losses):
        recipes[training_name(edit_set, p, losses)] = {"edits": edit_set}, {"p": p, "edit_losses": losses}
    common = {"epochs": epochs, "batch_size": batch_size, "jitter": (), "patience": NEVER}
    recipe = asdict(training.create(name, **common).recipe)
    arms.keep_recipe(out, dataset, name, {k: v for k, v in recipe.items() if k not in ("p", "labels", "edit_losses")})
    failures = []
    for number, (seed, (arm, (shown, changes))) in enumerate(itertools.product(seeds, recipes.items()), 1):
        method = training.create(name, **common, **changes)
        method.variant, method.device, method.backbone = arms.variant(arm, seed), device, backbone
        method.folder = Path(checkpoints) / folder / name / arm / f"seed{seed}"
        method.training_data = train.name
        log.info("%s: %s, seed %d (%d of %d)", name, arm, seed, number, len(seeds) * len(recipes))
        try:
            method.fit(train.samples, seed=seed, **shown)
            if evaluation.run_method(method).n_failed:
                raise ValueError("images failed when it was scored; see its result file")
        except (ValueError, registry.MethodUnavailable) as error:
            log.warning("%s, seed %d failed: %s", arm, seed, error)
            failures.append(Failure(arm, seed, str(error)))
    return failures
