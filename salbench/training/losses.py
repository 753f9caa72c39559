"""Differentiable forms of the metrics, for batches. Each is held to its metric in `salbench.metrics` by a test.

All take the prediction as unnormalised log densities ("logits"), float (B, H, W), which a softmax over each image
turns into densities that sum to one, and return one value per image, (B,). Lower is not always better here: KL is
a divergence, CC, NSS and SIM are scores; `weighted` takes the signs into account.
"""

import torch
from torch.nn.functional import log_softmax

_TINY = 1e-12


def kl(logits, density):
    """KL divergence of the prediction from the density in nats, as `metrics.kl` with eps -> 0.

    Args:
        logits: (B, H, W).
        density: (B, H, W), >= 0, of any scale.
    """
    log_p, q = _log_density(logits), _unit_sum(density)
    return (q * (torch.log(q + _TINY) - log_p)).sum(1)


def cc(logits, density):
    """Pearson's correlation of the predicted density with the density, as `metrics.cc`."""
    p, q = _peak_one(logits), _unit_sum(density)
    p, q = p - p.mean(1, keepdim=True), q - q.mean(1, keepdim=True)
    return (p * q).sum(1) / (p.norm(dim=1) * q.norm(dim=1) + _TINY)


def nss(logits, counts):
    """Mean over fixations of the standardised predicted density, as `metrics.nss`; 0 for an image without fixations.

    Args:
        logits: (B, H, W).
        counts: (B, H, W), fixations per pixel.
    """
    p, n = _peak_one(logits), counts.flatten(1)
    z = (p - p.mean(1, keepdim=True)) / (p.std(1, correction=0, keepdim=True) + _TINY)
    return (z * n).sum(1) / n.sum(1).clamp(min=1)


def sim(logits, density):
    """Overlap of the predicted density and the density, as `metrics.sim` with floor=None."""
    return torch.minimum(_log_density(logits).exp(), _unit_sum(density)).sum(1)


LOSSES = {"kl": (kl, "density", 1), "cc": (cc, "density", -1), "nss": (nss, "counts", -1), "sim": (sim, "density", -1)}


def weighted(logits, truth, weights):
    """Weighted sum of losses, averaged over the batch; scores enter with a minus.

    Args:
        logits: (B, H, W).
        truth: {"density": (B, H, W), "counts": (B, H, W)}.
        weights: {name of a loss: weight >= 0}.

    Raises:
        ValueError: an unknown loss.
    """
    unknown = set(weights) - set(LOSSES)
    if unknown:
        raise ValueError(f"loss weights: expected names among {', '.join(LOSSES)}, got {', '.join(sorted(unknown))}")
    total = 0.0
    for name, weight in weights.items():
        function, needs, sign = LOSSES[name]
        total = total + weight * sign * function(logits, truth[needs])
    return total.mean()


def _log_density(logits):
    return log_softmax(_flat(logits), dim=1)


def _peak_one(logits):
    """The predicted density scaled to a peak of one: a constant one then has deviation 0, without rounding."""
    flat = _flat(logits)
    return (flat - flat.detach().amax(1, keepdim=True)).exp()


def _unit_sum(density):
    flat = _flat(density)
    return flat / flat.sum(1, keepdim=True).clamp(min=_TINY)


def _flat(maps):
    """(B, H * W), in float32 at least."""
    return maps.to(torch.promote_types(maps.dtype, torch.float32)).flatten(1)
