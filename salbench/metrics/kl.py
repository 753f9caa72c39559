"""Kullback-Leibler divergence of the prediction from the ground-truth density, in nats."""

import numpy as np

from salbench.checks import check_density, check_map
from salbench.maps import to_density

EPS = float(np.finfo(np.float64).eps)  # 2.2204e-16, as in KLdiv.m


def kl(prediction, density, *, eps=EPS):
    """Sum of q log(eps + q / (p + eps)), p the prediction and q the density as densities. Lower is better.

    Zeros in the prediction where people looked dominate the value, so an 8-bit export can triple it.

    Args:
        prediction: (H, W) map of finite values; negative ones are shifted to zero first.
        density: (H, W) ground truth, >= 0, of any scale.
        eps: added inside the logarithm and to the prediction.

    Returns:
        Nats, from 0 (up to eps) to about 36; NaN for a density of zeros (no ground truth).

    Raises:
        ValueError: NaN, different shapes, or a negative density.

    Reference: KLdiv.m of the MIT Saliency Benchmark; Bylinskii et al. (2019), IEEE TPAMI 41(3).
    """
    p = to_density(check_map(prediction))
    density = check_density(density, p.shape)
    if not density.any():
        return np.nan
    q = to_density(density)
    return float((q * np.log(eps + q / (p + eps))).sum())
