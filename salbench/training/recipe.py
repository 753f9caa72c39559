"""The settings of one training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any


@dataclass(frozen=True)
class Recipe:
    """How a network is trained, with AdamW.

    Attributes:
        size: (height, width) in pixels of the images and maps that the network is trained on.
        epochs: number of epochs; ignored if `steps` is given.
        steps: number of optimisation steps, or None.
        batch_size: images per step.
        learning_rate: peak learning rate.
        weight_decay: applied to matrices and kernels, not to biases and norms.
        rates: {prefix of parameter names: factor on the learning rate}; 1 for all others.
        stages: relative lengths of the stages, such as (20_000, 22_000). In each, the learning rate warms up and decays
            once, and AdamW starts with empty moments. A batch knows its stage, so a method can learn other things in
            each.
        warmup_steps: steps of linear warm-up before the cosine decay to 1 % of the peak.
        clip: largest norm of the gradient; larger ones are scaled down.
        average: decay per step of the moving average of the weights.
        losses: {name in `losses.LOSSES`: weight}.
        edit_losses: {name in `losses.EDIT_LOSSES`: weight}, used on edited images in place of `losses`. The default is
            the loss of Aydemir et al. (section 4.3, equation 7) alone. Those of `losses` are given the ground truth of
            the original.
        jitter: augmentations, each applied with probability 1/2 and drawn again in every epoch.
        p: how augmentations or edits are shown; see `data.TrainingSet`.
        labels: what an augmentation does to labels; see `salbench.augment.augment`.
        validation_share: share of the images with fixations that are held out, chosen by a hash of their ids.
        criterion: metric that decides which epoch is best.
        patience: number of epochs without improvement after which training stops.

    Raises:
        ValueError: an unknown metric or loss, a probability outside 0 to 1, or a stage without length.
    """

    size: tuple[int, int]
    epochs: int = 30
    steps: int | None = None
    batch_size: int = 16
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    rates: dict[str, float] = field(default_factory=dict)
    stages: tuple[float, ...] = (1.0,)
    warmup_steps: int = 100
    clip: float = 1.0
    average: float = 0.998
    losses: dict[str, float] = field(default_factory=lambda: {"kl": 1.0, "cc": 1.0})
    edit_losses: dict[str, float] = field(default_factory=lambda: {"agreement": 1.0})
    jitter: tuple[str, ...] = ()
    p: float | None = None
    labels: str = "moved"
    validation_share: float = 0.1
    criterion: str = "kl"
    patience: int = 10

    def __post_init__(self) -> None:
        # Imported here: every learned method has a recipe, but its predictions use no metric and no loss, so these
        # must not count as its code (see `salbench.code_hash`).
        from salbench.metrics import METRICS
        from salbench.training.losses import EDIT_LOSSES, LOSSES, check_names

        if self.criterion not in METRICS:
            raise ValueError(f"criterion: expected one of {', '.join(METRICS)}, got {self.criterion!r}")
        if self.p is not None and not 0 <= self.p <= 1:
            raise ValueError(f"p, the probability of the original: expected 0 to 1, got {self.p}")
        if not self.stages or not all(length > 0 for length in self.stages):
            raise ValueError(f"stages: expected one length above 0 for each stage, got {self.stages}")
        check_names(self.losses, LOSSES)
        check_names(self.edit_losses, EDIT_LOSSES)

    def at(self, size: tuple[int, int]) -> Recipe:
        """The same recipe at another (height, width)."""
        height, width = size
        return replace(self, size=(height, width))

    def changed(self, changes: Mapping[str, Any]) -> Recipe:
        """The same recipe with other values in some fields.

        Args:
            changes: {field: value}. With `epochs`, the recipe's own number of `steps` is dropped.

        Raises:
            ValueError: an unknown field, or what the recipe itself refuses.
        """
        known = [f.name for f in fields(self)]
        unknown = [name for name in changes if name not in known]
        if unknown:
            raise ValueError(f"recipe: expected fields among {', '.join(known)}, got {', '.join(unknown)}")
        return replace(self, **({"steps": None} if "epochs" in changes else {}) | dict(changes))
