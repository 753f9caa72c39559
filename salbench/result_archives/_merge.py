"""Merge archives: equal results once; results that disagree are shown and not merged."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from salbench import results
from salbench.archives import ArchiveProblem
from salbench.metrics import METRICS
from salbench.result_archives import _runs
from salbench.result_archives._check import check
from salbench.result_archives._rescore import SAME
from salbench.result_archives._runs import Run
from salbench.writing import atomic_write

_SHOWN = 5  # faults in a message
_FACTS = ("output", "ceiling", "gaze", "notes", "untrained", "n_seen", "dataset_notes", "left_out", "n_whole")


@dataclass(frozen=True)
class Merged:
    """What a merge did.

    Attributes:
        added: DATASET/LABEL of the results that were written.
        kept: DATASET/LABEL of the results that the folder had already.
        conflicts: results that disagree, a line each; nothing of them was written.
    """

    added: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    conflicts: list[str] = field(default_factory=list)


def merge(paths: Sequence[Path | str], out: Path | str) -> Merged:
    """Unite the results of several archives in a folder.

    Two results of a method on a data set are equal if they have the same identity and notes, and scores of all images
    that differ by at most 1e-6. Results in the folder count as one more archive.

    Args:
        paths: of the archives.
        out: folder of the results.

    Raises:
        ArchiveProblem: an archive has a fault, or cannot be read. Nothing was merged.
    """
    found: dict[tuple[str, str], list[tuple[str, Run]]] = {}
    for path in paths:
        report = check(path, maps=False)
        if report.faults:
            more = f"; and {len(report.faults) - _SHOWN} more" if len(report.faults) > _SHOWN else ""
            raise ArchiveProblem(
                f"{path}: nothing was merged, because of faults: {'; '.join(report.faults[:_SHOWN])}{more}. "
                f"All of them: salbench results check {path}"
            )
        for run in report.runs:
            found.setdefault((run.dataset, run.label), []).append((str(path), run))
    merged = Merged()
    for (dataset, label), each in sorted(found.items()):
        own = _in_folder(Path(out), dataset, label)
        every = [*([(str(out), own)] if own else []), *each]
        conflicts = _conflicts(every)
        if conflicts:
            merged.conflicts.extend(conflicts)
        elif own:
            merged.kept.append(f"{dataset}/{label}")
        else:
            _write(every[0][1], Path(out))
            merged.added.append(f"{dataset}/{label}")
    return merged


def _in_folder(out: Path, dataset: str, label: str) -> Run | None:
    """The result that the folder has already.

    Raises:
        ArchiveProblem: it has a fault.
    """
    paths = results.paths(out, dataset, label)
    if not paths.json.is_file() or not paths.csv.is_file():
        return None
    run, faults = _runs.read(dataset, label, paths.json.read_bytes(), paths.csv.read_bytes())
    if faults or run is None:
        raise ArchiveProblem(
            f"{out}: expected a whole result in the way of {dataset}/{label}, got: {'; '.join(faults)}"
        )
    return run


def _conflicts(every: Sequence[tuple[str, Run]]) -> list[str]:
    """How the results of one method on one data set differ from the first of them."""
    (first, one), *others = every
    differences = [(place, _difference(one, other)) for place, other in others]
    return [f"{one.dataset}/{one.label}: {place} and {first} disagree: {text}" for place, text in differences if text]


def _difference(one: Run, other: Run) -> str:
    """How two results of a method on a data set differ, the second one's values first; "" if they are equal."""
    settings = other.result.identity.differences(one.result.identity)
    if settings:
        return f"other settings ({'; '.join(settings)})"
    if one.ids != other.ids:
        return "scores of other images"
    known = np.isfinite(one.scores)
    if (known != np.isfinite(other.scores)).any():
        return "other scores have no value"
    gap = np.where(known, np.abs(one.scores - other.scores), 0.0)
    if gap.max(initial=0) > SAME:
        image, metric = map(int, np.unravel_index(int(gap.argmax()), gap.shape))
        n = int((gap > SAME).any(1).sum())
        return (
            f"the scores of {n} of {len(one.ids)} images, most on {one.ids[image]}: {list(METRICS)[metric]} "
            f"{other.scores[image, metric]:.6g} instead of {one.scores[image, metric]:.6g}"
        )
    facts = [name for name in _FACTS if getattr(one.result, name) != getattr(other.result, name)]
    return f"the fields {', '.join(facts)} of the JSON" if facts else ""


def _write(run: Run, out: Path) -> None:
    paths = results.paths(out, run.dataset, run.label)
    for path, content in ((paths.csv, run.csv), (paths.json, run.json)):
        with atomic_write(path, "wb") as file:
            file.write(content)
