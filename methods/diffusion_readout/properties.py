"""Photometric properties of an area of an image, which are read from low-level features (paper section 3.2).

All means are over the area, as in the paper. The released code differs: it divides colour by the area of the whole
image, ignores black pixels for brightness and contrast, and measures global contrast by coefficients of variation.
"""

import torch

PROPERTIES = ("red", "green", "blue", "brightness", "local_contrast", "global_contrast")
_GREY = (0.299, 0.587, 0.114)  # RGB weights of ITU-R BT.601; the paper only says "grayscale"


def photometric_properties(images: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Measure six properties of one area in each image.

    - red, green, blue: mean of the colour channel over the area.
    - brightness: mean grey level over the area; grey is 0.299 R + 0.587 G + 0.114 B.
    - local_contrast: standard deviation of grey over the area, around the area's mean (divisor n).
    - global_contrast: the same, but around the mean of the whole image.

    Args:
        images: float (B, 3, H, W), RGB in [0, 1].
        masks: float (B, 1, H, W) in [0, 1], the fraction of each pixel that belongs to the area. An empty area means
            the whole image.

    Returns:
        float (B, 6) in [0, 1], columns as in PROPERTIES.

    Raises:
        ValueError: images are not RGB, or masks have another size.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images: expected shape (batch, 3, height, width), got {tuple(images.shape)}")
    colour = area_mean(images, masks)
    grey = (images * images.new_tensor(_GREY)[:, None, None]).sum(1, keepdim=True)
    brightness = area_mean(grey, masks)
    local = area_mean((grey - brightness[:, :, None, None]) ** 2, masks).sqrt()
    overall = area_mean((grey - grey.mean((2, 3), keepdim=True)) ** 2, masks).sqrt()
    return torch.cat([colour, brightness, local, overall], dim=1)


def area_mean(maps: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
    """Means (B, C) of maps (B, C, h, w) over areas (B, 1, h, w) in [0, 1]. An empty area means the whole map.

    Raises:
        ValueError: masks and maps differ in size.
    """
    batch, _, *size = maps.shape
    if masks.shape != (batch, 1, *size):
        raise ValueError(
            f"masks: expected shape {(batch, 1, *size)}, got {tuple(masks.shape)}; make them at the size of the maps"
        )
    masks = torch.where(masks.sum((2, 3), keepdim=True) > 0, masks, 1.0)
    return (maps * masks).sum((2, 3)) / masks.sum((2, 3))


def box_masks(boxes: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Draw boxes on a grid. Each cell holds the fraction of it that the box covers, so small boxes are kept too.

    Args:
        boxes: float (B, 4), one box per image: x, y, width, height as fractions of the image, from its top left.
        size: (h, w) of the grid.

    Returns:
        float32 (B, 1, h, w) in [0, 1]; the sum is h * w times the fraction of the image that the box covers.

    Raises:
        ValueError: a box has no area or extends beyond the image.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not _inside_image(boxes):
        raise ValueError(
            f"boxes: expected rows of x, y, width, height as fractions of the image, with width, height > 0, inside "
            f"[0, 1], got {boxes.tolist()}; divide pixels by the size of the image, and clip"
        )
    x, y, width, height = boxes.double().T  # float32 would lose very thin boxes to rounding
    return (_coverage(y, height, size[0])[:, None, :, None] * _coverage(x, width, size[1])[:, None, None, :]).float()


def _inside_image(boxes: torch.Tensor) -> bool:
    corner, extent = boxes[:, :2], boxes[:, 2:]
    inside = (corner >= 0) & (extent > 0) & (corner + extent <= 1 + 1e-5)  # tolerates rounding of the fractions
    return bool(inside.all())


def _coverage(start: torch.Tensor, extent: torch.Tensor, length: int) -> torch.Tensor:
    """Of `length` equal cells of [0, 1], the fractions (B, length) that [start, start + extent] covers."""
    edges = torch.arange(length + 1, device=start.device)
    first, last = start[:, None] * length, (start + extent)[:, None] * length
    return (torch.minimum(last, edges[1:]) - torch.maximum(first, edges[:-1])).clamp(min=0)
