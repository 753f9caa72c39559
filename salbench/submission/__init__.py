"""Challenge files: predict a split, write the file, and check it, or anybody's file, for every fault.

A format is a module with a row in `FORMATS`. The servers of SALICON's challenges take no more submissions, because
CodaLab closed at the end of 2025. Their files remain the field's exchange formats; to compare models, score a
validation split on your own machine.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial as bound
from pathlib import Path

from salbench.prediction import Outcome, predict_stream
from salbench.progress import Bar
from salbench.registry import SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.submission import lsun15, lsun17, tuebingen
from salbench.submission._format import Format, Report, SubmissionProblem
from salbench.writing import atomic_path

log = logging.getLogger(__name__)
__all__ = ["FORMATS", "Format", "Report", "SubmissionProblem", "Summary", "check", "named", "write"]
FORMATS: dict[str, Format] = {f.name: f for f in (lsun17.FORMAT, lsun15.FORMAT, tuebingen.FORMAT)}
_SHOWN = 5  # faults that an error message lists


def named(name: str) -> Format:
    """A format by name.

    Raises:
        ValueError: there is no such format; lists those there are.
    """
    if name not in FORMATS:
        raise ValueError(f"format: expected one of {', '.join(FORMATS)}, got {name!r}")
    return FORMATS[name]


@dataclass(frozen=True)
class Summary:
    """A valid file. As text, one line about it.

    Attributes:
        path: of the file.
        images: number of maps in it.
        bytes: its size on disk.
        remarks: what is allowed but may be a mistake, such as maps that are zero everywhere.
        failed: {image id: why it failed}, for images that `partial` left out.
    """

    path: Path
    images: int
    bytes: int
    remarks: tuple[str, ...] = ()
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        failed = f"PARTIAL: {len(self.failed)} images failed and were left out" if self.failed else ""
        parts = [f"{self.path}: {self.images} maps, {self.bytes / 1e6:.1f} MB", *self.remarks, failed]
        return "; ".join(filter(None, parts))


def write(
    method: SaliencyMethod,
    samples: Sequence[Sample],
    path: Path | str,
    format: str = "lsun17",
    runtime: Runtime | None = None,
    *,
    partial: bool = False,
) -> Summary:
    """Predict samples and write a challenge file.

    Equal maps give equal bytes. The file gets its name when it is complete and valid; after any error nothing is left
    behind.

    Args:
        method: already fitted if it is fitted at run. It sees blind samples only.
        samples: the split, in order.
        path: of the file. An existing file is replaced.
        format: name of a format in `FORMATS`.
        runtime: number of workers and batch size.
        partial: leave out images that fail, instead of stopping at the first.

    Raises:
        SubmissionProblem: samples that the format cannot hold, a method that needs fixations, an image that failed, or
            (with `partial`) all of them.
        MethodUnavailable: the method says what it lacks. WeightsProblem: its weights cannot be used.
        ModuleNotFoundError: the format needs a package that is not installed.
    """
    form = named(format)
    if method.sees_fixations:
        raise SubmissionProblem(f"{method.label}: needs the fixations of the images, so it cannot submit")
    form.require(method, samples)
    failed: dict[str, str] = {}
    written: list[Sample] = []
    with atomic_path(path) as temporary:
        with form.writer(temporary, method, samples) as add:
            for outcome in _outcomes(method, samples, runtime or Runtime(), form):
                if outcome.error is None:
                    add(outcome.sample, outcome.value)
                    written.append(outcome.sample)
                else:
                    failed[outcome.sample.id] = _allowed_failure(outcome, partial)
        report = form.check(temporary, samples, True)
        faults = report.faults + _not_written(report.images, len(written))
        if faults:
            raise SubmissionProblem(f"{path}: {_first(faults)}")
        size = temporary.stat().st_size
    for remark in report.remarks:
        log.warning("%s: %s", path, remark)
    if failed:
        log.warning("%s: left out %d of %d images, such as %s", path, len(failed), len(samples), next(iter(failed)))
    return Summary(Path(path), report.images, size, tuple(report.remarks), failed)


def _outcomes(method: SaliencyMethod, samples: Sequence[Sample], runtime: Runtime, form: Format) -> Iterator[Outcome]:
    bar = Bar(method.label, len(samples), shown=runtime.progress)
    with bar, closing(predict_stream(method, samples, runtime, bound(form.encode, method))) as outcomes:
        for outcome in outcomes:
            yield outcome
            bar.advance(failed=outcome.error is not None)


def _allowed_failure(outcome: Outcome, partial: bool) -> str:
    if not partial:
        raise SubmissionProblem(
            f"{outcome.sample.id}: {outcome.error}. Nothing was written; --partial leaves out images that fail"
        )
    return outcome.error or ""


def _not_written(found: int, wanted: int) -> list[str]:
    return [] if found == wanted else [f"wrote {wanted} maps, but {found} came back from the disk"]


def _first(faults: list[str]) -> str:
    more = f"; and {len(faults) - _SHOWN} more" if len(faults) > _SHOWN else ""
    return f"{'; '.join(faults[:_SHOWN])}{more}"


def check(path: Path | str, samples: Sequence[Sample], format: str = "lsun17", *, partial: bool = False) -> Report:
    """Look for every fault of a challenge file, whoever wrote it.

    Args:
        path: of the file.
        samples: the split that it should hold maps for.
        format: name of a format in `FORMATS`.
        partial: maps may be missing, but not all of them.

    Raises:
        SubmissionProblem: no such file, or samples that the format cannot hold.
    """
    if not Path(path).is_file():
        raise SubmissionProblem(f"{path}: no such file")
    return named(format).check(Path(path), samples, partial)
