"""A study as Markdown tables and as a CSV of its images."""

import csv
from pathlib import Path

import numpy as np
from tabulate import tabulate

from salbench.files import atomic_write
from salbench.study.gaze import counted_in
from salbench.study.regions import OUTSIDE

UNIT = {"contrast": "SD of grey", "brightness": "mean grey", "color": "distance in CIELAB a, b"}
_STATISTICS = ["images", "before", "after", "change [95 % interval]", "t", "p", "p Wilcoxon", "d_z"]
_INTERVAL = "In brackets the 95 % bootstrap interval over images."
_TESTS = (
    "t and p: paired t-test, two-sided; Wilcoxon: signed-rank test, two-sided; d_z: Cohen's, the mean change in units "
    "of its standard deviation over images."
)
_REGION = "The region is where the mask exceeds half of its peak."


def write(out, text, rows):
    """Write study.md and images.csv.

    Args:
        out: folder. text: of the tables. rows: list of lists, the header first; None is an empty cell.
    """
    with atomic_write(Path(out) / "study.md") as file:
        file.write(text)
    with atomic_write(Path(out) / "images.csv") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def observed_table(study):
    """Markdown of an `Observed`: one row, and what it rests on."""
    c, covered = study.change, np.mean([of_one.chance for of_one in study.shares.values()])
    row = [f"{study.kind} inside the region", *_statistics(c), f"{covered:.3f}"]
    notes = [f"{_INTERVAL} {_TESTS}", f"{_REGION} Chance: the share of the area that it covers, mean over images."]
    notes += counted_in(list(study.shares.values())) + _left_out(study.left_out, "images")
    return _table(["share of", *_STATISTICS, "chance"], [row]) + _bullets(notes)


def observed_rows(study):
    """Rows of the CSV of an `Observed`; an image that was left out has its reason and no numbers."""
    rows = [[id, s.before, s.after, s.after - s.before, s.chance, None] for id, s in study.shares.items()]
    rows += [[id, None, None, None, None, reason] for id, reason in study.left_out.items()]
    return [["image", "before", "after", "change", "chance", "left_out"], *sorted(rows, key=lambda row: row[0])]


def predicted_table(study):
    """Markdown of a `Predicted`: changes by strength, trends over strength, and what stayed outside of the regions."""
    changes = study.changes()
    rows = [
        [type, f"{strength:g}", _name(quantity), *_statistics(change)]
        for (type, strength), by_quantity in changes.items()
        for quantity, change in by_quantity.items()
    ]
    trends = [
        [type, _name(quantity), n, _interval(mean, low, high, digits=2)]
        for type, by_quantity in study.trends().items()
        for quantity, (mean, low, high, n) in by_quantity.items()
    ]
    parts = [
        "Change against the unedited reconstruction, inside the region",
        _table(["edit", "strength", "measured", *_STATISTICS], rows),
        "Spearman correlation with the strength within an image, mean over images",
        _table(["edit", "measured", "images", "correlation [95 % interval]"], trends),
        f"Outside of the region (mask below {OUTSIDE:g} of its peak), against the unedited reconstruction",
        _table(["edit", "strength", "images", "PSNR, median", "PSNR, lowest", "region covers"], _outside(study)),
    ]
    return "\n".join(part if part.endswith("\n") else f"{part}\n" for part in parts) + _bullets(_notes(study))


def _outside(study):
    """Rows: type, strength, images, PSNR in dB and the area of the regions."""
    rows = []
    for type, strength in study.changes():
        edits = [e for e in study.edits if e.group == (type, strength)]
        psnr = np.array([e.psnr_outside for e in edits])
        known = psnr[~np.isnan(psnr)]
        shown = [f"{np.median(known):.1f} dB", f"{known.min():.1f} dB"] if len(known) else ["–", "–"]
        rows.append([type, f"{strength:g}", len(known), *shown, f"{np.mean([e.covered for e in edits]):.3f}"])
    return rows


def _notes(study):
    notes = [
        f"{_INTERVAL} {_TESTS} p values are not corrected for the number of rows.",
        "grey = 0.299 R + 0.587 G + 0.114 B in 0..1. contrast: its standard deviation inside the region; brightness: "
        "its mean; color: the mean distance from the reconstruction in the a, b plane of CIELAB. A model's row is the "
        "share of its predicted saliency that is inside.",
        _REGION,
    ]
    lowered = sum(e.edit.strength != e.edit.asked for e in study.edits)
    if lowered:
        notes.append(f"{lowered} of {len(study.edits)} edits were made weaker than asked for by their constraint.")
    notes += [f"{model}: {note}" for model, of_one in study.notes.items() for note in of_one]
    notes += [f"{method} did not run: {reason}" for method, reason in study.skipped.items()]
    notes += _left_out(study.left_out, "sources or edits")
    notes += _left_out({f"{model}, {id}": text for (model, id), text in study.failures.items()}, "shares")
    edit_set = study.edit_set
    if not edit_set.is_finished:
        notes.append(f"The edit set is unfinished: {len(edit_set.sources)} images so far.")
    licence = f", {edit_set.licence}" if edit_set.licence else ""
    return [*notes, f"Edit set: {edit_set.name}, fingerprint {edit_set.fingerprint}{licence}."]


def predicted_rows(study):
    """Rows of the CSV of a `Predicted`: one per edited image, then those that were left out; all with the reasons."""
    header = ["source", "type", "asked", "strength", "direction", "covered", "psnr_outside", "before", "after"]
    header += [f"{model}_{when}" for model in study.models for when in ("before", "after")] + ["left_out"]
    rows = []
    for e in study.edits:
        shares = [value for model in study.models for value in e.values.get(model, (None, None))]
        facts = [e.edit.source, e.edit.type, e.edit.asked, e.edit.strength, e.edit.direction]
        failed = _failed(study, e.edit.source, e.edit.id)
        rows.append([*facts, e.covered, e.psnr_outside, *e.values[e.edit.type], *shares, failed])
    known = {id for e in study.edits for id in (e.edit.source, e.edit.id)}
    others = study.left_out | {id: _failed(study, id) for _, id in study.failures if id not in known}
    rows += [[id, *[None] * (len(header) - 2), reason] for id, reason in others.items()]
    return [header, *rows]


def _failed(study, *ids):
    """Whose shares of an image are missing, and why; None where none are."""
    return "; ".join(f"{model}: {text}" for (model, id), text in study.failures.items() if id in ids) or None


def _name(quantity):
    return quantity if quantity not in UNIT else f"{quantity} ({UNIT[quantity]})"


def _statistics(c):
    """Cells of a `PairedChange`, as in _STATISTICS."""
    t = "–" if np.isnan(c.t) else f"{c.t:.2f}"
    d_z = "–" if np.isnan(c.d_z) else f"{c.d_z:.2f}"
    return [
        c.n, f"{c.before:.4f}", f"{c.after:.4f}", _interval(c.mean, c.low, c.high), t, _p(c.p_t), _p(c.p_wilcoxon), d_z,
    ]  # fmt: skip


def _interval(mean, low, high, digits=4):
    mean, low, high = (f"{round(value, digits) + 0.0:+.{digits}f}" for value in (mean, low, high))  # no "-0.0000"
    return f"{mean} [{low}, {high}]"


def _p(p):
    if np.isnan(p):
        return "–"
    return f"{p:.3f}" if p >= 0.001 else "< 0.001"


def _table(header, rows):
    text = tabulate([[str(cell) for cell in row] for row in rows], header, tablefmt="github", disable_numparse=True)
    return f"{text}\n"


def _left_out(reasons, what, shown=3):
    if not reasons:
        return []
    first = "; ".join(f"{id}: {reason}" for id, reason in list(reasons.items())[:shown])
    more = f"; and {len(reasons) - shown} more, see images.csv" if len(reasons) > shown else ""
    return [f"{len(reasons)} {what} left out: {first}{more}"]


def _bullets(notes):
    return "\n" + "\n".join(f"- {note}" for note in notes) + "\n"
