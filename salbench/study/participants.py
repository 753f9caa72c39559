"""Where each participant looked on the versions of images that a plan shows, and what edits change.

Participants need not see all versions: `salbench.stats.crossed_slope` takes participants and images as random effects.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from salbench.datasets._gaze import cleaned
from salbench.datasets._gaze_csv import read_table
from salbench.edits import EDIT_TYPES, Edit
from salbench.files import IMAGE_SUFFIXES
from salbench.stats import Slope, crossed_slope
from salbench.study.regions import fitted, share_of_fixations

Shown = Mapping[str, tuple[Edit, tuple[int, int]]]  # {edit: itself and the (height, width) of its image}


class Trial(NamedTuple):
    """One participant's fixations on one image, edited or not, and how many are in the region of one edit.

    Attributes:
        participant: number from 1, in the order of the sorted names.
        edit: the edit whose region counts.
        is_edited: whether the participant saw the edited image; otherwise the unedited one.
        fixations: number of fixations on the image.
        share: share of them inside the region.
    """

    participant: int
    edit: Edit
    is_edited: bool
    fixations: int
    share: float


class Change(NamedTuple):
    """What edits of one type and strength change against unedited images.

    Attributes:
        trials: number of trials, on edited and on unedited images.
        before, after: mean share over trials on unedited and on edited images.
        slope: the change; see `salbench.stats.crossed_slope`.
    """

    trials: int
    before: float
    after: float
    slope: Slope


@dataclass
class Participants:
    """Fixations of participants on an edit set; `read` fills it.

    Attributes:
        trials: one for each participant, image and region. An unedited image counts in the region of every edit of it
            that somebody saw.
        changes: {(type, strength that was asked for): change against unedited images}, by rising strength.
        slopes: {type: slope of the share over the strengths that were used, without unedited images}.
        failures: {image or comparison: why there is no number}.
        n_participants: number of participants.
        n_fixations: number of fixations on images.
        n_off_image: number of fixations off their image, which are left out.
    """

    trials: list[Trial] = field(default_factory=list)
    changes: dict[tuple[str, float], Change] = field(default_factory=dict)
    slopes: dict[str, Slope] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    n_participants: int = 0
    n_fixations: int = 0
    n_off_image: int = 0


def read(path: Path, shown: Shown) -> Participants:
    """Read the fixations of all participants and compare edited with unedited images.

    Args:
        path: CSV with a row for each fixation and the columns participant, image, x, y, under the names that
            `salbench.datasets` knows. The image is the name of a stimulus: the source, or the edit as `Edit.id`.
        shown: the edits that participants may have seen.

    Raises:
        DatasetProblem: the file cannot be read as such a table.
        ValueError: no participants, fewer than two, or no fixations on an edited image.
    """
    study = Participants()
    seen = _fixations(path, shown, study)
    edits = [id for id in shown if id in seen]
    if not edits:
        example, *_ = shown
        first = f"; {next(iter(study.failures))} is none of them" if study.failures else ""
        raise ValueError(f"{path}: expected fixations on edited images, such as {example}.png, got none{first}")
    for id in edits:
        edit, size = shown[id]
        mask = fitted(edit.read_mask(), size)
        for name, is_edited in ((edit.source, False), (id, True)):
            for participant, points in seen.get(name, {}).items():
                share = share_of_fixations(points, mask)
                study.trials.append(Trial(participant, edit, is_edited, len(points), share))
    _compare(study)
    return study


def _fixations(path: Path, shown: Shown, study: Participants) -> dict[str, dict[int, np.ndarray]]:
    """{source or edit: {participant: (N, 2) fixations, one or more}}; counts them in the study."""
    table = read_table(path, of_one_image=False)
    if table.gaze.observers is None:
        raise ValueError(f"{path}: expected a column participant, because participants are compared; add it")
    study.n_participants = len(np.unique(table.gaze.observers))
    if study.n_participants < 2:
        raise ValueError(
            f"{path}: expected fixations of two or more participants, got {study.n_participants}; for one participant, "
            "give folders with --original and --edited"
        )
    sizes = {edit.source: size for edit, size in shown.values()} | {id: size for id, (_, size) in shown.items()}
    names = np.array([_stem(name) for name in table.images])
    found: dict[str, dict[int, np.ndarray]] = {}
    for name in np.unique(names):
        if name not in sizes:
            study.failures[str(name)] = "the edit set has no image with this name"
            continue
        gaze = table.gaze.only(names == name)
        if table.is_share:
            gaze.points[:] *= sizes[name][::-1]
        gaze = cleaned(gaze, sizes[name], f"{path}: {name}", "drop")
        study.n_fixations += len(gaze.points)
        study.n_off_image += gaze.n_off_image
        observers = np.asarray(gaze.observers)
        of_each = {k: gaze.points[observers == k] for k in np.unique(observers)}
        found[str(name)] = {int(k) + 1: points for k, points in of_each.items()}
    return found


def _stem(name: str) -> str:
    """The name of an image file without folders and without the suffix of an image; a stem may hold dots."""
    name = name.replace("\\", "/").rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return stem if dot + suffix.lower() in IMAGE_SUFFIXES else name


def _compare(study: Participants) -> None:
    """Compute the changes and slopes of the trials."""
    trials = study.trials
    for type, asked in sorted({(t.edit.type, t.edit.asked) for t in trials}):
        of_group = [t for t in trials if (t.edit.type, t.edit.asked) == (type, asked)]
        slope = _slope(study, f"{type} {asked:g}", of_group, [float(t.is_edited) for t in of_group])
        if slope is not None:
            before, after = (np.mean([t.share for t in of_group if t.is_edited == k]) for k in (False, True))
            study.changes[type, asked] = Change(len(of_group), float(before), float(after), slope)
    for type in dict.fromkeys(t.edit.type for t in trials):
        edited = [t for t in trials if t.edit.type == type and t.is_edited]
        if len({t.edit.asked for t in edited}) > 1:
            slope = _slope(study, f"slope over strengths of {type}", edited, [t.edit.strength for t in edited])
            if slope is not None:
                study.slopes[type] = slope


def _slope(study: Participants, what: str, trials: Sequence[Trial], x: Sequence[float]) -> Slope | None:
    participants, images = [t.participant for t in trials], [t.edit.source for t in trials]
    try:
        return crossed_slope(x, [t.share for t in trials], participants, images)
    except ValueError as error:
        study.failures[what] = str(error)
        return None


def rows(study: Participants) -> Iterable[Sequence[object]]:
    """Rows of a CSV of all trials, the header first. The strength of an unedited image is the neutral one."""
    yield "participant", "image", "type", "region", "strength", "fixations", "share"
    for t in study.trials:
        strength = t.edit.strength if t.is_edited else EDIT_TYPES[t.edit.type].neutral
        yield t.participant, t.edit.source, t.edit.type, t.edit.id, strength, t.fixations, t.share
