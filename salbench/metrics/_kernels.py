"""Compiled passes over a map. Each reads every pixel once, in float64 registers, without the GIL."""

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

_SHIFT = 12  # bits of a float32 below its bucket: 2048 buckets an octave
_BUCKETS = 16 << (23 - _SHIFT)  # sixteen octaves below the maximum; everything smaller shares bucket 0
_BLOCK = 1024
_FAST = {"reassoc", "contract", "nsz"}  # vectorised sums; NaN and infinity keep their meaning


def _bitcast(source, target, llvm_type):
    @intrinsic
    def cast(typing_context, value):
        def generate(context, builder, signature, arguments):
            return builder.bitcast(arguments[0], llvm_type)

        return target(source), generate

    return cast


_bits64 = _bitcast(types.float64, types.int64, ir.IntType(64))
_float64 = _bitcast(types.int64, types.float64, ir.DoubleType())
_bits32 = _bitcast(types.float32, types.int32, ir.IntType(32))


_LN2_HIGH = 0.6931471803691238  # the leading bits, so that exponent * _LN2_HIGH is exact
_LN2_LOW = 1.9082149292705877e-10


@njit(inline="always")
def _log(x):
    """Natural logarithm of a positive normal number to within 2 ulp, free of branches so that it vectorises.

    x = 2^k m with m in [sqrt(1/2), sqrt(2)); log m = 2 atanh(s), s = (m - 1) / (m + 1), |s| < 0.172, by the Taylor
    series of atanh, whose first term left out is below 1e-18 of the sum.
    """
    bits = _bits64(x)
    k = (bits - 0x3FE6A09E667F3BCD) >> 52  # 0x3FE6... are the bits of sqrt(1/2)
    f = _float64(bits - (k << 52)) - 1.0
    s = f / (2.0 + f)
    z = s * s
    series = 1 / 23
    for n in (21, 19, 17, 15, 13, 11, 9, 7, 5, 3):
        series = series * z + 1 / n
    e = float(k)
    # 2 s = f - s f, and f is exact: only the small terms are rounded
    return e * _LN2_HIGH + (f - (s * f - (2.0 * s * z * series + e * _LN2_LOW)))


@njit(inline="always")
def _above(value, low):
    # The maximum changes nothing, but keeps the compiler (`reassoc`) from merging the subtraction with the sums and
    # means around it, which would lose the digits of a map that varies little around a large value.
    return max(float(value) - low, 0.0)


@njit(nogil=True, cache=True, fastmath=_FAST)
def sum_above(values, low):
    """Sum of values - low over a 1-D array."""
    total = 0.0
    for i in range(values.size):
        total += _above(values[i], low)
    return total


@njit(nogil=True, cache=True, fastmath=_FAST)
def sum_squares(values, low, mean):
    """Sum of (values - low - mean)^2 over a 1-D array."""
    squares = 0.0
    for i in range(values.size):
        a = _above(values[i], low) - mean
        squares += a * a
    return squares


@njit(nogil=True, cache=True, fastmath=_FAST, error_model="numpy")
def compare(p, q, p_low, p_mean, q_low, q_mean, p_kl, q_kl, p_sim, q_sim, eps):
    """One pass for CC, KL and SIM over a prediction `p` and a density `q`, both 1-D.

    `*_mean` are means above `*_low`; each of `*_kl`, `*_sim` is (floor, scale, offset), which reads a value v as
    the density (v - floor) * scale + offset.

    Returns: (sum of squares of p, of q, sum of products, KL in nats, SIM).
    """
    pp = pq = qq = divergence = overlap = 0.0
    for i in range(p.size):
        u, v = float(p[i]), float(q[i])
        a, b = _above(u, p_low) - p_mean, _above(v, q_low) - q_mean
        pp += a * a
        pq += a * b
        qq += b * b
        x, y = (u - p_kl[0]) * p_kl[1] + p_kl[2], (v - q_kl[0]) * q_kl[1] + q_kl[2]
        divergence += y * _log(eps + y / (x + eps))
        x, y = (u - p_sim[0]) * p_sim[1] + p_sim[2], (v - q_sim[0]) * q_sim[1] + q_sim[2]
        overlap += min(x, y)
    return pp, qq, pq, divergence, overlap


@njit(inline="always")
def _bucket(value, low, base):
    # The bit pattern of a non-negative float32 rises with its value, in equal steps per octave, so that
    # peaked maps, with most pixels near zero, spread over many buckets too.
    return max((_bits32(np.float32(value - low)) >> _SHIFT) - base, 0)


@njit(nogil=True, cache=True, error_model="numpy")
def rank(values, weights, thresholds, low, high):
    """Count values, and add up their weights, below and at each threshold, exactly and without a sort.

    Args:
        values: 1-D map with minimum `low` and maximum `high` > `low`.
        weights: int32 of the same length.
        thresholds: float64, strictly rising, within [low, high].

    Returns:
        (below, at, weight_below, weight_at): int64 arrays, one entry per threshold; and the sum of weights.

    Each value goes to a bucket of nearby floats; a bucket that holds no threshold settles the rank, one that
    holds one takes two comparisons, and only a bucket with several is searched.
    """
    n = thresholds.size
    base = max((_bits32(np.float32(high - low)) >> _SHIFT) - _BUCKETS + 1, 0)  # not below the bucket of zeros
    first = np.zeros(_BUCKETS + 1, np.int32)  # of each bucket: how many thresholds lie in lower buckets
    for k in range(n):
        first[_bucket(thresholds[k], low, base) + 1] += 1
    only = np.full(_BUCKETS, np.inf)  # of each bucket: its one threshold; NaN where it holds several
    for b in range(_BUCKETS):
        held = first[b + 1]
        first[b + 1] += first[b]
        if held:
            only[b] = thresholds[first[b]] if held == 1 else np.nan
    # Class 2k: between thresholds k - 1 and k; class 2k + 1: at threshold k. Four lanes of counters, because
    # neighbouring pixels fall into the same class and would wait for each other's increment. Unsigned
    # indices, because signed ones cost a test for "from the end" at every access.
    counts = np.zeros((4, 2 * n + 1), np.int64)
    sums = np.zeros((4, 2 * n + 1), np.int64)
    buckets = np.empty(_BLOCK, np.uint32)
    for start in range(0, values.size, _BLOCK):
        length = min(_BLOCK, values.size - start)
        for j in range(length):
            buckets[j] = _bucket(float(values[start + j]), low, base)
        for j in range(length):
            b, value, lane = np.uintp(buckets[j]), float(values[start + j]), np.uintp(j & 3)
            threshold = only[b]
            c = np.uintp(2 * first[b] + int(value >= threshold) + int(value > threshold))
            if threshold != threshold:
                k, last = first[b], first[b + np.uintp(1)]
                while k < last and thresholds[k] < value:
                    k += 1
                c = np.uintp(2 * k + int(k < last and thresholds[k] == value))
            counts[lane, c] += 1
            sums[lane, c] += weights[start + j]
    total, weight = counts.sum(0), sums.sum(0)
    return np.cumsum(total)[:-1:2], total[1::2], np.cumsum(weight)[:-1:2], weight[1::2], weight.sum()


@njit(nogil=True, cache=True)
def unscale(levels, low, span):
    """For each level in [0, 1] the smallest float64 v with (v - low) / span >= level, by bisection."""
    out = np.empty(levels.size)
    slack = 2e-15 * (abs(low) + span) + 5e-324  # the smallest denormal, for maps of nothing else
    for i in range(levels.size):
        below = max(low + levels[i] * span - slack, low)
        value = min(low + levels[i] * span + slack, low + span)
        if (below - low) / span >= levels[i]:
            value = below
        middle = below + (value - below) / 2
        while below < middle < value:
            if (middle - low) / span >= levels[i]:
                value = middle
            else:
                below = middle
            middle = below + (value - below) / 2
        out[i] = value
    return out
