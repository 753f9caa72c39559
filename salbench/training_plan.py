"""How a method is fitted: the second argument of every `fit`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from salbench.edits import EditSet


@dataclass(frozen=True)
class Plan:
    """What a training does beside the method's own recipe.

    Methods that are fitted in seconds, such as `center_bias`, ignore it.

    Attributes:
        folder: where a learned method keeps its checkpoints. A training that was stopped resumes from there.
        dataset: name of the training data, recorded for the notes beneath tables.
        augment: names of augmentations; see `salbench.augment`.
        edits: edited versions of training images, instead of `augment`.
        recipe: fields of the method's `Recipe` to change, such as {"epochs": 2}.
        start: what the training starts from: "none" (random weights), "imagenet", "published", or a checkpoint or
            folder of another training; None: what is usual for the method. See `salbench.training.start`.
        logger: what is written after every epoch beside the checkpoints: "none", "csv" (log.csv) or "tensorboard".
    """

    folder: Path | str | None = None
    dataset: str | None = None
    augment: tuple[str, ...] = ()
    edits: EditSet | None = None
    recipe: Mapping[str, Any] = field(default_factory=dict)
    start: Path | str | None = None
    logger: str = "csv"
