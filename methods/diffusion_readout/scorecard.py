"""How well the readouts of photometric properties read: a table by property and size of the area."""

from collections.abc import Iterable

import numpy as np
import pandas as pd
import torch

from .editor import BAND
from .properties import PROPERTIES, box_masks, photometric_properties
from .readouts import LowLevelReadout

SHARES = (0.01, 0.02, 0.05, 0.1, 0.25)  # of the image that an area covers; edited regions cover 0.01 to 0.09
AREAS = 8  # of each share in each image
MEANING = {
    "r2": "R²: 1 for perfect readings, 0 for readings as good as the mean of all areas, below 0 for worse ones",
    "coverage": "Coverage: where a reading stays within two standard deviations, how often the true property does, too",
}


def scorecard(readout: LowLevelReadout, images: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> pd.DataFrame:
    """Compare readings with true properties on random rectangles, whose sides are in proportions of 1 : 2 to 2 : 1.

    Args:
        readout: trained, in evaluation mode.
        images: at least two pairs of an image, uint8 (1, H, W, 3), and its low-level features (1, width, h, w).

    Returns:
        One row per property and share of the image that the areas cover, with the columns "property", "share", and

        - "r2": one minus the squared errors of the readings divided by the variance of the true properties.
        - "coverage": two areas are compared as a region is before and after an edit, each with the area of the same
          number in the next image. Of those whose readings stay in the band of two standard deviations, the part whose
          true properties stay in theirs.

        Its `attrs` say in a sentence what each measure means.

    Raises:
        ValueError: fewer than two images.
    """
    generator = torch.Generator().manual_seed(0)
    both = [_read(readout, image, low, _boxes(generator)) for image, low in images]
    if len(both) < 2:
        raise ValueError(f"expected at least two images, whose areas are compared, got {len(both)}")
    read, true = (np.stack(values) for values in zip(*both, strict=True))  # (images, shares, areas, properties)
    r2 = 1 - ((read - true) ** 2).mean((0, 2)) / true.var((0, 2))
    spreads = readout.readings, readout.truths
    inside, truly = (
        np.abs(np.roll(values, 1, 0) - values) <= BAND * spread.deviation().cpu().numpy()
        for values, spread in zip((read, true), spreads, strict=True)
    )
    with np.errstate(invalid="ignore"):  # NaN where no pair stays in the band
        coverage = (inside & truly).sum((0, 2)) / inside.sum((0, 2))
    rows = [
        (name, share, r2[i, j], coverage[i, j]) for j, name in enumerate(PROPERTIES) for i, share in enumerate(SHARES)
    ]
    card = pd.DataFrame(rows, columns=["property", "share", "r2", "coverage"])
    card.attrs.update(MEANING)
    return card


def _read(
    readout: LowLevelReadout, image: torch.Tensor, low: torch.Tensor, boxes: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Readings and true properties of the areas of an image, (len(SHARES), AREAS, 6) each."""
    readings = readout(low, box_masks(boxes, low.shape[-2:]).transpose(0, 1).to(low.device))[0]
    pixels = image.permute(0, 3, 1, 2).expand(len(boxes), -1, -1, -1).float() / 255
    truths = photometric_properties(pixels, box_masks(boxes, pixels.shape[-2:]))
    readings, truths = (values.reshape(len(SHARES), AREAS, -1).cpu().numpy() for values in (readings, truths))
    return readings, truths


def _boxes(generator: torch.Generator) -> torch.Tensor:
    """Rectangles (len(SHARES) * AREAS, 4) within the image; see `properties.box_masks`."""
    areas = torch.tensor(SHARES).repeat_interleave(AREAS)
    stretch = 2 ** (torch.rand(len(areas), generator=generator) - 0.5)
    sides = areas.sqrt()[:, None] * torch.stack([stretch, 1 / stretch], 1)
    corners = torch.rand(len(areas), 2, generator=generator) * (1 - sides)
    return torch.cat([corners, sides], 1)
