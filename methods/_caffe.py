"""The input that networks from Caffe expect, also as Keras passes it on."""

import torch

BGR_MEAN = (103.939, 116.779, 123.68)  # of ImageNet, values from 0 to 255


def bgr_without_mean(images: torch.Tensor) -> torch.Tensor:
    """Turn uint8 (B, H, W, 3) RGB into float (B, 3, H, W) BGR without ImageNet's mean."""
    mean = torch.tensor(BGR_MEAN, device=images.device).view(3, 1, 1)
    return images.flip(-1).permute(0, 3, 1, 2).float() - mean
