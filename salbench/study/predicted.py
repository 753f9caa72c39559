"""What models predict on an edit set, and where people looked, next to the property that was edited."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from salbench import optional_packages, registry
from salbench.edits import EDIT_TYPES, Edit, EditSet
from salbench.evaluation import identity_of
from salbench.files import FileProblem
from salbench.journal import Journal
from salbench.prediction import Outcome, predict_stream
from salbench.progress import Bar
from salbench.protocol import PROTOCOLS
from salbench.registry import MethodUnavailable, SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.stats import PairedChange, Slope, bootstrap_means, mean_slope, paired_change
from salbench.study import participants
from salbench.study.gaze import Shares, by_stem, counted_in, kind_of, measure
from salbench.study.participants import Participants
from salbench.study.regions import INSIDE, SEED, edited_property, fitted, psnr_outside, share_of_map
from salbench.weights import WeightsProblem

PROTOCOL = PROTOCOLS["tuebingen"]  # it does not change the values of a prediction
_CANNOT_RUN = (MethodUnavailable, ModuleNotFoundError, WeightsProblem)
PEOPLE = "people"  # the quantity that is measured from people's gaze


@dataclass(frozen=True)
class Measured:
    """One edited image compared with the unedited reconstruction of its source, in the region of the edit.

    Attributes:
        edit: the edit.
        size: (height, width) of both images.
        covered: share of the area that the region covers.
        psnr_outside: dB; see `regions.psnr_outside`.
        values: {quantity: (before, after)}. quantity: the edited property (`EditType.label`); or PEOPLE or a model (its
            label), whose values are shares of attention inside the region. It is absent if the model failed on one of
            the two images, or if people have not seen both.
    """

    edit: Edit
    size: tuple[int, int]
    covered: float
    psnr_outside: float
    values: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def group(self) -> tuple[str, float]:
        """(type, strength that was asked for). Images of one group are averaged."""
        return self.edit.type, self.edit.asked

    @property
    def quantity(self) -> str:
        """The edited property, as a key of `values`."""
        return EDIT_TYPES[self.edit.type].label


class Trend(NamedTuple):
    """Spearman correlation of a quantity's change with the strength, within a source.

    Attributes:
        mean, low, high: mean over sources and its 95 % bootstrap interval.
        n: number of sources.
    """

    mean: float
    low: float
    high: float
    n: int


@dataclass
class Predicted:
    """A study of an edit set; `predict` fills it.

    Attributes:
        edit_set: the edit set.
        edits: the edits that could be measured, in the order of the set.
        models: labels of the methods that ran; PEOPLE comes first if one file of gaze per image was given.
        participants: where each participant looked, if a table of their fixations was given.
        left_out: {source or edit: why it could not be measured}.
        skipped: {method: why it did not run}.
        failures: {(model, image): why it failed}.
        notes: {model: notes for the table}.
    """

    edit_set: EditSet
    edits: list[Measured] = field(default_factory=list)
    models: list[str] = field(default_factory=list)
    participants: Participants | None = None
    left_out: dict[str, str] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    notes: dict[str, list[str]] = field(default_factory=dict)

    @property
    def by_source(self) -> dict[str, list[Measured]]:
        """{source: its edits}, in the order of the set."""
        found: dict[str, list[Measured]] = {}
        for measured in self.edits:
            found.setdefault(measured.edit.source, []).append(measured)
        return found

    def changes(self) -> dict[tuple[str, float], dict[str, PairedChange]]:
        """{(type, strength that was asked for): {quantity: its change}}, by rising strength.

        A quantity needs two images to be compared.
        """
        groups = defaultdict(list)
        for measured in self.edits:
            groups[measured.group].append(measured)
        return {group: self._changes_of(groups[group]) for group in sorted(groups)}

    def _changes_of(self, edits: Sequence[Measured]) -> dict[str, PairedChange]:
        found = {}
        for quantity in (edits[0].quantity, *self.models):
            values = np.array([e.values[quantity] for e in edits if quantity in e.values])
            if len(values) > 1:
                found[quantity] = paired_change(*values.T, seed=SEED)
        return found

    def slopes(self) -> dict[str, dict[str, Slope]]:
        """Dose and response: by how much each quantity rises per unit of strength, averaged over sources.

        As in `trends`, the strengths are those that were used, and the unedited image is no point.

        Returns:
            {type: {quantity: its slope}}; see `salbench.stats.mean_slope`. Two sources need two strengths of the type.
            The slope of PEOPLE is that of the participants if a table of their fixations was given.
        """
        found: dict[str, dict[str, Slope]] = defaultdict(dict)
        for (type, quantity), curves in self._curves().items():
            lines = [(x, y) for x, y in (np.array(curve).T for curve in curves) if np.ptp(x)]
            if len(lines) > 1:
                found[type][quantity] = mean_slope(lines)
        for type, slope in (self.participants.slopes if self.participants else {}).items():
            found[type][PEOPLE] = slope
        return dict(found)

    def trends(self) -> dict[str, dict[str, Trend]]:
        """How strictly the change of each quantity follows the strength.

        The strengths are those that were used. The unedited image is not a point of its own: otherwise any change at
        all would look like a trend.

        Returns:
            {type: {quantity: its trend}}. A source counts if it has two or more edits of the type and the quantity
            differs between them.
        """
        from scipy.stats import spearmanr  # slow to import

        found: dict[str, dict[str, Trend]] = defaultdict(dict)
        for (type, quantity), curves in self._curves().items():
            points = [np.array(curve).T for curve in curves if len(curve) > 1]
            rho = [spearmanr(x, y).statistic for x, y in points if np.ptp(x) and np.ptp(y)]
            if rho:
                mean, low, high = bootstrap_means(np.array(rho)[:, None], np.ones(len(rho)), seed=SEED)
                found[type][quantity] = Trend(float(mean[0]), float(low[0]), float(high[0]), len(rho))
        return dict(found)

    def _curves(self) -> dict[tuple[str, str], list[list[tuple[float, float]]]]:
        """{(type, quantity): for each source its points (strength, change)}."""
        found: dict[tuple[str, str], dict[str, list[tuple[float, float]]]] = defaultdict(lambda: defaultdict(list))
        for measured in self.edits:
            for quantity in (q for q in (measured.quantity, *self.models) if q in measured.values):
                before, after = measured.values[quantity]
                curve = found[measured.edit.type, quantity][measured.edit.source]
                curve.append((measured.edit.strength, after - before))
        return {key: list(by_source.values()) for key, by_source in found.items()}


def predict(
    edit_set: EditSet,
    specs: Iterable[str],
    out: Path | str,
    runtime: Runtime,
    *,
    gaze: tuple[Path | str, Path | str] | None = None,
    fixations: Path | str | None = None,
) -> Predicted:
    """Measure every edit of a set, and let methods predict on the edited and on the unedited images.

    Methods see blind samples. The id of an unedited image is that of the source, and of an edited image
    <source>_<type>_<strength that was asked for>; `from_folder` looks for files with these stems.

    Args:
        edit_set: the edits.
        specs: methods as typed, such as "uniform" or "from_folder:DIR".
        out: folder for `shares/<method>.jsonl`. What is in there from an earlier study of the same edits and code is
            not predicted again, except for images that failed.
        runtime: where and how methods run.
        gaze: two folders with people's gaze on originals and on edited images, one file per image with the stems above;
            see `gaze.measure`.
        fixations: a table of fixations with a column for the participant; see `participants.read`.

    Raises:
        MethodProblem: an unknown method.
        JournalProblem: another study is writing to the same folder.
        ValueError: the edits of fewer than two images can be measured, or the gaze is on none of the edits, or of both
            kinds; or the fixations are of fewer than two participants.
    """
    methods, skipped = _created(specs, runtime)
    study = _measured(edit_set)
    study.skipped |= skipped
    if gaze is not None:
        _add_gaze(study, *gaze)
    if fixations is not None:
        _add_participants(study, Path(fixations))
    for spec, method in methods.items():
        try:
            _add_shares(study, method, runtime, Path(out) / "shares")
        except _CANNOT_RUN as reason:
            study.skipped[spec] = _said(reason)
        else:
            study.models.append(method.label)
            known = ["trained with this edit set."] if method.knows_edits(edit_set.fingerprint) else []
            study.notes[method.label] = [*method.notes(), *known]
    return study


def _said(reason: Exception) -> str:
    return optional_packages.needs(reason) if isinstance(reason, ModuleNotFoundError) else str(reason)


def _created(specs: Iterable[str], runtime: Runtime) -> tuple[dict[str, SaliencyMethod], dict[str, str]]:
    """{spec: method} of those that can run, and {spec: why it cannot} of the others."""
    methods, skipped = {}, {}
    for spec in specs:
        try:
            method = registry.create(spec, runtime)
            if method.fits_at_run or method.sees_fixations:
                raise MethodUnavailable("needs fixations, which an edit set does not have")
            method.notes()  # raises if its weights cannot be used: before anything runs
            methods[spec] = method
        except _CANNOT_RUN as reason:
            skipped[spec] = _said(reason)
    return methods, skipped


def _measured(edit_set: EditSet) -> Predicted:
    """The study of an edit set without models."""
    study = Predicted(edit_set)
    for source in edit_set.sources:
        read_original = cache(edit_set.originals[source])
        edits = edit_set.of(source)
        if not edits:
            study.left_out[source] = "has no edits, because all were dropped"
        for edit in edits:
            try:
                study.edits.append(_one_measured(edit, read_original()))
            except ValueError as error:
                study.left_out[edit.id] = str(error)
    images = len(study.by_source)
    if images < 2:
        reasons = "; ".join(f"{id}: {why}" for id, why in list(study.left_out.items())[:3])
        raise ValueError(
            f"edit set {edit_set.name}: expected edits of two or more images that can be measured, got {images}"
            + (f" ({reasons})" if reasons else "")
        )
    return study


def _one_measured(edit: Edit, original: np.ndarray) -> Measured:
    if edit.type not in EDIT_TYPES:
        raise ValueError(f"expected an edit of type {', '.join(EDIT_TYPES)}, got {edit.type!r}")
    image = edit.read_image()
    if image.shape != original.shape:
        raise ValueError(f"expected an image with the size of its original, {original.shape}, got {image.shape}")
    size = image.shape[:2]
    mask = fitted(edit.read_mask(), size)
    before, after = (edited_property(edit.type, picture, original, mask) for picture in (original, image))
    measured = Measured(edit, size, float(np.mean(mask > INSIDE)), psnr_outside(image, original, mask))
    measured.values[measured.quantity] = before, after
    return measured


def _add_gaze(study: Predicted, original: Path | str, edited: Path | str) -> None:
    """Add people's shares to each edit of which they saw both images.

    If only one image of a pair has a file, the other file is reported as missing. A file of an edit is reported only
    if other edits of its type and strength have one: people may not have seen all edits.
    """
    before, after = by_stem(original), by_stem(edited)
    edits = {measured.edit.id: measured for measured in study.edits}
    shown = {edits[id].group for id in after.keys() & edits.keys()}
    missing = {id for id, e in edits.items() if e.group in shown and e.edit.source in before} - after.keys()
    shares: dict[str, Shares] = {}
    for id in sorted(missing | (after.keys() & edits.keys())):
        edit = edits[id].edit
        try:
            if edit.source not in before:
                raise FileProblem(f"expected a file for the original, {edit.source}, in {original}")
            if id in missing:
                raise FileProblem(f"expected a file with this stem in {edited}, because {original} has {edit.source}")
            shares[id] = measure(before[edit.source], after[id], edit.read_mask(), edits[id].size)
        except ValueError as error:
            study.failures[PEOPLE, id] = str(error)
        else:
            edits[id].values[PEOPLE] = shares[id].before, shares[id].after
    strangers = sorted(after.keys() - edits.keys())
    study.failures |= {(PEOPLE, id): "the edit set has no edit with this name" for id in strangers}
    if not shares:
        (first, why), *_ = [(id, why) for (_, id), why in study.failures.items()]
        raise ValueError(f"{edited}: expected gaze on edits, in files such as {next(iter(edits))}.csv; {first}: {why}")
    study.models.append(PEOPLE)
    study.notes[PEOPLE] = [f"share of their {kind_of(shares)}.", *counted_in(list(shares.values()))]


def _add_participants(study: Predicted, path: Path) -> None:
    study.participants = participants.read(path, {m.edit.id: (m.edit, m.size) for m in study.edits})
    study.failures |= {(PEOPLE, name): why for name, why in study.participants.failures.items()}


def _add_shares(study: Predicted, method: SaliencyMethod, runtime: Runtime, folder: Path) -> None:
    """Add the shares of a method to each edit: those in its journal, and the others once they are predicted."""
    edit_set = study.edit_set
    identity = identity_of(method, edit_set.name, edit_set.fingerprint, PROTOCOL, seed=runtime.seed)
    journal = Journal(folder / f"{method.label}.jsonl", identity, overwrite=True)
    try:
        for entry in _predicted(study, method, runtime, journal.entries):
            journal.add(entry)
    finally:
        journal.close(remove=not journal.entries)
    for source, edits in study.by_source.items():
        entry = journal.entries[source]
        study.failures |= {(method.label, id): text for id, text in entry.get("error", {}).items()}
        for measured in edits:
            if measured.edit.id in entry["shares"]:
                before, after = entry["shares"][measured.edit.id]
                measured.values[method.label] = before, after


def _predicted(
    study: Predicted, method: SaliencyMethod, runtime: Runtime, known: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, Any]]:
    """The journal entry of each source that is not known, as soon as all its images are predicted."""
    todo = {s: edits for s, edits in study.by_source.items() if not _covers(known.get(s), edits)}
    samples, regions = [], {}
    for source, edits in todo.items():
        samples.append(Sample(source, edits[0].size, study.edit_set.originals[source]))
        samples += [Sample(e.edit.id, e.size, e.edit.read_image) for e in edits]
        regions[source] = {e.edit.id: e.edit.read_mask for e in edits}
        regions |= {e.edit.id: {e.edit.id: e.edit.read_mask} for e in edits}
    outcomes = predict_stream(method, samples, runtime, partial(_inside, method, regions))
    total = sum(1 + len(edits) for edits in study.by_source.values())
    bar = Bar(method.label, total, done=total - len(samples), shown=runtime.progress)
    with bar, closing(outcomes):
        for original in outcomes:  # the images of a source have one size, so they come one after the other
            edited = list(islice(outcomes, len(todo[original.sample.id])))
            yield _entry(original, edited)
            for outcome in (original, *edited):
                bar.advance(failed=outcome.error is not None)


def _covers(entry: Mapping[str, Any] | None, edits: Sequence[Measured]) -> bool:
    return entry is not None and all(e.edit.id in entry["shares"] for e in edits)


def _inside(
    method: SaliencyMethod,
    regions: Mapping[str, Mapping[str, Callable[[], np.ndarray]]],
    sample: Sample,
    prediction: Any,
) -> dict[str, float]:
    """{edit: share of an image's predicted saliency that is inside the region of this edit}."""
    saliency = PROTOCOL.prepare(prediction, method.output, sample.size).point_map.array
    return {
        id: share_of_map(saliency, fitted(read_mask(), sample.size)) for id, read_mask in regions[sample.id].items()
    }


def _entry(original: Outcome, edited: Sequence[Outcome]) -> dict[str, Any]:
    """The journal entry of a source: the share before and after each edit, and why images failed, if any did."""
    failures = {o.sample.id: o.error for o in (original, *edited) if o.error is not None}
    good = [] if original.error is not None else [o for o in edited if o.error is None]
    shares = {o.sample.id: (original.value[o.sample.id], o.value[o.sample.id]) for o in good}
    return {"id": original.sample.id, "shares": shares} | ({"error": failures} if failures else {})
