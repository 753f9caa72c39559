"""The images of a leaderboard: photographs, fixations, densities, saved maps, and what the scores are made of."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from salbench import datasets
from salbench.datasets import Dataset
from salbench.files import hash_bytes, hash_file, read_map
from salbench.progress import Bar
from salbench.protocol import PROTOCOLS, Others, Protocol, Truth
from salbench.report import explain
from salbench.report.boards import Board, numbers
from salbench.report.names import harmless
from salbench.report.provenance import without_limit
from salbench.report.site import Site
from salbench.runtime import Runtime
from salbench.sample import Sample

ALLOWED, ALL, NO = "allowed", "all", "none"
SHOWN = (ALLOWED, ALL, NO)  # whose pictures a site has: of data whose licence allows it, of all data, or of no data
_PHOTOGRAPH = {"longest": 800, "quality": 64}
_THUMBNAIL = {"longest": 200, "quality": 55}
_MAP = {"longest": 240, "quality": 70}
_CURVE = 40  # points of a drawn ROC curve
_FORMAT = "1"  # goes up when the content of the scripts changes


class NoPictures(ValueError):
    """The images of a leaderboard cannot be shown. The message says why and what to do."""


@dataclass(frozen=True)
class Album:
    """What the images of one leaderboard are made of.

    Attributes:
        board: the leaderboard.
        dataset: its data set.
        protocol: as it was scored.
        maps: {method: folder of its saved maps}.
    """

    board: Board
    dataset: Dataset
    protocol: Protocol
    maps: Mapping[str, Path]

    @property
    def folder(self) -> str:
        """Name of the folder of its pictures."""
        return harmless(self.dataset.name)


def open_album(
    board: Board, typed: Mapping[str, str], root: Path | str | None, maps: Path | str | None, shown: str
) -> Album:
    """Open the data set of a leaderboard and find the saved maps.

    Args:
        board: the leaderboard.
        typed: {name in results: name as typed}, for data sets that are folders.
        root: folder of the data sets.
        maps: folder that was given to `salbench run --save-maps`, or None.
        shown: one of `SHOWN`.

    Raises:
        NoPictures: they may not or cannot be shown.
    """
    if shown == NO:
        raise NoPictures("--pictures none was given.")
    try:
        dataset = _opened(board, typed, root)
    except datasets.DatasetProblem as problem:
        raise NoPictures(f"The data set was not found. {problem}") from problem
    if not (dataset.redistribute or shown == ALL):
        raise NoPictures(
            f"Its licence ({dataset.licence}) does not allow to pass them on. For private use, show them with "
            "--pictures all."
        )
    if dataset.fingerprint != board.first.identity["fingerprint"]:
        raise NoPictures("The data set on disk has other images or fixations than the one that was scored.")
    protocol = PROTOCOLS.get(board.protocol)
    if protocol is None or hash_bytes(repr(protocol)) != board.first.identity["choices"]:
        raise NoPictures(f"The results were made by another version of protocol {board.protocol}.")
    folders = {} if maps is None else {label: Path(maps) / board.dataset / label for label in board.methods}
    return Album(board, dataset, protocol, {label: path for label, path in folders.items() if path.is_dir()})


def _opened(board: Board, typed: Mapping[str, str], root: Path | str | None) -> Dataset:
    name, limit = without_limit(board.dataset)
    whole = name.partition("_partial")[0]
    if "+" in name and name not in typed:
        kind, _, label = name.partition("+")
        raise NoPictures(f"Say where the images are: --datasets {kind}:{label}=DIR")
    dataset = datasets.load(typed.get(name, whole), root)
    return dataset if limit is None else dataset.first(limit)


def write(album: Album, site: Site, runtime: Runtime) -> dict[str, Any]:
    """Write the pictures and a script for each image.

    Args:
        album: what they are made of.
        site: where they belong.
        runtime: number of threads, and whether there is a progress bar.

    Returns:
        For the script of the leaderboard: paths of "photographs" and "thumbnails" in the order of the images, "sizes"
        (height, width), and "mapped", the methods with saved maps.
    """
    samples = {sample.id: sample for sample in album.dataset.samples}
    ordered = [samples[id] for id in album.board.ids()]
    others = Others(list(map(_with_points, album.dataset.split or album.dataset.samples)), album.protocol)
    one = partial(_one, album, others, site)
    bar = Bar(album.board.slug, len(ordered), shown=runtime.progress)
    with bar, ThreadPoolExecutor(runtime.workers) as pool:
        found = []
        for record in pool.map(one, range(len(ordered)), ordered):
            found.append(record)
            bar.advance()
    return {
        "photographs": [record["photograph"] for record in found],
        "thumbnails": [record["thumbnail"] for record in found],
        "sizes": [list(sample.size) for sample in ordered],
        "mapped": [label for label in album.board.methods if label in album.maps],
    }


def _one(album: Album, others: Others, site: Site, number: int, sample: Sample) -> dict[str, Any]:
    """The record of an image; its script and pictures are written unless they exist."""
    sample, image = _with_points(sample), sample.image
    photograph = hash_bytes(image.tobytes(), repr(image.shape))
    maps = dict(_map_files(album, sample))
    made_of = [photograph, *(f"{label} {hash_file(path)}" for label, path in maps.items()), *_facts(album, sample)]
    key, name = hash_bytes(_FORMAT, *made_of), f"data/{album.board.slug}/{number}.js"
    old = _read(site.out / name, key)
    if old and site.pictures.keep(list(_paths(old))):
        site.keep(name)
        return old
    record = {"key": key, **_ground_truth(album, sample)}
    add = partial(site.pictures.add, album.folder)
    record["photograph"] = add(sample.id, [photograph], lambda: image, **_PHOTOGRAPH)
    record["thumbnail"] = add(sample.id, [photograph], lambda: image, **_THUMBNAIL)
    truth = album.protocol.truth(sample, others)
    of_density = hash_bytes(*_facts(album, sample))
    record["density"] = add(
        f"{sample.id}-density", [of_density], lambda: explain.heat(truth.density.array, _MAP["longest"]), **_MAP
    )
    explained = partial(_explained, album, sample, truth, of_density, add)
    record["maps"] = {label: explained(label, path) for label, path in maps.items()}
    site.script(name, f"salbench.images[{number}]", record)
    return record


def _with_points(sample: Sample) -> Sample:
    """The sample itself, or one with zero fixations if only its density is known."""
    return sample if sample.fixations is not None else replace(sample, fixations=np.empty((0, 2)), sigma=1.0)


def _map_files(album: Album, sample: Sample) -> Iterator[tuple[str, Path]]:
    for label, folder in album.maps.items():
        path = folder / f"{sample.id}.png"
        if path.is_file():
            yield label, path


def _facts(album: Album, sample: Sample) -> list[str]:
    """All that decides ground truth, beside the image."""
    density = "" if sample.read_density is None else hash_bytes(sample.read_density().tobytes())
    return [album.dataset.fingerprint, repr(album.protocol), sample.id, density]


def _read(path: Path, key: str) -> dict[str, Any] | None:
    """The record in the script of an earlier site, if it was made of the same."""
    if not path.is_file():
        return None
    text = path.read_text(encoding="utf-8").partition(" = ")[2].rstrip(";\n")
    try:
        record = json.loads(text)
    except ValueError:
        return None
    return record if record.get("key") == key else None


def _paths(record: Mapping[str, Any]) -> Iterator[str]:
    yield from (record["photograph"], record["thumbnail"], record["density"])
    for of_map in record["maps"].values():
        yield from (path for path in (of_map["map"], of_map["kl"]) if path)


def _ground_truth(album: Album, sample: Sample) -> dict[str, Any]:
    assert sample.fixations is not None
    return {
        "points": np.round(sample.fixations, 1).tolist(),
        "observers": None if sample.observers is None else np.asarray(sample.observers).tolist(),
        "order": None if sample.order is None else numbers(sample.order),
    }


def _explained(
    album: Album, sample: Sample, truth: Truth, of_density: str, add: Callable[..., str], label: str, path: Path
) -> dict[str, Any]:
    """What the scores of one saved map are made of."""
    values, of_map = read_map(path), hash_file(path)
    protocol, points = album.protocol, sample.fixations
    assert points is not None
    name = f"{sample.id}-{label}"
    picture = add(name, [of_map], lambda: explain.heat(values, _MAP["longest"]), **_MAP)
    kl = None
    if not truth.density.is_zero:
        kl = add(f"{name}-kl", [of_map, of_density], partial(_kl, protocol, values, truth, sample.size), **_MAP)
    found: dict[str, Any] = {"map": picture, "kl": kl, "nss": None, "ig": None, "roc": None}
    if len(points):
        ddof: Any = protocol.options.get("nss", {}).get("ddof", 0)
        found["nss"] = numbers(explain.nss_won(values, points, ddof), 3)
        found["roc"] = _thinned(*explain.roc(values, points))
        if album.board.result(label).metrics.get("ig") and not truth.baseline.is_zero:
            floor: Any = protocol.options.get("ig", {}).get("floor", "min")
            found["ig"] = numbers(explain.ig_won(values, truth.baseline.array, points, floor), 3)
    return found


def _kl(protocol: Protocol, values: np.ndarray, truth: Truth, size: tuple[int, int]) -> np.ndarray:
    prediction = protocol.prepare(values, "map", size).density_map.array
    eps: Any = protocol.options.get("kl", {}).get("eps", explain.EPS)
    return explain.paid(prediction, truth.density.array, _MAP["longest"], eps)


def _thinned(x: np.ndarray, y: np.ndarray) -> list[list[float]]:
    """A curve with fewer points, [x, y] each."""
    kept: Sequence[int] = np.unique(np.round(np.linspace(0, len(x) - 1, _CURVE)).astype(int)).tolist()
    return [[round(float(x[k]), 3), round(float(y[k]), 3)] for k in kept]
