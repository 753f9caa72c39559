"""Check an archive, whoever wrote it: every fault in one pass."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from salbench.result_archives import _runs
from salbench.result_archives._archive import MAP, RESULT, Archive, opened
from salbench.result_archives._rescore import Rescored, score_again, wrong_ids
from salbench.result_archives._runs import Run


@dataclass(frozen=True)
class Report:
    """What is in an archive.

    Attributes:
        runs: the results without a fault.
        faults: everything that is wrong, a line each.
        remarks: what could not be checked, and why.
        rescored: the scores of maps in the archive, beside the claimed ones.
    """

    runs: list[Run] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)
    rescored: list[Rescored] = field(default_factory=list)


def check(path: Path | str, root: Path | str | None = None, *, maps: bool = True) -> Report:
    """Look for every fault of an archive: its members, its manifest, its results, its maps.

    Means and intervals are computed again from the scores of the images. Maps are scored again if their data set is on
    disk.

    Args:
        path: of the ZIP file.
        root: folder of the data sets; see `salbench.datasets.data_root`.
        maps: whether to score maps again, which takes milliseconds per map.

    Raises:
        ArchiveProblem: no such file, or no ZIP file.
    """
    with opened(path) as archive:
        report = Report(faults=archive.faults)
        maps_of = _maps(archive)
        for (dataset, label), kinds in _results(archive).items():
            run = _read(archive, dataset, label, kinds)
            own = maps_of.pop((dataset, label), {})
            if run is None:
                continue
            report.runs.append(run)
            intervals = _runs.other_intervals(run)
            if intervals:
                report.remarks.append(
                    f"results/{dataset}/{label}.json: intervals of {', '.join(intervals)}: this version of salbench "
                    "computes others from the CSV"
                )
            if own:
                _check_maps(archive, run, own, report, root, maps)
        for dataset, label in maps_of:
            archive.faults.append(f"maps/{dataset}/{label}: expected a result of these maps, found none")
        if not (report.runs or archive.faults):
            archive.faults.append("expected at least one result, found none")
    return report


def _results(archive: Archive) -> dict[tuple[str, str], set[str]]:
    """{(data set, label): endings that it has files of}."""
    found: dict[tuple[str, str], set[str]] = defaultdict(set)
    for match in filter(None, map(RESULT.fullmatch, archive.members)):
        found[match["dataset"], match["label"]].add(match["kind"])
    return dict(sorted(found.items()))


def _maps(archive: Archive) -> dict[tuple[str, str], dict[str, str]]:
    """{(data set, label): {image id: name of its map}}."""
    found: dict[tuple[str, str], dict[str, str]] = defaultdict(dict)
    for match in filter(None, map(MAP.fullmatch, archive.members)):
        own = found[match["dataset"], match["label"]]
        if match["id"] in own:
            archive.faults.append(f"{match[0]}: expected one map of this image, got {own[match['id']]} too")
        own[match["id"]] = match[0]
    return dict(found)


def _read(archive: Archive, dataset: str, label: str, kinds: set[str]) -> Run | None:
    """A result without a fault; otherwise None, and its faults."""
    name = f"results/{dataset}/{label}"
    if kinds != {"json", "csv"}:
        missing = ({"json", "csv"} - kinds).pop()
        archive.faults.append(f"{name}.{missing}: expected beside {name}.{kinds.pop()}, not in the archive")
        return None
    json, csv = archive.read(f"{name}.json"), archive.read(f"{name}.csv")
    if json is None or csv is None:
        return None
    run, faults = _runs.read(dataset, label, json, csv)
    archive.faults += faults
    return None if faults else run


def _check_maps(
    archive: Archive, run: Run, own: Mapping[str, str], report: Report, root: Path | str | None, wanted: bool
) -> None:
    """Compare the maps of a run with its images and with its scores."""
    faults = wrong_ids(run, own)
    archive.faults += faults
    if faults or not wanted:
        return
    found = score_again(archive, run, own, root)
    if isinstance(found, str):
        report.remarks.append(found)
    elif found is not None:
        report.rescored.append(found)
        archive.faults += found.faults()
