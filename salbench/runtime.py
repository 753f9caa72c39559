"""Where and how methods run: one frozen object from the command line to every method."""

import os
from dataclasses import dataclass
from pathlib import Path

from salbench import executors
from salbench.checks import check_device

BATCH_SIZE = {"cpu": 1}  # images a network takes together by default
_BATCH_SIZE_ELSEWHERE = 8


@dataclass(frozen=True)
class Runtime:
    """Settings that hold for a whole command.

    Attributes:
        device: where networks run, as torch names it: "cpu", "cuda", "cuda:1". On a cluster it is that of the workers.
        batch_size: images that a network takes together; 0 means 1 on the CPU and 8 elsewhere.
        workers: number of threads; 0 means one per core.
        seed: random seed for bootstrap intervals and for fitting.
        weights_root: folder of published weights; see `salbench.weights`.
        backbone: folder or hub id of a frozen diffusion model, for methods that read one out.
        init: "random" gives networks random weights, to test speed and plumbing; None uses trained ones.
        progress: whether to show progress bars.

    Raises:
        ValueError: torch is missing or cannot use the device.
    """

    device: str = "cpu"
    batch_size: int = 0
    workers: int = 0
    seed: int = 0
    weights_root: Path | str | None = None
    backbone: str | None = None
    init: str | None = None
    progress: bool = True

    def __post_init__(self) -> None:
        if executors.cluster() is None:
            check_device(self.device)
        if not self.batch_size:
            object.__setattr__(self, "batch_size", BATCH_SIZE.get(self.device, _BATCH_SIZE_ELSEWHERE))
        if not self.workers:
            object.__setattr__(self, "workers", os.cpu_count() or 1)
