"""What training minimises, for batches: differentiable forms of the metrics, and losses of edited images.

All take the prediction as unnormalised log densities ("logits"), float (B, H, W), which a softmax over each image
turns into densities that sum to one, and return one value per image, (B,). Lower is not always better here: KL is
a divergence, CC, NSS and SIM are scores; `per_image` takes the signs into account. Each form of a metric is held to
it (`salbench.metrics`) by a test.
"""

import torch
from torch.nn.functional import log_softmax

_TINY = 1e-12
_BELOW_ONE = 1 - 1e-6  # largest value whose log(1 - x) is taken: at most 13.8, with a gradient that is still finite
# Of log shares. On the hundred released edits of Aydemir et al., `lite` trained without edits moves by 0.12, 0.18 and
# 0.23 at strengths 1.3, 1.6 and 2.0 (medians): what is asked for is a little more than what comes by itself.
MARGIN = 0.2


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


def agreement(logits, original, mask):
    """Binary cross-entropy of M x S' and M x S'_E, mean over pixels: Aydemir et al. 2024, equation 7.

    S' and S'_E, the saliency of the original and of the edited image, are scaled to a peak of one. M x S'_E is the
    input and M x S' the target: it is of the original that ground truth is known. The target takes no gradient, so
    that the original is not made to look like its edit.

    Args:
        logits: (B, H, W), of the edited images.
        original: (B, H, W), logits of the originals.
        mask: (B, H, W), M, 0 to 1.
    """
    mask = _flat(mask)
    log_p = _log_peak_one(logits)
    predicted, target = mask * log_p.exp(), mask * _log_peak_one(original).exp().detach()
    log_predicted = torch.log(mask + _TINY) + log_p
    return -(target * log_predicted + (1 - target) * torch.log1p(-predicted.clamp(max=_BELOW_ONE))).mean(1)


def increase(logits, original, mask, direction):
    """How far the region's share of saliency falls short of moving in the edit's direction: a hinge on its log.

    max(0, MARGIN - direction x (log share_E - log share)), where share = sum(M x density) of the original, without
    gradient, and share_E of the edited image. The log asks for the same ratio of a small region as of a large one.

    Args:
        logits, original, mask: as for `agreement`.
        direction: (B,), +1 where the share should rise, -1 where it should fall.
    """
    log_mask = torch.log(_flat(mask) + _TINY)
    edited, before = (torch.logsumexp(_log_density(x) + log_mask, 1) for x in (logits, original.detach()))
    return torch.relu(MARGIN - direction * (edited - before))


# name: (function, what it needs of the truth, sign)
LOSSES = {"kl": (kl, "density", 1), "cc": (cc, "density", -1), "nss": (nss, "counts", -1), "sim": (sim, "density", -1)}
EDIT_LOSSES = LOSSES | {
    "agreement": (agreement, "original mask", 1),
    "increase": (increase, "original mask direction", 1),
}


def check_names(weights, known):
    """Raise `ValueError` unless there are weights, and all of them of known losses."""
    unknown = set(weights) - set(known)
    if unknown or not weights:
        got = ", ".join(sorted(unknown)) or "none"
        raise ValueError(f"loss weights: expected names among {', '.join(known)}, got {got}")


def needed(what, weights):
    """True if a loss with a weight needs `what` of the truth."""
    return any(what in EDIT_LOSSES[name][1].split() for name in weights)


def per_image(logits, truth, weights):
    """Weighted sum of losses, (B,); scores enter with a minus.

    Args:
        logits: (B, H, W).
        truth: {"density": (B, H, W), "counts": (B, H, W)}; for losses of edited images also their "original" logits
            and "mask", both (B, H, W), and "direction" (B,).
        weights: {name in `EDIT_LOSSES`: weight >= 0}.
    """
    total = 0.0
    for name, weight in weights.items():
        function, needs, sign = EDIT_LOSSES[name]
        total = total + weight * sign * function(logits, *(truth[n] for n in needs.split()))
    return total


def weighted(logits, truth, weights):
    """Weighted sum of the losses in `LOSSES`, averaged over the batch: see `per_image`.

    Raises:
        ValueError: an unknown loss.
    """
    check_names(weights, LOSSES)
    return per_image(logits, truth, weights).mean()


def _log_density(logits):
    return log_softmax(_flat(logits), dim=1)


def _peak_one(logits):
    """The predicted density scaled to a peak of one: a constant one then has deviation 0, without rounding."""
    flat = _flat(logits)
    return (flat - flat.detach().amax(1, keepdim=True)).exp()


def _log_peak_one(logits):
    """Log of `_peak_one`; the scale takes a gradient, as it is a part of what is compared."""
    flat = _flat(logits)
    return flat - flat.amax(1, keepdim=True)


def _unit_sum(density):
    flat = _flat(density)
    return flat / flat.sum(1, keepdim=True).clamp(min=_TINY)


def _flat(maps):
    """(B, H * W), in float32 at least."""
    return maps.to(torch.promote_types(maps.dtype, torch.float32)).flatten(1)
