"""lite: a compact network of our own, trained from scratch on a laptop."""

from pathlib import Path

import torch

from salbench.registry import register
from salbench.training import LearnedMethod, Recipe

from .network import LiteNetwork


@register
class Lite(LearnedMethod):
    """Learned: a network of 0.28 M parameters, trained from scratch on osie_train (500 photographs)."""

    recipe = Recipe(size=(144, 192), jitter=("hflip", "random_zoom", "color_jitter"))
    weights = Path(__file__).parent / "osie_train.safetensors"

    def build_network(self) -> LiteNetwork:
        """A new network with random weights."""
        return LiteNetwork()

    def preprocess(self, images: torch.Tensor) -> torch.Tensor:
        """Standardise uint8 (B, H, W, 3) RGB to float (B, 3, H, W).

        Each channel gets mean zero and each image standard deviation one, because gaze hardly depends on exposure or
        tint.
        """
        x = images.permute(0, 3, 1, 2).float() / 255
        x = x - x.mean((2, 3), keepdim=True)
        return x / (x.std((1, 2, 3), keepdim=True) + 1e-3)
