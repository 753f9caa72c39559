"""Challenge files: predict a split, write the file, and validate what is on disk before it gets its name.

The only format so far is that of the SALICON challenge at LSUN 2017: a zip with one 8-bit grey PNG of 640 x 480 per
image of the split at its root, named after the image. The server takes no more submissions, because CodaLab closed at
the end of 2025. The file remains the field's exchange format; the primary use of salbench is to score the validation
split on your own machine.

Names, size and 8-bit scaling follow the published code of AugSal and UNISAL. Files are at the root because CodaLab's
scorers expect them there. The organisers' own rules could not be found.
"""

import io
import logging
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image
from tqdm import tqdm

from salbench.files import atomic_write
from salbench.prediction import Outcome, predict_stream
from salbench.protocol import PROTOCOLS
from salbench.registry import SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample

log = logging.getLogger(__name__)

LSUN17_SIZE = (480, 640)  # height, width of every SALICON image and map
_MAX_MEMBER = 2**20  # bytes; a grey PNG of that size has at most 0.31 million
_SHOWN = 5  # problems that an error message lists


class SubmissionProblem(ValueError):
    """A submission that cannot be written, or a file that is not one. The message lists the first problems."""


@dataclass(frozen=True)
class Summary:
    """A valid submission. As text, one line about it.

    Attributes:
        path: of the file.
        images: number of maps in it.
        bytes: its size on disk.
        blank: names of maps that are zero everywhere. They are allowed, but predict nothing.
        failed: {image id: why it failed}, for images that `allow_partial` left out.
    """

    path: Path
    images: int
    bytes: int
    blank: tuple[str, ...]
    failed: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        blank = f", {len(self.blank)} of them zero everywhere" if self.blank else ""
        failed = f"; PARTIAL: {len(self.failed)} images failed and were left out" if self.failed else ""
        return f"{self.path}: {self.images} maps, {self.bytes / 1e6:.1f} MB{blank}{failed}"


def write_lsun17(
    method: SaliencyMethod,
    samples: Sequence[Sample],
    path: Path | str,
    runtime: Runtime | None = None,
    *,
    allow_partial: bool = False,
) -> Summary:
    """Predict samples and write the zip of the LSUN 2017 SALICON challenge.

    Maps are prepared as the protocol `lsun17` does, and stored as the 8-bit values that it scores. Equal maps give
    equal bytes. The file gets its name when it is complete and valid; after any error nothing is left behind.

    Args:
        method: already fitted if it is fitted at run. It sees blind samples only.
        samples: the split, in order; every image 480 x 640.
        path: of the zip. An existing file is replaced.
        runtime: number of workers and batch size.
        allow_partial: leave out images that fail, instead of stopping at the first.

    Raises:
        SubmissionProblem: images of another size, ids that cannot be file names, a method that needs fixations, an
            image that failed, or (with `allow_partial`) all of them.
        MethodUnavailable: the method says what it lacks. WeightsProblem: its weights cannot be used.
    """
    _check_possible(method, samples)
    runtime = runtime or Runtime()
    failed: dict[str, str] = {}
    written: list[str] = []
    with atomic_write(path, "w+b") as file, closing(predict_stream(method, samples, runtime, _png(method))) as outcomes:
        bar = tqdm(outcomes, total=len(samples), desc=method.label, unit="image", disable=not runtime.progress)
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # a PNG is compressed already
            for outcome in bar:
                id = outcome.sample.id
                if outcome.error is None:
                    archive.writestr(_member(f"{id}.png"), outcome.value)
                    written.append(id)
                else:
                    failed[id] = _allowed_failure(outcome, allow_partial)
        blank, size = _validate(file, path, written, allow_partial=False)
    if failed:
        log.warning("%s: left out %d of %d images, such as %s", path, len(failed), len(samples), next(iter(failed)))
    return Summary(Path(path), len(written), size, blank, failed)


def _allowed_failure(outcome: Outcome, allow_partial: bool) -> str:
    if not allow_partial:
        raise SubmissionProblem(
            f"{outcome.sample.id}: {outcome.error}. Nothing was written; --allow-partial leaves out images that fail"
        )
    return outcome.error or ""


def validate_lsun17(path: Path | str, ids: Sequence[str], *, allow_partial: bool = False) -> Summary:
    """Check a zip of the LSUN 2017 SALICON challenge.

    Checks the archive, the checksum of every member, the names (exactly the ids + .png, once each, at the root), and
    that each member is an 8-bit grey PNG of 640 x 480.

    Args:
        path: of the zip.
        ids: of the split's images.
        allow_partial: images may be missing, but not all of them.

    Raises:
        SubmissionProblem: lists the first problems and says how many there are.
    """
    try:
        with open(path, "rb") as file:
            blank, size = _validate(file, path, ids, allow_partial=allow_partial)
            with zipfile.ZipFile(file) as archive:
                return Summary(Path(path), len(archive.namelist()), size, blank)
    except FileNotFoundError as error:
        raise SubmissionProblem(f"{path}: no such file") from error


def _check_possible(method: SaliencyMethod, samples: Sequence[Sample]) -> None:
    if method.sees_fixations:
        raise SubmissionProblem(f"{method.label}: needs the fixations of the images, so it cannot submit")
    other = [s for s in samples if tuple(s.size) != LSUN17_SIZE]
    if other:
        raise SubmissionProblem(
            f"lsun17 is the format of SALICON, whose images are 640 x 480; got {len(other)} of {len(samples)} images "
            f"of another size, the first {other[0].id} of {other[0].size[1]} x {other[0].size[0]}"
        )
    odd = [s.id for s in samples if "/" in s.id or "\\" in s.id]
    if odd:
        raise SubmissionProblem(f"expected ids that are plain file names, got {len(odd)} others such as {odd[0]!r}")


def _png(method: SaliencyMethod) -> Callable[[Sample, np.ndarray], bytes]:
    """A function from a sample and its prediction to the bytes of the PNG."""

    def encode(sample: Sample, prediction: np.ndarray) -> bytes:
        prepared = PROTOCOLS["lsun17"].prepare(prediction, method.output, sample.size)
        buffer = io.BytesIO()
        Image.fromarray(prepared.point_map.astype(np.uint8)).save(buffer, "PNG")
        return buffer.getvalue()

    return encode


def _member(name: str) -> zipfile.ZipInfo:
    """A zip entry that does not depend on the clock, the user or the operating system."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # Unix, as the permissions below are
    info.external_attr = 0o644 << 16
    return info


def _validate(
    file: IO[bytes], path: Path | str, ids: Sequence[str], *, allow_partial: bool
) -> tuple[tuple[str, ...], int]:
    """(names of blank maps, size in bytes) of a valid zip."""
    try:
        with zipfile.ZipFile(file) as archive:
            members, expected = archive.infolist(), {f"{id}.png" for id in ids}
            problems = _name_problems([m.filename for m in members], expected, allow_partial)
            blank = []
            for info in (m for m in members if m.filename in expected):
                problem, is_blank = _map_problem(archive, info)
                if problem:
                    problems.append(f"{info.filename}: {problem}")
                if is_blank:
                    blank.append(info.filename)
    except zipfile.BadZipFile as error:
        raise SubmissionProblem(f"{path}: expected a zip archive: {error}") from error
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise SubmissionProblem(f"{path}: {'; '.join(problems[:_SHOWN])}{more}")
    if blank:
        log.warning("%s: %d of %d maps are zero everywhere, such as %s", path, len(blank), len(members), blank[0])
    return tuple(blank), file.seek(0, io.SEEK_END)


def _name_problems(names: Sequence[str], expected: set[str], allow_partial: bool) -> list[str]:
    problems = []
    if not names:
        problems.append("expected maps, found none")
    missing = sorted(expected - set(names))
    if missing and not allow_partial:
        problems.append(f"{len(missing)} of {len(expected)} maps are missing, such as {missing[0]}")
    problems += [f"{name}: {times} times" for name, times in Counter(names).items() if times > 1]
    nested = [name for name in names if "/" in name]
    problems += [f"{name}: expected all files at the root, without folders" for name in nested]
    extra = sorted(set(names) - expected - set(nested))
    problems += [f"{name}: not an image of this split with .png" for name in extra]
    return problems


def _map_problem(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[str | None, bool]:
    """(what is wrong with one member or None, whether its map is zero everywhere)."""
    if info.file_size > _MAX_MEMBER:
        return f"unpacks to {info.file_size} bytes, more than a grey PNG of 640 x 480 can have", False
    try:
        content = archive.read(info)  # checks the CRC, as ZipFile.testzip does
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, zlib.error) as error:
        return f"cannot be unpacked: {error}", False
    try:
        with Image.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.mode != "L" or image.size != LSUN17_SIZE[::-1]:
                width, height = image.size
                return f"expected 8-bit grey (L) 640 x 480, got {image.mode} {width} x {height}", False
            return None, not np.asarray(image).any()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"expected a readable PNG: {error}", False
