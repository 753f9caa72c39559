"""Score the same images with other numbers of threads, kernels and versions, and compare the scores.

    python tests/campaign/determinism.py
    python tests/campaign/determinism.py --python oldest=OLD/bin/python --python newest=NEW/bin/python

Each setting runs in a process of its own on `popout`. The first one, with one thread, is the reference. The table says
how many CSV files are equal to the reference to the byte, and how far any score is from it. The exit status is 1 if a
setting that promises equal bytes has others, or if a score differs by more than 1e-6.
"""

import argparse
import csv
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tabulate import tabulate

ROOT = Path(__file__).resolve().parents[2]
TOLERANCE = 1e-6
ONE_THREAD = {"OMP_NUM_THREADS": "1"}
LEARNED = ("attention_center", "fastgaze", "gaze_lite", "lite")  # their weights ship with salbench
OTHERS = ("classical", "center_bias", "uniform", "inter_observer")


@dataclass(frozen=True)
class Setting:
    """One way to run.

    Attributes:
        name: in the table.
        environment: variables of the process, beside those of this one.
        options: of `salbench run`.
        python: the interpreter.
        same_bytes: kinds of methods whose CSV files must equal those of the reference to the byte.
    """

    name: str
    environment: Mapping[str, str] = field(default_factory=dict)
    options: Sequence[str] = ("--workers", "1")
    python: str = sys.executable
    same_bytes: tuple[str, ...] = ()


BOTH = ("classical", "learned")
REFERENCE = Setting("one thread, one worker")
SETTINGS = [
    Setting("the same again", same_bytes=BOTH),
    Setting("2 workers", options=("--workers", "2"), same_bytes=BOTH),
    Setting("8 workers", options=("--workers", "8"), same_bytes=BOTH),
    Setting("2 threads", {"OMP_NUM_THREADS": "2"}, same_bytes=("classical",)),
    Setting("8 threads", {"OMP_NUM_THREADS": "8"}, same_bytes=("classical",)),
    Setting("8 threads, 8 workers", {"OMP_NUM_THREADS": "8"}, ("--workers", "8"), same_bytes=("classical",)),
    Setting("OpenBLAS kernels for Haswell", {"OPENBLAS_CORETYPE": "Haswell"}),
    Setting("OpenBLAS kernels for Prescott", {"OPENBLAS_CORETYPE": "Prescott"}),
    Setting("metrics compiled for any x86-64", {"NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": ""}),
    Setting("torch without AVX2", {"ATEN_CPU_CAPABILITY": "default"}),
    Setting("MKL and oneDNN kernels for SSE4", {"MKL_CBWR": "COMPATIBLE", "ONEDNN_MAX_CPU_ISA": "SSE41"}),
]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all settings and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", type=int, default=30, metavar="N", help="first N images of popout (default: 30)")
    parser.add_argument("--methods", default=",".join(OTHERS + LEARNED), help="methods, separated by commas")
    parser.add_argument(
        "--python", action="append", default=[], metavar="NAME=FILE",
        help="also run with this interpreter, whose environment holds other versions",
    )  # fmt: skip
    parser.add_argument(
        "--settings",
        default="",
        metavar="WORDS",
        help="only settings whose name holds one of these words, separated by commas",
    )
    parser.add_argument("--seed", type=int, default=0, help="random seed of the runs (default: 0)")
    given = parser.parse_args(arguments)
    settings = SETTINGS + [Setting(*_named(typed)) for typed in given.python]
    chosen = [s for s in settings if any(word in s.name for word in given.settings.split(","))]
    lines, failed = compared(chosen, given.methods, given.limit, given.seed)
    print(tabulate(lines, ["setting", "methods", "equal files", "largest difference", "fault"], tablefmt="github"))
    return int(failed)


def _named(typed: str) -> tuple[str, Mapping[str, str], Sequence[str], str]:
    name, _, python = typed.partition("=")
    return f"{name}: {versions(python)}", {}, REFERENCE.options, str(Path(python).absolute())


def versions(python: str) -> str:
    """Versions of what computes scores in an interpreter's environment."""
    code = (
        "from importlib.metadata import distributions as d; v = {x.name.lower(): x.version for x in d()}; "
        "print(*(f'{n} {v[n]}' for n in ('numpy', 'scipy', 'pandas', 'numba', 'pillow', 'torch') if n in v), sep=', ')"
    )
    return subprocess.run([python, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def compared(settings: Sequence[Setting], methods: str, limit: int, seed: int) -> tuple[list[list[object]], bool]:
    """Run settings and the reference.

    Returns:
        Rows of the table, and whether there is a fault.
    """
    lines: list[list[object]] = []
    with tempfile.TemporaryDirectory() as scratch:
        expected = scores(REFERENCE, Path(scratch) / "reference", methods, limit, seed)
        for number, setting in enumerate(settings, 1):
            print(f"{number} of {len(settings)}: {setting.name}", file=sys.stderr, flush=True)
            found = scores(setting, Path(scratch) / str(number), methods, limit, seed)
            lines += (rows := list(_rows(setting, expected, found)))
            print(*rows, sep="\n", file=sys.stderr, flush=True)
    return lines, any(line[-1] for line in lines)


def _rows(setting: Setting, expected: Mapping[str, bytes], found: Mapping[str, bytes]) -> Iterator[list[object]]:
    for kind in BOTH:
        names = [name for name in found if (name in LEARNED) == (kind == "learned")]
        if not names:
            continue
        equal = sum(found[name] == expected[name] for name in names)
        far = {name: difference(expected[name], found[name]) for name in names}
        worst = max(far, key=lambda name: far[name])
        fault = "not equal" if kind in setting.same_bytes and equal < len(names) else ""
        fault = f"{worst}: too far" if far[worst] > TOLERANCE else fault
        text = f"{far[worst]:.1e} ({worst})" if far[worst] else "0"
        yield [setting.name, kind, f"{equal} of {len(names)}", text, fault]


def scores(setting: Setting, out: Path, methods: str, limit: int, seed: int) -> dict[str, bytes]:
    """{method: content of its CSV file} of one run; without the methods that were skipped.

    Raises:
        RuntimeError: the command failed.
    """
    words = ["run", "--methods", methods, "--limit", str(limit), "--seed", str(seed), "--out", str(out)]
    variables = os.environ | ONE_THREAD | {"PYTHONPATH": _path()} | setting.environment
    if setting.python != sys.executable:  # other versions must not replace what is compiled in the clone
        variables["NUMBA_CACHE_DIR"] = str(out.parent / f"compiled_{out.name}")
    command = [setting.python, "-m", "salbench", *words, *setting.options]
    ended = subprocess.run(command, env=variables, cwd=out.parent, capture_output=True, text=True)
    if ended.returncode:
        raise RuntimeError(f"{setting.name}: exit status {ended.returncode}; it printed: {ended.stderr[-2000:]}")
    return {path.stem: path.read_bytes() for path in sorted(out.glob("popout*/*.csv"))}


def _path() -> str:
    return os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))


def difference(one: bytes, other: bytes) -> float:
    """The largest absolute difference of two CSV files of scores; infinity if their cells do not correspond."""
    rows, others = (list(csv.reader(content.decode().splitlines())) for content in (one, other))
    if [[row[0], *(not cell for cell in row)] for row in rows] != [
        [row[0], *(not cell for cell in row)] for row in others
    ]:
        return float("inf")
    pairs = (pair for a, b in zip(rows[1:], others[1:], strict=True) for pair in zip(a[1:], b[1:], strict=True))
    return max((abs(float(a) - float(b)) for a, b in pairs if a), default=0.0)


if __name__ == "__main__":
    sys.exit(main())
