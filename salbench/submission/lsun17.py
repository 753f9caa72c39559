"""The SALICON challenge of LSUN 2017: a zip with one 8-bit grey PNG of 640 x 480 per image at its root.

Names, size and 8-bit scaling follow the published code of AugSal and UNISAL. Files are at the root because CodaLab's
scorers expect them there. The organisers' own rules could not be found.
"""

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from salbench.registry import SaliencyMethod
from salbench.sample import Sample
from salbench.submission._format import (
    Add,
    Format,
    Report,
    SubmissionProblem,
    blank_remarks,
    encode_grey,
    grey_fault,
    name_faults,
    require_salicon,
)

_MAX_MEMBER = 2**20  # bytes; a grey PNG of that size has at most 0.31 million


def _require(method: SaliencyMethod, samples: Sequence[Sample]) -> None:
    require_salicon("lsun17", samples)
    odd = [s.id for s in samples if "/" in s.id or "\\" in s.id]
    if odd:
        raise SubmissionProblem(f"expected ids that are plain file names, got {len(odd)} others such as {odd[0]!r}")


@contextmanager
def _writer(path: Path, method: SaliencyMethod, samples: Sequence[Sample]) -> Iterator[Add]:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:  # a PNG is compressed already
        yield lambda sample, content: archive.writestr(member(f"{sample.id}.png"), content)


def member(name: str) -> zipfile.ZipInfo:
    """A zip entry that does not depend on the clock, the user or the operating system."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # Unix, as the permissions below are
    info.external_attr = 0o644 << 16
    return info


def _check(path: Path, samples: Sequence[Sample], partial: bool) -> Report:
    report, expected, blank = Report(), {f"{sample.id}.png" for sample in samples}, []
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist()]
            report.faults += name_faults(names, expected, partial) + _place_faults(names, expected)
            for info in (info for info in archive.infolist() if info.filename in expected):
                fault, is_blank = _fault(archive, info)
                report.faults += [f"{info.filename}: {fault}"] if fault else []
                blank += [info.filename] if is_blank else []
                report.images += 1
    except zipfile.BadZipFile as error:
        report.faults.append(f"expected a zip archive: {error}")
    report.remarks += blank_remarks(blank, report.images)
    return report


def _place_faults(names: Sequence[str], expected: set[str]) -> list[str]:
    nested = [name for name in names if "/" in name]
    extra = sorted(set(names) - expected - set(nested))
    return [f"{name}: expected all files at the root, without folders" for name in nested] + [
        f"{name}: not an image of this split with .png" for name in extra
    ]


def _fault(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> tuple[str | None, bool]:
    """(what is wrong with one member or None, whether its map is zero everywhere)."""
    if info.file_size > _MAX_MEMBER:
        return f"unpacks to {info.file_size} bytes, more than a grey PNG of 640 x 480 can have", False
    try:
        content = archive.read(info)  # checks the CRC, as ZipFile.testzip does
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, zlib.error) as error:
        return f"cannot be unpacked: {error}", False
    return grey_fault(content)


FORMAT = Format(
    "lsun17",
    ".zip",
    "SALICON challenge of LSUN 2017: a zip with a grey PNG per image",
    _require,
    encode_grey,
    _writer,
    _check,
)
