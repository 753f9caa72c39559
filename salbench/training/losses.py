"""What training minimises, for batches: differentiable forms of the metrics, and losses for edited images.

Every loss takes the prediction as unnormalised log densities ("logits"), float (B, H, W); a softmax over each image
turns them into densities that sum to one. It returns one value per image, (B,). KL is a divergence; CC, NSS and SIM are
scores, for which higher is better: `per_image` gives them a minus. A test compares each form of a metric with the
metric in `salbench.metrics`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn.functional import log_softmax

if TYPE_CHECKING:
    from salbench.sample import Sample
    from salbench.training.data import Batch
    from salbench.training.recipe import Recipe

_TINY = 1e-12
_BELOW_ONE = 1 - 1e-6  # clips x in log(1 - x), so that the loss is at most 13.8 and its gradient finite
# How far edits are asked to move the log of the region's share. On the hundred released edits it rises by 0.20, 0.34
# and 0.43 with `lite`, and by 0.10, 0.17 and 0.21 with `gaze_lite`, at strengths 1.3, 1.6 and 2.0 (medians, see
# results/study_augsal). No fixations on edited images are public, so this is what models do, not people.
MARGIN = 0.2


def kl(logits: Tensor, density: Tensor) -> Tensor:
    """KL divergence of the prediction from the density in nats, like `metrics.kl` with eps -> 0.

    Args:
        logits: (B, H, W).
        density: (B, H, W), >= 0, any scale.
    """
    log_p, q = _log_density(logits), _unit_sum(density)
    return (q * (torch.log(q + _TINY) - log_p)).sum(1)


def cc(logits: Tensor, density: Tensor) -> Tensor:
    """Pearson's correlation of the predicted density with the density, like `metrics.cc`."""
    p, q = _peak_one(logits), _unit_sum(density)
    p, q = p - p.mean(1, keepdim=True), q - q.mean(1, keepdim=True)
    return (p * q).sum(1) / (p.norm(dim=1) * q.norm(dim=1) + _TINY)


def nss(logits: Tensor, counts: Tensor) -> Tensor:
    """Mean over fixations of the standardised predicted density, like `metrics.nss`; 0 for an image without fixations.

    Args:
        logits: (B, H, W).
        counts: (B, H, W), fixations per pixel.
    """
    p, n = _peak_one(logits), counts.flatten(1)
    z = (p - p.mean(1, keepdim=True)) / (p.std(1, correction=0, keepdim=True) + _TINY)
    return (z * n).sum(1) / n.sum(1).clamp(min=1)


def sim(logits: Tensor, density: Tensor) -> Tensor:
    """Overlap of the predicted density and the density, like `metrics.sim` with floor=None."""
    return torch.minimum(_log_density(logits).exp(), _unit_sum(density)).sum(1)


def agreement(logits: Tensor, original: Tensor, mask: Tensor) -> Tensor:
    """Binary cross-entropy of M x S' and M x S'_E, mean over pixels: Aydemir et al. 2024, equation 7.

    S' and S'_E, the saliency of the original and of the edited image, are scaled to a peak of one. M x S'_E is the
    input and M x S' the target, because ground truth is known for the original. The target takes no gradient: the
    prediction for the original must not learn from the edit.

    Args:
        logits: (B, H, W), predicted for the edited images.
        original: (B, H, W), predicted for the originals.
        mask: (B, H, W), the region M, 0 to 1.
    """
    mask = _flat(mask)
    log_p = _log_peak_one(logits)
    predicted, target = mask * log_p.exp(), mask * _log_peak_one(original).exp().detach()
    log_predicted = torch.log(mask + _TINY) + log_p
    return -(target * log_predicted + (1 - target) * torch.log1p(-predicted.clamp(max=_BELOW_ONE))).mean(1)


def increase(logits: Tensor, original: Tensor, mask: Tensor, direction: Tensor) -> Tensor:
    """How far the region's share of saliency falls short of moving in the edit's direction: a hinge on its logarithm.

    max(0, MARGIN - direction x (log share_E - log share)). A share is the sum of M x density; share_E is that of the
    edited image and share that of the original, which takes no gradient. The logarithm asks for the same ratio whether
    a region is small or large.

    Args:
        logits, original, mask: see `agreement`.
        direction: (B,), +1 where the share should rise, -1 where it should fall.
    """
    log_mask = torch.log(_flat(mask) + _TINY)
    edited, before = (torch.logsumexp(_log_density(x) + log_mask, 1) for x in (logits, original.detach()))
    return torch.relu(MARGIN - direction * (edited - before))


def soft_target(logits: Tensor, density: Tensor, mask: Tensor, direction: Tensor) -> Tensor:
    """KL divergence of the prediction from the original's density with more or less mass in the region, in nats.

    The log of the density moves by MARGIN x direction x M, and the result is scaled to sum to one. So outside the
    region, all ratios stay as they were.

    Args:
        logits: (B, H, W), predicted for the edited images.
        density: (B, H, W), >= 0, any scale: ground truth of the originals.
        mask, direction: see `increase`.
    """
    factor = torch.exp(MARGIN * direction[:, None, None] * mask)
    return kl(logits, density * factor)


def kl_outside(logits: Tensor, density: Tensor, mask: Tensor) -> Tensor:
    """KL divergence outside the region: of density x (1 - M) and prediction x (1 - M), each scaled to sum to one.

    Args:
        logits: (B, H, W), predicted for the edited images.
        density: (B, H, W), >= 0, any scale: ground truth of the originals.
        mask: see `agreement`.
    """
    outside = 1 - mask.to(torch.promote_types(mask.dtype, torch.float32))
    return kl(logits + torch.log(outside + _TINY), density * outside)


_Loss = tuple[Callable[..., Tensor], str, int]
# name: (function, the ground truth that it needs, sign)
LOSSES: dict[str, _Loss] = {
    "kl": (kl, "density", 1),
    "cc": (cc, "density", -1),
    "nss": (nss, "counts", -1),
    "sim": (sim, "density", -1),
}
EDIT_LOSSES: dict[str, _Loss] = LOSSES | {
    "agreement": (agreement, "original mask", 1),
    "increase": (increase, "original mask direction", 1),
    "soft_target": (soft_target, "density mask direction", 1),
    "kl_outside": (kl_outside, "density mask", 1),
}


def check_names(weights: Mapping[str, float], known: Collection[str]) -> None:
    """Raise `ValueError` unless there are weights, all for known losses."""
    unknown = set(weights) - set(known)
    if unknown or not weights:
        got = ", ".join(sorted(unknown)) or "no loss"
        raise ValueError(f"loss weights: expected names among {', '.join(known)}, got {got}")


def needed(what: str, weights: Mapping[str, float]) -> bool:
    """Whether a loss with a weight needs this kind of ground truth."""
    return any(what in EDIT_LOSSES[name][1].split() for name in weights)


def per_image(logits: Tensor, truth: Mapping[str, Tensor], weights: Mapping[str, float]) -> Tensor:
    """Weighted sum of losses, (B,). Scores enter with a minus.

    Args:
        logits: (B, H, W).
        truth: {"density": (B, H, W), "counts": (B, H, W)}. Losses for edited images also need "original", the logits of
            the originals, and "mask", both (B, H, W), and "direction", (B,).
        weights: {name in `EDIT_LOSSES`: weight >= 0}, not empty.
    """
    total = logits.new_zeros(len(logits))
    for name, weight in weights.items():
        function, needs, sign = EDIT_LOSSES[name]
        total = total + weight * sign * function(logits, *(truth[n] for n in needs.split()))
    return total


def of_batch(logits: Tensor, batch: Batch, recipe: Recipe, predict: Callable[[Tensor, list[Sample]], Tensor]) -> Tensor:
    """Mean over a batch of the recipe's losses, or of its edit losses for edited images.

    Args:
        logits: (B, H, W), as large as the densities of the batch.
        batch: the images and their ground truth.
        recipe: names the losses.
        predict: called if a loss needs the originals of edited images; returns the logits (K, H, W) of uint8 images
            (K, H, W, 3) of samples.
    """
    truth, edits = {"density": batch.density, "counts": batch.counts}, batch.edits
    if edits is None:
        return per_image(logits, truth, recipe.losses).mean()
    plain = torch.ones(len(logits), dtype=torch.bool, device=logits.device).index_fill(0, edits.places, False)
    of_edits = {name: t[edits.places] for name, t in truth.items()}
    of_edits |= {"mask": edits.masks, "direction": edits.directions}
    if needed("original", recipe.edit_losses):
        of_edits["original"] = predict(edits.originals, [batch.samples[i] for i in edits.places.tolist()])
    values = [per_image(logits[edits.places], of_edits, recipe.edit_losses)]
    if len(edits.places) < len(logits):
        values.append(per_image(logits[plain], {name: t[plain] for name, t in truth.items()}, recipe.losses))
    return torch.cat(values).mean()


def _log_density(logits: Tensor) -> Tensor:
    return log_softmax(_flat(logits), dim=1)


def _peak_one(logits: Tensor) -> Tensor:
    """The predicted density scaled to a peak of one. A constant prediction then has a deviation of exactly 0."""
    flat = _flat(logits)
    return (flat - flat.detach().amax(1, keepdim=True)).exp()


def _log_peak_one(logits: Tensor) -> Tensor:
    """Logarithm of the density with a peak of one. Its scale takes a gradient, as the loss compares scaled maps."""
    flat = _flat(logits)
    return flat - flat.amax(1, keepdim=True)


def _unit_sum(density: Tensor) -> Tensor:
    flat = _flat(density)
    return flat / flat.sum(1, keepdim=True).clamp(min=_TINY)


def _flat(maps: Tensor) -> Tensor:
    """(B, H * W), float32 or float64."""
    return maps.to(torch.promote_types(maps.dtype, torch.float32)).flatten(1)
