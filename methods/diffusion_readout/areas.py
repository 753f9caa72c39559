"""Which area of an image its readouts are trained on: an annotated object, or a random patch."""

import torch

from .readouts import UNKNOWN_CATEGORY

LEAST_SHARE = 0.07  # of the image, that the box of an object must cover, as in the released code
PATCH = (0.25, 0.75)  # smallest and largest side of a random patch, as a share of the image's
WHOLE = (0.0, 0.0, 1.0, 1.0)


def draw(samples, device):
    """One area for each sample, drawn with torch's random numbers.

    Where the data set annotates objects, the box of one that is large enough, with its COCO category, else the whole
    image, with category 0. Where it annotates none, a random patch (paper section 3.2), of unknown category.

    Args:
        samples: with `boxes` and `categories`, or None.

    Returns:
        (boxes, categories): float (B, 4), x, y, width, height in shares of the image; int64 (B,).
    """
    drawn = [_object(s) if s.boxes is not None else (_patch(), UNKNOWN_CATEGORY) for s in samples]
    boxes = torch.tensor([box for box, _ in drawn], device=device)
    return boxes, torch.tensor([category for _, category in drawn], device=device)


def _object(sample):
    height, width = sample.size
    shares = sample.boxes[:, 2] * sample.boxes[:, 3] / (height * width)
    large = (shares >= LEAST_SHARE).nonzero()[0]
    if not len(large):
        return WHOLE, 0
    i = large[torch.randint(len(large), ()).item()]
    x, y, across, down = sample.boxes[i] / (width, height, width, height)
    return (x, y, across, down), int(sample.categories[i])


def _patch():
    across, down = (PATCH[0] + (PATCH[1] - PATCH[0]) * torch.rand(2)).tolist()
    x, y = torch.rand(2).tolist()
    return x * (1 - across), y * (1 - down), across, down
