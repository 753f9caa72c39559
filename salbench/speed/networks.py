"""How fast networks are on this machine: images per second, memory, and the time that passes outside the network.

Every method is timed in a process of its own, because a process has only one peak of memory. The pictures are
synthetic JPEG files of 480 x 640 pixels, SALICON's size. Networks use as many threads as torch does by default.
"""

import logging
import tempfile
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tabulate import tabulate

from salbench import training
from salbench.files import read_image
from salbench.maps import resize
from salbench.registry import MethodProblem, MethodUnavailable, add_folder
from salbench.sample import Sample
from salbench.speed import machine

log = logging.getLogger(__name__)

SIZE = (480, 640)
BATCHES = (1, 2, 4, 8)
ROUNDS = 3  # after one that does not count; the median is printed
OF_A_BATCH = "images/s", "outside", "peak memory"
COLUMNS = "method", *OF_A_BATCH, "best batch", *OF_A_BATCH
NOTES = """\
images/s: all of `predict_batch`, from JPEG files to maps, in one thread; first one picture at a time, then with the
best batch. Outside: the share of that which passes before and after the network's forward pass (decoding, resizing,
post-processing); the target is at most 15 % on a CPU. `run` does that of one batch while the network does the next.
Best batch: of 1, 2, 4, 8 pictures, the last before the first that is slower per picture.
Peak memory: on a CPU of the process, one for each method, weights and Python included; on a GPU what torch held."""


@dataclass(frozen=True)
class Settings:
    """What is the same for all methods; see `SaliencyMethod` for all but `init`, "random" or None."""

    init: str | None = None
    device: str = "cpu"
    backbone: str | None = None
    weights_root: str | None = None
    methods_dir: str | None = None


@dataclass(frozen=True)
class Timing:
    """What was measured of batches of one size."""

    batch: int  # pictures
    seconds: float  # per picture
    outside: float  # share of them
    memory: int  # bytes, at the peak until then

    def cells(self):
        """As `OF_A_BATCH` prints it."""
        return f"{1 / self.seconds:.3g}", f"{self.outside:.0%}", f"{self.memory / 1e9:.2f} GB"


@dataclass(frozen=True)
class Speed:
    """What was measured of one method."""

    method: str
    one: Timing
    best: Timing

    def cells(self):
        """As `COLUMNS` prints it."""
        return self.method, *self.one.cells(), self.best.batch, *self.best.cells()


def report(specs, settings):
    """Time methods and return (report as text, number of methods that were timed)."""
    rows, skipped = [], []
    for spec in specs:
        log.info("timing %s", spec)
        try:
            _created(spec, settings)  # what is no network is told before a process starts
            rows.append(machine.in_fresh_process(measure, spec, settings).cells())
            log.info("%s: %s images/s", spec, rows[-1][1])
        except (MethodUnavailable, MethodProblem) as reason:
            skipped.append(f"skipped {spec}: {reason}")
    table = tabulate(rows, COLUMNS, "github", disable_numparse=True)
    return "\n\n".join([_header(settings.device), table, *skipped, NOTES]), len(rows)


def measure(spec, settings, size=SIZE):
    """The `Speed` of one method on pictures of a size.

    Raises:
        MethodUnavailable, MethodProblem: no network, or one without weights.
    """
    if settings.methods_dir:
        add_folder(settings.methods_dir)
    method = _created(spec, settings)
    clock, timings = Clock(method.network, settings.device), []
    with tempfile.TemporaryDirectory() as folder:
        samples = _pictures(Path(folder), size)
        for batch in BATCHES:
            seconds, inside = clock.median(partial(method.predict_batch, samples[:batch]))
            if timings and seconds / batch >= timings[-1].seconds:
                break  # larger ones take longer to try, and more memory
            timings.append(Timing(batch, seconds / batch, 1 - inside / seconds, _peak_memory(settings.device)))
    return Speed(method.label, timings[0], timings[-1])


def _created(spec, settings):
    method = training.create(spec)
    method.device, method.backbone, method.weights_root = settings.device, settings.backbone, settings.weights_root
    if settings.init == "random":
        method.init_random()
    return method


def _pictures(folder, size):
    """As many samples as the largest batch has, of smooth colours with some noise."""
    rng = np.random.default_rng(288)
    samples = []
    for i in range(max(BATCHES)):
        planes = [resize(rng.uniform(0, 255, (12, 16)), size, "bicubic") for _ in range(3)]
        picture = np.clip(np.stack(planes, 2) + rng.normal(0, 8, (*size, 3)), 0, 255).astype(np.uint8)
        path = folder / f"{i}.jpg"
        Image.fromarray(picture).save(path, quality=90)
        samples.append(Sample(path.stem, size, partial(read_image, path)))
    return samples


class Clock:
    """Tells the time of a call, and how much of it passes in the forward pass of a network."""

    def __init__(self, network, device):
        self._device, self._inside = device, 0.0
        network.register_forward_pre_hook(self._enter)
        network.register_forward_hook(self._leave)

    def median(self, function):
        """(seconds, seconds in the network) of a function without arguments: medians."""
        times = []
        for _ in range(ROUNDS + 1):
            self._inside, begin = 0.0, self._now()
            function()
            times.append((self._now() - begin, self._inside))
        return np.median(times[1:], axis=0)

    def _enter(self, network, inputs):
        self._begin = self._now()

    def _leave(self, network, inputs, output):
        self._inside += self._now() - self._begin

    def _now(self):
        if self._device != "cpu":
            torch.cuda.synchronize(self._device)
        return time.perf_counter()


def _peak_memory(device):
    return machine.peak_memory() if device == "cpu" else torch.cuda.max_memory_allocated(device)


def _header(device):
    place = f"{torch.get_num_threads()} threads" if device == "cpu" else torch.cuda.get_device_name(device)
    return f"{machine.described('torch')}; {place}"
