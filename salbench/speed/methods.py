"""How fast methods are on this machine: images per second, memory, and the time that networks leave to the rest.

Every method is timed in a process of its own, because peak memory is a number per process. The pictures are synthetic
JPEG files. Networks use as many threads as torch does by default.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image
from tabulate import tabulate

from salbench import registry
from salbench.files import read_image
from salbench.maps import resize
from salbench.prediction import predict_stream
from salbench.registry import MethodProblem, MethodUnavailable, SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.speed import machine

if TYPE_CHECKING:
    from torch import nn

log = logging.getLogger(__name__)

SIZE = (600, 800)  # height and width of the pictures
BATCHES = (1, 2, 4, 8)
ROUNDS = 3  # after one that does not count; the median is printed
PER_BATCH = "images/s", "outside", "peak memory"
COLUMNS = "method", *PER_BATCH, "best batch", *PER_BATCH
NOTES = """\
images/s: from JPEG files of 600 x 800 pixels to maps with one worker, first one picture at a time, then with the best
batch size (of 1, 2, 4, 8 pictures, the last before the first that is slower per picture).
Outside: share of that time before and after the network's forward pass (decoding, resizing, post-processing); the
target is at most 15 % on a CPU. A frozen encoder beneath trained readouts counts as outside. `salbench run` overlaps
what is outside with the network's work on another batch.
Peak memory: on a CPU of the whole process, Python and weights included; on a GPU what torch held."""


@dataclass(frozen=True)
class Timing:
    """What was measured with batches of one size.

    Attributes:
        batch: pictures in a batch.
        seconds: per picture.
        outside: share of the seconds outside the forward pass; None if there is no network.
        memory: bytes at the peak so far.
    """

    batch: int
    seconds: float
    outside: float | None
    memory: int

    def cells(self) -> tuple[str, ...]:
        """Cells for the columns of `PER_BATCH`."""
        outside = "–" if self.outside is None else f"{self.outside:.0%}"
        return f"{1 / self.seconds:.3g}", outside, f"{self.memory / 1e9:.2f} GB"


@dataclass(frozen=True)
class Speed:
    """What was measured for one method: with single pictures, and with the best batch size."""

    method: str
    one: Timing
    best: Timing

    def cells(self) -> tuple[Any, ...]:
        """Cells for the columns of `COLUMNS`."""
        return self.method, *self.one.cells(), self.best.batch, *self.best.cells()


def report(specs: Sequence[str], runtime: Runtime, methods_dir: Path | str | None = None) -> tuple[str, int]:
    """Time methods; returns (report as text, number of methods that were timed)."""
    rows, skipped = [], []
    for spec in specs:
        log.info("timing %s", spec)
        try:
            _created(spec, runtime)  # raises before a process is started
            rows.append(machine.in_fresh_process(measure, spec, runtime, SIZE, methods_dir).cells())
            log.info("%s: %s images/s", spec, rows[-1][1])
        except (MethodUnavailable, MethodProblem) as reason:
            skipped.append(f"skipped {spec}: {reason}")
    table = tabulate(rows, COLUMNS, "github", disable_numparse=True)
    return "\n\n".join([machine.described_for(runtime.device), table, *skipped, NOTES]), len(rows)


def measure(spec: str, runtime: Runtime, size: tuple[int, int] = SIZE, methods_dir: Path | str | None = None) -> Speed:
    """Time one method.

    Args:
        spec: the method as typed.
        runtime: device, weights and so on.
        size: (height, width) of the pictures.
        methods_dir: folder of further methods.

    Raises:
        MethodUnavailable, MethodProblem: weights are missing, or the method needs fixations or maps of its images.
    """
    if methods_dir:
        registry.add_folder(methods_dir)
    method = _created(spec, runtime)
    network, timings = getattr(method, "network", None), list[Timing]()
    with tempfile.TemporaryDirectory() as folder:
        samples = synthetic_samples(Path(folder), size)
        for batch in BATCHES:
            seconds, inside = median(partial(_predict, method, samples[:batch], runtime), network, runtime.device)
            if timings and seconds / batch >= timings[-1].seconds:
                break  # larger batches take longer to try, and more memory
            outside = None if network is None else 1 - inside / seconds
            timings.append(Timing(batch, seconds / batch, outside, machine.peak_memory(runtime.device)))
    return Speed(method.label, timings[0], timings[-1])


def median(function: Callable[[], object], network: nn.Module | None, device: str) -> tuple[float, float]:
    """Median (seconds, seconds in the network's forward pass) of a function without arguments."""
    parts = {} if network is None else {"network": network}
    rounds = [machine.charged(function, parts, partial(machine.now, device)) for _ in range(ROUNDS + 1)][1:]
    seconds, inside = np.median([(sum(r.values()), r.get("network", 0.0)) for r in rounds], axis=0)
    return float(seconds), float(inside)


def _predict(method: SaliencyMethod, samples: Sequence[Sample], runtime: Runtime) -> None:
    one_batch = replace(runtime, workers=1, batch_size=len(samples))
    errors = [o.error for o in predict_stream(method, samples, one_batch, lambda *_: None) if o.error is not None]
    if errors:
        raise MethodProblem(f"{method.label}: cannot predict a synthetic picture: {errors[0]}")


def _created(spec: str, runtime: Runtime) -> SaliencyMethod:
    method = registry.create(spec, runtime)
    if method.fits_at_run:
        raise MethodProblem("is fitted on the data set of a run, so it cannot be timed alone")
    return method


def synthetic_samples(folder: Path, size: tuple[int, int]) -> list[Sample]:
    """As many samples as the largest batch needs, JPEG files of smooth colours and some noise, written to a folder."""
    rng = np.random.default_rng(288)
    samples = []
    for i in range(max(BATCHES)):
        planes = [resize(rng.uniform(0, 255, (12, 16)), size, "bicubic") for _ in range(3)]
        picture = np.clip(np.stack(planes, 2) + rng.normal(0, 8, (*size, 3)), 0, 255).astype(np.uint8)
        path = folder / f"{i}.jpg"
        Image.fromarray(picture).save(path, quality=90)
        samples.append(Sample(path.stem, size, partial(read_image, path)))
    return samples
