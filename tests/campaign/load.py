"""Large inputs: how much time and memory they take, and how both grow.

    python tests/campaign/load.py
    python tests/campaign/load.py --scale 0.01 --cases images,rows

Each case makes an input and runs one command on it in a process of its own; if that takes long, also on a quarter of
the input. The table says the time of the processor, the peak memory, and the growth: 1 if time is proportional to
the size of the input, 2 if it is quadratic. The exit status is 1 if a command fails, if a case needs more memory than
promised, or if it grows by more than a power of 1.5.
"""

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from struct import pack

import numpy as np
from PIL import Image
from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[2]
MIB = 2**20
STEEPEST = 1.5  # power of the size of the input
LEAST_SECONDS = 5.0  # differences between shorter runs say nothing about growth
BASE = 450 * MIB  # of a run with small inputs: Python, NumPy, pandas and the compiled metrics
MOST_LINKS = 50_000  # of a file; ext4 takes 65 000
BYTES_PER_PIXEL = 100  # promised for the metrics, for each worker


@dataclass(frozen=True)
class Case:
    """A kind of large input.

    Attributes:
        size: of the input at scale 1, in `unit`.
        unit: what is counted.
        make: writes an input of a size into a folder with a seeded generator, and returns the words of the command.
        promised: the most memory in bytes for a size.
        status: exit status that is right.
        said: what the error must say.
        least: smallest size that means anything.
    """

    size: int
    unit: str
    make: Callable[[Path, int, np.random.Generator], Sequence[object]]
    promised: Callable[[int], float]
    status: int = 0
    said: str = ""
    least: int = 4


@dataclass(frozen=True)
class Measured:
    """What a command took: seconds of the processor, peak memory in bytes, and a fault or ""."""

    seconds: float
    memory: int
    fault: str


def _fixations(folder: Path, ids: Sequence[str], each: int, side: int, rng: np.random.Generator) -> None:
    points = rng.uniform(0, side - 1, (len(ids) * each, 2)).round(1)
    with open(folder / "fixations.csv", "w") as file:
        file.write("image,x,y\n")
        file.writelines(f"{ids[i // each]},{x},{y}\n" for i, (x, y) in enumerate(points))


def _folder(place: Path, sizes: Sequence[tuple[int, int]], each: int, rng: np.random.Generator) -> str:
    """A data set with one image for each (height, width). Images of one size are links to one file."""
    folder: Path = place / "set"
    (folder / "images").mkdir(parents=True)
    ids = [f"{number:06d}" for number in range(len(sizes))]
    first: dict[tuple[int, ...], Path] = {}
    for number, (id, size) in enumerate(zip(ids, sizes, strict=True)):
        path, key = folder / "images" / f"{id}.png", (*size, number // MOST_LINKS)
        if key in first:
            os.link(first[key], path)
        else:
            Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(first.setdefault(key, path))
    _fixations(folder, ids, each, min(min(size) for size in sizes), rng)
    return f"folder:{folder}"


def _images(place: Path, size: int, rng: np.random.Generator) -> Sequence[object]:
    return "run", "--methods", "uniform", "--dataset", _folder(place, [(16, 16)] * size, 5, rng)


def _sizes(place: Path, size: int, rng: np.random.Generator) -> Sequence[object]:
    sizes = [(40 + i, 80 - i) for i in range(size)] * 10
    rng.shuffle(sizes)
    return "run", "--methods", "lite", "--batch-size", 8, "--dataset", _folder(place, list(map(tuple, sizes)), 20, rng)


def _many_fixations(place: Path, size: int, rng: np.random.Generator) -> Sequence[object]:
    images = 100
    dataset = _folder(place, [(100, 100)] * images, max(1, size // images), rng)
    return "run", "--methods", "uniform,center_bias", "--dataset", dataset


def _large_image(place: Path, size: int, rng: np.random.Generator) -> Sequence[object]:
    """One image of `size` megapixels, read, predicted and scored."""
    side = math.isqrt(size * 10**6)
    return "run", "--methods", "spectral_residual", "--workers", 1, "--dataset", _folder(place, [(side, side)], 50, rng)


def _too_large_image(place: Path, size: int, rng: np.random.Generator) -> Sequence[object]:
    """One black picture of `size` megapixels, more than are read. A row at a time, as no program here can hold it."""
    side, packer = math.isqrt(size * 10**6), zlib.compressobj(1)
    rows = b"".join(packer.compress(bytes(side + 1)) for _ in range(side)) + packer.flush()
    header = pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", rows), (b"IEND", b"")]
    parts = [pack(">I", len(data)) + name + data + pack(">I", zlib.crc32(name + data)) for name, data in chunks]
    (place / "large.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(parts))
    return "predict", place / "large.png", "--method", "spectral_residual"


def _methods(place: Path, size: int, rng: np.random.Generator) -> Sequence[object]:
    code = "from salbench.registry import SaliencyMethod, register\n\n\n@register\nclass Own(SaliencyMethod):\n"
    (place / "methods").mkdir()
    for number in range(size):
        text = f"{code}    def predict(self, sample):\n        return sample.image.mean(2) ** {1 + number / size}\n"
        (place / "methods" / f"own{number}.py").write_text(text)
    names = ",".join(f"own{number}" for number in range(size))
    return "run", "--methods", names, "--methods-dir", place / "methods", "--limit", 2


def _results(place: Path, rows: int, rng: np.random.Generator) -> Path:
    """Results of 200 methods with `rows` rows in all."""
    methods = 200
    template = json.loads((ROOT / "results/osie_test/uniform.json").read_text())
    images, folder = rows // methods, place / "results" / "osie_test"
    folder.mkdir(parents=True)
    names = list(template["metrics"])
    for number in range(methods):
        template["identity"]["method"], template["n_images"] = f"own{number}", images
        (folder / f"own{number}.json").write_text(json.dumps(template))
        values = rng.uniform(0, 1, (images, len(names))).round(9)
        with open(folder / f"own{number}.csv", "w") as file:
            file.write(",".join(["id", *names]) + "\n")
            file.writelines(f"{i},{','.join(map(str, row))}\n" for i, row in enumerate(values.tolist()))
    return place / "results"


def _rows(place: Path, size: int, rng: np.random.Generator) -> Sequence[object]:
    code = "import sys; from salbench import results; print(len(results.load(sys.argv[1]).scores))"
    return "-c", code, _results(place, size, rng)


def _table(place: Path, size: int, rng: np.random.Generator) -> Sequence[object]:
    return "table", "--dataset", "osie_test", "--out", _results(place, size, rng)


CASES = {
    "images": Case(100_000, "images of 16 x 16", _images, lambda n: BASE + n * 5_000),
    "large image": Case(16, "megapixels in one image", _large_image, lambda n: BASE + n * 10**6 * BYTES_PER_PIXEL),
    "too large image": Case(400, "megapixels in one image", _too_large_image, lambda n: BASE, 1, "pixels", 200),
    "sizes": Case(40, "sizes, ten images of each", _sizes, lambda n: 2 * BASE),
    "fixations": Case(5_000_000, "fixations on 100 images", _many_fixations, lambda n: BASE + n * 450),
    "methods": Case(200, "methods", _methods, lambda n: BASE),
    "rows": Case(1_000_000, "rows in results.load", _rows, lambda n: BASE + n * 1_000),
    "table": Case(1_000_000, "rows beneath a table", _table, lambda n: BASE),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="size of the inputs, as a share (default: 1)")
    parser.add_argument(
        "--cases", default=",".join(CASES), help=f"cases, separated by commas (default: {', '.join(CASES)})"
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the inputs (default: 0)")
    given = parser.parse_args(arguments)
    lines, failed = [], False
    for name in given.cases.split(","):
        size = max(CASES[name].least, round(CASES[name].size * given.scale))
        print(f"{name}: {size} {CASES[name].unit}", file=sys.stderr, flush=True)
        line, fault = _line(CASES[name], size, given.seed)
        lines.append([name, f"{size:,} {CASES[name].unit}", *line, fault])
        failed |= bool(fault)
    headers = ["case", "input", "seconds", "peak MiB", "promised MiB", "growth", "fault"]
    print(tabulate(lines, headers, tablefmt="github", disable_numparse=True))
    return int(failed)


def _line(case: Case, size: int, seed: int) -> tuple[list[str], str]:
    large, growth, promised = measured(case, size, seed), math.nan, case.promised(size)
    fault = large.fault
    if not fault and size // 4 >= case.least and large.seconds >= LEAST_SECONDS:
        small = measured(case, size // 4, seed)
        growth, fault = math.log(large.seconds / small.seconds, 4), small.fault
    if not fault and large.memory > promised:
        fault = "more memory than promised"
    if not fault and growth > STEEPEST:
        fault = "grows too fast"
    told = "–" if math.isnan(growth) else f"{growth:.1f}"
    return [f"{large.seconds:.0f}", f"{large.memory / MIB:.0f}", f"{promised / MIB:.0f}", told], fault


# A new process starts with the peak of the one that starts it, so a small one stands between.
MEASURING = """
import json, os, subprocess, sys
process = subprocess.Popen(sys.argv[2:])
_, status, used = os.wait4(process.pid, 0)
with open(sys.argv[1], "w") as file:
    json.dump([os.waitstatus_to_exitcode(status), used.ru_utime + used.ru_stime, used.ru_maxrss * 1024], file)
"""


def measured(case: Case, size: int, seed: int) -> Measured:
    """Make an input, run the command on it and measure the process."""
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        words = [str(word) for word in case.make(place, size, np.random.default_rng(seed))]
        command = [sys.executable, *([] if words[0] == "-c" else ["-m", "salbench"]), *words]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        command = [sys.executable, "-c", MEASURING, str(place / "used"), *command]
        with open(place / "said", "w+") as said:
            subprocess.run(
                command, cwd=place, env=os.environ | {"PYTHONPATH": path}, stdout=said, stderr=said, check=True
            )
            said.seek(0)
            text = said.read()
        status, seconds, memory = json.loads((place / "used").read_text())
    right = status == case.status and case.said in text
    fault = "" if right else f"exit status {status}: {text.strip()[-300:]}"
    return Measured(seconds, memory, fault)


if __name__ == "__main__":
    sys.exit(main())
