"""Training: one loop for every learned method. Needs torch, safetensors and accelerate.

A learned method subclasses `LearnedMethod` and supplies its network, its preprocessing and its recipe:

    @register
    class Mine(LearnedMethod):
        recipe = Recipe(size=(144, 192), losses={"kl": 1.0})

        def build_network(self):
            return MyNetwork()

        def preprocess(self, images):
            return images.permute(0, 3, 1, 2).float() / 255
"""

from salbench.training.loop import Recipe, Trainer, TrainingProblem
from salbench.training.method import LearnedMethod, create

__all__ = ["LearnedMethod", "Recipe", "Trainer", "TrainingProblem", "create"]
