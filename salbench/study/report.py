"""A study as Markdown tables and as a CSV file of its images."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from tabulate import tabulate

from salbench.edits import EDIT_TYPES
from salbench.redaction import without_folders
from salbench.stats import PairedChange
from salbench.study.gaze import counted_in
from salbench.study.observed import Observed
from salbench.study.participants import Participants
from salbench.study.predicted import Predicted
from salbench.study.regions import OUTSIDE
from salbench.writing import atomic_write

_STATISTICS = ["images", "before", "after", "change [95 % interval]", "t", "p", "p Wilcoxon", "d_z"]
_TESTS = (
    "Brackets: 95 % bootstrap interval over images. t and p: paired t-test; p Wilcoxon: signed-rank test; both "
    "two-sided. d_z: mean change divided by its standard deviation (Cohen)."
)
_SLOPES = (
    "Slope: by how much the measured quantity rises when the strength rises by 1, within the strengths used. A line is "
    "fitted to the edits of each image, without the unedited image; interval and p: Student's t over images."
)
_REGION = "The region is where the mask exceeds half of its peak"


def write(out: Path | str, text: str, tables: Mapping[str, Iterable[Sequence[Any]]]) -> None:
    """Write study.md and CSV files.

    Args:
        out: folder.
        text: content of study.md.
        tables: {name of a CSV file: its rows, the header first}; None is an empty cell.
    """
    with atomic_write(Path(out) / "study.md") as file:
        file.write(text)
    for name, rows in tables.items():
        with atomic_write(Path(out) / name) as file:
            csv.writer(file, lineterminator="\n").writerows(rows)


def observed_table(study: Observed) -> str:
    """Markdown of an observed study: one row and its notes."""
    covered = np.mean([of_one.chance for of_one in study.shares.values()])
    row = [f"{study.kind} inside the region", *_statistics(study.change), f"{covered:.3f}"]
    notes = [_TESTS, f"{_REGION}. Chance: share of the area that it covers, mean over images."]
    notes += counted_in(list(study.shares.values())) + _left_out(study.left_out, "images")
    return _table(["share of", *_STATISTICS, "chance"], [row]) + _bullets(notes)


def observed_rows(study: Observed) -> list[list[Any]]:
    """CSV rows of an observed study. An image that was left out has the reason and no numbers."""
    rows: list[list[Any]] = [
        [id, s.before, s.after, s.after - s.before, s.chance, None] for id, s in study.shares.items()
    ]
    rows += [[id, None, None, None, None, without_folders(reason)] for id, reason in study.left_out.items()]
    return [["image", "before", "after", "change", "chance", "left_out"], *sorted(rows, key=lambda row: row[0])]


def predicted_table(study: Predicted) -> str:
    """Markdown of a predicted study: changes by strength, trends over strength, and changes outside the region.

    If the fixations of each participant are known, what edits change for them is a table of its own.
    """
    rows = [
        [type, f"{strength:g}", quantity, *_statistics(change)]
        for (type, strength), by_quantity in study.changes().items()
        for quantity, change in by_quantity.items()
    ]
    slopes = [
        [type, quantity, slope.n_images, _interval(slope.mean, slope.low, slope.high), _p(slope.p)]
        for type, by_quantity in study.slopes().items()
        for quantity, slope in by_quantity.items()
    ]
    trends = [
        [type, quantity, n, _interval(mean, low, high, digits=2)]
        for type, by_quantity in study.trends().items()
        for quantity, (mean, low, high, n) in by_quantity.items()
    ]
    parts = [
        "Change against the unedited reconstruction, inside the region\n",
        _table(["edit", "strength", "measured", *_STATISTICS], rows),
        *(_people_table(study.participants) if study.participants else ()),
        *_if_any(
            "Dose and response: change for each unit of strength, mean over images\n",
            ["edit", "measured", "images", "slope [95 % interval]", "p"],
            slopes,
        ),
        "Spearman correlation with the strength within an image, mean over images\n",
        _table(["edit", "measured", "images", "correlation [95 % interval]"], trends),
        f"Outside the region (mask below {OUTSIDE:g} of its peak), against the unedited reconstruction\n",
        _table(["edit", "strength", "images", "PSNR, median", "PSNR, lowest", "region covers"], _outside(study)),
    ]
    return "\n".join(parts) + _bullets(_notes(study))


def _if_any(title: str, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> tuple[str, ...]:
    """A titled table; empty without rows."""
    return (title, _table(header, rows)) if rows else ()


def _people_table(study: Participants) -> tuple[str, ...]:
    """What edits change for participants."""
    rows = []
    for (type, strength), change in study.changes.items():
        slope, counts = change.slope, (change.slope.n_participants, change.slope.n_images, change.trials)
        means = f"{change.before:.4f}", f"{change.after:.4f}"
        rows.append([type, f"{strength:g}", *counts, *means, _interval(slope.mean, slope.low, slope.high), _p(slope.p)])
    counted = ["participants", "images", "trials"]
    header = ["edit", "strength", *counted, "unedited", "edited", "change [95 % interval]", "p"]
    return _if_any("People: share of fixations inside the region, against the unedited image\n", header, rows)


def _people_notes(study: Participants) -> list[str]:
    """Notes on the fixations of participants."""
    off_image = f", without {study.n_off_image} off their image" if study.n_off_image else ""
    notes = [
        f"people: {study.n_participants} participants, {study.n_fixations} fixations{off_image}. Unedited, edited: "
        "means over trials. Changes, slopes, intervals and p: mixed model, participants and images as random effects."
    ]
    if any(np.isnan(c.slope.low) for c in study.changes.values()):
        notes.append("–: too few participants for an interval; give each version of an image to two or more.")
    return notes


def _outside(study: Predicted) -> list[list[Any]]:
    """Rows: type, strength, images, median and lowest PSNR in dB, share of the area that the region covers."""
    rows = []
    for type, strength in study.changes():
        edits = [e for e in study.edits if e.group == (type, strength)]
        psnr = np.array([e.psnr_outside for e in edits])
        known = psnr[~np.isnan(psnr)]
        shown = [f"{np.median(known):.1f} dB", f"{known.min():.1f} dB"] if len(known) else ["–", "–"]
        rows.append([type, f"{strength:g}", len(known), *shown, f"{np.mean([e.covered for e in edits]):.3f}"])
    return rows


def _notes(study: Predicted) -> list[str]:
    types = dict.fromkeys(type for type, _ in study.changes())
    notes = [f"{_TESTS} p values are not corrected for the number of rows."]
    notes += [f"{EDIT_TYPES[type].label}: {EDIT_TYPES[type].definition}." for type in types]
    notes.append(f"Other rows: share of predicted saliency, or of people's attention, inside the region. {_REGION}.")
    if study.slopes():
        notes.append(_SLOPES)
    if study.participants:
        notes += _people_notes(study.participants)
    lowered = sum(e.edit.strength != e.edit.asked for e in study.edits)
    if lowered:
        notes.append(
            f"{lowered} of {len(study.edits)} edits are weaker than asked for, because the method limits them."
        )
    notes += [f"{model}: {note}" for model, of_one in study.notes.items() for note in of_one]
    notes += [f"{method} did not run: {reason}" for method, reason in study.skipped.items()]
    notes += _left_out(study.left_out, "sources or edits")
    notes += _left_out({f"{model}, {id}": text for (model, id), text in study.failures.items()}, "shares")
    edit_set = study.edit_set
    if not edit_set.is_finished:
        notes.append(f"The edit set is unfinished: {len(edit_set.sources)} images so far.")
    licence = f", {edit_set.licence}" if edit_set.licence else ""
    return [*notes, f"Edit set: {edit_set.name}, fingerprint {edit_set.fingerprint}{licence}."]


def predicted_rows(study: Predicted) -> list[list[Any]]:
    """CSV rows of a predicted study: one per edited image, then what was left out, with the reasons."""
    header = ["source", "type", "asked", "strength", "direction", "covered", "psnr_outside", "before", "after"]
    header += [f"{model}_{when}" for model in study.models for when in ("before", "after")] + ["left_out"]
    rows = []
    for e in study.edits:
        shares = [value for model in study.models for value in e.values.get(model, (None, None))]
        facts = [e.edit.source, e.edit.type, e.edit.asked, e.edit.strength, e.edit.direction]
        failed = _failed(study, e.edit.source, e.edit.id)
        rows.append([*facts, e.covered, e.psnr_outside, *e.values[e.quantity], *shares, failed])
    known = {id for e in study.edits for id in (e.edit.source, e.edit.id)}
    others = study.left_out | {id: _failed(study, id) for _, id in study.failures if id not in known}
    rows += [[id, *[None] * (len(header) - 2), reason and without_folders(reason)] for id, reason in others.items()]
    return [header, *rows]


def _failed(study: Predicted, *ids: str) -> str | None:
    """Which models lack a share of these images, and why; None if no model does."""
    texts = [f"{model}: {without_folders(text)}" for (model, id), text in study.failures.items() if id in ids]
    return "; ".join(texts) or None


def _statistics(c: PairedChange) -> list[Any]:
    """Cells for the columns in _STATISTICS."""
    t = "–" if np.isnan(c.t) else f"{c.t:.2f}"
    d_z = "–" if np.isnan(c.d_z) else f"{c.d_z:.2f}"
    return [
        c.n, f"{c.before:.4f}", f"{c.after:.4f}", _interval(c.mean, c.low, c.high), t, _p(c.p_t), _p(c.p_wilcoxon), d_z,
    ]  # fmt: skip


def _interval(*values: float, digits: int = 4) -> str:
    mean, low, high = (
        "–" if np.isnan(value) else f"{round(value, digits) + 0.0:+.{digits}f}"  # + 0.0: no "-0.0000"
        for value in values
    )
    return f"{mean} [{low}, {high}]"


def _p(p: float) -> str:
    if np.isnan(p):
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = tabulate([[str(cell) for cell in row] for row in rows], header, tablefmt="github", disable_numparse=True)
    return f"{text}\n"


def _left_out(reasons: Mapping[str, str], what: str, shown: int = 3) -> list[str]:
    if not reasons:
        return []
    first = "; ".join(f"{id}: {reason}" for id, reason in list(reasons.items())[:shown])
    more = f"; and {len(reasons) - shown} more, see images.csv" if len(reasons) > shown else ""
    return [f"{len(reasons)} {what} left out: {first}{more}"]


def _bullets(notes: Iterable[str]) -> str:
    return "\n" + "\n".join(f"- {without_folders(note)}" for note in notes) + "\n"
