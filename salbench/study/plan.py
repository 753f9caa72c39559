"""The plan of an eye-tracking study: which participant sees which version of which image, and when.

A version of an image is the image without an edit, or with an edit of one strength. Versions rotate over participants
(a Latin square): each participant sees one version of each image, and each version is seen equally often.
"""

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from salbench.edits import EDIT_TYPES, Edit, EditSet
from salbench.edits.edit_set import Reader
from salbench.writing import atomic_write

PRESENTATIONS = "presentations.csv"
STIMULI = "stimuli"
_HEADER = ("participant", "trial", "file", "image", "type", "strength", "seconds", "blank_seconds")


class Version(NamedTuple):
    """One version of an image.

    Attributes:
        name: name of its file without the suffix: the id of the image, or of the edit.
        image: id of the image that was edited.
        type: the type of edit that the image was drawn for.
        strength: strength that was asked for; the neutral strength of the type if the image is unedited.
        read: returns the picture, uint8 (H, W, 3) RGB.
    """

    name: str
    image: str
    type: str
    strength: float
    read: Reader

    @property
    def file(self) -> str:
        """Path of the picture inside the folder of the plan."""
        return f"{STIMULI}/{self.name}.png"


@dataclass(frozen=True)
class Design:
    """The numbers that decide a plan.

    Attributes:
        participants: number of participants.
        per_type: number of images for each type of edit.
        strengths: number of strengths, beside the unedited image.
        seconds: how long a picture is shown.
        blank: seconds of a blank screen after it.
        all_versions: show every version of an image to every participant, instead of one.
        seed: random seed.
    """

    participants: int = 24
    per_type: int = 50
    strengths: int = 3
    seconds: float = 5.0
    blank: float = 2.0
    all_versions: bool = False
    seed: int = 0

    @property
    def versions(self) -> int:
        """Number of versions of an image."""
        return self.strengths + 1


@dataclass(frozen=True)
class Plan:
    """A plan that `draw` made.

    Attributes:
        edit_set: the edits.
        design: the numbers that decided it.
        images: {type: for each image its versions, unedited first, then by rising strength}.
        trials: for each participant the versions to show, in order.
    """

    edit_set: EditSet
    design: Design
    images: dict[str, list[list[Version]]]
    trials: list[list[Version]]


def draw(edit_set: EditSet, design: Design) -> Plan:
    """Draw images from an edit set and assign their versions to participants.

    An image is drawn for one type of edit only. If the set has more strengths than asked for, the weakest, the
    strongest and evenly spaced ones between them are used.

    Args:
        edit_set: the edits.
        design: how many of what.

    Raises:
        ValueError: fewer than two participants, or an edit set with too few images or strengths, or with unknown types.
    """
    if design.participants < 2:
        raise ValueError(f"expected two or more participants, got {design.participants}")
    rng = np.random.default_rng(design.seed)
    images = _drawn(edit_set, _candidates(edit_set, design.strengths), design.per_type, rng)
    shown = [seen_by(design, k, design.per_type) for k in range(design.participants)]
    trials = []
    for versions_of_images in shown:
        versions = [
            versions[k]
            for of_type in images.values()
            for versions, seen in zip(of_type, versions_of_images, strict=True)
            for k in seen
        ]
        trials.append([versions[i] for i in rng.permutation(len(versions))])
    return Plan(edit_set, design, images, trials)


def seen_by(design: Design, participant: int, n_images: int) -> list[list[int]]:
    """The versions (from 0, unedited) that a participant (from 0) sees of each of `n_images` images of one type."""
    every = list(range(design.versions))
    return [every if design.all_versions else [(participant + i) % design.versions] for i in range(n_images)]


def write(plan: Plan, out: Path | str, text: str) -> None:
    """Write the stimuli as PNG files in their sizes, plan.md, and last the list of presentations.

    Args:
        plan: the plan.
        out: folder.
        text: content of plan.md.

    Raises:
        ValueError: the folder has another list of presentations.
    """
    out = Path(out)
    check_free(plan, out)
    for version in (v for of_type in plan.images.values() for versions in of_type for v in versions):
        with atomic_write(out / version.file, "wb") as file:
            Image.fromarray(version.read()).save(file, format="PNG")
    with atomic_write(out / "plan.md") as file:
        file.write(text)
    with atomic_write(out / PRESENTATIONS) as file:
        file.write(_list_of(plan))


def check_free(plan: Plan, out: Path) -> None:
    """Raise `ValueError` if a folder has another list of presentations, because participants may have seen them."""
    path = out / PRESENTATIONS
    if path.exists() and path.read_bytes() != _list_of(plan).encode():
        raise ValueError(
            f"{out}: expected a folder without another plan, got one with {PRESENTATIONS}, which participants may have "
            "seen; give another --out"
        )


def _list_of(plan: Plan) -> str:
    """The content of the list of presentations."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(presentations(plan))
    return text.getvalue()


def presentations(plan: Plan) -> list[Sequence[object]]:
    """Rows of the list of presentations, the header first."""
    rows: list[Sequence[object]] = [_HEADER]
    digits = len(str(len(plan.trials)))
    timing = f"{plan.design.seconds:g}", f"{plan.design.blank:g}"
    for number, versions in enumerate(plan.trials, 1):
        for trial, v in enumerate(versions, 1):
            rows.append((f"p{number:0{digits}d}", trial, v.file, v.image, v.type, f"{v.strength:g}", *timing))
    return rows


def _candidates(edit_set: EditSet, n_strengths: int) -> dict[str, dict[str, list[Edit]]]:
    """{type: {image with all chosen strengths: its edits, by rising strength}}."""
    found: dict[str, dict[str, list[Edit]]] = {}
    edits = [edit for source in edit_set.sources for edit in edit_set.of(source)]
    for type in dict.fromkeys(edit.type for edit in edits):
        if type not in EDIT_TYPES:
            raise ValueError(f"edit set {edit_set.name}: expected types {', '.join(EDIT_TYPES)}, got {type}")
        asked = sorted({edit.asked for edit in edits if edit.type == type})
        if len(asked) < n_strengths:
            raise ValueError(
                f"edit set {edit_set.name}: expected {n_strengths} strengths of {type} edits, got {len(asked)} "
                f"({', '.join(f'{strength:g}' for strength in asked)}); use --strengths {len(asked)}"
            )
        chosen = [asked[k] for k in np.linspace(0, len(asked) - 1, n_strengths).round().astype(int)]
        found[type] = {}
        for source in edit_set.sources:
            by_strength = {edit.asked: edit for edit in edit_set.of(source) if edit.type == type}
            if by_strength.keys() >= set(chosen):
                found[type][source] = [by_strength[strength] for strength in chosen]
    if not found:
        raise ValueError(f"edit set {edit_set.name}: expected edits, got none")
    return found


def _drawn(
    edit_set: EditSet, candidates: dict[str, dict[str, list[Edit]]], per_type: int, rng: np.random.Generator
) -> dict[str, list[list[Version]]]:
    """{type: versions of the images that were drawn for it}."""
    chosen = _assigned(candidates, per_type, rng)
    if chosen is None:
        most = next((n for n in range(per_type - 1, 0, -1) if _assigned(candidates, n, rng) is not None), 0)
        counts = ", ".join(f"{len(images)} for {type}" for type, images in candidates.items())
        advice = f"use --per-type {most} or less" if most else "make more edits"
        raise ValueError(
            f"edit set {edit_set.name}: expected {per_type} images for each type of edit, and no image for two types; "
            f"got {counts} with all strengths; {advice}"
        )
    return {
        type: [_versions(edit_set, candidates[type][source]) for source in sources] for type, sources in chosen.items()
    }


def _assigned(
    candidates: dict[str, dict[str, list[Edit]]], per_type: int, rng: np.random.Generator
) -> dict[str, list[str]] | None:
    """{type: images drawn at random, in random order}, with no image for two types; None if that cannot be done."""
    from scipy.optimize import linear_sum_assignment  # slow to import

    sources = sorted({source for images in candidates.values() for source in images})
    if len(sources) < per_type * len(candidates):
        return None
    possible = np.array([[source in images for source in sources] for images in candidates.values()])
    costs = np.where(possible, rng.random(possible.shape), len(sources))  # one impossible choice costs more than all
    rows, columns = linear_sum_assignment(np.repeat(costs, per_type, axis=0))
    if not possible[rows // per_type, columns].all():
        return None
    drawn = columns.reshape(len(candidates), per_type)
    return {
        type: [sources[k] for k in rng.permutation(of_type)] for type, of_type in zip(candidates, drawn, strict=True)
    }


def _versions(edit_set: EditSet, edits: Sequence[Edit]) -> list[Version]:
    source, type = edits[0].source, edits[0].type
    unedited = Version(source, source, type, EDIT_TYPES[type].neutral, edit_set.originals[source])
    return [unedited, *(Version(edit.id, source, type, edit.asked, edit.read_image) for edit in edits)]
