"""What every format says about itself, and checks that formats share."""

import base64
import io
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from salbench.protocol import PROTOCOLS
from salbench.registry import SaliencyMethod
from salbench.sample import Sample

SALICON_SIZE = (480, 640)  # height, width of every SALICON image and map


class SubmissionProblem(ValueError):
    """A file that cannot be written. The message lists the first faults."""


@dataclass
class Report:
    """What a check of a file found.

    Attributes:
        images: number of maps that belong to images of the split.
        faults: one sentence each.
        remarks: what is allowed but may be a mistake.
    """

    images: int = 0
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)


Add = Callable[[Sample, Any], None]


@dataclass(frozen=True)
class Format:
    """One format of challenge files.

    Attributes:
        name: as on the command line.
        suffix: of the file, such as ".zip".
        summary: one line.
        require: raises `SubmissionProblem` if the format cannot hold this method's maps of these samples.
        encode: from a method, a sample and its prediction to what is stored; called by the workers.
        writer: from a path, the method and all samples to a context, within which its function stores a sample's map.
        check: every fault of a file; the last argument says whether maps may be missing.
    """

    name: str
    suffix: str
    summary: str
    require: Callable[[SaliencyMethod, Sequence[Sample]], None]
    encode: Callable[[SaliencyMethod, Sample, np.ndarray], Any]
    writer: Callable[[Path, SaliencyMethod, Sequence[Sample]], AbstractContextManager[Add]]
    check: Callable[[Path, Sequence[Sample], bool], Report]


def name_faults(found: Sequence[Any], expected: Collection[Any], partial: bool) -> list[str]:
    """Faults of the set of maps: none at all, missing ones, and duplicates.

    Args:
        found: names of all maps, one per map.
        expected: names of the maps of the split.
        partial: maps may be missing.
    """
    faults = [] if found else ["expected maps, found none"]
    missing = sorted(set(expected) - set(found))
    if missing and not partial:
        faults.append(f"{len(missing)} of {len(expected)} maps are missing, such as {missing[0]}")
    return faults + [f"{name}: {times} times" for name, times in Counter(found).items() if times > 1]


def encode_grey(method: SaliencyMethod, sample: Sample, prediction: np.ndarray) -> bytes:
    """The PNG of a map as the protocol `lsun17` prepares and scores it."""
    prepared = PROTOCOLS["lsun17"].prepare(prediction, method.output, sample.size)
    buffer = io.BytesIO()
    Image.fromarray(prepared.point_map.array.astype(np.uint8)).save(buffer, "PNG")
    return buffer.getvalue()


def grey_fault(content: bytes, formats: tuple[str, ...] = ("PNG",)) -> tuple[str | None, bool]:
    """(what is wrong with the file of one picture or None, whether it is zero everywhere)."""
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            if image.mode != "L" or image.size != SALICON_SIZE[::-1]:
                width, height = image.size
                return f"expected 8-bit grey (L) 640 x 480, got {image.mode} {width} x {height}", False
            return None, not np.asarray(image).any()
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        return f"expected a readable {' or '.join(formats)}: {error}", False


def blank_remarks(blank: Sequence[Any], images: int) -> list[str]:
    """A remark on maps that are zero everywhere. They are allowed, but predict nothing."""
    return [f"{len(blank)} of {images} maps are zero everywhere, such as {blank[0]}"] if blank else []


def require_salicon(name: str, samples: Sequence[Sample]) -> None:
    """Raise `SubmissionProblem` unless all images have the size of SALICON's."""
    other = [s for s in samples if tuple(s.size) != SALICON_SIZE]
    if other:
        raise SubmissionProblem(
            f"{name} is a format of SALICON, whose images are 640 x 480; got {len(other)} of {len(samples)} images "
            f"of another size, the first {other[0].id} of {other[0].size[1]} x {other[0].size[0]}"
        )


def decode_base64(text: Any) -> bytes | None:
    """The bytes that a text stands for, or None."""
    try:
        return base64.b64decode(text, validate=True)
    except (ValueError, TypeError):
        return None
