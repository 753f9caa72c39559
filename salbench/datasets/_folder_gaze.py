"""The fixations of a folder of your own: from one table or one file per image, with notes for tables of results."""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np

from salbench.datasets import _fixation_maps
from salbench.datasets._common import DatasetProblem, chosen_off_image, report
from salbench.datasets._fixation_maps import read_fixation_map
from salbench.datasets._folder_files import Files, ids_of_names
from salbench.datasets._gaze import Gaze, cleaned, read_mat_gaze, read_npy_gaze
from salbench.datasets._gaze_csv import Table, read_table
from salbench.datasets._manifest import Manifest

Size = tuple[int, int]  # height, width
_SHARES = "x and y of the table are shares of the screen and were read as shares of the image."


def read(files: Files, sizes: Mapping[str, Size], manifest: Manifest) -> tuple[dict[str, Gaze] | None, list[str]]:
    """Read the fixations.

    Args:
        files: of the folder.
        sizes: {id: (height, width)}.
        manifest: what dataset.toml says.

    Returns:
        ({id: fixations}, notes); None if the folder holds no fixations.

    Raises:
        DatasetProblem: a file that cannot be read, or fixations off their image.
    """
    off_image = chosen_off_image() or manifest.off_image
    if files.table:
        return _of_table(files.table, files, sizes, manifest.base or 0, off_image)
    if not files.fixations:
        return None, []
    pictures = {id: path for id, path in files.fixations.items() if path.suffix.lower() in _fixation_maps.SUFFIXES}
    gaze, notes = _of_pictures(pictures, sizes)
    for id, path in files.fixations.items():
        if id not in pictures:
            with _reported():
                gaze[id] = cleaned(_of_file(path, sizes[id], manifest.base), sizes[id], path, off_image)
    return gaze, notes


@contextmanager
def _reported() -> Iterator[None]:
    """Inside this context, a problem with one image ends what is done with it. Raised unless problems are collected."""
    try:
        yield
    except DatasetProblem as problem:
        report(problem)


def _of_file(path: Path, size: Size, base: int | None) -> Gaze:
    if path.suffix.lower() == ".npy":
        return read_npy_gaze(path, size, base)
    if path.suffix.lower() == ".mat":
        return read_mat_gaze(path, size, base)
    return _in_pixels(read_table(path, of_one_image=True), size, base or 0)


def _in_pixels(table: Table, size: Size, base: int) -> Gaze:
    points = table.gaze.points * size[::-1] if table.is_share else table.gaze.points - base
    return replace(table.gaze, points=points)


def _of_table(
    path: Path, files: Files, sizes: Mapping[str, Size], base: int, off_image: str
) -> tuple[dict[str, Gaze], list[str]]:
    table = read_table(path, of_one_image=False)
    assert table.gaze.lines is not None
    gaze = {}
    for id, rows in _rows_by_id(ids_of_names(table.images, table.gaze.lines.tolist(), files.known, path)):
        if id in files.images:
            part = _in_pixels(replace(table, gaze=table.gaze.only(rows)), sizes[id], base)
            with _reported():
                gaze[id] = cleaned(part, sizes[id], f"{path}, image {id}", off_image)
    return gaze, [_SHARES] if table.is_share else []


def _rows_by_id(ids: Sequence[str]) -> Iterator[tuple[str, np.ndarray]]:
    """Each id and its rows of the table, in their order. One sort, because one search per id takes minutes."""
    numbers = {id: number for number, id in enumerate(sorted(set(ids)))}
    of_rows = np.array([numbers[id] for id in ids], dtype=np.intp)
    counts = np.bincount(of_rows, minlength=len(numbers))
    order, ends = np.argsort(of_rows, kind="stable"), np.cumsum(counts)
    for id, start, end in zip(numbers, ends - counts, ends, strict=True):
        yield id, order[start:end]


def _of_pictures(paths: Mapping[str, Path], sizes: Mapping[str, Size]) -> tuple[dict[str, Gaze], list[str]]:
    gaze, noisy = {}, 0
    with ThreadPoolExecutor() as pool:
        found = {id: pool.submit(read_fixation_map, path, sizes[id]) for id, path in paths.items()}
        for id, future in found.items():
            with _reported():
                points, is_noisy = future.result()
                gaze[id], noisy = Gaze(points), noisy + is_noisy
    note = (
        f"{noisy} of {len(paths)} fixation maps have grey pixels, as JPEG makes them: those above half are fixations."
    )
    return gaze, [note] if noisy else []


def left_out(gaze: Mapping[str, Gaze]) -> tuple[dict[str, int], list[str]]:
    """Return how many fixations were left out, as `Dataset.left_out`, and a note on them; both may be empty."""
    numbers = {
        "off_image": sum(each.n_off_image for each in gaze.values()),
        "lost": sum(each.n_lost for each in gaze.values()),
    }
    if not any(numbers.values()):
        return {}, []
    recorded = sum(numbers.values()) + sum(len(each.points) for each in gaze.values())
    return numbers, [
        f"Of {recorded} recorded fixations, {numbers['off_image']} off the image and {numbers['lost']} lost samples "
        "were left out."
    ]
