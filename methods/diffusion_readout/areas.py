"""The area of an image that readouts are trained on: an annotated object or a random patch."""

from collections.abc import Sequence

import torch

from salbench.sample import Sample

from .readouts import UNKNOWN_CATEGORY

LEAST_SHARE = 0.07  # an object's box must cover this share of the image, as in the released code
PATCH = (0.25, 0.75)  # smallest and largest side of a random patch, as fractions of the image's
WHOLE = (0.0, 0.0, 1.0, 1.0)


def draw(samples: Sequence[Sample], device: torch.device | str) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw one area for each sample, with torch's global random numbers.

    If the data set annotates objects, the area is the box of a large enough object with its COCO category, or the whole
    image with category 0 if there is no such object. If it does not, the area is a random patch (paper section 3.2) of
    unknown category.

    Returns:
        boxes: float (B, 4), x, y, width and height as fractions of the image.
        categories: int64 (B,).
    """
    drawn = [_object(s) if s.boxes is not None else (_patch(), UNKNOWN_CATEGORY) for s in samples]
    boxes = torch.tensor([box for box, _ in drawn], device=device)
    return boxes, torch.tensor([category for _, category in drawn], device=device)


def _object(sample: Sample) -> tuple[tuple[float, float, float, float], int]:
    height, width = sample.size
    shares = sample.boxes[:, 2] * sample.boxes[:, 3] / (height * width)
    large = (shares >= LEAST_SHARE).nonzero()[0]
    if not len(large):
        return WHOLE, 0
    i = large[torch.randint(len(large), ()).item()]
    x, y, across, down = sample.boxes[i] / (width, height, width, height)
    return (x, y, across, down), int(sample.categories[i])


def _patch() -> tuple[float, float, float, float]:
    across, down = (PATCH[0] + (PATCH[1] - PATCH[0]) * torch.rand(2)).tolist()
    x, y = torch.rand(2).tolist()
    return x * (1 - across), y * (1 - down), across, down
