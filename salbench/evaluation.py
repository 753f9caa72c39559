"""The loop: samples x method x protocol x metrics -> result, over all cores, and resumable.

Images stream (see `prediction`) and are scored by the worker that predicted them; only scores are kept. Finished images
are appended to a journal. A run that is killed loses the images in flight and nothing else.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from salbench import optional_packages, registry, results
from salbench.code_hash import definition_hash
from salbench.datasets import Dataset
from salbench.files import hash_bytes
from salbench.identity import Identity
from salbench.journal import Journal, JournalProblem
from salbench.metrics import METRICS
from salbench.prediction import predict_stream
from salbench.progress import Bar
from salbench.protocol import Protocol
from salbench.provenance import provenance
from salbench.registry import MethodUnavailable, SaliencyMethod
from salbench.results import Result, ResultProblem
from salbench.runtime import Runtime
from salbench.scoring import Scorer
from salbench.stats import bootstrap_means
from salbench.weights import WeightsProblem

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Broken:
    """A method that could not be made or fitted, and why."""

    method: str
    reason: str


@dataclass(frozen=True)
class Skipped:
    """A method that did not run because something is missing; says how to get it."""

    method: str
    reason: str


@dataclass(frozen=True)
class Refused:
    """A method that did not run because results made with other settings are in its place; says what to do."""

    method: str
    reason: str


class Evaluation:
    """One data set under one protocol, ready to score any number of methods.

    What all methods share (the fixations of the split as negatives and baseline) is made once.

    Args:
        dataset: with fixations or densities.
        protocol: every choice between a prediction and its score.
        out: folder of the results.
        runtime: where and how methods run.
        train: returns the data set's training split or None; called if a method is fitted at run.
        save_maps: folder for the scored maps as 8-bit PNG.
        overwrite: replace results made with other settings instead of refusing.

    Raises:
        ValueError: a sample has neither fixations nor a density, or `out` is a file.
    """

    def __init__(
        self,
        dataset: Dataset,
        protocol: Protocol,
        out: Path | str,
        runtime: Runtime | None = None,
        *,
        train: Callable[[], Dataset | None] = lambda: None,
        save_maps: Path | str | None = None,
        overwrite: bool = False,
    ) -> None:
        if not dataset.is_scorable:
            raise ValueError(
                f"{dataset.name}: has no fixations, so nothing can be scored on it. For a test split without public "
                "fixations, write the maps with `salbench submit`; a folder of your own needs fixations.csv, "
                "fixations/ or maps/, or a dataset.toml that says where they are (see: salbench data import DIR)"
            )
        if Path(out).exists() and not Path(out).is_dir():
            raise ValueError(f"{out}: expected a folder for the results, found a file; choose another --out")
        self.dataset, self.protocol, self.out = dataset, protocol, out
        self.runtime, self.overwrite = runtime or Runtime(), overwrite
        self.save_maps = None if save_maps is None else Path(save_maps)
        self._train = cache(train)
        self._scorer = Scorer.of(dataset, protocol, self.save_maps)

    def run(self, spec: str) -> Result | Skipped | Refused | Broken:
        """Score one method, resume an earlier run of it, or return what is already complete.

        Args:
            spec: the method as typed, such as "uniform" or "from_folder:DIR".
        """
        try:
            method = registry.create(spec, self.runtime)
            identity = self._prepared(method)
        except (MethodUnavailable, ModuleNotFoundError) as reason:
            return Skipped(spec, _missing(reason))
        except Exception as error:  # trouble with one method; the others run
            log.debug("%s", spec, exc_info=True)
            return Broken(spec, str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}")
        try:
            return self._evaluated(method, identity)
        except (MethodUnavailable, ModuleNotFoundError) as reason:
            return Skipped(spec, _missing(reason))
        except (ResultProblem, JournalProblem) as reason:
            return Refused(spec, str(reason))
        except WeightsProblem as reason:
            return Broken(spec, str(reason))

    def _prepared(self, method: SaliencyMethod) -> Identity:
        """Fit the method if every run does; returns the identity of its result."""
        method.notes()  # raises if its weights cannot be used: now, and not for every image
        fitted_on = registry.fit_at_run(method, self.dataset, self._train)
        scored = self.dataset.name, self.dataset.fingerprint
        return identity_of(method, *scored, self.protocol, fitted_on=fitted_on, seed=self.runtime.seed)

    def _evaluated(self, method: SaliencyMethod, identity: Identity) -> Result:
        """Return the finished result if its identity matches; otherwise score.

        Raise if it was made with other settings. A result with failed images is always scored again.
        """
        path = results.paths(self.out, identity["dataset"], identity["method"]).json
        old = self._read_old(path)
        if old and old.identity == identity and not old.n_failed and self.save_maps is None:
            log.info("%s: already complete, read from %s (made %s)", method.label, path, old.provenance["date"])
            return old
        failed_before = bool(old and old.n_failed)  # no table ever showed its mean, so nothing is lost
        if old and not self.overwrite and not failed_before:
            remedy = "Choose another --out, or replace it with --overwrite"
            identity.require_same(old.identity, path, remedy, ResultProblem)
        return self._run(method, identity, overwrite=self.overwrite or failed_before)

    def _read_old(self, path: Path) -> Result | None:
        if not path.exists():
            return None
        try:
            return results.read(path)
        except ResultProblem:
            if self.overwrite:
                return None
            raise

    def _run(self, method: SaliencyMethod, identity: Identity, *, overwrite: bool) -> Result:
        path = results.paths(self.out, identity["dataset"], identity["method"]).journal
        journal = Journal(path, identity, overwrite=overwrite)
        complete = False
        try:
            start = time.perf_counter()
            self._score_all(method, journal)
            result, rows = self._summarise(method, identity, journal.entries, time.perf_counter() - start)
            results.write(result, rows, self.out)
            complete = not result.n_failed  # otherwise the next run tries the failed images again, and only those
        finally:
            journal.close(remove=complete or not journal.entries)
        return result

    def _score_all(self, method: SaliencyMethod, journal: Journal) -> None:
        total = len(self.dataset.samples)
        todo = [s for s in self.dataset.samples if s.id not in journal.entries or self.save_maps]
        if len(todo) < total:
            log.info("%s: resuming after %d of %d images", method.label, total - len(todo), total)
        outcomes = predict_stream(method, todo, self.runtime, partial(self._scorer.score, method))
        bar = Bar(method.label, total, done=total - len(todo), shown=self.runtime.progress)
        with bar, closing(outcomes):
            bar.set_postfix_str("the first run compiles the metrics" if todo else "")
            for outcome in outcomes:
                failed = {"error": outcome.error} if outcome.error is not None else {}
                journal.add({"id": outcome.sample.id} | (failed or outcome.value))
                bar.advance(failed=bool(failed))

    def _summarise(
        self, method: SaliencyMethod, identity: Identity, entries: Mapping[str, dict[str, Any]], seconds: float
    ) -> tuple[Result, list[dict[str, Any]]]:
        ordered = [entries[s.id] for s in self.dataset.samples]
        failures = {e["id"]: e["error"] for e in ordered if "error" in e}
        good = [e for e in ordered if "error" not in e]
        rows = [{"id": e["id"]} | _floats(e.get("scores")) for e in ordered]
        metrics: dict[str, dict[str, float] | None] = dict.fromkeys(METRICS)
        if good and not failures:
            values = np.array([[row[name] for name in METRICS] for row in rows])
            weights = np.ones(len(good)) if self.protocol.averaging == "image" else [e["fixations"] for e in good]
            metrics = means(values, weights, self.runtime.seed)
        result = Result(
            identity=identity,
            metrics=metrics,
            output=method.output,
            ceiling=method.sees_fixations,
            gaze=self.dataset.gaze,
            n_images=len(ordered),
            n_failed=len(failures),
            n_without_fixations=sum(e["fixations"] == 0 for e in good),
            n_resized=sum(e["resized"] for e in good),
            zero_share=float(np.mean([e["zero_share"] for e in good])) if good else 0.0,
            failures=failures,
            seconds=round(seconds, 3),
            provenance=provenance() | {"date": datetime.now(UTC).isoformat(timespec="seconds")},
            notes=method.notes(),
            untrained=method.untrained,
            n_seen=len(method.seen(self.dataset.samples)),
            dataset_notes=list(self.dataset.notes),
            left_out=dict(self.dataset.left_out),
            n_whole=self.dataset.whole,
        )
        return result, rows


def means(values: np.ndarray, weights: ArrayLike, seed: int) -> dict[str, dict[str, float] | None]:
    """The field `metrics` of a result: means over images with their 95 % bootstrap intervals.

    Args:
        values: (images, metrics), in the order of `METRICS`; NaN means no value.
        weights: (images,) >= 0.
        seed: random seed for the bootstrap.
    """
    mean, low, high = bootstrap_means(values, weights, seed=seed)
    lowest, highest = np.transpose([metric.bounds for metric in METRICS.values()])
    low, high = np.maximum(low, lowest), np.minimum(high, highest)  # no mean can be beyond the metric's bounds
    columns = zip(METRICS, mean, low, high, np.isfinite(values).sum(0), strict=True)
    return {
        name: {"mean": float(mean), "low": float(low), "high": float(high), "n": int(n)} if n else None
        for name, mean, low, high, n in columns
    }


def identity_of(
    method: SaliencyMethod,
    dataset: str,
    fingerprint: str,
    protocol: Protocol,
    *,
    fitted_on: str | None = None,
    seed: int = 0,
) -> Identity:
    """The identity of a method's run.

    Args:
        method: ready to predict.
        dataset, fingerprint: name and content of the scored images.
        protocol: how they are scored. Its choices are hashed, so a variant of a protocol has an identity of its own.
        fitted_on: name and fingerprint of the split that the method was fitted on in this run.
        seed: random seed for bootstrap intervals and for fitting.
    """
    return Identity(
        {
            "scoring": definition_hash("salbench.metrics.measure", "salbench.protocol.Protocol"),
            "method": method.label,
            "code": method.code_hash(),
            "weights": method.weights_hash(),
            "fitted_on": fitted_on,
            "dataset": dataset,
            "fingerprint": fingerprint,
            "protocol": protocol.name,
            "protocol_version": protocol.version,
            "choices": hash_bytes(repr(protocol)),
            "seed": seed,
        }
    )


def _missing(reason: MethodUnavailable | ModuleNotFoundError) -> str:
    return optional_packages.needs(reason) if isinstance(reason, ModuleNotFoundError) else str(reason)


def _floats(scores: Mapping[str, float | None] | None) -> dict[str, float]:
    return {name: np.nan if scores is None or (value := scores[name]) is None else value for name in METRICS}
