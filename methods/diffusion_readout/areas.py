"""The areas of an image that readouts are trained on: random patches and an annotated object."""

from collections.abc import Sequence
from math import log

import torch

from salbench.sample import Sample

from .readouts import UNKNOWN_CATEGORY

LEAST_SHARE = 0.07  # an object's box must cover this share of the image, as in the released code
SIDES = (0.1, 0.75)  # smallest and largest side of a random patch, as fractions of the image's
PATCHES = 4  # in each image; the paper takes one, but more cost little beside the features
WHOLE = (0.0, 0.0, 1.0, 1.0)


def draw_patches(images: int, device: torch.device | str) -> torch.Tensor:
    """Draw patches for so many images (paper section 3.2), with torch's global random numbers.

    The logarithm of a side is uniform, so patches are often as small as the regions of edits.

    Returns:
        float (PATCHES, images, 4), x, y, width and height as fractions of the image.
    """
    low, high = map(log, SIDES)
    sides = (low + (high - low) * torch.rand(PATCHES, images, 2)).exp()
    corners = torch.rand(PATCHES, images, 2) * (1 - sides)
    return torch.cat([corners, sides], 2).to(device)


def draw_objects(samples: Sequence[Sample], device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw an annotated object of each sample (paper section 3.3), with torch's global random numbers.

    It is the box of a large enough object with its COCO category, or the whole image: with category 0 if there is no
    such object, with an unknown category if the data set annotates no objects.

    Returns:
        boxes: float (B, 4), x, y, width and height as fractions of the image.
        categories: int64 (B,).
    """
    drawn = [_object(sample) for sample in samples]
    boxes = torch.tensor([box for box, _ in drawn], device=device)
    return boxes, torch.tensor([category for _, category in drawn], device=device)


def _object(sample: Sample) -> tuple[tuple[float, float, float, float], int]:
    if sample.boxes is None or sample.categories is None:
        return WHOLE, UNKNOWN_CATEGORY
    height, width = sample.size
    shares = sample.boxes[:, 2] * sample.boxes[:, 3] / (height * width)
    large = (shares >= LEAST_SHARE).nonzero()[0]
    if not len(large):
        return WHOLE, 0
    i = large[torch.randint(len(large), ()).item()]
    x, y, across, down = sample.boxes[i] / (width, height, width, height)
    return (x, y, across, down), int(sample.categories[i])
