"""Training: one loop for every learned method. Needs torch, safetensors and accelerate.

A learned method subclasses `LearnedMethod` and supplies its network, its preprocessing and its recipe:

    from torch import nn
    from salbench.registry import register
    from salbench.training import LearnedMethod, Recipe

    @register
    class Mine(LearnedMethod):
        "One line that `list methods` prints."

        recipe = Recipe(size=(144, 192), losses={"kl": 1.0})

        def build_network(self):  # ends in logits (batch, height, width) of the recipe's size
            return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 1, 1), nn.Flatten(1, 2))

        def preprocess(self, images):
            return images.permute(0, 3, 1, 2).float() / 255
"""

from salbench.training.loop import Recipe, Trainer, TrainingProblem
from salbench.training.method import LearnedMethod, create

__all__ = ["LearnedMethod", "Recipe", "Trainer", "TrainingProblem", "create"]
