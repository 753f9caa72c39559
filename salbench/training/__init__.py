"""Training: one loop for every learned method. Needs torch, safetensors and accelerate.

A learned method subclasses `LearnedMethod` and supplies its network, its preprocessing and its recipe:

    from torch import nn
    from salbench.registry import register
    from salbench.training import LearnedMethod, Recipe

    @register
    class Mine(LearnedMethod):
        "One line that `salbench list methods` prints."

        recipe = Recipe(size=(144, 192), losses={"kl": 1.0})

        def build_network(self):  # returns logits (batch, height, width) of the recipe's size
            return nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.SiLU(), nn.Conv2d(8, 1, 1), nn.Flatten(1, 2))

        def preprocess(self, images):
            return images.permute(0, 3, 1, 2).float() / 255

Train it with `salbench fit --methods mine --dataset osie_train`, or from Python:

    from salbench import datasets, registry
    from salbench.training_plan import Plan

    samples = datasets.load("osie_train").samples
    method = registry.create("mine").fit(samples, Plan(folder="checkpoints/mine"))
"""

from salbench.training.loop import Trainer, TrainingProblem
from salbench.training.method import LearnedMethod
from salbench.training.recipe import Recipe

__all__ = ["LearnedMethod", "Recipe", "Trainer", "TrainingProblem"]
