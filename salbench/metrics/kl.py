"""Kullback-Leibler divergence of the prediction from the ground-truth density, in nats."""

from math import inf, nan

import numpy as np
from numba import njit

from salbench.metrics._kernels import SUMS
from salbench.metrics._metric import Metric
from salbench.metrics._pair import EPS, Pair

_SMALLEST_EPS = 1e-300  # one divided by it is still a number
_BLOCK = 64  # pixels that are skipped together if nobody looked there
_SQRT_HALF = 0x3FE6A09E667F3BCD  # bits of the float64 sqrt(1/2)
_LN2_HIGH = 0.6931471803691238  # the leading bits, which make exponent * _LN2_HIGH exact
_LN2_LOW = 1.9082149292705877e-10
# Chebyshev fit in z of (atanh(sqrt(z)) / sqrt(z) - 1) / z, whose Taylor series is 1/3 + z/5 + z^2/7 + ...,
# from 0 to ((sqrt(2) - 1) / (sqrt(2) + 1))^2; times z its error is below 5e-18.
_SERIES = (
    0.07308224842521703, 0.07665860800278021, 0.09091444562630861, 0.1111110556739754, 0.14285714312987743,
    0.19999999999949752, 0.3333333333333335,
)  # fmt: skip


def kl(prediction: np.ndarray, density: np.ndarray, *, eps: float = EPS) -> float:
    """Sum of q log(eps + q / (p + eps)), with prediction p and ground truth q as densities. Lower is better.

    Zeros in the prediction where people looked dominate the value, so an 8-bit export can triple it.

    Args:
        prediction: (H, W) map of finite values; negative ones are shifted to zero first.
        density: (H, W) ground truth, >= 0, of any scale.
        eps: added inside the logarithm and to the prediction; 0, or at least 1e-300.

    Returns:
        Nats, from 0 (up to eps) to about 36; with eps=0 infinite if the prediction is zero where the density is not;
        NaN for a density of zeros (no ground truth).

    Raises:
        ValueError: NaN, different shapes, a negative density, or an impossible `eps`.

    Reference: KLdiv.m of the MIT Saliency Benchmark; Bylinskii et al. (2019), IEEE TPAMI 41(3).
    """
    return _kl(Pair.of(prediction, density=density), eps=eps)


def _kl(pair, *, eps=EPS):
    if eps != 0 and not eps >= _SMALLEST_EPS:
        raise ValueError(f"eps: expected 0 or at least {_SMALLEST_EPS:g}, got {eps}")
    p, q = pair.density_map, pair.density
    if q.is_zero:
        return nan
    if eps == 0 and p.low <= 0 and not p.is_constant and q.values[p.values == p.low].any():
        return inf
    _, q_scale, _ = q.as_density(None)  # a density that is not all zeros has base 0 and offset 0
    return _divergence(p.values, q.values, p.as_density(None), q_scale, eps)


@njit(nogil=True, cache=True, fastmath=SUMS, error_model="numpy")
def _divergence(p, q, p_density, q_scale, eps):
    """KL of two 1-D maps, q >= 0; `p_density` is (base, scale, offset) as `Map.as_density` returns it."""
    base, scale, offset = p_density
    total = 0.0
    for start in range(0, p.size, _BLOCK):
        p_block, q_block = p[start : start + _BLOCK], q[start : start + _BLOCK]
        mass = 0.0
        for i in range(q_block.size):
            mass += q_block[i]
        if mass == 0:
            continue
        for i in range(q_block.size):
            x = (p_block[i] - base) * scale + offset
            y = q_block[i] * q_scale
            total += y * _log(eps + y / (x + eps))
    return total


@njit(inline="always")
def _log(x):
    """Natural logarithm of a positive normal number to within 2 ulp, free of branches, which lets it vectorise.

    x = 2^k m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1).
    """
    bits = np.float64(x).view(np.int64)
    k = (bits - _SQRT_HALF) >> 52
    f = np.int64(bits - (k << 52)).view(np.float64) - 1.0
    s = f / (2.0 + f)
    z = s * s
    series = _SERIES[0]
    for coefficient in _SERIES[1:]:
        series = series * z + coefficient
    e = float(k)
    # 2 s = f - s f, and f is exact: only the small terms are rounded
    return e * _LN2_HIGH + (f - (s * f - (2.0 * s * z * series + e * _LN2_LOW)))


KL = Metric(
    fn=kl,
    of_pair=_kl,
    needs=("density",),
    higher_is_better=False,
    bounds=(0, inf),
    unit="nat",
    reference="MIT KLdiv.m; pysaliency MIT_KLDiv",
    hurt_by_zeros=True,
)
