"""One finished run on disk: `<out>/<dataset>/<method>.json`, and `.csv` with one row per image.

The JSON says everything needed to repeat and to trust the numbers; the CSV has the column `id` and one per metric.
While a run goes on, `<method>.partial.jsonl` holds the finished images; it is removed when the run is complete.
"""

import csv
import json
import math
import os
import platform
import subprocess
from dataclasses import asdict, dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

from salbench import __version__
from salbench.files import atomic_write

SCHEMA = 1


_CHANGED = {  # hashes say nothing to a reader
    "code": "the method's code has changed since",
    "weights": "the method's weights or maps have changed since, or are another's of the same name",
    "fingerprint": "the data set's content has changed since",
    "choices": "choices of the protocol",
}


class ResultProblem(ValueError):
    """A result file that cannot be used: another version, other settings, or not a result; says what to do."""


@dataclass(frozen=True)
class Key:
    """What two runs must share for their images to be parts of one result.

    Attributes:
        salbench: version of this package.
        method: label; `code` hashes its source, `weights` everything from disk that it depends on.
        fitted_on: name and fingerprint of the split that the method was fitted on in this run, or None.
        dataset, fingerprint: name and content of the scored split.
        protocol, protocol_version, seed: as named; `choices` hashes every choice of the protocol, so that a
            variant of it is told apart.
    """

    salbench: str
    method: str
    code: str
    weights: str | None
    fitted_on: str | None
    dataset: str
    fingerprint: str
    protocol: str
    protocol_version: int
    choices: str
    seed: int

    def differences(self, other):
        """'protocol mit instead of lsun17, ...': what of `self` is not as in `other`."""
        pairs = ((name, value, getattr(other, name)) for name, value in asdict(self).items())
        return ", ".join(
            _CHANGED.get(name) or f"{name} {mine} instead of {theirs}" for name, mine, theirs in pairs if mine != theirs
        )


@dataclass(frozen=True)
class Result:
    """A finished run.

    Attributes:
        key: identity of the run.
        metrics: name -> {"mean", "low", "high"} (95 % bootstrap interval) and "n" images; None where no image
            has a value, and for every metric when images failed.
        output, ceiling, gaze: the method's declared output, whether it saw the fixations, how gaze was recorded.
        n_images, n_failed, n_without_fixations, n_resized: counts.
        zero_share: mean share of pixels that are exactly zero in the scored maps.
        failures: id -> message.
        seconds: wall time of the call that finished the run, predicting and scoring.
        provenance: versions, git commit, date.
        notes: what the method wants said beneath every table (see `SaliencyMethod.notes`).
        untrained: made with random weights; no table shows it.
        n_seen: number of images that the method's weights were trained or validated on.
    """

    key: Key
    metrics: dict
    output: str
    ceiling: bool
    gaze: str
    n_images: int
    n_failed: int
    n_without_fixations: int
    n_resized: int
    zero_share: float
    failures: dict
    seconds: float
    provenance: dict = field(default_factory=dict)
    notes: list = field(default_factory=list)
    untrained: bool = False
    n_seen: int = 0


def paths(out, dataset, label):
    """(json, csv, journal) of a run."""
    folder = Path(out) / dataset
    return tuple(folder / f"{label}{suffix}" for suffix in (".json", ".csv", ".partial.jsonl"))


def write(result, rows, out):
    """Write a result and its per-image rows ({"id": ..., metric: float}), each file whole or not at all."""
    json_path, csv_path, _ = paths(out, result.key.dataset, result.key.method)
    with atomic_write(csv_path) as file:
        writer = csv.DictWriter(file, ["id", *result.metrics], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: "" if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()})
    with atomic_write(json_path) as file:
        json.dump({"schema": SCHEMA, **asdict(result)}, file, indent=2, allow_nan=False)
        file.write("\n")


def read(path):
    """Read a result.

    Raises:
        ResultProblem: not a result, or of another schema version.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        schema = content.pop("schema")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ResultProblem(f"{path}: expected a salbench result, got something else ({error})") from error
    if schema != SCHEMA:
        raise ResultProblem(f"{path}: written in format {schema}, this version reads {SCHEMA}; run the method again")
    try:
        return Result(**content | {"key": Key(**content["key"])})
    except (TypeError, KeyError) as error:
        raise ResultProblem(f"{path}: expected the fields of a salbench result: {error}") from error


def read_all(out, dataset):
    """All results of one data set, by label, in alphabetical order."""
    found = (read(path) for path in sorted((Path(out) / dataset).glob("*.json")))
    return {result.key.method: result for result in found}


class Journal:
    """The finished images of a run that is not finished: a line of JSON each, appended and flushed at once.

    Opening it reads what an earlier, killed or failed run of the same key has left; failed images (entries with
    an "error") are not taken over, so that they are tried again. A line cut off in the middle is dropped.

    Raises:
        ResultProblem: another process writes to the file; or it belongs to a run with other settings, and `overwrite`
            is false.
    """

    def __init__(self, path, key, *, overwrite=False):
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = open(path, "a+b")  # noqa: SIM115 - closed by close()
        try:
            _lock(self._file, path)
            self._take_over(key, overwrite)
        except BaseException:
            self._file.close()
            raise

    def _take_over(self, key, overwrite):
        self._file.seek(0)
        lines = _whole_lines(self._file.read())
        old = _key_of(lines[0]) if lines else key
        if old != key and not overwrite:
            what = f" ({key.differences(old)})" if old else ""
            raise ResultProblem(
                f"{self.path}: left by an unfinished run with other settings{what}. "
                "Choose another --out, or --overwrite to give that run up"
            )
        lines = lines if old == key else []
        entries = {entry["id"]: entry for entry in map(json.loads, lines[1:])}
        self.entries = {id: entry for id, entry in entries.items() if "error" not in entry}
        self._file.truncate(sum(len(line) + 1 for line in lines))
        if not lines:
            self._append({"key": asdict(key)})

    def add(self, entry):
        """Record one finished image: a dict with "id"."""
        self._append(entry)
        self.entries[entry["id"]] = entry

    def _append(self, entry):
        self._file.write(json.dumps(entry).encode() + b"\n")
        self._file.flush()

    def close(self, *, remove=False):
        self._file.close()
        if remove:
            self.path.unlink()


def _lock(file, path):
    """Keep other processes from writing to the same result, until the file is closed or this process dies."""
    if fcntl is None:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise ResultProblem(
            f"{path}: another run is writing this result; wait for it, or choose another --out"
        ) from error


def _whole_lines(content):
    """The lines of a journal up to the first that was not written to its end."""
    lines = []
    for line in content.split(b"\n")[:-1]:
        try:
            json.loads(line)
        except ValueError:
            break
        lines.append(line)
    return lines


def _key_of(line):
    try:
        return Key(**json.loads(line)["key"])
    except (ValueError, KeyError, TypeError):
        return None


@cache
def provenance():
    """Versions of what computes the numbers, and the git commit of this source, "+" if it is edited."""
    versions = {"python": platform.python_version(), "salbench": __version__}
    for package in ("numpy", "scipy", "numba", "pillow", "torch"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"versions": versions, "machine": platform.machine(), "cores": os.cpu_count(), "commit": _commit()}


def _commit():
    folder = Path(__file__).resolve().parent.parent
    if not (folder / ".git").exists():  # installed into somebody else's repository, perhaps
        return None
    try:
        run = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=folder, capture_output=True, text=True, timeout=10, check=True,
        )  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return run.stdout.strip()
