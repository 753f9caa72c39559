"""The SALICON challenge of LSUN 2015: a zip with fixations_SPLIT_NAME_results.json, SPLIT such as val2014.

The JSON is a list of objects with `image_id`, COCO's number of the image, and `saliency_map`, its 8-bit grey PNG of
640 x 480 in base64, as in the example of results in the authors' evaluation code (NUS-VIP/salicon-evaluation).
"""

import base64
import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from salbench.registry import SaliencyMethod
from salbench.sample import Sample
from salbench.submission._format import (
    Add,
    Format,
    Report,
    SubmissionProblem,
    blank_remarks,
    decode_base64,
    encode_grey,
    grey_fault,
    name_faults,
    require_salicon,
)
from salbench.submission.lsun17 import member

_ID = re.compile(r"COCO_(?P<split>[a-z]+\d{4})_(?P<number>\d{12})")
_KEYS = {"image_id", "saliency_map"}
_MAX_BYTES = 2**21  # per image, of JSON


def _require(method: SaliencyMethod, samples: Sequence[Sample]) -> None:
    require_salicon("lsun15", samples)
    _numbers(samples)


def _numbers(samples: Sequence[Sample]) -> list[int]:
    """COCO's numbers of the images."""
    matches = [_ID.fullmatch(sample.id) for sample in samples]
    odd = [sample.id for sample, match in zip(samples, matches, strict=True) if not match]
    if odd:
        raise SubmissionProblem(
            f"lsun15 numbers images as COCO does: expected ids such as COCO_val2014_000000000042, got {odd[0]!r}"
        )
    return [int(match["number"]) for match in matches if match]


def _prefix(samples: Sequence[Sample]) -> str:
    match = _ID.fullmatch(samples[0].id)
    return f"fixations_{match['split'] if match else ''}_"


def _encode(method: SaliencyMethod, sample: Sample, prediction: np.ndarray) -> str:
    text = base64.b64encode(encode_grey(method, sample, prediction)).decode()
    return json.dumps({"image_id": _numbers([sample])[0], "saliency_map": text})


@contextmanager
def _writer(path: Path, method: SaliencyMethod, samples: Sequence[Sample]) -> Iterator[Add]:
    info = member(f"{_prefix(samples)}{method.label}_results.json")
    info.compress_type = zipfile.ZIP_DEFLATED
    separator = "["
    with zipfile.ZipFile(path, "w") as archive, archive.open(info, "w", force_zip64=True) as file:

        def add(sample: Sample, text: str) -> None:
            nonlocal separator
            file.write(f"{separator}{text}".encode())
            separator = ",\n"

        yield add
        file.write(b"]\n" if separator != "[" else b"[]\n")


def _check(path: Path, samples: Sequence[Sample], partial: bool) -> Report:
    report, numbers = Report(), set(_numbers(samples))
    try:
        entries = json.loads(_content(path, _prefix(samples), len(samples)))
        if not isinstance(entries, list):
            raise SubmissionProblem(f"expected a list of results, got {type(entries).__name__}")
    except SubmissionProblem as problem:
        report.faults.append(str(problem))
        return report
    except (ValueError, RecursionError) as error:
        report.faults.append(f"expected JSON: {error}")
        return report
    wrong = [number for number, entry in enumerate(entries, 1) if not _is_result(entry)]
    if wrong:
        report.faults.append(
            f"{len(wrong)} of {len(entries)} results, the first is number {wrong[0]}: expected only image_id, a whole "
            "number, and saliency_map"
        )
    good = [entry for entry in entries if _is_result(entry)]
    found = [entry["image_id"] for entry in good]
    report.faults += name_faults(found, numbers, partial)
    report.faults += [f"{n}: not the number of an image of this split" for n in sorted(set(found) - numbers)]
    _check_maps([entry for entry in good if entry["image_id"] in numbers], report)
    return report


def _is_result(entry: Any) -> bool:
    return isinstance(entry, dict) and set(entry) == _KEYS and type(entry["image_id"]) is int


def _content(path: Path, prefix: str, images: int) -> bytes:
    """The JSON in a zip, or of a file that is JSON itself."""
    if not zipfile.is_zipfile(path):
        content = path.read_bytes()
        if not content.lstrip().startswith((b"[", b"{")):
            raise SubmissionProblem("expected a zip with a JSON file, or the JSON file, got a file that is neither")
        return content
    with zipfile.ZipFile(path) as archive:
        names = [n for n in archive.namelist() if n.startswith(prefix) and n.endswith("_results.json")]
        if len(names) != 1:
            raise SubmissionProblem(
                f"expected one file {prefix}NAME_results.json at the root of the zip, found "
                f"{', '.join(names) or 'none'} among {len(archive.namelist())} files"
            )
        if archive.getinfo(names[0]).file_size > images * _MAX_BYTES:
            raise SubmissionProblem(f"{names[0]}: unpacks to more than {images} maps of 640 x 480 can have")
        try:
            return archive.read(names[0])
        except (zipfile.BadZipFile, EOFError, OSError, RuntimeError, NotImplementedError, zlib.error) as error:
            raise SubmissionProblem(f"{names[0]}: cannot be unpacked: {error}") from error


def _check_maps(entries: Sequence[dict[str, Any]], report: Report) -> None:
    blank: list[int] = []
    fault: str | None
    for entry in entries:
        content = decode_base64(entry["saliency_map"])
        fault, is_blank = "expected a picture in base64", False
        if content is not None:
            fault, is_blank = grey_fault(content, ("PNG", "JPEG"))
        report.faults += [f"{entry['image_id']}: {fault}"] if fault else []
        blank += [entry["image_id"]] if is_blank else []
        report.images += 1
    report.remarks += blank_remarks(blank, report.images)


FORMAT = Format(
    "lsun15",
    ".zip",
    "SALICON challenge of LSUN 2015: a zip with a JSON list of pictures in base64",
    _require,
    _encode,
    _writer,
    _check,
)
