"""How fast the metric core is on this machine, beside pysaliency, in one run on the same data.

The data are seeded and synthetic, of OSIE's size: 600 x 800 pixels, 140 clustered fixations per image, smooth float32
maps. Both sides get one thread (except in the row that says all cores) and take turns. The median over blocks of images
is compared, after one block that is not counted.
"""

import logging
import os
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter
from tabulate import tabulate
from threadpoolctl import threadpool_limits

from salbench.datasets import Dataset
from salbench.evaluation import Evaluation
from salbench.maps import density_from_fixations, quantise, resize
from salbench.metrics import Pair, measure
from salbench.protocol import PROTOCOLS, Others, Truth
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.speed import machine

log = logging.getLogger(__name__)
Timed = Callable[[int], object]  # takes the number of a round

PROTOCOL = PROTOCOLS["tuebingen"]  # the one whose choices are pysaliency's
SKIPPED = "skipped: python -m pip install 'salbench[peers]'"
NOTES = """\
ms: per image. salbench prepares the map and computes every metric. pysaliency computes AUC, sAUC, NSS, CC, MIT_KLDiv
and SIM through its models, sAUC with the fixations of all other images.
Ground truth that is ready: salbench's holds extremes, sums and squares of its maps; pysaliency's is its blurred map.
Work shared by all images of a split (counts or lists of its fixations) is not timed on either side. salbench's folder
rows are all that `salbench run` does: count, hash and decode the maps, score, write the results. pysaliency decodes
maps but no stimuli, and uses one core."""


@dataclass(frozen=True)
class Sizes:
    """How much to time: `rounds` blocks of `block` images, of splits of some lengths."""

    shape: tuple[int, int] = (600, 800)
    fixations: int = 140
    images: int = 300
    few: int = 100
    many: int = 700
    block: int = 3
    rounds: int = 25

    @property
    def timed(self) -> int:
        return self.block * (self.rounds + 1)

    @property
    def sigma(self) -> float:
        return 0.03 * self.shape[1]

    def indices(self, round_: int) -> list[int]:
        return list(range(round_ * self.block, (round_ + 1) * self.block))


@dataclass(frozen=True)
class Row:
    """One line of the report, as printed."""

    what: str
    salbench: str
    peer: str = ""
    ratio: str = ""
    target: str = ""


def report(sizes: Sizes | None = None) -> str:
    """Time everything and return the report as text; about two minutes."""
    sizes = sizes or Sizes()
    peer = pysaliency_or_none()
    rows = []
    with _one_thread():
        for part in (metrics_of_an_image, length_of_the_split, density_of_an_image, folder_of_maps):
            log.info("timing %s", part.__name__)
            rows += part(sizes, peer)
    table = tabulate(map(astuple, rows), [f.name for f in fields(Row)], "github", disable_numparse=True)
    return f"{_header(peer)}\n\n{table}\n\n{NOTES}"


def pysaliency_or_none() -> ModuleType | None:
    """pysaliency, or None if it cannot be imported or its AUC cannot run (NumPy without np.trapz)."""
    if not hasattr(np, "trapz"):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it imports a deprecated part of setuptools
            import pysaliency
    except ImportError:
        return None
    return pysaliency


def metrics_of_an_image(sizes: Sizes, peer: ModuleType | None) -> list[Row]:
    """All metrics of an image: with the ground truth ready, and with the time to make it."""
    samples, maps = make_samples(sizes.images, sizes), make_maps(sizes.timed, sizes)
    others = Others(samples, PROTOCOL)
    truths = [PROTOCOL.truth(sample, others) for sample in samples[: sizes.timed]]
    ready: list[Timed] = [lambda r: [prepare_and_score(maps[i], truths[i]) for i in sizes.indices(r)]]
    made: list[Timed] = [
        lambda r: [prepare_and_score(maps[i], PROTOCOL.truth(samples[i], others)) for i in sizes.indices(r)]
    ]
    if peer:
        split = PeerSplit(peer, samples)
        model = split.in_memory(maps)
        ready.append(lambda r: split.scores(model, sizes.indices(r)))
        made.append(ready[1])  # the densities are made when first asked for, then kept
    with_truth, alone = _medians(sizes, *made), _medians(sizes, *ready)  # in this order
    return [
        _row(f"metrics of an image among {sizes.images}, its ground truth ready", alone, ">= 20x"),
        _row("the same with its ground truth (salbench: density, negatives, baseline; peer: density)", with_truth),
    ]


def length_of_the_split(sizes: Sizes, peer: ModuleType | None) -> list[Row]:
    """Metrics and ground truth of the same images in a long and in a short split."""
    samples, maps = make_samples(sizes.many, sizes), make_maps(sizes.timed, sizes)

    def scored_among(n):
        others = Others(samples[:n], PROTOCOL)
        return lambda r: [prepare_and_score(maps[i], PROTOCOL.truth(samples[i], others)) for i in sizes.indices(r)]

    long, short = _medians(sizes, scored_among(sizes.many), scored_among(sizes.few))
    what = f"metrics and ground truth among {sizes.many} images / among {sizes.few}"
    return [Row(what, f"{_ms(long)} / {_ms(short)}", "", f"{long / short:.2f}x", "0.90x to 1.10x")]


def density_of_an_image(sizes: Sizes, peer: ModuleType | None) -> list[Row]:
    """The density of an image's fixations, beside SciPy's filter of their count map: time, and difference."""
    samples = make_samples(sizes.timed, sizes)
    counts = [np.zeros(sizes.shape) for _ in samples]
    for array, sample in zip(counts, samples, strict=True):
        x, y = _points(sample).astype(int).T
        np.add.at(array, (y, x), 1)

    def ours(i):
        return density_from_fixations(samples[i].fixations, sizes.shape, sizes.sigma)

    def theirs(i):
        return gaussian_filter(counts[i], sizes.sigma)

    times = _medians(sizes, *(lambda r, f=f: [f(i) for i in sizes.indices(r)] for f in (ours, theirs)))
    difference = max(np.abs(ours(i) - theirs(i)).max() / theirs(i).max() for i in range(sizes.block))
    return [
        _row(f"density of {sizes.fixations} fixations (peer: scipy gaussian_filter of their counts)", times, ">= 8x"),
        Row("largest difference of the two, share of the peak", f"{difference:.1e}", target="<= 1e-6"),
    ]


def folder_of_maps(sizes: Sizes, peer: ModuleType | None) -> list[Row]:
    """From a folder of PNG maps to results: on all cores, on one, and peak memory."""
    cores = os.cpu_count()
    theirs = []
    with tempfile.TemporaryDirectory() as folder:
        _write_maps(Path(folder), sizes)
        if peer:
            split = PeerSplit(peer, make_samples(sizes.many, sizes))
            model = peer.SaliencyMapModelFromDirectory(split.stimuli, folder)
            theirs = list(_medians(sizes, lambda r: split.scores(model, sizes.indices(r))))
        all_cores, memory = machine.in_fresh_process(_score_folder, folder, sizes, cores)
        one, _ = machine.in_fresh_process(_score_folder, folder, sizes, 1)
    timed = f"peer: {sizes.block * sizes.rounds} of them"
    return [
        _row(f"folder of {sizes.many} PNG maps to results, all {cores} cores ({timed}, one core)", [all_cores, *theirs],
             ">= 5x"),
        _row(f"the same with one worker ({timed})", [one, *theirs]),
        Row(f"peak memory of that on all {cores} cores", f"{memory / 1e6:.0f} MB", target="< 700 MB"),
    ]  # fmt: skip


class PeerSplit:
    """A split as pysaliency's objects.

    Its models tell stimuli apart by their pixels and look at nothing else here, so a stimulus is one value
    repeated, which takes no memory.
    """

    def __init__(self, pysaliency: ModuleType, samples: Sequence[Sample]) -> None:
        self._pysaliency = pysaliency
        images = [np.broadcast_to(np.uint16(i), sample.size) for i, sample in enumerate(samples)]
        self.stimuli = pysaliency.Stimuli(images, {"filenames": [f"{sample.id}.png" for sample in samples]})
        points = [_points(sample) for sample in samples]
        x, y = np.concatenate(points).T
        n = np.repeat(np.arange(len(samples)), [len(of_one) for of_one in points])
        self._fixations = pysaliency.Fixations.create_without_history(x, y, n)
        self._gold = pysaliency.FixationMap(self.stimuli, self._fixations, kernel_size=samples[0].sigma)
        self._others = pysaliency.saliency_map_models.FullShuffledNonfixationProvider(self.stimuli, self._fixations)

    def in_memory(self, maps: Sequence[np.ndarray]) -> Any:
        """A model whose maps are those arrays."""

        class InMemory(self._pysaliency.SaliencyMapModel):  # type: ignore[name-defined]
            def _saliency_map(self, stimulus):
                return maps[stimulus[0, 0]]

        return InMemory()

    def scores(self, model: Any, images: Sequence[int]) -> dict[str, list[float]]:
        """Six metrics of some images: dict from metric name to a list of floats, negatives from all other images."""
        stimuli, fixations = self.stimuli[images], self._fixations[np.isin(self._fixations.n, images)]
        aucs = model.AUC_per_image(self.stimuli, fixations)  # skips the images without fixations
        saucs = model.AUC_per_image(self.stimuli, fixations, nonfixations=self._others)
        nss = model.NSSs(self.stimuli, fixations)
        pairs = [(model.saliency_map(s), self._gold.saliency_map(s)) for s in stimuli]
        with np.errstate(divide="ignore"):  # the logarithm of zeros, which its KL takes on purpose
            kl = [self._pysaliency.metrics.MIT_KLDiv(*pair) for pair in pairs]
        return {
            "auc": [aucs[i] for i in images],
            "sauc": [saucs[i] for i in images],
            "nss": [nss[fixations.n == i].mean() for i in images],
            "cc": list(model.CCs(stimuli, self._gold)),
            "kl": kl,
            "sim": list(model.SIMs(stimuli, self._gold)),
        }


def make_samples(n: int, sizes: Sizes) -> list[Sample]:
    """`n` samples without images, their fixations in clusters as gaze is; the first few are the same for any `n`."""
    rng = np.random.default_rng(2017)
    height, width = sizes.shape
    samples = []
    for i in range(n):
        centers = rng.uniform((0.1 * width, 0.1 * height), (0.9 * width, 0.9 * height), (6, 2))
        points = rng.normal(centers[rng.integers(0, 6, sizes.fixations)], 0.04 * width)
        points = np.clip(points, 0, (width - 1, height - 1))
        samples.append(Sample(f"{i:04d}", sizes.shape, _no_image, points, sigma=sizes.sigma))
    return samples


def make_maps(n: int, sizes: Sizes) -> list[np.ndarray]:
    """`n` smooth positive float32 maps."""
    rng = np.random.default_rng(640)
    coarse = (sizes.shape[0] // 20, sizes.shape[1] // 20)
    return [resize((rng.random(coarse) ** 4).astype(np.float32), sizes.shape, "bicubic") for _ in range(n)]


def _points(sample: Sample) -> np.ndarray:
    assert sample.fixations is not None
    return sample.fixations


def _no_image():
    raise NotImplementedError("synthetic samples have no image")


def prepare_and_score(map_: np.ndarray, truth: Truth) -> dict[str, float]:
    """All metrics of a map, as an evaluation computes them."""
    prepared = PROTOCOL.prepare(map_, "density", map_.shape)
    return measure(Pair(prepared.point_map, **vars(truth)), PROTOCOL.options)


def _write_maps(folder, sizes):
    maps = [Image.fromarray(quantise(map_)) for map_ in make_maps(sizes.timed, sizes)]
    for i, sample in enumerate(make_samples(sizes.many, sizes)):
        maps[i % len(maps)].save(folder / f"{sample.id}.png")


def _score_folder(folder, sizes, workers):
    """(seconds per image, peak memory of this process in bytes) of scoring a folder of maps end to end."""
    dataset = Dataset("speed", make_samples(sizes.many, sizes), gaze="synthetic", licence="none", citation="none")
    with tempfile.TemporaryDirectory() as out:
        start = time.perf_counter()
        runtime = Runtime(workers=workers, progress=False)
        result = Evaluation(dataset, PROTOCOL, out, runtime).run(f"from_folder:{folder}")
        seconds = time.perf_counter() - start
    if result.n_failed:
        raise RuntimeError(f"{result.n_failed} of {result.n_images} synthetic maps failed: {result.failures}")
    return seconds / sizes.many, machine.peak_memory()


def _medians(sizes, *functions):
    """Median seconds per image of functions of the round's number, called in turn."""
    times = np.empty((sizes.rounds + 1, len(functions)))
    for round_ in range(sizes.rounds + 1):
        for k, function in enumerate(functions):
            start = time.perf_counter()
            function(round_)
            times[round_, k] = time.perf_counter() - start
    return np.median(times[1:], axis=0) / sizes.block


@contextmanager
def _one_thread():
    """One thread for BLAS, OpenMP and (pysaliency imports it) torch."""
    torch = sys.modules.get("torch")
    threads = torch.get_num_threads() if torch else None
    try:
        if torch:
            torch.set_num_threads(1)
        with threadpool_limits(1):
            yield
    finally:
        if torch:
            torch.set_num_threads(threads)


def _row(what, times, target=""):
    ours, *theirs = times
    if not theirs:
        return Row(what, _ms(ours), SKIPPED, "", target)
    return Row(what, _ms(ours), _ms(theirs[0]), f"{theirs[0] / ours:.1f}x", target)


def _ms(seconds):
    return f"{1e3 * seconds:.3g} ms"


def _header(peer):
    return machine.described("numpy", "scipy", "numba", *(("pysaliency", "torch") if peer else ()))
