"""lite: our own compact network, trained from scratch on a laptop."""

from pathlib import Path

from salbench.registry import register
from salbench.training import LearnedMethod, Recipe

from .network import LiteNetwork


@register
class Lite(LearnedMethod):
    """Learned, 0.28 M parameters, trained from scratch on osie_train (500 photographs)."""

    recipe = Recipe(size=(144, 192), jitter=("hflip", "random_zoom", "color_jitter"))
    weights = Path(__file__).parent / "osie_train.safetensors"

    def build_network(self):
        return LiteNetwork()

    def preprocess(self, images):
        """Float (B, 3, H, W), channels centred and the image scaled: exposure and tint are not what is looked at."""
        x = images.permute(0, 3, 1, 2).float() / 255
        x = x - x.mean((2, 3), keepdim=True)
        return x / (x.std((1, 2, 3), keepdim=True) + 1e-3)
