"""The stream of predictions by itself; how `evaluation` uses it is in test_evaluation."""

import errno
from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest

from salbench import registry
from salbench.prediction import Outcome, RunStopped, predict_stream, stream
from salbench.registry import MethodUnavailable, SaliencyMethod
from salbench.runtime import Runtime
from salbench.training_plan import Plan
from salbench.weights import WeightsProblem


class Mean(SaliencyMethod):
    """The mean over colours; remembers its batches, and fails on the ids in `broken`."""

    name = "mean"

    def __init__(self, broken=()):
        self.broken, self.batches = dict(broken), []

    def predict_batch(self, samples):
        self.batches.append([sample.id for sample in samples])
        for sample in samples:
            if sample.id in self.broken:
                raise self.broken[sample.id]
        return [sample.image.mean(2) for sample in samples]


@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_every_sample_once_in_the_order_of_sizes(mixed, workers, batch_size):
    runtime = Runtime(workers=workers, batch_size=batch_size)
    outcomes = list(predict_stream(Mean(), mixed.samples, runtime))
    assert [o.sample for o in outcomes] == sorted(mixed.samples, key=lambda s: s.size)
    for outcome in outcomes:
        np.testing.assert_array_equal(outcome.value, outcome.sample.image.mean(2))


def test_the_method_is_blind_and_finish_is_not(tiny):
    method = Mean()
    seen = []
    method.predict_batch = lambda samples: [seen.append(s.fixations) or np.eye(2) for s in samples]
    counts = [o.value for o in predict_stream(method, tiny.samples, Runtime(), lambda s, p: len(s.fixations))]
    assert seen == [None] * 6
    assert counts == [len(s.fixations) for s in tiny.samples]


def test_a_ceiling_gets_the_ground_truth(tiny):
    method = registry.create("inter_observer").fit(tiny.samples, Plan())
    (first, *_) = predict_stream(method, tiny.samples, Runtime(), lambda s, pairs: [mask.sum() for _, mask in pairs])
    assert sum(first.value) == len(tiny.samples[0].fixations)


def test_a_batch_that_fails_is_tried_one_by_one(tiny):
    method = Mean({"image_1": ValueError("no")})
    outcomes = list(predict_stream(method, tiny.samples, Runtime(workers=1, batch_size=4)))
    assert method.batches[:5] == [[f"image_{i}" for i in range(4)], *([f"image_{i}"] for i in range(4))]
    assert [o.error is None for o in outcomes] == [True, False, True, True, True, True]
    assert outcomes[1].error.startswith("ValueError: no")
    assert outcomes[1].value is None


def test_finish_fails_one_image(tiny):
    def finish(sample, prediction):
        return 1 / (sample.id != "image_2")

    outcomes = list(predict_stream(Mean(), tiny.samples, Runtime(batch_size=3), finish))
    assert [o.error is None for o in outcomes] == [True, True, False, True, True, True]


@pytest.mark.parametrize(
    "error",
    [
        MethodUnavailable("weights"),
        ModuleNotFoundError("torch", name="torch"),
        MemoryError("small"),
        WeightsProblem("damaged"),
        RunStopped(errno.EACCES, "no entry"),
        OSError(errno.ENOSPC, "full"),
        OSError(errno.EDQUOT, "full"),
    ],
)
def test_trouble_that_is_not_the_images_fault_is_raised(tiny, error):
    with pytest.raises(type(error)):
        list(predict_stream(Mean({"image_1": error}), tiny.samples, Runtime()))


@pytest.mark.parametrize(("workers", "batch_size"), [(1, 1), (2, 3)])
def test_no_more_than_two_batches_per_worker_are_ahead(make_samples, workers, batch_size):
    method = Mean()
    runtime = Runtime(workers=workers, batch_size=batch_size)
    for taken, _ in enumerate(predict_stream(method, make_samples([(24, 32)] * 40), runtime)):
        begun = sum(map(len, method.batches))
        assert begun - taken <= (2 * workers + 1) * batch_size


def test_closing_stops_the_workers(make_samples):
    method = Mean()
    with closing(predict_stream(method, make_samples([(24, 32)] * 40), Runtime(workers=1))) as outcomes:
        next(outcomes)
    assert len(method.batches) <= 4


def test_anything_a_method_does_can_stream(tiny):
    def call(samples):
        return [sample.id.upper() for sample in samples]

    named = list(stream(Mean(), tiny.samples, Runtime(batch_size=2), call))
    assert named == [Outcome(s, s.id.upper()) for s in tiny.samples]
    short = stream(Mean(), [replace(tiny.samples[0])], Runtime(), lambda samples: [])
    assert [o.error is None for o in short] == [False]
