"""Predict where people look in pictures: for each, a map, an overlay and a summary of the attention.

The summary (JSON) is written first and the map last, each whole or not at all. So a picture is finished if all three
are there, and a run that is killed loses the pictures in progress and nothing else.
"""

import csv
import json
import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import IO, Any, NamedTuple

import numpy as np
from PIL import Image

from salbench.attention_summary import check_regions, summarise
from salbench.code_hash import definition_hash
from salbench.files import hash_bytes, hash_file, image_size, read_image
from salbench.identity import Identity
from salbench.maps import to_density
from salbench.named_regions import Box, NamedRegions, facts, read_shapes
from salbench.overlay import draw_overlay
from salbench.pictures import Picture
from salbench.prediction import RunStopped, predict_stream
from salbench.progress import Bar
from salbench.protocol import PROTOCOLS
from salbench.provenance import provenance
from salbench.redaction import without_folders
from salbench.registry import MethodUnavailable, SaliencyMethod
from salbench.sample import Sample
from salbench.writing import atomic_write

log = logging.getLogger(__name__)

FORMATS = ("png", "npy")
TABLE = "predictions.csv"
_PROTOCOL = PROTOCOLS["tuebingen"]  # resizes bilinearly and does not change the values of a prediction
_WHITE = 2**16 - 1
_JPEG_QUALITY = 92
_OTHER_OUT = "choose another --out"
_REMEDY = f"{_OTHER_OUT}, or replace it with --overwrite"
_FIRST_COLUMNS = ("picture", "method", "height", "width", "x", "y", "share")
_CODE = (
    "salbench.attention_summary.summarise", "salbench.overlay.draw_overlay", "salbench.predict_pictures.density_of",
    "salbench.predict_pictures.map_of",
)  # fmt: skip
_DENSITIES = {
    "map": "the method's map, divided by its sum (from zero, or from its minimum if that is negative)",
    "density": "predicted by the method",
    "log_density": "predicted by the method",
}


class PicturesProblem(ValueError):
    """Outputs that cannot be written: others are in their place, or the options contradict each other."""


@dataclass(frozen=True)
class Wanted:
    """What is written for each picture.

    Attributes:
        format: "png" for a 16-bit grey map, "npy" for float values.
        density: write the density, which sums to one, instead of the map, whose peak is one. Needs "npy".
        size: (height, width) of the map; None for that of the picture. Overlay and summary do not depend on it.
        grid: (rows, columns) of the cells whose shares of the attention are measured.
        regions: named regions whose shares are measured.

    Raises:
        PicturesProblem: an unknown format, or a density as PNG.
    """

    format: str = "png"
    density: bool = False
    size: tuple[int, int] | None = None
    grid: tuple[int, int] = (3, 3)
    regions: NamedRegions | None = None

    def __post_init__(self) -> None:
        if self.format not in FORMATS:
            raise PicturesProblem(f"format: expected one of {', '.join(FORMATS)}, got {self.format!r}")
        if self.density and self.format == "png":
            raise PicturesProblem(
                "a density needs the format npy, because the whole grey levels of a PNG cannot sum to one; got png"
            )


@dataclass
class Predicted:
    """What became of the pictures.

    Attributes:
        summaries: {name: content of its JSON file} of the finished pictures.
        kept: number of them that an earlier run had finished.
        failures: {name: why it failed}.
    """

    summaries: dict[str, dict[str, Any]] = field(default_factory=dict)
    kept: int = 0
    failures: dict[str, str] = field(default_factory=dict)


def check_can_predict(method: SaliencyMethod) -> None:
    """Raise `MethodUnavailable` if a method needs fixations, on these pictures or on others."""
    if method.fits_at_run or method.sees_fixations:
        raise MethodUnavailable(f"{method.label}: needs fixations, which pictures alone do not have; choose another")


def map_of(prediction: np.ndarray, output: str, size: tuple[int, int]) -> np.ndarray:
    """A method's prediction as a map: float32 (height, width), from zero to a peak of one.

    Args:
        prediction: what `SaliencyMethod.predict` returns.
        output: the method's `output`. A log density is exponentiated.
        size: (height, width) to resize to.
    """
    resized = _PROTOCOL.prepare(prediction, output, size).point_map.array.astype(np.float64)
    resized -= min(resized.min(), 0.0)
    return (resized / (resized.max() or 1.0)).astype(np.float32)


def density_of(prediction: np.ndarray, output: str, size: tuple[int, int]) -> np.ndarray:
    """A method's prediction as a density: float64 (height, width), >= 0, summing to one. Arguments as for `map_of`.

    The values of a map are divided by their sum; see `salbench.maps.to_density`.
    """
    return to_density(_PROTOCOL.prepare(prediction, output, size).point_map.array)


def predict_pictures(
    method: SaliencyMethod,
    pictures: Sequence[Picture],
    out: Path | str,
    wanted: Wanted | None = None,
    *,
    overwrite: bool = False,
) -> Predicted:
    """Write NAME.png or NAME.npy, NAME_overlay.jpg and NAME.json for each picture, and one table for all of them.

    Pictures that an earlier run has finished with the same settings are kept. A picture that cannot be read or
    predicted fails; the others go on.

    Args:
        method: its runtime names the workers and the batch size, and says whether to show progress.
        pictures: from `salbench.pictures.find_pictures`.
        out: folder of the outputs.
        wanted: the outputs; by default those of `Wanted`.
        overwrite: replace files of other settings or of unknown origin instead of refusing.

    Raises:
        MethodUnavailable: the method needs fixations, or lacks something.
        PicturesProblem: files of other settings or of unknown origin are in the way; or an output is one of the
            pictures. Nothing has been written.
    """
    check_can_predict(method)
    wanted = wanted or Wanted()
    run = _Run(method, Path(out), wanted, _settings(method, wanted))
    run.check_names(pictures)
    run.check_nothing_in_the_way(pictures, overwrite)
    predicted, samples = run.plan(pictures, overwrite)
    by_name = {picture.name: picture for picture in pictures}
    outcomes = predict_stream(method, samples, method.runtime, lambda sample, found: run.write(by_name, sample, found))
    total = len(samples) + predicted.kept
    bar = Bar(method.label, total, done=predicted.kept, unit="picture", shown=method.runtime.progress and total > 1)
    with bar, closing(outcomes):
        for outcome in outcomes:
            if outcome.error is not None:
                predicted.failures[outcome.sample.id] = outcome.error
            else:
                predicted.summaries[outcome.sample.id] = outcome.value
            bar.advance(failed=outcome.error is not None)
    _write_table(predicted, by_name, run.out / TABLE)
    return predicted


class _Files(NamedTuple):
    """The outputs of a picture."""

    summary: Path
    overlay: Path
    map: Path


@dataclass(frozen=True)
class _Run:
    """A method, and what it writes where. `settings` are the part of the identity that all pictures share."""

    method: SaliencyMethod
    out: Path
    wanted: Wanted
    settings: Mapping[str, Any]

    def files(self, name: str) -> _Files:
        return _Files(*(self.out / f"{name}{end}" for end in (".json", "_overlay.jpg", f".{self.wanted.format}")))

    def check_names(self, pictures: Sequence[Picture]) -> None:
        """Compare the pictures that the file of regions names with those that were given."""
        if self.wanted.regions is None or not self.wanted.regions.of_picture:
            return
        given = {name: None for picture in pictures for name in _names(picture)}
        unknown = [name for name in self.wanted.regions.of_picture if name not in given]
        place = self.wanted.regions.path
        if len(unknown) == len(self.wanted.regions.of_picture):
            example = list(given)[-1] if given else "dog.jpg"
            raise PicturesProblem(f"{place}: expected names of pictures such as {example!r}, got {unknown[0]!r}")
        if unknown:
            log.warning("%s: names %d pictures that were not given, such as %r", place, len(unknown), unknown[0])

    def check_nothing_in_the_way(self, pictures: Sequence[Picture], overwrite: bool) -> None:
        if self.out.exists() and not self.out.is_dir():
            raise PicturesProblem(f"{self.out}: expected a folder for the predictions, found a file; {_OTHER_OUT}")
        inputs = {os.path.realpath(picture.path) for picture in pictures}
        for picture in pictures:
            clash = [path for path in self.files(picture.name) if os.path.realpath(path) in inputs]
            if clash:
                raise PicturesProblem(f"{clash[0]}: an output would replace this picture; {_OTHER_OUT}")
        table = self.out / TABLE
        if table.exists() and not overwrite and not table.read_bytes().startswith(",".join(_FIRST_COLUMNS).encode()):
            raise PicturesProblem(f"{table}: not a table of predictions; {_REMEDY}")

    def plan(self, pictures: Sequence[Picture], overwrite: bool) -> tuple[Predicted, list[Sample]]:
        """What is finished or has failed already, and samples of the other pictures."""
        predicted, todo = Predicted(), []
        for picture in pictures:
            try:
                size = image_size(picture.path)
                check_regions(read_shapes(self.regions(picture)), size)
            except (ValueError, OSError) as error:
                predicted.failures[picture.name] = str(error)
                continue
            summary = self.finished(picture, overwrite)
            if summary is None:
                todo.append(Sample(picture.name, size, partial(read_image, picture.path)))
            else:
                predicted.summaries[picture.name] = summary
        predicted.kept = len(predicted.summaries)
        return predicted, todo

    def regions(self, picture: Picture) -> dict[str, Box | Path]:
        return {} if self.wanted.regions is None else self.wanted.regions.of(*_names(picture))

    def finished(self, picture: Picture, overwrite: bool) -> dict[str, Any] | None:
        """The summary of a picture whose outputs are all there; None if it must be predicted."""
        files = self.files(picture.name)
        there = [path for path in files if path.exists()]
        summary = _read_summary(files.summary)
        if not overwrite and there and summary is None:
            raise PicturesProblem(f"{there[0]}: not a prediction, because its .json is not beside it; {_REMEDY}")
        if summary is None:
            return None
        identity, found = self.identity(picture), Identity(summary["identity"])
        if not overwrite:
            identity.require_same(found, files.summary, _REMEDY.capitalize(), PicturesProblem)
        return summary if identity == found and len(there) == len(files) else None

    def identity(self, picture: Picture) -> Identity:
        regions = facts(self.regions(picture))
        return Identity({**self.settings, "inputs": hash_file(picture.path), "regions": regions})

    def write(self, pictures: Mapping[str, Picture], sample: Sample, prediction: np.ndarray) -> dict[str, Any]:
        """Write the outputs of a picture; returns its summary."""
        picture, files, output = pictures[sample.id], self.files(sample.id), self.method.output
        density = density_of(prediction, output, sample.size)
        overlay = draw_overlay(sample.image, density)
        size = self.wanted.size or sample.size
        written = (density_of if self.wanted.density else map_of)(prediction, output, size)
        text = json.dumps(self.summary(picture, files, density, size), indent=1)
        try:
            self._remove(files)
            with atomic_write(files.summary) as file:
                file.write(text)
            with atomic_write(files.overlay, "wb") as file:
                Image.fromarray(overlay).save(file, "JPEG", quality=_JPEG_QUALITY)
            with atomic_write(files.map, "wb") as file:
                _save_map(written, file, self.wanted.format)
        except OSError as error:
            raise RunStopped(error.errno, f"cannot write predictions ({error.strerror})", str(files.map)) from error
        return json.loads(text)

    def summary(
        self, picture: Picture, files: _Files, density: np.ndarray, map_size: tuple[int, int]
    ) -> dict[str, Any]:
        """The content of a picture's JSON file."""
        return {
            "picture": _names(picture)[1],
            "size": density.shape,
            "map": {"file": files.map.name, "size": map_size},
            "overlay": files.overlay.name,
            "density": _DENSITIES[self.method.output],
            **summarise(density, grid=self.wanted.grid, regions=read_shapes(self.regions(picture))),
            "notes": self.method.notes(),
            "identity": self.identity(picture).facts,
            "provenance": provenance(),
        }

    def _remove(self, files: _Files) -> None:
        """Remove what will be replaced, so that no old map stands beside a new summary."""
        old = _read_summary(files.summary)
        stale = [] if old is None else [files.map.with_name(old["map"]["file"])]
        for path in [files.map, files.overlay, *stale]:
            path.unlink(missing_ok=True)


def _settings(method: SaliencyMethod, wanted: Wanted) -> dict[str, Any]:
    return {
        "method": method.label,
        "code": hash_bytes(method.code_hash(), definition_hash(*_CODE)),
        "weights": method.weights_hash(),
        "format": wanted.format,
        "density": wanted.density,
        "size": wanted.size,
        "grid": wanted.grid,
    }


def _names(picture: Picture) -> tuple[str, str]:
    """What a file of regions may call a picture: its name without and with suffix."""
    suffix = picture.path.suffix
    return picture.name, picture.name.removesuffix(suffix) + suffix


def _read_summary(path: Path) -> dict[str, Any] | None:
    """The content of a picture's JSON file; None if it is missing or something else."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        return found if {"identity", "map", "points"} <= found.keys() else None
    except (FileNotFoundError, ValueError, AttributeError):
        return None


def _save_map(values: np.ndarray, file: IO[bytes], format: str) -> None:
    if format == "npy":
        np.save(file, values)
    else:
        Image.fromarray(np.round(values * _WHITE).astype(np.uint16)).save(file, "PNG")


def _write_table(predicted: Predicted, names: Iterable[str], path: Path) -> None:
    rows = [_row(name, predicted) for name in names]
    columns = dict.fromkeys((*_FIRST_COLUMNS, *(column for row in rows for column in row)))
    with atomic_write(path) as file:
        writer = csv.DictWriter(file, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _row(name: str, predicted: Predicted) -> dict[str, Any]:
    if name in predicted.failures:
        return {"picture": name, "error": without_folders(predicted.failures[name])}
    summary = predicted.summaries[name]
    height, width = summary["size"]
    cells = {
        f"grid {row} {column}": share
        for row, shares in enumerate(summary["grid"], 1)
        for column, share in enumerate(shares, 1)
    }
    regions = {f"region {region}": found["share"] for region, found in summary["regions"].items()}
    top = summary["points"][0] if summary["points"] else {}
    first = {"picture": name, "method": summary["identity"]["method"], "height": height, "width": width}
    return first | top | cells | regions
