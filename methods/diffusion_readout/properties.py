"""Photometric properties of an area of an image, which the low-level features must tell (paper section 3.2).

All means are over the area. (The released code divides colour by the area of the whole image, leaves black pixels out
of brightness and contrast, and measures global contrast by coefficients of variation; the paper does not.)
"""

import torch

PROPERTIES = ("red", "green", "blue", "brightness", "local_contrast", "global_contrast")
_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601; the paper says "grayscale" only


def photometric_properties(images, masks):
    """Six properties of one area in each image.

    red, green, blue: mean of the channel over the area. brightness: mean grey level over the area, grey being
    0.299 R + 0.587 G + 0.114 B. local_contrast: standard deviation of grey over the area (population, around the
    area's mean). global_contrast: the same, but around the mean of the whole image.

    Args:
        images: float (B, 3, H, W), RGB in [0, 1].
        masks: float (B, 1, H, W) in [0, 1], the share of each pixel that belongs to the area; an empty area is the
            whole image.

    Returns:
        float (B, 6) in [0, 1], columns as in PROPERTIES.

    Raises:
        ValueError: images that are not RGB, or masks of another size.
    """
    if images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(f"images: expected shape (batch, 3, height, width), got {tuple(images.shape)}")
    colour = area_mean(images, masks)
    grey = (images * images.new_tensor(_GREY)[:, None, None]).sum(1, keepdim=True)
    brightness = area_mean(grey, masks)
    local = area_mean((grey - brightness[:, :, None, None]) ** 2, masks).sqrt()
    overall = area_mean((grey - grey.mean((2, 3), keepdim=True)) ** 2, masks).sqrt()
    return torch.cat([colour, brightness, local, overall], dim=1)


def area_mean(maps, masks):
    """Means (B, C) of maps (B, C, h, w) over areas (B, 1, h, w) in [0, 1]; an empty area is the whole map.

    Raises:
        ValueError: masks of another size than the maps.
    """
    batch, _, *size = maps.shape
    if masks.shape != (batch, 1, *size):
        raise ValueError(
            f"masks: expected shape {(batch, 1, *size)}, got {tuple(masks.shape)}; make them at the size of the maps"
        )
    masks = torch.where(masks.sum((2, 3), keepdim=True) > 0, masks, 1.0)
    return (maps * masks).sum((2, 3)) / masks.sum((2, 3))


def box_masks(boxes, size):
    """Areas of boxes on a grid: each cell holds the share of it that its box covers, so that no box is lost.

    Args:
        boxes: float (B, 4), one box per image: x, y, width, height as fractions of the image, from its top left.
        size: (h, w) of the grid.

    Returns:
        float32 (B, 1, h, w) in [0, 1], summing to the box's share of the image times h * w.

    Raises:
        ValueError: a box without area or beyond the image.
    """
    if boxes.ndim != 2 or boxes.shape[1] != 4 or not _inside_image(boxes):
        raise ValueError(
            f"boxes: expected rows of x, y, width, height as fractions of the image, with width, height > 0, inside "
            f"[0, 1], got {boxes.tolist()}; divide pixels by the size of the image, and clip"
        )
    x, y, width, height = boxes.double().T  # a sliver is lost to the rounding of float32
    return (_coverage(y, height, size[0])[:, None, :, None] * _coverage(x, width, size[1])[:, None, None, :]).float()


def _inside_image(boxes):
    corner, extent = boxes[:, :2], boxes[:, 2:]
    inside = (corner >= 0) & (extent > 0) & (corner + extent <= 1 + 1e-5)  # fractions are rounded
    return bool(inside.all())


def _coverage(start, extent, length):
    """(B, length): the share of each of `length` equal cells of [0, 1] that [start, start + extent] covers."""
    edges = torch.arange(length + 1, device=start.device)
    first, last = start[:, None] * length, (start + extent)[:, None] * length
    return (torch.minimum(last, edges[1:]) - torch.maximum(first, edges[:-1])).clamp(min=0)
