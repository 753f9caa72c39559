"""The loop: samples x method x protocol x metrics -> result, over all cores, and resumable.

Images stream: each worker thread predicts and scores one image at a time, and only scores are kept. Threads
are enough, because decoding, NumPy, torch and the metric kernels all release the GIL. Each finished image is
appended to a journal, so that a run that is killed loses the images in flight and nothing else.
"""

import errno
import logging
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from salbench import __version__, registry, results
from salbench.files import hash_bytes
from salbench.maps import quantise
from salbench.metrics import METRICS
from salbench.metrics.fused import score
from salbench.protocol import Others
from salbench.registry import MethodUnavailable
from salbench.stats import bootstrap_means

log = logging.getLogger(__name__)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Skipped:
    """A method that did not run, and why: what is missing and how to get it."""

    method: str
    reason: str


class Evaluation:
    """One data set under one protocol, ready to score any number of methods.

    What all methods share (the fixations of the split as negatives and baseline) is made once.

    Args:
        dataset: with fixations.
        protocol: a `Protocol`.
        out: folder of the results.
        train: returns the data set's training split or None; called if a method is fitted at run.
        workers: number of threads.
        device: where networks run, as torch names it.
        seed: of the bootstrap and of any fitting.
        save_maps: folder for the scored maps as 8-bit PNG, or None.
        overwrite: replace results made under other settings instead of refusing.
        progress: show a progress bar on stderr.

    Raises:
        ValueError: the ground truth of the data set is not public.
    """

    def __init__(
        self,
        dataset,
        protocol,
        out,
        *,
        train=lambda: None,
        workers=1,
        device="cpu",
        seed=0,
        save_maps=None,
        overwrite=False,
        progress=True,
    ):
        if not dataset.has_fixations:
            raise ValueError(
                f"{dataset.name}: has no public fixations, so nothing can be scored on it; "
                "write its maps with `submit`, or score another split"
            )
        self.dataset, self.protocol, self.out, self.seed = dataset, protocol, out, seed
        self.workers, self.device, self.overwrite, self.progress = workers, device, overwrite, progress
        self.save_maps = None if save_maps is None else Path(save_maps)
        self._train = cache(train)
        self._others = Others(dataset.samples, protocol)

    def run(self, spec):
        """Score one method, or go on where an earlier run stopped, or return what is already complete.

        Args:
            spec: the method as typed, such as "uniform" or "from_folder:DIR".

        Returns:
            `Result`, or `Skipped`.

        Raises:
            MethodProblem: no such method. ResultProblem: the place is taken by a run with other settings.
        """
        try:
            return self.run_method(registry.create(spec))
        except MethodUnavailable as reason:
            return Skipped(spec, str(reason))

    def run_method(self, method):
        """The same for a method that is there already; `MethodUnavailable` passes through."""
        method.device = self.device
        fitted_on = registry.fit_at_run(method, self.dataset, self._train, seed=self.seed)
        key = self._key(method, fitted_on)
        return self._finished(key) or self._run(method, key)

    def _key(self, method, fitted_on):
        return results.Key(
            salbench=__version__,
            method=method.label,
            code=registry.code_hash(method.name),
            weights=method.weights_hash(),
            fitted_on=fitted_on,
            dataset=self.dataset.name,
            fingerprint=self.dataset.fingerprint,
            protocol=self.protocol.name,
            protocol_version=self.protocol.version,
            choices=hash_bytes(repr(self.protocol)),
            seed=self.seed,
        )

    def _finished(self, key):
        path, _, _ = results.paths(self.out, key.dataset, key.method)
        if not path.exists():
            return None
        try:
            old = results.read(path)
        except results.ResultProblem:
            if self.overwrite:
                return None
            raise
        if old.key == key:
            return None if old.n_failed or self.save_maps else old
        if self.overwrite:
            return None
        raise results.ResultProblem(
            f"{path}: holds a run with other settings ({key.differences(old.key)}). "
            "Choose another --out, or --overwrite to replace it"
        )

    def _run(self, method, key):
        _, _, path = results.paths(self.out, key.dataset, key.method)
        journal = results.Journal(path, key, overwrite=self.overwrite)
        complete = False
        try:
            start = time.perf_counter()
            self._score_all(method, journal)
            result, rows = self._summarise(method, key, journal.entries, time.perf_counter() - start)
            results.write(result, rows, self.out)
            complete = not result.n_failed  # else the next run tries the failed images again, and only those
        finally:
            journal.close(remove=complete or not journal.entries)
        return result

    def _score_all(self, method, journal):
        todo = [s for s in self.dataset.samples if s.id not in journal.entries or self.save_maps]
        done = len(self.dataset.samples) - len(todo)
        if done:
            log.info("%s: going on after %d of %d images", method.label, done, len(self.dataset.samples))
        bar = tqdm(
            total=len(self.dataset.samples), initial=done, desc=method.label, unit="image", disable=not self.progress
        )
        pool = ThreadPoolExecutor(self.workers)
        try:
            # Every worker is busy with an image of its own; BLAS threads on top would only wait for each other.
            with bar, threadpool_limits(1, user_api="blas"):
                for entry in _stream(pool, lambda sample: self._entry(method, sample), todo, 2 * self.workers):
                    journal.add(entry)
                    bar.update()
        finally:
            pool.shutdown(cancel_futures=True)

    def _entry(self, method, sample):
        """The journal entry of one image: its scores, or the message of what went wrong."""
        try:
            return {"id": sample.id} | self._score(method, sample)
        except (MethodUnavailable, MemoryError):
            raise
        except Exception as error:
            if isinstance(error, OSError) and error.errno in _DISK_FULL:
                raise  # not this image's fault: stop, so that the run can go on later
            log.debug("%s", sample.id, exc_info=True)
            return {"id": sample.id, "error": f"{type(error).__name__}: {error}"}

    def _score(self, method, sample):
        truth = self.protocol.truth(sample, self._others)
        if method.sees_fixations:
            folds = list(method.predict_held_out(sample))
        else:
            folds = [(method.predict(sample.blind()), None)]
        prepared = [self.protocol.prepare(prediction, method.output, sample.size) for prediction, _ in folds]
        if self.save_maps is not None and not method.sees_fixations:
            self._save(prepared[0].point_map, method, sample)
        truths = [truth if mask is None else self._held_out(truth, sample, mask) for _, mask in folds]
        scores = [self._metrics(p, t, method.output) for p, t in zip(prepared, truths, strict=True)]
        return {
            "scores": _mean_over_folds(scores, [t.pixels[1].sum() for t in truths]),
            "fixations": int(truth.pixels[1].sum()),
            "resized": any(p.resized for p in prepared),
            "zero_share": float(np.mean([p.zero_share for p in prepared])) if prepared else 0.0,
        }

    def _held_out(self, truth, sample, mask):
        held_out = replace(sample, fixations=sample.fixations[mask], observers=None)
        pixels = self.protocol.pixels(held_out)
        return replace(truth, pixels=pixels, density=np.zeros_like(truth.density))

    def _metrics(self, prepared, truth, output):
        scores = score(
            prepared.point_map,
            **vars(truth),
            density_prediction=prepared.density_map,
            options=self.protocol.options,
        )
        if output == "map" and not self.protocol.ig_of_maps:
            scores["ig"] = np.nan
        return scores

    def _save(self, point_map, method, sample):
        folder = self.save_maps / self.dataset.name / method.label
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(quantise(point_map)).save(folder / f"{sample.id}.png")

    def _summarise(self, method, key, entries, seconds):
        ordered = [entries[s.id] for s in self.dataset.samples]
        failures = {e["id"]: e["error"] for e in ordered if "error" in e}
        good = [e for e in ordered if "error" not in e]
        rows = [{"id": e["id"]} | _floats(e.get("scores")) for e in ordered]
        metrics = dict.fromkeys(METRICS)
        if good and not failures:
            metrics = self._means(rows, [e["fixations"] for e in good])
        result = results.Result(
            key=key,
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
            provenance=results.provenance() | {"date": datetime.now(UTC).isoformat(timespec="seconds")},
        )
        return result, rows

    def _means(self, rows, fixations):
        values = np.array([[row[name] for name in METRICS] for row in rows])
        weights = np.ones(len(rows)) if self.protocol.averaging == "image" else np.array(fixations)
        columns = zip(
            METRICS, *bootstrap_means(values, weights, seed=self.seed), np.isfinite(values).sum(0), strict=True
        )
        return {
            name: {"mean": float(mean), "low": float(low), "high": float(high), "n": int(n)} if n else None
            for name, mean, low, high, n in columns
        }


def _stream(pool, work, items, window):
    """Results of `work` over `items` as they finish, with at most `window` items begun and not yet taken."""
    items, running = iter(items), set()
    while True:
        for item in items:
            running.add(pool.submit(work, item))
            if len(running) >= window:
                break
        if not running:
            return
        done, running = wait(running, return_when=FIRST_COMPLETED)
        for future in done:
            yield future.result()


def _mean_over_folds(scores, weights):
    """Scores of the parts of an image, weighted by their fixations; None (JSON has no NaN) where there is none."""
    if not scores:
        return dict.fromkeys(METRICS)
    weights = weights if sum(weights) else None
    mean = {name: float(np.average([s[name] for s in scores], weights=weights)) for name in METRICS}
    return {name: value if np.isfinite(value) else None for name, value in mean.items()}


def _floats(scores):
    return {name: np.nan if scores is None or scores[name] is None else scores[name] for name in METRICS}
