"""Score the maps of an archive again, to show the claimed scores beside those of the maps."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from salbench import datasets
from salbench.datasets import Dataset, DatasetProblem
from salbench.files import FileProblem, read_map
from salbench.metrics import METRICS, Pair, measure
from salbench.protocol import PROTOCOLS, Others, Protocol
from salbench.result_archives._archive import Archive
from salbench.result_archives._runs import Run, some
from salbench.sample import Sample

SAME = 1e-6  # difference of two scores of one map; machines add up numbers in another order


@dataclass(frozen=True)
class Rescored:
    """A run whose maps were scored again.

    Attributes:
        name: DATASET/LABEL.
        claimed: {metric: mean} in the archive, over the images and metrics that have a value in both.
        recomputed: {metric: mean} of the maps over the same images.
        farthest: {metric: (image id, claimed, recomputed)} of the image that differs most.
        exact: whether the maps are what was scored. Maps of 8 bits are that only if the protocol scores maps of 8 bits.
    """

    name: str
    claimed: dict[str, float]
    recomputed: dict[str, float]
    farthest: dict[str, tuple[str, float, float]]
    exact: bool

    def faults(self) -> Iterator[str]:
        """A line for each metric whose scores are not those of the maps; nothing if the maps are not exact."""
        for metric, (id, claimed, recomputed) in self.farthest.items():
            if self.exact and abs(claimed - recomputed) > SAME:
                yield (
                    f"maps/{self.name}: {metric}: expected {self.recomputed[metric]:.6g}, computed from the maps, got "
                    f"{self.claimed[metric]:.6g}; image {id}: {recomputed:.6g} instead of {claimed:.6g}"
                )


def wrong_ids(run: Run, names: Mapping[str, str]) -> list[str]:
    """Faults of the names of a run's maps; {image id: name of its map}."""
    place = f"maps/{run.dataset}/{run.label}"
    missing = [id for id in run.ids if id not in names]
    extra = sorted(names.keys() - set(run.ids))
    faults = [f"{place}: expected a map of every image, got none of {some(missing)}"] if missing else []
    return faults + ([f"{place}: expected maps of scored images only, got {some(extra)}"] if extra else [])


def score_again(archive: Archive, run: Run, names: Mapping[str, str], root: Path | str | None) -> Rescored | str | None:
    """Score the maps of a run.

    Args:
        archive: that holds the maps.
        run: without faults.
        names: {image id: name of its map}, of all images.
        root: folder of the data sets.

    Returns:
        The scores; a remark if they cannot be computed here; None, and faults of the archive, if a map is unreadable.
    """
    protocol, dataset = PROTOCOLS.get(run.result.identity["protocol"]), _dataset(run, root)
    place = f"maps/{run.dataset}/{run.label}: not scored again"
    if isinstance(dataset, str):
        return f"{place}: {dataset}"
    if protocol is None or protocol.version != run.result.identity["protocol_version"]:
        return f"{place}: expected a protocol of this version of salbench, got {run.result.protocol}"
    others, scores = Others(dataset.split or dataset.samples, protocol), []
    by_id = {sample.id: sample for sample in dataset.samples}
    before = len(archive.faults)
    for id in run.ids:
        try:
            scores.append(_score(archive, names[id], by_id[id], run, protocol, others))
        except (FileProblem, ValueError) as problem:
            archive.faults.append(str(problem))
    if len(archive.faults) > before:
        return None
    pictures = any(name.endswith(".png") for name in names.values())
    return _compared(run, np.array(scores), exact=protocol.quantised or not pictures)


def _dataset(run: Run, root: Path | str | None) -> Dataset | str:
    """The data set that was scored, or why it cannot be scored on here."""
    try:
        dataset = datasets.load(run.dataset, root)
    except DatasetProblem as problem:
        return str(problem)
    if dataset.fingerprint != run.result.identity["fingerprint"] or {s.id for s in dataset.samples} != set(run.ids):
        return f"{run.dataset} has another content here than the one that was scored"
    return dataset


def _score(archive: Archive, name: str, sample: Sample, run: Run, protocol: Protocol, others: Others) -> list[float]:
    content = archive.read(name)
    if content is None:
        raise FileProblem(f"{name}: expected a map, got a damaged member")
    map = read_map(content, name)
    output = run.result.output
    if name.endswith(".png"):  # a map as it was scored, after quantisation
        protocol, output = replace(protocol, quantised=False), "map"
    if map.shape != tuple(sample.size) and name.endswith(".png"):
        raise FileProblem(f"{name}: expected a map of {sample.size}, as --save-maps writes it, got {map.shape}")
    try:
        prepared = protocol.prepare(map, output, sample.size)
    except ValueError as problem:
        raise FileProblem(f"{name}: {problem}") from problem
    pair = Pair(prepared.point_map, prepared.density_map, **vars(protocol.truth(sample, others)))
    is_density = output != "map" or protocol.maps_as_densities
    return list(measure(pair, protocol.options, is_density=is_density).values())


def _compared(run: Run, scores: np.ndarray, *, exact: bool) -> Rescored:
    claimed, recomputed, farthest = {}, {}, {}
    for k, metric in enumerate(METRICS):
        both = np.isfinite(run.scores[:, k]) & np.isfinite(scores[:, k])
        if not both.any():
            continue
        claimed[metric], recomputed[metric] = float(run.scores[both, k].mean()), float(scores[both, k].mean())
        difference = np.where(both, np.abs(run.scores[:, k] - scores[:, k]), -1)
        at = int(difference.argmax())
        farthest[metric] = (run.ids[at], float(run.scores[at, k]), float(scores[at, k]))
    return Rescored(f"{run.dataset}/{run.label}", claimed, recomputed, farthest, exact)
