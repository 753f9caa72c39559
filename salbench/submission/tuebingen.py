"""The MIT/Tübingen saliency benchmark: an HDF5 file of natural-log densities, one data set per image.

The key of an image is its shortest unique path, such as Action/001.jpg, as pysaliency computes it. A density has the
size of its image, and the logarithm of its sum is within 0.001 of zero. Source: the benchmark's code,
matthias-k/saliency-benchmarking, and pysaliency.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any, BinaryIO

import numpy as np
from scipy.special import logsumexp

from salbench.protocol import PROTOCOLS
from salbench.registry import SaliencyMethod
from salbench.sample import Sample
from salbench.submission._format import Add, Format, Report, SubmissionProblem, name_faults

TOLERANCE = 1e-3  # of the logarithm of the sum
_BASES = {"base 2": np.log(2), "base 10": np.log(10)}


def keys(samples: Sequence[Sample]) -> list[str]:
    """The shortest unique path of each image: without the folders that all share. The id if the image is no file."""
    paths = [_path(sample) for sample in samples]
    if any(path is None for path in paths):
        return [sample.id for sample in samples]
    parts = [PurePath(path).parts for path in paths if path is not None]
    folders = [each[:-1] for each in parts]
    low, high = min(folders), max(folders)
    shared = next((n for n, (a, b) in enumerate(zip(low, high, strict=False)) if a != b), min(len(low), len(high)))
    return ["/".join(each[shared:]) for each in parts]


def _path(sample: Sample) -> Path | None:
    """The file of an image: loaders read images with partial(read_image, path)."""
    return next((value for value in getattr(sample.read_image, "args", ()) if isinstance(value, Path)), None)


def _require(method: SaliencyMethod, samples: Sequence[Sample]) -> None:
    import h5py  # noqa: F401 - before the first prediction

    if method.output == "map":
        raise SubmissionProblem(
            f"{method.label}: tuebingen holds log densities, and this method predicts maps of any scale; if maps on "
            "disk are densities, say so: from_folder:density:DIR"
        )


def _encode(method: SaliencyMethod, sample: Sample, prediction: np.ndarray) -> np.ndarray:
    """The natural logarithm of the density, float32 (height, width). A pixel of density zero is minus infinity."""
    if method.output == "log_density" and prediction.shape == tuple(sample.size):
        log_density = np.asarray(prediction, dtype=np.float64)
    else:
        prepared = PROTOCOLS["tuebingen"].prepare(prediction, method.output, sample.size)
        with np.errstate(divide="ignore"):
            log_density = np.log(prepared.point_map.array.astype(np.float64))
    total = logsumexp(log_density)
    if not np.isfinite(total):
        raise ValueError(f"expected a density with a finite sum above zero, got the sum {np.exp(total):g}")
    return (log_density - total).astype(np.float32)


@contextmanager
def _writer(path: Path, method: SaliencyMethod, samples: Sequence[Sample]) -> Iterator[Add]:
    import h5py

    names = dict(zip((sample.id for sample in samples), keys(samples), strict=True))
    with open(path, "wb+") as on_disk:
        patient = _Patient(on_disk)
        with h5py.File(patient, "w") as file:

            def add(sample: Sample, log_density: np.ndarray) -> None:
                file.create_dataset(names[sample.id], data=log_density, compression="gzip", shuffle=True)
                patient.check()

            yield add
        patient.check()


class _Patient:
    """A file for HDF5, which crashes the process if the disk refuses a write. This one keeps the error for `check`.

    What was written then is lost; `check` says so before anybody takes the file for whole.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._error: OSError | None = None

    def check(self) -> None:
        """Raise the first error of the disk."""
        if self._error:
            raise self._error

    def _tried(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except OSError as error:
            self._error = self._error or error
            return None

    def seek(self, *place: int) -> int:
        return self._tried(self._file.seek, *place) or 0

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int) -> bytes:
        return (self._tried(self._file.read, size) or b"").ljust(size, b"\0")

    def write(self, data: bytes) -> int:
        self._tried(self._file.write, data)
        return len(data)

    def truncate(self, size: int) -> None:
        self._tried(self._file.truncate, size)

    def flush(self) -> None:
        self._tried(self._file.flush)


def _check(path: Path, samples: Sequence[Sample], partial: bool) -> Report:
    import h5py

    report, sizes = Report(), dict(zip(keys(samples), (sample.size for sample in samples), strict=True))
    try:
        with h5py.File(path, "r", locking=False) as file:
            found: list[str] = []
            file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
            report.faults += name_faults(found, sizes, partial)
            report.faults += [_unknown(name, sizes) for name in found if name not in sizes]
            own = [name for name in found if name in sizes]
            zeros = [name for name in own if _check_density(file[name], name, sizes[name], report)]
    except (OSError, RuntimeError, KeyError) as error:
        report.faults.append(f"expected an HDF5 file: {error}")
        return report
    report.images = len(own)
    if zeros:
        report.remarks.append(
            f"{len(zeros)} of {len(own)} densities are zero at some pixels, such as {zeros[0]}; one fixation there "
            "makes IG minus infinity"
        )
    return report


def _unknown(name: str, sizes: dict[str, Any]) -> str:
    similar = [key for key in sizes if PurePath(key).stem == PurePath(name).stem]
    return f"{name}: not the key of an image of this split{f'; expected {similar[0]}' if similar else ''}"


def _check_density(stored: Any, name: str, size: Sequence[int], report: Report) -> bool:
    """Whether a density is zero at some pixels, after its faults were added to the report."""
    if stored.dtype.kind != "f":
        report.faults.append(f"{name}: expected floats, got {stored.dtype}")
        return False
    if stored.shape != tuple(size):
        report.faults.append(f"{name}: expected the shape of the image, {tuple(size)}, got {stored.shape}")
        return False
    values = stored[()].astype(np.float64)
    fault = _value_fault(values)
    report.faults += [f"{name}: {fault}"] if fault else []
    return fault is None and bool(np.isneginf(values).any())


def _value_fault(values: np.ndarray) -> str | None:
    bad = int((np.isnan(values) | np.isposinf(values)).sum())
    if bad:
        return f"expected log densities, got NaN or infinity in {bad} of {values.size} pixels"
    total = logsumexp(values)
    if abs(total) < TOLERANCE:
        return None
    if values.min() >= 0 and abs(values.sum() - 1) < TOLERANCE:
        return "expected log densities, got densities; take the natural logarithm"
    bases = [name for name, factor in _BASES.items() if abs(logsumexp(values * factor)) < TOLERANCE]
    hint = f"; these are logarithms to {bases[0]}" if bases else "; subtract scipy.special.logsumexp"
    return f"expected natural logarithms of a density that sums to one, got a sum of exp({total:.4g}){hint}"


FORMAT = Format(
    "tuebingen",
    ".h5",
    "MIT/Tübingen benchmark: an HDF5 file of log densities",
    _require,
    _encode,
    _writer,
    _check,
)
