"""The loop: samples x method x protocol x metrics -> result, over all cores, and resumable.

Images stream: each worker thread reads, predicts and scores one batch of images at a time, and only scores are kept.
While a network is busy with one worker's batch, the others read their next images or score their last ones. Threads
are enough, because decoding, NumPy, torch and the metric kernels all release the GIL. Memory holds one batch for each
worker. Finished images are appended to a journal, so that a run that is killed loses the images in flight, at most two
batches for each worker, and nothing else.
"""

import errno
import logging
import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from pathlib import Path

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from salbench import __version__, registry, results
from salbench.files import hash_bytes
from salbench.maps import quantise
from salbench.metrics import METRICS, Pair, measure
from salbench.protocol import Others
from salbench.registry import MethodUnavailable
from salbench.stats import bootstrap_means
from salbench.weights import WeightsProblem

log = logging.getLogger(__name__)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


class _CannotSave(OSError):
    """The maps' folder cannot be written: the run stops, the image is not to blame."""


@dataclass(frozen=True)
class Broken:
    """A method that could not be made or fitted, and what went wrong."""

    method: str
    reason: str


@dataclass(frozen=True)
class Skipped:
    """A method that did not run, and why: what is missing and how to get it."""

    method: str
    reason: str


@dataclass(frozen=True)
class Refused:
    """A method that did not run, because its place holds results of other settings; says which, and what to do."""

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
        batch_size: number of images that are predicted together; None for 1 on the CPU, 8 elsewhere.
        backbone: of the methods that build on one, or None (see `SaliencyMethod`).
        weights_root: folder of published weights, or None for the usual one (see `weights`).
        init: "random" for networks with random weights, for speed and plumbing only; None for trained ones.
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
        batch_size=None,
        backbone=None,
        weights_root=None,
        init=None,
        seed=0,
        save_maps=None,
        overwrite=False,
        progress=True,
    ):
        if not dataset.has_fixations:
            raise ValueError(
                f"{dataset.name}: has no fixations, so nothing can be scored on it. Of a test split without public "
                "fixations write the maps with `submit`; a folder of your own needs fixations.csv or fixations/"
            )
        self.dataset, self.protocol, self.out, self.seed = dataset, protocol, out, seed
        self.workers, self.overwrite, self.progress = workers, overwrite, progress
        self.device, self.backbone, self.weights_root, self.init = device, backbone, weights_root, init
        self.batch_size = batch_size or usual_batch_size(device)
        self.save_maps = None if save_maps is None else Path(save_maps)
        self._train = cache(train)
        if Path(out).exists() and not Path(out).is_dir():
            raise ValueError(f"{out}: expected a folder for the results, found a file; choose another --out")
        self._others = Others(dataset.split or dataset.samples, protocol)

    def run(self, spec):
        """Score one method, or go on where an earlier run stopped, or return what is already complete.

        Args:
            spec: the method as typed, such as "uniform" or "from_folder:DIR".

        Returns:
            `Result`, `Skipped`, `Refused` or `Broken`.
        """
        try:
            method = registry.create(spec)
            key = self._prepared(method)
        except MethodUnavailable as reason:
            return Skipped(spec, str(reason))
        except Exception as error:  # one method's trouble; the others go on
            log.debug("%s", spec, exc_info=True)
            return Broken(spec, str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}")
        try:
            return self._evaluated(method, key)
        except MethodUnavailable as reason:
            return Skipped(spec, str(reason))
        except results.ResultProblem as reason:
            return Refused(spec, str(reason))
        except WeightsProblem as reason:
            return Broken(spec, str(reason))

    def run_method(self, method):
        """Score a method that is there already. Returns `Result`; whatever is wrong is raised.

        Raises:
            ResultProblem: the place is taken by a run with other settings.
        """
        return self._evaluated(method, self._prepared(method))

    def _prepared(self, method):
        """Fit the method where every run does; returns the key of its result."""
        method.device, method.backbone, method.weights_root = self.device, self.backbone, self.weights_root
        if self.init == "random":
            method.init_random()
        method.notes()  # what is wrong with its weights is told now, and not by every image
        fitted_on = registry.fit_at_run(method, self.dataset, self._train, seed=self.seed)
        scored = self.dataset.name, self.dataset.fingerprint
        return key_of(method, *scored, self.protocol, fitted_on=fitted_on, seed=self.seed)

    def _evaluated(self, method, key):
        """The finished result of this key from disk; else score, unless another run's result is in the way."""
        path, _, _ = results.paths(self.out, key.dataset, key.method)
        old = self._read_old(path)
        if old and old.key == key and not old.n_failed and self.save_maps is None:
            log.info("%s: complete already, read from %s (made %s)", method.label, path, old.provenance["date"])
            return old
        failed_before = bool(old and old.n_failed)  # no mean of it was ever shown, so nothing is lost
        if old and old.key != key and not self.overwrite and not failed_before:
            raise results.ResultProblem(
                f"{path}: holds a run with other settings ({key.differences(old.key)}). "
                "Choose another --out, or --overwrite to replace it"
            )
        return self._run(method, key, overwrite=self.overwrite or failed_before)

    def _read_old(self, path):
        if not path.exists():
            return None
        try:
            return results.read(path)
        except results.ResultProblem:
            if self.overwrite:
                return None
            raise

    def _run(self, method, key, *, overwrite):
        _, _, path = results.paths(self.out, key.dataset, key.method)
        journal = results.Journal(path, key, overwrite=overwrite)
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
        pool, window = ThreadPoolExecutor(self.workers), 2 * self.workers
        try:
            # Every worker is busy with images of its own; BLAS threads on top would only wait for each other.
            with bar, threadpool_limits(1, user_api="blas"):
                for entries in _stream(pool, partial(self._entries, method), _batches(todo, self.batch_size), window):
                    for entry in entries:
                        journal.add(entry)
                        bar.update()
        finally:
            pool.shutdown(cancel_futures=True)

    def _entries(self, method, batch):
        """The journal entries of a batch: of each image its scores, or the message of what went wrong."""
        try:
            pairs = list(zip(batch, self._predictions(method, batch), strict=True))
        except Exception as error:
            if len(batch) == 1:
                return [self._failure(method, batch[0], error)]
        else:
            return [self._entry(method, sample, predictions) for sample, predictions in pairs]
        # Each by itself, so that only those fail that are to blame; out here the memory of the batch is free again.
        return [entry for sample in batch for entry in self._entries(method, [sample])]

    def _predictions(self, method, batch):
        """Of each image of a batch its (prediction, mask) pairs: one without a mask, or one for each observer."""
        if method.sees_fixations:
            return [method.predict_held_out(sample) for sample in batch]
        return [[(prediction, None)] for prediction in method.predict_batch([sample.blind() for sample in batch])]

    def _entry(self, method, sample, predictions):
        try:
            return {"id": sample.id} | self._score(method, sample, predictions)
        except Exception as error:
            return self._failure(method, sample, error)

    def _failure(self, method, sample, error):
        """The journal entry of an image that failed; raises an error that is not the image's fault."""
        if isinstance(error, MethodUnavailable | MemoryError | WeightsProblem | _CannotSave):
            raise error
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise error  # the run stops, so that it can go on later
        log.debug("%s", sample.id, exc_info=error)
        return {"id": sample.id, "error": registry.explained(error, method)}

    def _score(self, method, sample, predictions):
        truth = self.protocol.truth(sample, self._others)
        parts, weights = [], []
        for prediction, mask in predictions:  # one at a time: a ceiling has one per observer
            prepared = self.protocol.prepare(prediction, method.output, sample.size)
            part = truth if mask is None else self._held_out(truth, sample, mask)
            if self.save_maps is not None and mask is None:
                self._save(prepared.point_map, method, sample)
            parts.append((self._metrics(prepared, part, method), prepared.resized, prepared.zero_share))
            weights.append(int(part.pixels[1].sum()))
        scores, resized, zero_share = zip(*parts, strict=True) if parts else ((), (), (0.0,))
        return {
            "scores": _mean_over_folds(scores, weights),
            "fixations": int(truth.pixels[1].sum()),
            "resized": any(resized),
            "zero_share": float(np.mean(zero_share)),
        }

    def _held_out(self, truth, sample, mask):
        held_out = replace(sample, fixations=sample.fixations[mask], observers=None)
        pixels = self.protocol.pixels(held_out)
        return replace(truth, pixels=pixels, density=np.zeros_like(truth.density))

    def _metrics(self, prepared, truth, method):
        pair = Pair(prepared.point_map, density_prediction=prepared.density_map, **vars(truth))
        # A ceiling's map is zero where no other observer looked, so it is no density of where people look.
        is_density = not method.sees_fixations and (method.output != "map" or self.protocol.ig_of_maps)
        return measure(pair, self.protocol.options, is_density=is_density)

    def _save(self, point_map, method, sample):
        folder = self.save_maps / self.dataset.name / method.label
        try:
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(quantise(point_map)).save(folder / f"{sample.id}.png")
        except OSError as error:
            raise _CannotSave(error.errno, f"cannot save maps ({error.strerror})", str(folder)) from error

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
            notes=method.notes(),
            untrained=method.untrained,
            n_seen=len(method.seen(self.dataset.samples)),
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


def key_of(method, dataset, fingerprint, protocol, *, fitted_on=None, seed=0):
    """The `results.Key` of a method's run on a data set, or on another set of images, of this name and fingerprint."""
    return results.Key(
        salbench=__version__,
        method=method.label,
        code=registry.code_hash(method.name),
        weights=method.weights_hash(),
        fitted_on=fitted_on,
        dataset=dataset,
        fingerprint=fingerprint,
        protocol=protocol.name,
        protocol_version=protocol.version,
        choices=hash_bytes(repr(protocol)),
        seed=seed,
    )


def usual_batch_size(device):
    """How many images a network takes together on a device, as torch names it, unless told otherwise."""
    return 1 if device == "cpu" else 8


def _batches(samples, size):
    """Lists of up to `size` samples, those of one image size next to each other: a network takes them together."""
    samples = sorted(samples, key=lambda sample: sample.size)
    return [samples[i : i + size] for i in range(0, len(samples), size)]


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
