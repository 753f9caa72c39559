"""The files of a folder of your own by image id, all of them or those of one split."""

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PureWindowsPath
from typing import Any

from salbench.datasets._common import DatasetProblem
from salbench.datasets._guess import how_to_describe
from salbench.datasets._layout import BESIDE, OURS, SUFFIXES, TABLE, Layout, Match, matches, recognised, stem_suffix
from salbench.datasets._manifest import Manifest, ids_of_split, without_suffix
from salbench.suggestions import suggestion

ALL = "all"  # every image, whatever its split


@dataclass(frozen=True)
class Files:
    """The files of a folder, or of one of its splits.

    Attributes:
        layout: where they are.
        known: {id: path} of the images of all splits, which a table or captions may name.
        images, fixations, maps: {id: path}.
        table: all fixations in one file, or None.
        split_of: {id: split} if the layout has splits.
    """

    layout: Layout
    known: Mapping[str, Path]
    images: Mapping[str, Path]
    fixations: Mapping[str, Path]
    maps: Mapping[str, Path]
    table: Path | None
    split_of: Mapping[str, str]

    def only(self, ids: Container[str]) -> "Files":
        """Return the files of some ids. `known` and `table` stay."""
        parts: dict[str, Any] = {
            role: {id: path for id, path in getattr(self, role).items() if id in ids} for role in SUFFIXES
        }
        return replace(self, **parts)


def find(root: Path, split: str, manifest: Manifest) -> Files:
    """Find the files of one split, or of all.

    Raises:
        DatasetProblem: no images; fixations or maps without an image; images without a map if there are maps; or an
            unknown split.
    """
    files = _of_split(_all(root, _layout(root, manifest), manifest), split, root, manifest)
    _check_fixations(files, root)
    _check_maps(files, root)
    return files


def _layout(root: Path, manifest: Manifest) -> Layout:
    given = {role: pattern for role in SUFFIXES if (pattern := getattr(manifest, role)) is not None}
    found = recognised(root)
    if given:
        return replace(found if found in (OURS, BESIDE) else OURS, name="its dataset.toml", **given)
    if found is None:
        raise DatasetProblem(
            f"{root}: expected images ({', '.join(SUFFIXES['images'])}) here or in images/, found none, nor another "
            f"known layout. {how_to_describe(root)}"
        )
    return found


def _all(root: Path, layout: Layout, manifest: Manifest) -> Files:
    table = _table(root, layout, manifest)
    found = {"images": matches(root, layout.images, "images"), "maps": matches(root, layout.maps, "maps")}
    found["fixations"] = [] if table else matches(root, layout.fixations, "fixations")
    images = _paths(found["images"])
    for role in ("fixations", "maps"):
        ids = [match.id for match in found[role]]
        if ids and not any(id in images for id in ids) and (ending := stem_suffix(ids, images)):
            layout = replace(layout, **{role: getattr(layout, role).replace("{id}", f"{{id}}{ending}")})
            found[role] = matches(root, getattr(layout, role), role)
    for role, pattern in (("images", layout.images), ("fixations", manifest.fixations), ("maps", manifest.maps)):
        if pattern and not found[role] and not (table and role == "fixations"):
            raise DatasetProblem(f"{root}: expected {role} that match {pattern!r}, found none. {how_to_describe(root)}")
    split_of = {m.id: m.split for m in [*found["maps"], *found["fixations"], *found["images"]] if m.split is not None}
    paths = {role: _paths(each) for role, each in found.items()}
    return Files(layout, paths["images"], paths["images"], paths["fixations"], paths["maps"], table, split_of)


def _paths(found: list[Match]) -> dict[str, Path]:
    return {match.id: match.path for match in found}


def _table(root: Path, layout: Layout, manifest: Manifest) -> Path | None:
    """The file that holds all fixations, if there is one."""
    if "{id}" not in layout.fixations:
        if not (root / layout.fixations).is_file():
            raise DatasetProblem(f"{root}: expected a table of fixations at {layout.fixations}, found none")
        return root / layout.fixations
    if manifest.fixations or not (root / TABLE).exists():
        return None
    if (root / "fixations").exists():
        raise DatasetProblem(f"{root}: expected {TABLE} or fixations/, found both; remove one of them")
    return root / TABLE


def _of_split(files: Files, split: str, root: Path, manifest: Manifest) -> Files:
    if split == ALL:
        return files
    named = sorted({*files.split_of.values(), *manifest.splits})
    if split not in named:
        raise DatasetProblem(f"{root}: {suggestion('split', split, named)}; a [splits] in dataset.toml adds some")
    if split in manifest.splits:
        ids = set(ids_of_split(root, split, manifest.splits[split], files.images))
    else:
        ids = {id for id, name in files.split_of.items() if name == split}
    part = files.only(ids)
    if not part.images:
        raise DatasetProblem(f"{root}: expected images of the split {split}, found none")
    return part


def _check_fixations(files: Files, root: Path) -> None:
    unknown = [path for id, path in files.fixations.items() if id not in files.images]
    if unknown:
        raise DatasetProblem(
            f"{unknown[0].parent}: {len(unknown)} files have no image of the same stem, such as {unknown[0].name}; "
            "rename or remove them"
        )
    folder = _own_folder(root, files.layout.fixations)
    if folder and folder.exists() and not folder.is_dir():
        raise DatasetProblem(f"{folder}: expected a folder of {', '.join(SUFFIXES['fixations'])} files, found a file")
    if folder and folder.exists() and not files.fixations:
        raise no_fixations(root)


def no_fixations(root: Path) -> DatasetProblem:
    """Return the error for fixations that are not there although there is a place for them."""
    return DatasetProblem(f"{root}: expected fixations, found none; remove the empty file or folder to predict only")


def _check_maps(files: Files, root: Path) -> None:
    missing = [id for id in files.images if id not in files.maps]
    folder = _own_folder(root, files.layout.maps)
    if missing and (files.maps or (folder and folder.is_dir())):
        splits = sorted(set(files.split_of.values()))
        choose = f"; or choose a split with {' or '.join(f'#{split}' for split in splits)}" if splits else ""
        raise DatasetProblem(
            f"{folder or root}: expected one map per image, found none for {len(missing)} of {len(files.images)}, such "
            f"as {missing[0]}; add them, or remove the maps to make all densities from the fixations{choose}"
        )


def _own_folder(root: Path, pattern: str) -> Path | None:
    """The folder of which every file must match a pattern, if the pattern is as plain as "maps/{id}"."""
    folder, _, name = pattern.rpartition("/")
    return root / folder if folder and name == "{id}" and not set("{*") & set(folder) else None


def ids_of_names(names: Sequence[str], lines: Sequence[int], images: Mapping[str, Path], table: Path) -> list[str]:
    """Return the ids of the images that the rows of a table name by id, stem, file name or path, in any folder.

    Args:
        names: of images, one per row.
        lines: of the rows in the file.
        images: {id: path}.
        table: the file.

    Raises:
        DatasetProblem: a name that is no image's.
    """
    alike = Counter(name for path in images.values() for name in (path.name, path.stem))
    by_file = {name: id for id, path in images.items() for name in (path.name, path.stem) if alike[name] == 1}
    ids = {name: _id_of_name(name, images, by_file) for name in set(names)}
    unknown = sorted(name for name, id in ids.items() if id is None)
    if unknown:
        raise DatasetProblem(
            f"{table}: {len(unknown)} names match no image, such as {unknown[0]!r} in line "
            f"{lines[list(names).index(unknown[0])]}; expected file names or stems, such as {next(iter(images))!r}; "
            "remove rows whose image is not in the folder"
        )
    return [id for name in names if (id := ids[name]) is not None]


def _id_of_name(name: str, images: Mapping[str, Path], by_file: Mapping[str, str]) -> str | None:
    last = PureWindowsPath(name).name  # splits at / and at \
    possible = (name, by_file.get(last), without_suffix(name), last, without_suffix(last))
    return next((id for id in possible if id in images), by_file.get(without_suffix(last)))
