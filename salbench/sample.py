"""One image with its ground truth.

The coordinate convention of the whole project: fixations are float x, y in pixels counted from 0. Pixel i covers
[i, i + 1), so 0 <= x < width and 0 <= y < height, and the pixel of a fixation is its floor. Sizes and shapes are
(height, width). Loaders convert coordinates once; no other code shifts them.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from salbench.checks import check_points

PER_FIXATION = ("observers", "durations", "order")  # fields of `Sample` with one value per fixation


@dataclass(frozen=True)
class Edited:
    """The edit that made the image of a sample.

    Attributes:
        type: what was changed, such as "contrast".
        strength: how much, in the unit of the type.
        direction: +1 if saliency inside the region should rise, -1 if it should fall.
        read_mask: returns the region, float32 (height, width), 0 to 1.
        read_original: returns the image without the edit, uint8 (height, width, 3) RGB.
    """

    type: str
    strength: float
    direction: int
    read_mask: Callable[[], np.ndarray]
    read_original: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Sample:
    """An image and its ground truth.

    Attributes:
        id: unique in its data set; the stem of the image file if there is one.
        size: (height, width) of the image in pixels.
        read_image: returns the image, uint8 (height, width, 3) RGB. It is called on each use; a split of any length
            then fits in memory.
        fixations: float (N, 2) array of x, y, or None if they are not public (a test split).
        observers: int (N,) array, the index of the person who made each fixation, or None if unknown.
        read_density: returns the data set's own density, float (height, width), >= 0; None if it distributes no
            densities, so that they are made from the fixations.
        sigma: standard deviation, in pixels, of the Gaussian that turns fixations into a density.
        caption: one sentence about the image, or None.
        boxes: float (K, 4) array of x, y, width, height of objects, in pixels; (0, 4) if the image has no objects,
            None if it is not annotated.
        categories: int (K,) array, the category of each box in the data set's own numbering, or None.
        edit: the edit that made the image, or None. All ground truth is then that of the original image.
        dataset: name of its data set without the split, such as "osie", or None. Networks with a part for each data
            set choose theirs by it.
        durations: float (N,) array, how long each fixation lasted, in milliseconds, NaN if unknown; or None.
        order: float (N,) array, the place of each fixation in its observer's scanpath, in the data set's own numbering;
            or None.

    Raises:
        ValueError: NaN or fixations off the image, another number of observers, durations or places than fixations,
            boxes that are not finite or have no area, or categories that are not one whole number per box.
    """

    id: str
    size: tuple[int, int]
    read_image: Callable[[], np.ndarray]
    fixations: np.ndarray | None = None
    observers: np.ndarray | None = None
    read_density: Callable[[], np.ndarray] | None = None
    sigma: float | None = None
    caption: str | None = None
    boxes: np.ndarray | None = None
    categories: np.ndarray | None = None
    edit: Edited | None = None
    dataset: str | None = None
    durations: np.ndarray | None = None
    order: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.fixations is not None:
            object.__setattr__(self, "fixations", check_points(self.fixations, self.size, f"{self.id}: fixations"))
        for name in PER_FIXATION:
            values = getattr(self, name)
            if values is not None and (self.fixations is None or len(values) != len(self.fixations)):
                count = "no" if self.fixations is None else len(self.fixations)
                raise ValueError(
                    f"{self.id}: {name}: expected one value per fixation, got {len(values)} for {count} fixations"
                )
        if self.boxes is not None:
            object.__setattr__(self, "boxes", _check_boxes(self.boxes, f"{self.id}: boxes"))
        if self.categories is not None:
            count = 0 if self.boxes is None else len(self.boxes)
            object.__setattr__(self, "categories", _check_categories(self.categories, count, f"{self.id}: categories"))

    @property
    def image(self) -> np.ndarray:
        """The image, uint8 (height, width, 3) RGB, read again on each access."""
        image = self.read_image()
        if image.shape != (*self.size, 3) or image.dtype != np.uint8:
            raise ValueError(f"{self.id}: expected a uint8 {(*self.size, 3)} image, got {image.dtype} {image.shape}")
        return image

    def only(self, mask: np.ndarray) -> "Sample":
        """Return the sample with some of its fixations, and their observers, durations and places.

        Args:
            mask: bool (N,), which fixations to keep.

        Raises:
            ValueError: the sample has no fixations.
        """
        if self.fixations is None:
            raise ValueError(f"{self.id}: expected fixations, this sample has none")
        values = {name: getattr(self, name) for name in PER_FIXATION}
        kept: dict[str, Any] = {
            name: None if value is None else np.asarray(value)[mask] for name, value in values.items()
        }
        return replace(self, fixations=self.fixations[mask], **kept)

    def blind(self) -> "Sample":
        """Return what a method may see: id, size, image, caption and data set, without ground truth."""
        return Sample(self.id, self.size, self.read_image, caption=self.caption, dataset=self.dataset)


def _check_boxes(boxes, name):
    boxes = np.asarray(boxes, dtype=np.float64)
    if boxes.size == 0:
        return np.empty((0, 4))
    if boxes.ndim != 2 or boxes.shape[1] != 4:
        raise ValueError(f"{name}: expected a (K, 4) array of x, y, width, height, got shape {boxes.shape}")
    good = np.isfinite(boxes).all(1) & (boxes[:, 2:] > 0).all(1)
    if not good.all():
        raise ValueError(
            f"{name}: expected finite x, y, width, height with positive width and height, got {int((~good).sum())} "
            f"other boxes, the first {boxes[~good][0].tolist()}"
        )
    return boxes


def _check_categories(categories, count, name):
    categories = np.asarray(categories)
    if categories.shape != (count,) or (count and categories.dtype.kind not in "iu"):
        raise ValueError(
            f"{name}: expected one whole number for each of the {count} boxes, got {categories.dtype} of shape "
            f"{categories.shape}"
        )
    return categories.astype(np.int64, copy=False)
