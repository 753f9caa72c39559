"""Examples: photographs with their fixations beside the maps of methods."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from salbench import datasets, figure, registry
from salbench.contact_sheet import sample_of_id
from salbench.datasets import Dataset
from salbench.maps import minmax
from salbench.overlay import draw_heat
from salbench.predict_pictures import map_of
from salbench.registry import SaliencyMethod
from salbench.runtime import Runtime
from salbench.sample import Sample

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_FIRST = "fixations"
_GAP, _TITLE = 0.04, 0.15  # inches
_DOT = "#f0e442"  # Okabe and Ito's yellow


@figure.style()
def examples(
    images: Sequence[str],
    methods: Sequence[str],
    runtime: Runtime | None = None,
    *,
    root: Path | str | None = None,
    columns: int | None = None,
) -> "Figure":
    """Draw images with the fixations on them, and beside each the map that every method predicts for it.

    Maps are heat over the image in grey, each from its minimum to its maximum.

    Args:
        images: DATASET:ID each, such as "osie_test:1008".
        methods: as on the command line.
        runtime: device, batch size and so on.
        root: folder of the data sets; see `salbench.datasets.data_root`.
        columns: number of pictures side by side; an image with more maps takes several rows. By default all maps
            are in one row.

    Raises:
        ValueError: an unknown data set, image or method, or nothing to show.
        MethodUnavailable: a method lacks something, or needs the fixations of the image.
    """
    from matplotlib.figure import Figure

    if not images or not methods:
        raise ValueError("examples: expected at least one image and one method")
    opened = _opened(images, root)
    per_row = min(columns or 1 + len(methods), 1 + len(methods))
    width = (figure.PAGE - (per_row - 1) * _GAP) / per_row
    made = [registry.create(name, runtime) for name in methods]
    rows = []
    for k, (dataset, sample) in enumerate(opened):
        titles, tiles = [_FIRST, *(method.label for method in made)], list(_tiles(dataset, sample, made, root))
        has_titles = k == 0 or len(tiles) > per_row  # otherwise those above say it
        for first in range(0, len(tiles), per_row):
            part = slice(first, first + per_row)
            fixations = sample.fixations if first == 0 else None
            rows.append(_Row(tiles[part], titles[part] if has_titles else [], fixations))
    heights = [row.height(width) for row in rows]
    drawing = Figure(figsize=(figure.PAGE, sum(heights) - _GAP))
    top = sum(heights) - _GAP
    for row, height in zip(rows, heights, strict=True):
        _draw(drawing, row, top, width)
        top -= height
    return drawing


@dataclass(frozen=True)
class _Row:
    """Pictures side by side, uint8 (H, W, 3); their titles, if there are any; and the fixations on the first one."""

    tiles: Sequence[np.ndarray]
    titles: Sequence[str]
    fixations: np.ndarray | None

    def height(self, width: float) -> float:
        """Height in inches of the row with its titles and the gap beneath, if its pictures are `width` inches wide."""
        rows, columns = self.tiles[0].shape[:2]
        return width * rows / columns + (_TITLE if self.titles else 0) + _GAP


def _opened(images: Sequence[str], root: Path | str | None) -> list[tuple[Dataset, Sample]]:
    """The data set and the sample of each DATASET:ID."""
    names = [(image.rpartition(":")[0], image.rpartition(":")[2]) for image in images]
    for image, (name, id) in zip(images, names, strict=True):
        if not name or not id:
            raise ValueError(f"examples: expected an image as DATASET:ID, such as popout:orientation_04, got {image!r}")
    loaded = {name: datasets.load(name, root) for name in dict.fromkeys(name for name, _ in names)}
    return [(loaded[name], sample_of_id(loaded[name], id)) for name, id in names]


def _tiles(
    dataset: Dataset, sample: Sample, methods: Sequence[SaliencyMethod], root: Path | str | None
) -> Iterator[np.ndarray]:
    """The image, then the map of each method as heat over it."""
    image = sample.read_image()
    yield image
    for method in methods:
        if method.sees_fixations:
            raise registry.MethodUnavailable(f"{method.label}: needs the fixations of the image; choose other methods")
        registry.fit_at_run(method, dataset, partial(datasets.training_split, dataset, root))
        yield draw_heat(image, minmax(map_of(method.predict(sample.blind()), method.output, sample.size)))


def _draw(drawing: "Figure", row: _Row, top: float, width: float) -> None:
    """Draw a row below `top`, in inches from the bottom."""
    page, whole = drawing.get_size_inches()
    height = row.height(width) - _GAP - (_TITLE if row.titles else 0)
    bottom = top - height - (_TITLE if row.titles else 0)
    for k, tile in enumerate(row.tiles):
        panel = drawing.add_axes((k * (width + _GAP) / page, bottom / whole, width / page, height / whole))
        panel.imshow(tile, aspect="auto", interpolation="antialiased")
        panel.set_axis_off()
        if row.titles:
            panel.set_title(row.titles[k], pad=2.5)
        if k == 0 and row.fixations is not None:
            _dots(panel, row.fixations, tile.shape)


def _dots(panel: "Axes", fixations: np.ndarray, shape: Sequence[int]) -> None:
    x, y = fixations.T - 0.5
    panel.scatter(x, y, s=4, color=_DOT, edgecolors="black", linewidths=0.3)
    panel.set(xlim=(-0.5, shape[1] - 0.5), ylim=(shape[0] - 0.5, -0.5))
