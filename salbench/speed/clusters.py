"""How well work spreads over the processes of a cluster on this machine, and what its client costs per image.

Data are synthetic. Clusters are started and warmed up before the clock starts.
"""

import csv
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image
from tabulate import tabulate

from salbench import executors
from salbench.ablation.run import ablate
from salbench.ablation.splits import Ablation
from salbench.cluster_places import connect
from salbench.datasets import Dataset, load
from salbench.evaluation import Evaluation
from salbench.executors import Executor
from salbench.maps import blur
from salbench.protocol import PROTOCOLS
from salbench.results import Result
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.speed import machine

log = logging.getLogger(__name__)
PROTOCOL = PROTOCOLS["tuebingen"]
RUNTIME = Runtime(progress=False)
ARMS = ("hflip", "vflip", "rot90_ccw", "rotate_-45", "invert")  # beside the one without augmentation
COLUMNS = "work", "processes", "seconds", "efficiency"
NOTES = """\
Efficiency: (seconds x processes) of the first row of the same work, divided by (seconds x processes) of this row.
1.00 is ideal. Processes beyond the number of cores are not counted.
The client works beside them: it reads results and writes the journal. Arithmetic in the cache shows what the cores
allow: its units read no memory or disk, and the client does nothing.
Per unit: what the cluster adds to a unit that does nothing; small units travel in groups.
The client's time and memory: of `salbench run` on tiny images, in the process that writes the results."""


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Attributes:
        shape: (height, width) of pictures and maps.
        maps: number of maps from disk.
        pictures: number of pictures for the network.
        trained: number of pictures that each arm is trained on, twice.
        units: number of units that do nothing.
        sums: number of units that only compute, for about 50 ms each.
        curve: numbers of tiny images.
    """

    shape: tuple[int, int] = (480, 640)
    maps: int = 700
    pictures: int = 100
    trained: int = 60
    units: int = 20_000
    sums: int = 200
    curve: tuple[int, ...] = (1_000, 10_000, 100_000)


def report(numbers: Sequence[int], sizes: Sizes | None = None) -> str:
    """Measure clusters of these numbers of processes; the first is what the others are compared with."""
    sizes, rows = sizes or Sizes(), []
    overhead, curve = _client(max(numbers), sizes)  # first, because memory is a peak
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_data(folder, sizes)
        works = {
            f"{sizes.maps} maps from disk": partial(_scored, folder / "scored", f"from_folder:{folder / 'maps'}", None),
            f"a network on {sizes.pictures} pictures": partial(_scored, folder / "scored", "gaze_lite", sizes.pictures),
            f"an ablation of {len(ARMS) + 1} arms": partial(_ablation, folder),
            "arithmetic in the cache": partial(_arithmetic, sizes.sums),
        }
        for number in numbers:
            with connect(f"local:{number}") as cluster, executors.using(cluster):
                for work, function in works.items():
                    log.info("%s, %d processes", work, number)
                    rows.append((work, number, _seconds(function, folder)))
    lines = [_row(row, next(r for r in rows if r[0] == row[0])) for row in sorted(rows, key=_order(list(works)))]
    table = tabulate(lines, COLUMNS, "github", disable_numparse=True)
    return "\n\n".join([machine.described("distributed", "numpy", "torch"), table, overhead, curve, NOTES])


def _order(works: Sequence[str]) -> Callable[[tuple[str, int, float]], tuple[int, int]]:
    return lambda row: (works.index(row[0]), row[1])


def _row(row: tuple[str, int, float], first: tuple[str, int, float]) -> tuple[str, int, str, str]:
    work, number, seconds = row
    cores = os.cpu_count() or 1
    share = first[2] * min(first[1], cores) / (seconds * min(number, cores))
    return work, number, f"{seconds:.1f}", f"{share:.2f}"


def _seconds(function: Callable[[Path], None], folder: Path) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as out:
        function(Path(out) / "first")  # workers import, compile and read files
        start = time.perf_counter()
        function(Path(out) / "timed")
        return time.perf_counter() - start


def write_data(folder: Path, sizes: Sizes) -> None:
    """Write the data sets `scored`, with a map for each picture, x_train and x_test."""
    rng, (height, width) = np.random.default_rng(0), sizes.shape
    (folder / "maps").mkdir()
    for split, number in ("scored", sizes.maps), ("x_train", sizes.trained), ("x_test", 4):
        (folder / split / "images").mkdir(parents=True)
        with open(folder / split / "fixations.csv", "w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(["image", "x", "y"])
            for i in range(number):
                coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
                coarse.resize((width, height)).save(folder / split / "images" / f"{split}{i}.jpg")
                points = rng.uniform((0, 0), (width, height), (40, 2))
                writer.writerows((f"{split}{i}", *point) for point in points.tolist())
                if split == "scored":
                    _save_map(folder / "maps" / f"{split}{i}.png", points, sizes.shape)


def _save_map(path: Path, points: np.ndarray, shape: tuple[int, int]) -> None:
    counts = np.zeros(shape)
    counts[tuple(points.astype(int).T[::-1])] = 1
    density = blur(counts, 20.0)
    Image.fromarray((255 * density / density.max()).astype(np.uint8)).save(path)


def _scored(dataset: Path, spec: str, number: int | None, out: Path) -> None:
    found = load(f"folder:{dataset}")
    result = Evaluation(found.first(number) if number else found, PROTOCOL, out, RUNTIME).run(spec)
    if not isinstance(result, Result) or result.n_failed:
        raise RuntimeError(f"{spec}: expected a complete result")


def _ablation(folder: Path, out: Path) -> None:
    recipe = {"epochs": 2, "size": (96, 128), "batch_size": 8}
    failures = ablate(
        "lite", Ablation(f"folder:{folder / 'x'}"), ARMS, [0], out=out, checkpoints=out / "checkpoints",
        runtime=RUNTIME, recipe=recipe,
    )  # fmt: skip
    if failures:
        raise RuntimeError(f"expected trained arms, got {failures}")


def _arithmetic(number: int, out: Path) -> None:
    """Work whose efficiency is that of the cores: 4096 numbers stay in the fastest cache."""
    cluster = executors.cluster()
    assert cluster is not None
    _count(cluster, _compute, number)


def _compute(_: None, unit: int) -> float:
    values = np.linspace(0, 1, 4096) + unit
    return float(sum(np.sin(values).sum() for _ in range(750)))


def _client(number: int, sizes: Sizes) -> tuple[str, str]:
    """The overhead per unit as a line, and the client's cost for growing numbers of images as a table."""
    with connect(f"local:{number}") as cluster, executors.using(cluster):
        _count(cluster, _nothing, 1000)
        start = time.perf_counter()
        _count(cluster, _nothing, sizes.units)
        overhead = (time.perf_counter() - start) / sizes.units
        rows = [_curve(number) for number in sizes.curve]
    columns = "tiny images", "client's time per image", "client's memory"
    return f"Per unit: {1e6 * overhead:.0f} µs", tabulate(rows, columns, "github", disable_numparse=True)


def _count(cluster: Executor, function: Callable[[None, int], object], number: int) -> None:
    with closing(cluster.map(function, None, range(number))) as results:
        for _ in results:
            pass


def _nothing(_: None, unit: int) -> int:
    return unit


def _curve(number: int) -> tuple[str, str, str]:
    log.info("%d tiny images", number)
    with tempfile.TemporaryDirectory() as out:
        evaluation = Evaluation(_tiny(number), PROTOCOL, out, RUNTIME)
        start = time.process_time()
        evaluation.run("uniform")
        seconds = time.process_time() - start
    return f"{number:,}", f"{1e3 * seconds / number:.2f} ms", f"{machine.peak_memory() / 1e6:.0f} MB"


def _tiny(number: int) -> Dataset:
    points = np.random.default_rng(0).uniform(0, 16, (number, 5, 2))
    samples = [Sample(str(i), (16, 16), partial(_grey, i % 256), points[i], sigma=2.0) for i in range(number)]
    return Dataset("tiny", samples, gaze="simulated", licence="CC0", citation="")


def _grey(level: int) -> np.ndarray:
    return np.full((16, 16, 3), level, np.uint8)
