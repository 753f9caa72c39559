"""How much each loss on edited images teaches: the norm of its gradient.

A loss whose gradient is a hundredth of the others' teaches next to nothing, whatever its value.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from salbench.training.data import Batch
    from salbench.training.method import LearnedMethod

PREFIX = "gradient_"
OF_ORIGINALS = f"{PREFIX}originals"


def norms(method: LearnedMethod, network: torch.nn.Module, batch: Batch) -> dict[str, float]:
    """Euclidean norms of the gradients on one batch, for each part of its loss.

    Args:
        method: its recipe names the losses. Their weights count.
        network: in evaluation mode, so that measuring changes nothing.
        batch: with edited images.

    Returns:
        {"gradient_originals": of all that is not learned from edits, "gradient_<name>": of one edit loss}, each of the
        mean over the batch.
    """
    weights = method.recipe.edit_losses
    without = _gradient(method, network, batch, dict.fromkeys(weights, 0.0))
    found = {OF_ORIGINALS: float(without.norm())}
    for name, weight in weights.items():
        found[PREFIX + name] = float((_gradient(method, network, batch, {name: weight}) - without).norm())
    return found


def unknown(method: LearnedMethod) -> dict[str, float]:
    """What `norms` returns for a batch without edited images: NaN for each part."""
    return dict.fromkeys((OF_ORIGINALS, *(PREFIX + name for name in method.recipe.edit_losses)), float("nan"))


def _gradient(method, network, batch, edit_losses: Mapping[str, float]) -> torch.Tensor:
    """The gradient of all parameters, as one vector."""
    other = copy(method)
    other.recipe = replace(method.recipe, edit_losses=edit_losses)
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    with torch.enable_grad():
        loss = other.loss(network, batch)
    gradients = torch.autograd.grad(loss, trained, allow_unused=True)
    return torch.cat([
        (torch.zeros_like(p) if g is None else g).flatten().float() for p, g in zip(trained, gradients, strict=True)
    ])  # fmt: skip
