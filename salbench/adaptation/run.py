"""Adapt a method to a data set: predict, fit, score the images that were not fitted to, and keep all of it on disk.

`<out>/<dataset>_adapt/<method>/` holds `fits.json` with the parameters of every fit and what is needed to repeat them,
and `scores.csv` with the score of every image under every fit. While the work is unfinished, `partial/` holds the
predictions and finished scores; rerun to resume.
"""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from salbench import registry
from salbench.adaptation import draws
from salbench.adaptation.draws import Draw
from salbench.adaptation.model import Example, Parameters, fit, log_density
from salbench.adaptation.predictions import AdaptationProblem, Predictions
from salbench.checks import pixels_of_points
from salbench.code_hash import definition_hash
from salbench.datasets import Dataset
from salbench.evaluation import identity_of
from salbench.files import hash_bytes
from salbench.identity import Identity
from salbench.journal import Journal
from salbench.locks import only_one
from salbench.metrics import METRICS, Pair, measure
from salbench.prediction import predict_stream
from salbench.progress import Bar
from salbench.protocol import Others, Protocol
from salbench.provenance import provenance
from salbench.registry import SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.writing import atomic_write

if TYPE_CHECKING:
    import pandas

SCALES = (0.5, 0.71, 1.0, 1.41)  # factors by which images are resized before the prediction
UNADAPTED = "0"  # in the column `images` of the scores
FITS, SCORES = "fits.json", "scores.csv"
Train = Callable[[], Dataset | None]


@dataclass(frozen=True)
class Wanted:
    """What an adaptation fits.

    Attributes:
        images: numbers of images to fit to, or "all".
        draws: random draws for each number.
        scales: input scales that are tried.

    Raises:
        ValueError: not a number of images, or scales without 1 or not above 0.
    """

    images: tuple[str, ...] = ("10", "50", draws.ALL)
    draws: int = 5
    scales: tuple[float, ...] = SCALES

    def __post_init__(self) -> None:
        wrong = [text for text in self.images if text != draws.ALL and not (text.isdecimal() and int(text))]
        if wrong or not self.images:
            raise ValueError(f"--images: expected whole numbers above 0, or all, got {', '.join(wrong) or 'nothing'}")
        if 1 not in self.scales or min(self.scales) <= 0:
            given = ", ".join(f"{scale:g}" for scale in self.scales)
            raise ValueError(f"--scales: expected numbers above 0 with 1 among them, got {given}")


@dataclass(frozen=True)
class Fit:
    """A draw and the parameters that were fitted to it."""

    draw: Draw
    parameters: Parameters


@dataclass(frozen=True)
class Adaptation:
    """A finished adaptation.

    Attributes:
        identity: what two adaptations must share to be the same.
        fits: in the order of the draws.
        scores: a row per fit and scored image: columns images, draw, id and one per metric; images is "0" for the
            method as it is.
        facts: "gaze", "n_images", "n_seen" (images that the weights were trained on), "train" (name of the split that
            is fitted to, or None), "output" of the method, "notes", "provenance".
    """

    identity: Identity
    fits: Sequence[Fit]
    scores: pandas.DataFrame
    facts: Mapping[str, Any]


def adapt(
    spec: str,
    dataset: Dataset,
    protocol: Protocol,
    out: Path | str,
    runtime: Runtime,
    wanted: Wanted,
    *,
    train: Train = lambda: None,
    overwrite: bool = False,
) -> Adaptation:
    """Fit a method's parameters to images of a data set, and score it on the others.

    Args:
        spec: the method as typed, such as "lite".
        dataset: the images to score.
        protocol: how they are scored, and how a map is read as a density.
        out: folder of the results.
        runtime: where and how the method runs; its seed draws the images.
        wanted: numbers of images, draws and scales.
        train: returns the training split of the data set or None. If there is one, parameters are fitted to it.
        overwrite: replace an adaptation that was made with other settings.

    Returns:
        The finished adaptation: made now, or read if it was complete.

    Raises:
        AdaptationProblem: a ceiling, images without fixations, or other settings in the same place.
        MethodProblem, MethodUnavailable, WeightsProblem: the method cannot run.
        ValueError: more images to fit to than there are.
        Busy: another process adapts the method in this folder.
    """
    method = registry.create(spec, runtime)
    if method.sees_fixations:
        raise AdaptationProblem(f"{method.name}: expected a method to adapt, got a ceiling")
    split = train()
    scored, pool = _with_fixations(dataset), _with_fixations(split) if split else None
    ids = [s.id for s in scored], [s.id for s in pool] if pool else None
    chosen = draws.make(*ids, wanted.images, wanted.draws, runtime.seed)
    fitted_on = registry.fit_at_run(method, dataset, lambda: split)
    identity = _identity(method, dataset, split, protocol, wanted, fitted_on)
    place = Path(out) / f"{dataset.name}_adapt" / method.label
    with only_one(place, "is adapting this method"):
        if not ((place / FITS).exists() and _is_same(place, identity, overwrite=overwrite)):
            work = _Work(method, {s.id: s for s in pool or scored}, {s.id: s for s in scored}, protocol, wanted)
            others = Others(dataset.split or dataset.samples, protocol)
            fits, rows = work.done(chosen, others, identity, place / "partial", overwrite=overwrite)
            _write(place, identity, fits, rows, _facts(method, dataset, split))
            shutil.rmtree(place / "partial")
        return read(place)


def _facts(method: SaliencyMethod, dataset: Dataset, split: Dataset | None) -> dict[str, Any]:
    """See `Adaptation.facts`."""
    scored = _with_fixations(dataset)
    return {
        "gaze": dataset.gaze,
        "n_images": len(scored),
        "n_seen": len(method.seen(scored)),
        "train": split.name if split else None,
        "output": method.output,
        "notes": method.notes(),
        "provenance": provenance(),
    }


def _with_fixations(dataset: Dataset) -> list[Sample]:
    found = [s for s in dataset.samples if s.fixations is not None and len(s.fixations)]
    if not found:
        raise AdaptationProblem(f"{dataset.name}: expected images with fixations, found none")
    return found


def _identity(
    method: SaliencyMethod,
    dataset: Dataset,
    split: Dataset | None,
    protocol: Protocol,
    wanted: Wanted,
    fitted_on: str | None,
) -> Identity:
    parts = ("model.fit", "draws.make", "predictions.Predictions")
    code = definition_hash(*(f"salbench.adaptation.{part}" for part in parts))
    scored = dataset.name, dataset.fingerprint
    run = identity_of(method, *scored, protocol, fitted_on=fitted_on, seed=method.runtime.seed)
    source = f"{(split or dataset).name} {(split or dataset).fingerprint}"
    return Identity({**run.facts, **asdict(wanted), "adaptation": code, "source": source})


def _is_same(place: Path, identity: Identity, *, overwrite: bool) -> bool:
    """Whether the finished adaptation at a place is the wanted one; raises if it may not be replaced."""
    found = Identity(_content(place)["identity"])
    if found != identity and not overwrite:
        remedy = "Choose another --out, or replace it with --overwrite"
        identity.require_same(found, place, remedy, AdaptationProblem)
    return found == identity


@dataclass(frozen=True)
class _Work:
    """What the fits of one adaptation share."""

    method: SaliencyMethod
    pool: Mapping[str, Sample]
    scored: Mapping[str, Sample]
    protocol: Protocol
    wanted: Wanted

    def done(
        self, chosen: Sequence[Draw], others: Others, identity: Identity, partial_: Path, *, overwrite: bool
    ) -> tuple[list[Fit], list[dict[str, Any]]]:
        """Fit all draws and score them. Returns the fits, and the rows of the scores."""
        journal = Journal(partial_ / "scores.jsonl", identity, overwrite=overwrite)
        try:
            folder = partial_ / hash_bytes(json.dumps(identity.facts))
            to_fit = Predictions(folder / "fitted", self.protocol)
            needed = {id for draw in chosen for id in draw.fitted}
            to_fit.make(self.method, [s for id, s in self.pool.items() if id in needed], self.wanted.scales)
            fits = [self._fit(draw, to_fit) for draw in tqdm(chosen, "fit", disable=not self.method.runtime.progress)]
            to_score = Predictions(folder / ("scored" if self.pool != self.scored else "fitted"), self.protocol)
            to_score.make(self.method, list(self.scored.values()), sorted({f.parameters.scale for f in fits}))
            self._score_all(fits, to_score, others, journal)
            return fits, [row for id in self.scored for row in _rows(journal.entries[id])]
        finally:
            journal.close()

    def _fit(self, draw: Draw, predictions: Predictions) -> Fit:
        examples = [self._example(self.pool[id], predictions) for id in draw.fitted]
        return Fit(draw, fit(examples, by_fixation=self.protocol.averaging == "fixation"))

    def _example(self, sample: Sample, predictions: Predictions) -> Example:
        densities = {scale: predictions.read(sample.id, scale) for scale in self.wanted.scales}
        shape = densities[1].shape
        points = self.protocol.counted(sample) * np.array(shape[::-1]) / sample.size[::-1]
        index, count = pixels_of_points(points, shape)
        return Example(densities, _sigma(sample, shape), index, count)

    def _score_all(self, fits: Sequence[Fit], predictions: Predictions, others: Others, journal: Journal) -> None:
        todo = [sample for id, sample in self.scored.items() if id not in journal.entries]
        scored = [(f, frozenset(f.draw.scored)) for f in fits]
        finish = partial(self._scores, scored, predictions, others)
        total = len(self.scored)
        bar = Bar("score", total, done=total - len(todo), shown=self.method.runtime.progress)
        outcomes = predict_stream(self.method, todo, self.method.runtime, finish)
        with bar, closing(outcomes):
            for outcome in outcomes:
                if outcome.error is not None:
                    raise AdaptationProblem(f"{self.method.label}: {outcome.sample.id} failed: {outcome.error}")
                journal.add({"id": outcome.sample.id, "scores": outcome.value})
                bar.advance()

    def _scores(
        self,
        fits: Sequence[tuple[Fit, frozenset[str]]],
        predictions: Predictions,
        others: Others,
        sample: Sample,
        prediction: np.ndarray,
    ) -> list[tuple[str, int, list[float]]]:
        """(images, draw, values of the metrics) of one image: as it is, and for every fit that did not see it."""
        truth = self.protocol.truth(sample, others)

        def measured(map_: np.ndarray, output: str) -> list[float]:
            prepared = self.protocol.prepare(map_, output, sample.size)
            pair = Pair(prepared.point_map, prepared.density_map, **vars(truth))
            return list(measure(pair, self.protocol.options).values())

        found = [(UNADAPTED, 0, measured(prediction, self.method.output))]
        for one, ids in fits:
            if sample.id in ids:
                density = predictions.read(sample.id, one.parameters.scale)
                adapted = log_density(density, _sigma(sample, density.shape), one.parameters)
                found.append((one.draw.images, one.draw.number, measured(adapted, "log_density")))
        return found


def _sigma(sample: Sample, shape: tuple[int, ...]) -> tuple[float, float]:
    """The data set's sigma in cells of a grid, (vertical, horizontal)."""
    assert sample.sigma is not None
    return sample.sigma * shape[0] / sample.size[0], sample.sigma * shape[1] / sample.size[1]


def _rows(entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"images": images, "draw": draw, "id": entry["id"], **dict(zip(METRICS, values, strict=True))}
        for images, draw, values in entry["scores"]
    ]


def _write(
    place: Path, identity: Identity, fits: Sequence[Fit], rows: Sequence[Mapping[str, Any]], facts: Mapping[str, Any]
) -> None:
    """Write both files, the one that says that the adaptation is complete last."""
    with atomic_write(place / SCORES) as file:
        writer = csv.DictWriter(file, ["images", "draw", "id", *METRICS], lineterminator="\n")
        writer.writeheader()
        writer.writerows({k: "" if v != v else v for k, v in row.items()} for row in rows)
    content = {"identity": dict(identity.facts), "facts": facts, "fits": [asdict(each) for each in fits]}
    with atomic_write(place / FITS) as file:
        json.dump(content, file, indent=2, allow_nan=False)
        file.write("\n")


def read(place: Path | str) -> Adaptation:
    """A finished adaptation.

    Args:
        place: its folder, such as "results/nus_scene_adapt/lite".

    Raises:
        AdaptationProblem: the folder holds none.
    """
    import pandas

    content = _content(Path(place))
    fits = [_fit_of(each) for each in content["fits"]]
    scores = pandas.read_csv(Path(place) / SCORES, dtype={"id": str, "images": str})
    return Adaptation(Identity(content["identity"]), fits, scores, content["facts"])


def _content(place: Path) -> dict[str, Any]:
    try:
        return json.loads((place / FITS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise AdaptationProblem(f"{place / FITS}: expected an adaptation; make it with: salbench adapt") from error


def _fit_of(content: Mapping[str, Any]) -> Fit:
    draw, parameters = dict(content["draw"]), dict(content["parameters"])
    for name in ("fitted", "scored"):
        draw[name] = tuple(draw[name])
    parameters["prior"] = tuple(parameters["prior"])
    return Fit(Draw(**draw), Parameters(**parameters))
