"""What models predict on an edit set, and where people looked, beside the property that was edited."""

import logging
from collections import defaultdict
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from salbench import registry
from salbench.evaluate import key_of, usual_batch_size
from salbench.files import FileProblem
from salbench.protocol import PROTOCOLS
from salbench.registry import MethodUnavailable
from salbench.results import Journal
from salbench.sample import Sample
from salbench.stats import bootstrap_means, paired_change
from salbench.study.gaze import by_stem, check_one_kind, counted_in, measure
from salbench.study.regions import INSIDE, PROPERTIES, SEED, edited_property, fitted, psnr_outside, share_of_map
from salbench.weights import WeightsProblem

log = logging.getLogger(__name__)
PROTOCOL = PROTOCOLS["tuebingen"]  # it takes predictions as they are
PEOPLE = "people"  # the quantity that is their attention


@dataclass(frozen=True)
class Measured:
    """One edited image beside the unedited reconstruction of its source, both measured in the region of the edit.

    Attributes:
        edit: an `Edit`.
        covered: share of the area that the region covers.
        psnr_outside: in dB, see `regions`.
        values: {quantity: (before, after)}; a quantity is the type of the edit, or the label of a model, whose share
            of predicted saliency it is, or PEOPLE. A model that failed on one of the two images is not in it, nor are
            people who have not seen both.
    """

    edit: object
    covered: float
    psnr_outside: float
    values: dict = field(default_factory=dict)

    @property
    def group(self):
        """(type, strength that was asked for): what is averaged over images."""
        return self.edit.type, self.edit.asked


@dataclass
class Predicted:
    """A study of an edit set; `predict` fills it.

    Attributes:
        edit_set: the `EditSet`.
        edits: of `Measured`, in the order of the set.
        models: labels of the methods that ran; the first is PEOPLE where their gaze was given.
        left_out: {source or image: why it could not be measured}.
        skipped: {method: why it did not run}.
        failures: {model, image: message}.
        notes: {model: what it says of itself}.
    """

    edit_set: object
    edits: list
    models: list = field(default_factory=list)
    left_out: dict = field(default_factory=dict)
    skipped: dict = field(default_factory=dict)
    failures: dict = field(default_factory=dict)
    notes: dict = field(default_factory=dict)

    def changes(self):
        """{type, strength asked for: {quantity: `PairedChange`}}, in rising strength; two images at least."""
        groups = defaultdict(list)
        for edit in self.edits:
            groups[edit.group].append(edit)
        found = {}
        for group in sorted(groups):
            values = {q: [e.values[q] for e in groups[group] if q in e.values] for q in (group[0], *self.models)}
            found[group] = {q: paired_change(*zip(*v, strict=True), seed=SEED) for q, v in values.items() if len(v) > 1}
        return found

    def trends(self):
        """Spearman correlation of each quantity with the strength within a source, averaged over sources.

        Of edits alone, each with the strength it was made with and with its change, since the regions of a source may
        differ a little. (With the unedited image as one more point, any change at all would look like a trend.)

        Returns:
            {type: {quantity: (mean, low, high, n)}} with the 95 % bootstrap interval over n sources; a source
            counts where it has two edits or more and the quantity changes at all.
        """
        from scipy.stats import spearmanr  # slow to import

        curves = defaultdict(lambda: defaultdict(list))
        for edit in self.edits:
            for quantity in (q for q in (edit.edit.type, *self.models) if q in edit.values):
                before, after = edit.values[quantity]
                curves[edit.edit.type, quantity][edit.edit.source].append((edit.edit.strength, after - before))
        found = defaultdict(dict)
        for (type, quantity), by_source in curves.items():
            points = [np.array(curve).T for curve in by_source.values() if len(curve) > 1]
            rho = [spearmanr(x, y).statistic for x, y in points if np.ptp(x) and np.ptp(y)]
            if rho:
                mean, low, high = bootstrap_means(np.array(rho)[:, None], np.ones(len(rho)), seed=SEED)
                found[type][quantity] = float(mean[0]), float(low[0]), float(high[0]), len(rho)
        return dict(found)


def predict(edit_set, specs, out, *, gaze=None, device="cpu", backbone=None, weights_root=None, progress=True):
    """Measure every edit of a set, and let every method predict on the edited and the unedited images.

    Where people's gaze is given, theirs is measured too, on all edits that they have seen with their originals.

    A method sees a blind sample whose id is the source's, or <source>_<type>_<strength asked for> of an edited image
    (the stems that `from_folder` looks for).

    Args:
        edit_set: an `EditSet`.
        specs: methods as typed.
        out: folder; `shares/<method>.jsonl` in it keeps what is predicted, so that a study that was stopped, or is made
            again with another method, goes on from there. What failed is tried again.
        gaze: folders (originals, edited) with a file for each image, of the stems above; see `gaze.measure`.
        device, backbone, weights_root: see `SaliencyMethod`.
        progress: show a progress bar per method.

    Returns:
        A `Predicted`.

    Raises:
        MethodProblem: an unknown method. ValueError: edits of fewer than two images that can be measured, or gaze of
            no edit of the set, or of both kinds.
        ResultProblem: another study is writing to the same folder.
    """
    methods, skipped = {}, {}
    for spec in specs:
        try:
            methods[spec] = _created(spec, device, backbone, weights_root)
        except MethodUnavailable as reason:
            skipped[spec] = str(reason)
    study = _measured(edit_set)
    study.skipped.update(skipped)
    if gaze is not None:
        _add_gaze(study, *gaze)
    for spec, method in methods.items():
        try:
            _add_shares(study, method, Path(out) / "shares", progress)
        except (MethodUnavailable, WeightsProblem) as reason:
            study.skipped[spec] = str(reason)
        else:
            study.models.append(method.label)
            known = ["trained with these very edits."] if method.knows_edits(edit_set.fingerprint) else []
            study.notes[method.label] = [*method.notes(), *known]
    return study


def _created(spec, device, backbone, weights_root):
    method = registry.create(spec)
    if method.fits_at_run or method.sees_fixations:
        raise MethodUnavailable("needs fixations, and an edit set has none")
    method.device, method.backbone, method.weights_root = device, backbone, weights_root
    method.notes()  # what is wrong with its weights is told before anything runs
    return method


def _measured(edit_set):
    """A `Predicted` without models yet."""
    study = Predicted(edit_set, [])
    for source in edit_set.sources:
        edits = edit_set.of(source)
        if not edits:
            study.left_out[source] = "it has no edit; all have been dropped"
        for edit in edits:
            try:
                study.edits.append(_one_measured(edit, edit_set.original(source)()))
            except ValueError as error:
                study.left_out[edit.id] = str(error)
    images = len({measured.edit.source for measured in study.edits})
    if images < 2:
        reasons = "; ".join(f"{id}: {why}" for id, why in list(study.left_out.items())[:3])
        raise ValueError(
            f"edit set {edit_set.name}: expected edits of two or more images that can be measured, got {images}"
            + (f" ({reasons})" if reasons else "")
        )
    return study


def _one_measured(edit, original):
    if edit.type not in PROPERTIES:
        raise ValueError(f"expected an edit of {', '.join(PROPERTIES)}, whose property is known, got {edit.type!r}")
    image = edit.read_image()
    if image.shape != original.shape:
        raise ValueError(f"expected an image of the size of its original, {original.shape}, got {image.shape}")
    mask = fitted(edit.read_mask(), image.shape[:2])
    values = tuple(edited_property(edit.type, picture, original, mask) for picture in (original, image))
    return Measured(edit, float(np.mean(mask > INSIDE)), psnr_outside(image, original, mask), {edit.type: values})


def _add_gaze(study, original, edited):
    """Write the shares of people's attention into every edit of a study that has files of both images.

    Missing is a file of an original whose edit has one; and of an edit whose original has one, where other images have
    one of the same type and strength.
    """
    before, after = by_stem(original), by_stem(edited)
    edits, shares = {measured.edit.id: measured for measured in study.edits}, {}
    shown = {edits[id].group for id in after.keys() & edits.keys()}
    missing = {id for id, e in edits.items() if e.group in shown and e.edit.source in before} - after.keys()
    for id in sorted(missing | (after.keys() & edits.keys())):
        edit = edits[id].edit
        try:
            if edit.source not in before:
                raise FileProblem(f"expected a file of {edit.source}, the original, in {original}")
            if id in missing:
                raise FileProblem(f"expected a file of this stem in {edited}, as {original} has one of {edit.source}")
            shares[id] = measure(before[edit.source], after[id], edit.read_mask(), edit.read_image().shape[:2])
        except ValueError as error:
            study.failures[PEOPLE, id] = str(error)
        else:
            edits[id].values[PEOPLE] = shares[id].before, shares[id].after
    strangers = sorted(after.keys() - edits.keys())
    study.failures |= {(PEOPLE, id): "the edit set has no edit of this name" for id in strangers}
    if not shares:
        (first, why), *_ = [(id, why) for (_, id), why in study.failures.items()]
        raise ValueError(f"{edited}: expected gaze on edits, files such as {next(iter(edits))}.csv; {first}: {why}")
    check_one_kind(shares)
    study.models.append(PEOPLE)
    of_one = list(shares.values())
    study.notes[PEOPLE] = [f"the share of their {of_one[0].kind}.", *counted_in(of_one)]


def _add_shares(study, method, folder, progress):
    """Write a method's shares into every edit of a study."""
    by_source = defaultdict(list)
    for edit in study.edits:
        by_source[edit.edit.source].append(edit)
    key = key_of(method, study.edit_set.name, study.edit_set.fingerprint, PROTOCOL, seed=SEED)
    journal = Journal(folder / f"{method.label}.jsonl", key, overwrite=True)
    try:
        for source, edits in tqdm(by_source.items(), desc=method.label, unit="source", disable=not progress):
            if source not in journal.entries:
                journal.add(_shares(study.edit_set, method, source, edits))
            entry = journal.entries[source]
            study.failures.update({(method.label, id): text for id, text in entry.get("error", {}).items()})
            for measured in edits:
                if measured.edit.id in entry["shares"]:
                    measured.values[method.label] = tuple(entry["shares"][measured.edit.id])
    finally:
        journal.close(remove=not journal.entries)


def _shares(edit_set, method, source, edits):
    """The journal's entry of a source: the share before and after each edit; why images failed, if any did."""
    readers = {source: edit_set.original(source)} | {m.edit.id: m.edit.read_image for m in edits}
    samples = [_sample(id, read()) for id, read in readers.items()]
    size, maps, failures = usual_batch_size(method.device), {}, {}
    for i in range(0, len(samples), size):
        _predict(method, samples[i : i + size], maps, failures)
    shares = {}
    for measured in edits:
        id = measured.edit.id
        if source in maps and id in maps:
            mask = fitted(measured.edit.read_mask(), maps[source].shape)
            shares[id] = share_of_map(maps[source], mask), share_of_map(maps[id], mask)
    return {"id": source, "shares": shares} | ({"error": failures} if failures else {})


def _sample(id, image):
    return Sample(id, image.shape[:2], partial(np.asarray, image)).blind()


def _predict(method, samples, maps, failures):
    """Add to `maps` the predictions, at the size of the image and on the scale of a density; what fails to `failures`.

    Both are by id. A batch that fails is predicted one by one, so that only those fail that are to blame.
    """
    try:
        predictions = zip(samples, method.predict_batch(samples), strict=True)
        maps |= {s.id: PROTOCOL.prepare(p, method.output, s.size).point_map for s, p in predictions}
    except (MethodUnavailable, MemoryError, WeightsProblem):
        raise
    except Exception as error:
        log.debug("%s", ", ".join(sample.id for sample in samples), exc_info=True)
        if len(samples) == 1:
            failures[samples[0].id] = registry.explained(error, method)
            return
        for sample in samples:
            _predict(method, [sample], maps, failures)
