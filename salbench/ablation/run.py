"""One factor at a time: train a method without augmentation and with each one, then score every training.

All arms share seeds, images, their order, and the number of optimisation steps. An arm with an augmentation shows each
image in turn as itself and as its augmented copy, or one of them by chance. Finished arms are kept and stopped ones
resume. If an arm fails, the others go on.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from salbench import executors, registry
from salbench.ablation import arms
from salbench.ablation.splits import Ablation, AblationProblem
from salbench.datasets import Dataset, join, load
from salbench.edits import EditSet, training_name
from salbench.evaluation import Evaluation
from salbench.executors import Lost
from salbench.progress import Bar
from salbench.protocol import named
from salbench.results import Result
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.training import LearnedMethod, checkpoint
from salbench.training.start import suffix
from salbench.training_plan import Plan

log = logging.getLogger(__name__)
NEVER = 10**9  # epochs of patience: all arms take the same number of steps, whatever their validation scores
SHOWN = ("p", "labels", "edit_losses")  # fields of the recipe in which arms may differ


@dataclass(frozen=True)
class Failure:
    """An arm that could not be trained or scored.

    Attributes:
        arm: its name.
        seed: its random seed.
        reason: what went wrong.
    """

    arm: str
    seed: int
    reason: str


def ablate(
    name: str,
    ablation: Ablation,
    augmentations: Sequence[str],
    seeds: Sequence[int],
    *,
    out: Path | str,
    checkpoints: Path | str,
    runtime: Runtime,
    root: Path | str | None = None,
    recipe: Mapping[str, Any] | None = None,
    p: Sequence[float | None] = (None,),
    labels: str = "moved",
    edit_sets: Sequence[EditSet] = (),
    edit_losses: Sequence[Mapping[str, float]] = (),
    start: Path | str | None = None,
) -> list[Failure]:
    """Train and score every arm with every seed.

    Args:
        name: a learned method. Its recipe is used without its own random augmentation (`jitter`).
        ablation: what to train on, and how to score.
        augmentations: names, each of which is an arm. The arm without augmentation is always there.
        seeds: random seeds; each arm is trained once with each.
        out: folder of the results, which go to the subfolder `ablation.folder`.
        checkpoints: folder of the trainings.
        runtime: where and how trainings and scoring run. Trainings use `seeds` in place of its seed.
        root: folder of the data.
        recipe: fields of the method's recipe to change, such as {"epochs": 2, "batch_size": 4}.
        p: probabilities of the original, otherwise its augmentation or edit is shown; None: augmentations in turn.
            Each with each augmentation or edit set is an arm.
        labels: "moved", or "as_released" to see what labels left in place do (see `augment`).
        edit_sets: edit sets to train with.
        edit_losses: losses for edited images, {name: weight}. Each with each edit set and `p` is an arm.
        start: what all arms start from; see `Plan.start`.

    Returns:
        The arms that failed.

    Raises:
        DatasetProblem: no such data set.
        MethodProblem: no such method, one that is not trained, or one that cannot start there.
        AblationProblem: no splits, test images that are trained on, or arms with another recipe in the same folder.
        ValueError: no such protocol, or a test split without fixations.
    """
    protocol = named(ablation.protocol)
    tested_on = ablation.tested_on
    train, test = join([load(split, root) for split in ablation.trained_on]), load(tested_on, root)
    _check_apart(train, test)
    evaluation = Evaluation(replace(test, name=ablation.folder), protocol, out, runtime)
    common = {"jitter": (), "patience": NEVER, **(recipe or {})}
    started = suffix(registry.get(name), start)
    arms.keep_recipe(out, ablation, name, _shared(name, common) | ({"start": started[1:]} if started else {}))
    shown = _arms(augmentations, p, labels, edit_sets, edit_losses)
    jobs = []
    for seed, (arm, plan) in itertools.product(seeds, shown.items()):
        place = Path(checkpoints) / ablation.checkpoints / name / f"{arm}{started}" / f"seed{seed}"
        plan = replace(plan, folder=place, dataset=train.name, recipe={**common, **plan.recipe}, start=start)
        jobs.append(_Job(arm, seed, plan))
    failures = []
    for job, reason in _trained(_Training(name, runtime, train.samples), jobs):
        reason = reason or _score(evaluation, f"{name}:{arms.variant(job.arm, job.seed)}={job.plan.folder}")
        if reason:
            log.warning("%s, seed %d failed: %s", job.arm, job.seed, reason)
            failures.append(Failure(job.arm, job.seed, reason))
    return failures


def _check_apart(train: Dataset, test: Dataset) -> None:
    trained_on = set(map(checkpoint.mark, train.samples))
    both = sum(checkpoint.mark(sample) in trained_on for sample in test.samples)
    if both:
        raise AblationProblem(
            f"--test: expected images that are not trained on, got {test.name}, {both} of whose images are in "
            f"{train.name}"
        )


def _shared(name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The part of the recipe that all arms share."""
    method = registry.get(name)
    if not issubclass(method, LearnedMethod):
        raise registry.MethodProblem(
            f"{name}: expected a method that can be trained, got one without a recipe; see: salbench list methods"
        )
    return {field: value for field, value in asdict(method.recipe.changed(changes)).items() if field not in SHOWN}


def _arms(augmentations, ps, labels, edit_sets, edit_losses) -> dict[str, Plan]:
    """{arm: what it shows}, the baseline first."""
    plans = {arms.BASELINE: Plan()}
    for name, p in itertools.product(augmentations, ps):
        plans[arms.arm_name(name, p, labels)] = Plan(augment=(name,), recipe={"p": p, "labels": labels})
    for edits, losses, p in itertools.product(edit_sets, edit_losses, ps):
        plans[training_name(edits, p, losses)] = Plan(edits=edits, recipe={"p": p, "edit_losses": losses})
    return plans


@dataclass(frozen=True)
class _Training:
    """What all trainings share: the method's name, where they run, and their samples."""

    name: str
    runtime: Runtime
    samples: Sequence[Sample]


@dataclass(frozen=True)
class _Job:
    """One arm with one random seed."""

    arm: str
    seed: int
    plan: Plan


def _trained(training: _Training, jobs: Sequence[_Job]) -> Iterator[tuple[_Job, str | None]]:
    """Train the jobs in order, on a cluster several at once; yields each with the reason if it failed."""
    cluster = executors.cluster()
    if cluster is None:
        yield from ((job, _train(training, job)) for job in _logged(training.name, jobs))
        return
    quiet = replace(training, runtime=replace(training.runtime, progress=False))
    bar = Bar(training.name, len(jobs), unit="training", shown=training.runtime.progress)
    with bar, closing(cluster.map(_train, quiet, _logged(training.name, jobs))) as results:
        for job, reason in results:
            yield job, reason.reason if isinstance(reason, Lost) else reason
            bar.advance(failed=reason is not None)


def _logged(name: str, jobs: Sequence[_Job]) -> Iterator[_Job]:
    for number, job in enumerate(jobs, 1):
        log.info("%s: %s, seed %d (%d of %d)", name, job.arm, job.seed, number, len(jobs))
        yield job


def _train(training: _Training, job: _Job) -> str | None:
    """Train one arm. Returns the reason if it fails."""
    try:
        registry.create(training.name, replace(training.runtime, seed=job.seed)).fit(training.samples, job.plan)
    except (ValueError, registry.MethodUnavailable) as error:
        return str(error)
    return None


def _score(evaluation: Evaluation, spec: str) -> str | None:
    """Score one trained arm. Returns the reason if it fails."""
    result = evaluation.run(spec)
    if not isinstance(result, Result):
        return result.reason
    return "images failed when it was scored; see its result file" if result.n_failed else None
