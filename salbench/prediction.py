"""The one code path that runs a method over many images.

Workers (see `executors`) take batches of images of one size. While a network is busy with one batch, the others read
their next images or finish their last maps. Memory holds at most two batches for each worker, however long the split
is.
"""

import errno
import logging
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

from salbench import executors, registry
from salbench.executors import Lost, Threads
from salbench.registry import MethodProblem, MethodUnavailable, SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.weights import WeightsProblem

log = logging.getLogger(__name__)
_DISK_FULL = (errno.ENOSPC, errno.EDQUOT)

Call = Callable[[Sequence[Sample]], Iterable[Any]]
Finish = Callable[[Sample, Any], Any]


class RunStopped(OSError):
    """Trouble that is not the fault of one image, such as an output folder that cannot be written."""


_NOT_THE_IMAGE = (
    MethodProblem, MethodUnavailable, ModuleNotFoundError, MemoryError, WeightsProblem, RunStopped,
)  # fmt: skip


@dataclass(frozen=True)
class Outcome:
    """What became of one sample.

    Attributes:
        sample: the sample.
        value: what `finish` returned; None if the image failed.
        error: why the image failed, or None.
    """

    sample: Sample
    value: Any = None
    error: str | None = None


def _as_it_is(sample: Sample, prediction: Any) -> Any:
    return prediction


def predict_stream(
    method: SaliencyMethod, samples: Iterable[Sample], runtime: Runtime, finish: Finish = _as_it_is
) -> Generator[Outcome, None, None]:
    """Let a method predict samples.

    Args:
        method: sees blind samples; only a ceiling sees the ground truth.
        samples: any number; images of one size are predicted together.
        runtime: number of workers and batch size.
        finish: called in the worker with a sample (with its ground truth) and its prediction, so that only what it
            returns is kept. For a ceiling, the prediction is an iterator of (prediction, mask), one per observer.

    Yields:
        An `Outcome` for each sample, sorted by image size and otherwise in the order of `samples`. Close the iterator
        (`contextlib.closing`) if you may leave it early.

    Raises:
        MethodUnavailable, ModuleNotFoundError, WeightsProblem, MemoryError, RunStopped, OSError: trouble that would
            hit every image, such as missing weights or a full disk.
    """
    return stream(method, samples, runtime, partial(_held_out if method.sees_fixations else _blind, method), finish)


def _blind(method: SaliencyMethod, samples: Sequence[Sample]) -> Iterable[Any]:
    return method.predict_batch([sample.blind() for sample in samples])


def _held_out(method: SaliencyMethod, samples: Sequence[Sample]) -> Iterable[Any]:
    return [method.predict_held_out(sample) for sample in samples]


def stream(
    method: SaliencyMethod, samples: Iterable[Sample], runtime: Runtime, call: Call, finish: Finish = _as_it_is
) -> Generator[Outcome, None, None]:
    """`predict_stream` for anything a method does with images.

    Args:
        method, samples, runtime, finish: as for `predict_stream`.
        call: takes a batch and returns a list of as many results. If it raises, each sample is tried by itself.
    """
    executor = executors.cluster() or Threads(runtime.workers)
    work, batches = _Work(method, call, finish), _batches(samples, runtime.batch_size)
    with closing(executor.map(_done, work, batches)) as results:
        for batch, result in results:
            done = [_Done(None, result.reason)] * len(batch) if isinstance(result, Lost) else result
            yield from (Outcome(sample, *each) for sample, each in zip(batch, done, strict=True))


class _Work(NamedTuple):
    """What is done with each batch."""

    method: SaliencyMethod
    call: Call
    finish: Finish


class _Done(NamedTuple):
    """An `Outcome` without its sample, which need not travel back from another process."""

    value: Any
    error: str | None = None


def _batches(samples: Iterable[Sample], size: int) -> Iterator[list[Sample]]:
    """Lists of up to `size` samples, those of one image size next to each other."""
    ordered = sorted(samples, key=lambda sample: sample.size)
    for i in range(0, len(ordered), size):
        yield ordered[i : i + size]


def _done(work: _Work, batch: Sequence[Sample]) -> list[_Done]:
    try:
        pairs = list(zip(batch, work.call(batch), strict=True))
    except Exception as error:
        if len(batch) == 1:
            return [_failed(work.method, batch[0], error)]
    else:
        return [_finished(work, sample, value) for sample, value in pairs]
    # Retry one at a time: only images that raise an error fail. The batch's memory is already freed.
    return [done for sample in batch for done in _done(work, [sample])]


def _finished(work: _Work, sample: Sample, value: Any) -> _Done:
    try:
        return _Done(work.finish(sample, value))
    except Exception as error:
        return _failed(work.method, sample, error)


def _failed(method: SaliencyMethod, sample: Sample, error: Exception) -> _Done:
    """The outcome of an image that failed; raises an error that is not the image's fault."""
    if isinstance(error, _NOT_THE_IMAGE):
        raise error
    if isinstance(error, OSError) and error.errno in _DISK_FULL:
        raise error  # the run stops and can resume later
    log.debug("%s", sample.id, exc_info=error)
    return _Done(None, registry.explained(error, method))
