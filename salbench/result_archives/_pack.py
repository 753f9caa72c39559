"""Pack a folder of results into an archive: the same bytes for the same results."""

import json
import zipfile
from collections.abc import Collection, Iterator
from pathlib import Path

from salbench import results
from salbench.archives import ArchiveProblem
from salbench.result_archives._archive import FORMAT, MANIFEST, SCHEMA, digest
from salbench.result_archives._check import Report, check
from salbench.writing import atomic_path

_DATE = (1980, 1, 1, 0, 0, 0)  # the earliest that a ZIP file can hold
_MODE = 0o100644  # a file that all may read
_SHOWN = 5  # faults in a message


def pack(
    folder: Path | str,
    path: Path | str,
    *,
    datasets: Collection[str] | None = None,
    methods: Collection[str] | None = None,
    maps: Path | str | None = None,
) -> Report:
    """Write results to an archive and check it. It appears only if it has no fault.

    Results with random weights are left out. The files of results are packed as they are; the archive holds no dates
    of files, no paths, and no name of a user or machine.

    Args:
        folder: of the results, with one folder per data set.
        path: the ZIP file to write.
        datasets: names in results to pack; by default all.
        methods: labels to pack; by default all.
        maps: folder of the maps, DATASET/LABEL/ID.png or ID.npy, as --save-maps writes them. By default no maps.

    Returns:
        What the check found.

    Raises:
        ArchiveProblem: nothing to pack, or a result has a fault, such as images that failed.
    """
    members = dict(_members(Path(folder), datasets, methods, None if maps is None else Path(maps)))
    if not members:
        raise ArchiveProblem(f"{folder}: expected results of runs to pack, found none that were asked for")
    manifest = {"format": FORMAT, "schema": SCHEMA, "files": {name: digest(members[name]) for name in sorted(members)}}
    members[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    with atomic_path(path) as temporary:
        with zipfile.ZipFile(temporary, "w") as file:
            for name in sorted(members):
                _add(file, name, members[name])
        report = check(temporary, maps=False)
        if report.faults:
            more = len(report.faults) - _SHOWN
            shown = "\n".join(report.faults[:_SHOWN]) + (f"\nand {more} more" if more > 0 else "")
            raise ArchiveProblem(f"{path}: not written, because of faults:\n{shown}")
    return report


def _members(
    folder: Path, datasets: Collection[str] | None, methods: Collection[str] | None, maps: Path | None
) -> Iterator[tuple[str, bytes]]:
    for path in sorted(folder.glob("*/*.json")):
        dataset, label = path.parent.name, path.stem
        wanted = (datasets is None or dataset in datasets) and (methods is None or label in methods)
        if not wanted or not path.with_suffix(".csv").is_file() or results.read(path).untrained:
            continue
        yield f"results/{dataset}/{label}.json", path.read_bytes()
        yield f"results/{dataset}/{label}.csv", path.with_suffix(".csv").read_bytes()
        if maps is not None:
            own = maps / dataset / label
            for map in sorted(found for found in own.rglob("*") if found.suffix in (".png", ".npy")):
                yield f"maps/{dataset}/{label}/{map.relative_to(own).as_posix()}", map.read_bytes()


def _add(file: zipfile.ZipFile, name: str, content: bytes) -> None:
    info = zipfile.ZipInfo(name, _DATE)
    info.create_system = 3  # Unix, also on other systems
    info.external_attr = _MODE << 16
    info.compress_type = zipfile.ZIP_STORED if name.endswith(".png") else zipfile.ZIP_DEFLATED
    file.writestr(info, content)
