"""Compiled passes over a map that several metrics share. Each reads every pixel once and releases the GIL."""

import numpy as np
from numba import njit

SUMS = {"reassoc", "contract", "nsz"}  # fastmath flags that vectorise sums; NaN and infinity keep their meaning
_BLOCK = 1024  # pixels that stay in the fastest cache while a block is read several times
_SHIFT = 13  # bits of a float32 below its bucket: 1024 buckets an octave
_BUCKETS = 16 << (23 - _SHIFT)  # sixteen octaves below the maximum; everything smaller shares bucket 0


@njit(inline="always")
def above(value, low):
    """value - low in float64, for a value that is at least `low`."""
    # max() changes nothing, but stops the compiler (`reassoc`) from merging this subtraction with the sums and means
    # around it, which would lose the digits of a map that varies little around a large value.
    return max(float(value) - low, 0.0)


@njit(nogil=True, cache=True, fastmath=SUMS | {"nnan"})
def _extremes(values):
    low = high = values[0]
    for i in range(values.size):
        low, high = min(low, values[i]), max(high, values[i])
    return float(low), float(high)


@njit(nogil=True, cache=True, fastmath=SUMS)
def _sums(values, low):
    """Sum, sum above `low`, and sum of squares around the mean of a short array."""
    total = total_above = squares = 0.0
    for i in range(values.size):
        total += values[i]
        total_above += above(values[i], low)
    mean = total_above / values.size
    for i in range(values.size):
        difference = above(values[i], low) - mean
        squares += difference * difference
    return total, total_above, squares


@njit(nogil=True, cache=True)
def moments(values):
    """Extremes and sums of a 1-D map.

    Returns:
        (low, high, total_above, squares, finite): minimum, maximum, sum of values - low, sum of squares around the
        mean, and whether all values are finite; if they are not, the others mean nothing.

    Blocks are measured by themselves and put together by adding numbers >= 0 only, which loses no digits.
    """
    n = (values.size + _BLOCK - 1) // _BLOCK
    lows, means, sizes = np.empty(n), np.empty(n), np.empty(n)
    total, squares, low, high = 0.0, 0.0, np.inf, -np.inf
    for b in range(n):
        block = values[b * _BLOCK : (b + 1) * _BLOCK]
        lows[b], block_high = _extremes(block)
        block_total, block_above, block_squares = _sums(block, lows[b])
        means[b], sizes[b] = block_above / block.size, block.size
        low, high = min(low, lows[b]), max(high, block_high)
        total += block_total
        squares += block_squares
    means += lows - low
    total_above = (means * sizes).sum()
    squares += (sizes * (means - total_above / values.size) ** 2).sum()
    return low, high, total_above, squares, np.isfinite(total)


@njit(inline="always")
def _bucket(value, low, base):
    # The bit pattern of a non-negative float32 rises with its value, in equal steps per octave, which spreads
    # peaked maps, with most pixels near zero, over many buckets too.
    return max((np.float32(value - low).view(np.int32) >> _SHIFT) - base, 0)


@njit(inline="always")
def _class(value, padded, k):
    """Number of thresholds that are below `value` plus number of those that are not above it.

    Args:
        value: float64, at least threshold k - 1.
        padded: rising thresholds, followed by three times infinity.
        k: number of thresholds that are certainly below.
    """
    while padded[k + np.uintp(2)] <= value:
        k += np.uintp(1)
    # Two more are counted without a branch, because a wrong guess of the processor takes longer.
    t, u = padded[k], padded[k + np.uintp(1)]
    return np.uintp(2) * k + np.uintp(value > t) + np.uintp(value >= t) + np.uintp(value > u) + np.uintp(value >= u)


@njit(nogil=True, cache=True)
def rank(values, weights, thresholds, low, high):
    """Count values, and add up their weights, below and at each threshold, exactly and without a sort.

    Args:
        values: 1-D map with minimum `low` and maximum `high` > `low`.
        weights: int32 of the same length.
        thresholds: float64, strictly rising, within [low, high].

    Returns:
        (below, at, weight_below, weight_at): int64 arrays, one entry per threshold; and the sum of weights.

    Each value goes to a bucket of nearby floats. Most buckets hold no threshold, which settles the rank of the value;
    the values in the others wait, and are compared with the thresholds of their bucket.
    """
    n = thresholds.size
    base = max((np.float32(high - low).view(np.int32) >> _SHIFT) - _BUCKETS + 1, 0)  # at least the bucket of zeros
    first = np.zeros(_BUCKETS + 1, np.int32)  # number of thresholds in all lower buckets
    for threshold in thresholds:
        first[_bucket(threshold, low, base) + 1] += 1
    # Class 2k: between thresholds k - 1 and k; class 2k + 1: at threshold k; one more for values yet to be compared.
    unsettled = np.uint32(2 * n + 1)
    class_of = np.empty(_BUCKETS, np.uint32)
    for b in range(_BUCKETS):
        held = first[b + 1]
        first[b + 1] += first[b]
        class_of[b] = unsettled if held else np.uint32(2 * first[b])
    padded = np.append(thresholds, np.full(3, np.inf))
    # Two lanes of counters, because neighbouring pixels fall into the same class and would wait for each other's
    # increment. Unsigned indices, because signed ones cost a test for "from the end" at every access.
    counts, sums = np.zeros((2, 2 * n + 2), np.int64), np.zeros((2, 2 * n + 2), np.int64)
    buckets, waiting = np.empty(_BLOCK, np.uint32), np.empty(_BLOCK + 1, np.uint32)
    classes = np.empty(_BLOCK, np.uint32)  # of those that wait
    for start in range(0, values.size, _BLOCK):
        block, weight = values[start : start + _BLOCK], weights[start : start + _BLOCK]
        for j in range(block.size):
            buckets[j] = _bucket(float(block[j]), low, base)
        n_waiting = np.uintp(0)
        for j in range(block.size):
            c, lane = np.uintp(class_of[np.uintp(buckets[j])]), np.uintp(j & 1)
            counts[lane, c] += 1
            sums[lane, c] += weight[j]
            waiting[n_waiting] = j
            n_waiting += np.uintp(c == unsettled)
        for i in range(n_waiting):
            j = np.uintp(waiting[np.uintp(i)])
            classes[i] = _class(float(block[j]), padded, np.uintp(first[np.uintp(buckets[j])]))
        for i in range(n_waiting):  # apart, because the increments would wait for the comparisons
            c, lane = np.uintp(classes[i]), np.uintp(i & 1)
            counts[lane, c] += 1
            sums[lane, c] += weight[np.uintp(waiting[np.uintp(i)])]
    total, weight_total = counts[:, :-1].sum(0), sums[:, :-1].sum(0)
    below, weight_below = np.cumsum(total)[:-1:2], np.cumsum(weight_total)[:-1:2]
    return below, total[1::2], weight_below, weight_total[1::2], weight_total.sum()


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
