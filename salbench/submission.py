"""Challenge files: predict a split, write the file, and validate what is on disk before it gets its name.

The one format is that of the SALICON challenge at LSUN 2017: a zip with one 8-bit grey PNG of 640 x 480 per image
of the split at its root, named after the image. Its server takes no more submissions (CodaLab disabled them at the
end of 2025). The file stays as the field's exchange format; scoring the validation split on one's own machine is
the primary use of this project.

Names, size and 8-bit scaling are those that AugSal's and UNISAL's published code write; files lie at the root because
CodaLab's scorers need them there. The organisers' own text of the rules was not to be found.
"""

import io
import logging
import zipfile
import zlib
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from PIL import Image
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from salbench.files import atomic_write
from salbench.protocol import PROTOCOLS
from salbench.registry import MethodUnavailable
from salbench.weights import WeightsProblem

log = logging.getLogger(__name__)

LSUN17_SIZE = (480, 640)  # height, width of every SALICON image and map
_MAX_MEMBER = 2**20  # bytes; a grey PNG of that size has at most 0.31 million, so more is something else
_SHOWN = 5  # problems that an error message lists


class SubmissionProblem(ValueError):
    """A submission that cannot be written, or a file that is not one; the message lists the first problems."""


@dataclass(frozen=True)
class Summary:
    """A valid submission; as text, one line about it.

    Attributes:
        path: of the file.
        images: number of maps in it.
        bytes: its size on disk.
        blank: names of maps that are zero everywhere: allowed, but nothing is predicted there.
        failed: id -> message of the images that were left out, which takes `allow_partial`.
    """

    path: Path
    images: int
    bytes: int
    blank: tuple[str, ...]
    failed: dict[str, str]

    def __str__(self):
        blank = f", {len(self.blank)} of them zero everywhere" if self.blank else ""
        failed = f"; PARTIAL, {len(self.failed)} images failed and were left out" if self.failed else ""
        return f"{self.path}: {self.images} maps, {self.bytes / 1e6:.1f} MB{blank}{failed}"


def write_lsun17(method, samples, path, *, workers, allow_partial=False, progress=True):
    """Predict `samples` and write the zip of the LSUN 2017 SALICON challenge.

    Maps are prepared as the protocol `lsun17` does and stored as the 8-bit values that it scores. The same maps give
    the same bytes. The file gets its name when it is complete and valid; on any error nothing is left behind.

    Args:
        method: a `SaliencyMethod`, already fitted where it fits at run; it sees blind samples only.
        samples: the split, in order; every image 480 x 640.
        path: of the zip; an existing file is replaced.
        workers: number of threads that predict.
        allow_partial: leave out images that fail, instead of stopping at the first.
        progress: show a progress bar on stderr.

    Returns:
        `Summary`.

    Raises:
        SubmissionProblem: images of another size, ids that are no file names, a method that needs fixations, an
            image that failed, or (with `allow_partial`) all of them.
        MethodUnavailable: the method says what it lacks. WeightsProblem: its weights cannot be used.
    """
    _check_possible(method, samples)
    failed, written = {}, []
    pool = ThreadPoolExecutor(workers)
    try:
        with atomic_write(path, "w+b") as file, threadpool_limits(1, user_api="blas"):
            results = _in_order(pool, lambda sample: _png(method, sample), samples, 2 * workers)
            bar = tqdm(results, total=len(samples), desc=method.label, unit="image", disable=not progress)
            with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:  # a PNG is compressed already
                for id, png, error in bar:
                    if error is None:
                        archive.writestr(_member(f"{id}.png"), png)
                        written.append(id)
                    elif allow_partial:
                        failed[id] = f"{type(error).__name__}: {error}"
                    else:
                        raise SubmissionProblem(
                            f"{id}: {type(error).__name__}: {error}. Nothing was written; "
                            "a submission without the images that fail takes allow_partial"
                        ) from error
            summary = _validate(file, path, written, allow_partial=False)
    finally:
        pool.shutdown(cancel_futures=True)
    if failed:
        log.warning("%s: left out %d of %d images, such as %s", path, len(failed), len(samples), next(iter(failed)))
    return replace(summary, failed=failed)


def validate_lsun17(path, ids, *, allow_partial=False):
    """Check a zip of the LSUN 2017 SALICON challenge: what is wrong with it, before anybody relies on it.

    Checked: the archive and every member's checksum, names (exactly the stems of the split + .png, once each, at the
    root), each a PNG, 8-bit grey, 640 x 480.

    Args:
        path: of the zip.
        ids: of the split's images.
        allow_partial: images may be missing, but not all of them.

    Returns:
        `Summary`.

    Raises:
        SubmissionProblem: listing the first few problems and the number of all.
    """
    try:
        with open(path, "rb") as file:
            return _validate(file, path, ids, allow_partial=allow_partial)
    except FileNotFoundError as error:
        raise SubmissionProblem(f"{path}: no such file") from error


def _check_possible(method, samples):
    if method.sees_fixations:
        raise SubmissionProblem(f"{method.label}: needs the fixations of the images it predicts, so it cannot submit")
    other = [s for s in samples if tuple(s.size) != LSUN17_SIZE]
    if other:
        raise SubmissionProblem(
            f"lsun17 is the format of SALICON, whose images are 640 x 480; got {len(other)} of {len(samples)} images "
            f"of another size, the first {other[0].id} of {other[0].size[1]} x {other[0].size[0]}"
        )
    odd = [s.id for s in samples if "/" in s.id or "\\" in s.id]
    if odd:
        raise SubmissionProblem(f"expected ids that are plain file names, got {len(odd)} others such as {odd[0]!r}")


def _png(method, sample):
    """(id, PNG bytes, None) of one image, or (id, None, error)."""
    try:
        prepared = PROTOCOLS["lsun17"].prepare(method.predict(sample.blind()), method.output, sample.size)
        buffer = io.BytesIO()
        Image.fromarray(prepared.point_map.astype(np.uint8)).save(buffer, "PNG")
        return sample.id, buffer.getvalue(), None
    except (MethodUnavailable, WeightsProblem, MemoryError):
        raise
    except Exception as error:
        log.debug("%s", sample.id, exc_info=True)
        return sample.id, None, error


def _in_order(pool, work, items, window):
    """Results of `work` over `items` in their order, with at most `window` items begun and not yet taken."""
    running = deque()
    for item in items:
        if len(running) == window:
            yield running.popleft().result()
        running.append(pool.submit(work, item))
    while running:
        yield running.popleft().result()


def _member(name):
    """A zip entry that does not depend on the clock, the user or the operating system."""
    info = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
    info.create_system = 3  # Unix, as the permissions below are
    info.external_attr = 0o644 << 16
    return info


def _validate(file, path, ids, *, allow_partial):
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
        raise SubmissionProblem(f"{path}: expected a zip archive, got a file that is none: {error}") from error
    if problems:
        more = f"; and {len(problems) - _SHOWN} more" if len(problems) > _SHOWN else ""
        raise SubmissionProblem(f"{path}: {'; '.join(problems[:_SHOWN])}{more}")
    if blank:
        log.warning("%s: %d of %d maps are zero everywhere, such as %s", path, len(blank), len(members), blank[0])
    return Summary(Path(path), len(members), file.seek(0, io.SEEK_END), tuple(blank), {})


def _name_problems(names, expected, allow_partial):
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
    problems += [f"{name}: is no image of this split with .png" for name in extra]
    return problems


def _map_problem(archive, info):
    """(what is wrong with one member or None, whether it is a map of zeros)."""
    if info.file_size > _MAX_MEMBER:
        return f"unpacks to {info.file_size} bytes, more than any grey PNG of 640 x 480", False
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


FORMATS = {"lsun17": write_lsun17}  # name on the command line -> writer
