"""How small a change of attention a planned study will find."""

from dataclasses import dataclass, replace

import numpy as np
from tabulate import tabulate

from salbench.edits import EDIT_TYPES
from salbench.stats import POWER, CrossedDesign
from salbench.study.plan import PRESENTATIONS, STIMULI, Design, Plan, seen_by

ROUNDS = (2, 3, 4, 6, 8, 12)  # participants for each version, in the table


@dataclass(frozen=True)
class Assumptions:
    """What a power analysis takes for granted.

    Attributes:
        trial_sd: standard deviation between people of the share of one person's fixations in the region of one image.
            In EyeCrowd (five seconds, 16 fixations on average), for discs of 9 % of the area, it is 0.13 around a
            random fixation and 0.15 around the peak of the density.
        spread: standard deviation of the change, between people and also between images, as a part of its mean.
    """

    trial_sd: float = 0.15
    spread: float = 0.5


def smallest_change(design: CrossedDesign, assumptions: Assumptions) -> float | None:
    """The smallest change that a study finds with a probability of 0.8, at the level of 5 %, two-sided.

    Args:
        design: the trials; the change is that for an x of one.
        assumptions: see there.

    Returns:
        The change of the share, 0 to 1; None if no change is found so often.
    """
    from scipy.optimize import brentq  # slow to import

    def excess(change):
        spread = (assumptions.spread * change) ** 2
        return design.power(change, (spread, spread, assumptions.trial_sd**2)) - POWER

    return float(brentq(excess, 1e-6, 1.0, xtol=1e-6)) if excess(1.0) > 0 else None


def trials_of(design: Design, versions: dict[int, float]) -> CrossedDesign:
    """The trials on the images of one type.

    Args:
        design: the numbers of a plan.
        versions: {version (0 is unedited): its x}; trials of other versions do not count.
    """
    trials = [
        (versions[version], participant, image)
        for participant in range(design.participants)
        for image, seen in enumerate(seen_by(design, participant, design.per_type))
        for version in seen
        if version in versions
    ]
    return CrossedDesign(*np.array(trials).T)


def text(plan: Plan, assumptions: Assumptions | None = None) -> str:
    """Markdown of a plan: what to show, what to record, and how small a change the study will find."""
    design, assumptions = plan.design, assumptions or Assumptions()
    minutes = len(plan.trials[0]) * (design.seconds + design.blank) / 60
    strengths = "; ".join(
        f"{type} {', '.join(f'{v.strength:g}' for v in images[0][1:])} ({EDIT_TYPES[type].neutral:g}: unedited)"
        for type, images in plan.images.items()
    )
    seen = "every version" if design.all_versions else "one version"
    lines = [
        f"# Eye-tracking study of {plan.edit_set.name}\n",
        f"- Participants: {design.participants}. Each sees {seen} of {design.per_type * len(plan.images)} images in "
        f"random order: {len(plan.trials[0])} trials, {minutes:.0f} minutes.",
        f"- Images for each type of edit: {design.per_type}. Strengths: {strengths}.",
        f"- Trial: a picture of `{STIMULI}/` for {design.seconds:g} s, then a blank screen for {design.blank:g} s. "
        f"`{PRESENTATIONS}` lists the trials of each participant.",
        f"- Random seed: {design.seed}. Edit set: {plan.edit_set.name}, fingerprint {plan.edit_set.fingerprint}"
        + (f", {plan.edit_set.licence}." if plan.edit_set.licence else "."),
        "\nRecord fixations in pixels of the picture, counted from 0 at its upper left corner. Save them as one CSV "
        "file with the columns participant, image (name of the picture's file), x and y. Then run:\n",
        f"    salbench study --edits {plan.edit_set.name} --fixations fixations.csv\n",
        "## Smallest change that is found with a probability of 0.8\n",
        tabulate(
            _rows(plan, assumptions), _HEADER[: 2 + (design.strengths > 1)], tablefmt="github", disable_numparse=True
        ),
        "\nThe change is a difference of the share of fixations inside the region, averaged over participants and "
        "images, for one type of edit; two-sided test at 5 %, participants and images as random effects. Assumptions: "
        "the share of one person's fixations in the region of one image varies between people with a standard "
        f"deviation of {assumptions.trial_sd:g} (EyeCrowd, five seconds: 0.13 to 0.15); the change varies between "
        f"people, and also between images, with a standard deviation of {assumptions.spread:g} times its mean. "
        "–: too few participants.\n",
    ]
    return "\n".join(lines)


_HEADER = ("participants", "one strength against unedited", "strongest against weakest, by the slope")


def _rows(plan: Plan, assumptions: Assumptions) -> list[list[str]]:
    """Rows of the table: numbers of participants, among them that of the plan, and both smallest changes."""
    strengths = np.array([v.strength for v in next(iter(plan.images.values()))[0][1:]])
    compared = [{0: 0.0, 1: 1.0}]
    if len(strengths) > 1:
        compared.append(dict(enumerate((strengths - strengths[0]) / np.ptp(strengths), 1)))
    rows = []
    for participants in sorted({plan.design.participants, *(rounds * plan.design.versions for rounds in ROUNDS)}):
        design = replace(plan.design, participants=participants)
        changes = [smallest_change(trials_of(design, versions), assumptions) for versions in compared]
        rows.append([str(participants), *("–" if change is None else f"{change:.3f}" for change in changes)])
    return rows
