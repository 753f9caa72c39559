"""Compiled passes over a map that several metrics share, and helpers for them. All release the GIL."""

import numpy as np
from numba import njit

SUMS = {"reassoc", "contract", "nsz"}  # fastmath flags that vectorise sums; NaN and infinity keep their meaning
_BLOCK = 1024  # pixels that stay in the fastest cache while a block is read several times
_SHIFT = 12  # bits of a float32 below its bucket: 2048 buckets an octave
_OCTAVES = 8  # octaves below the span of the map that have their own buckets
LARGEST_SUM = (1 << 31) - 1  # largest sum of weights that a counter of `rank` holds


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
    """Sum of values - low, NaN or infinite if any value is, and sum of squares around the mean, of a short array."""
    total_above = squares = 0.0
    for i in range(values.size):
        total_above += above(values[i], low)
    mean = total_above / values.size
    for i in range(values.size):
        difference = above(values[i], low) - mean
        squares += difference * difference
    return total_above, squares


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
    squares, low, high = 0.0, np.inf, -np.inf
    for b in range(n):
        block = values[b * _BLOCK : (b + 1) * _BLOCK]
        lows[b], block_high = _extremes(block)
        block_above, block_squares = _sums(block, lows[b])
        means[b], sizes[b] = block_above / block.size, block.size
        low, high = min(low, lows[b]), max(high, block_high)
        squares += block_squares
    means += lows - low
    total_above = (means * sizes).sum()
    squares += (sizes * (means - total_above / values.size) ** 2).sum()
    return low, high, total_above, squares, np.isfinite(total_above)


@njit(inline="always")
def _bucket(value, low, added):
    # The bit pattern of a non-negative float32 rises with its value, in equal steps per octave. So buckets are finest
    # near the minimum, where most pixels of a peaked map lie. Adding a share of the span limits their number.
    return np.float32(np.float32(value - low) + added).view(np.int32) >> _SHIFT


@njit(inline="always")
def _class(value, padded, k, m):
    """Number of thresholds that are below `value` plus number of those that are not above it.

    Args:
        value: float64.
        padded: rising thresholds, followed by infinity.
        k: number of thresholds that are certainly below.
        m: number of thresholds to compare after those; later ones are above the value.
    """
    while m > 2:  # halve until two are left; those passed over are below the value
        half = m >> np.uintp(1)
        k += half * np.uintp(padded[k + half] <= value)
        m -= half
    # Two are counted without a branch, because a wrong guess of the processor takes longer.
    t, u = padded[k], padded[k + np.uintp(1)]
    return np.uintp(2) * k + np.uintp(value > t) + np.uintp(value >= t) + np.uintp(value > u) + np.uintp(value >= u)


@njit(inline="always")
def _sum(weights):
    total = np.int64(0)
    for weight in weights:
        total += weight
    return total


@njit(nogil=True, cache=True)
def rank(values, weights, thresholds, low, high):
    """Count values, and add up their weights, below and at each threshold, exactly and without a sort.

    Args:
        values: 1-D map with minimum `low` and maximum `high` > `low`.
        weights: int32 >= 0 of the same length.
        thresholds: float64, strictly rising, within [low, high].

    Returns:
        (below, at, weight_below, weight_at): int64 arrays, one entry per threshold; and the sum of weights. The
        weights' arrays are right only if that sum is at most `LARGEST_SUM`.

    Each value goes to a bucket of nearby floats. Most buckets hold no threshold, which settles the rank of the value;
    the values in the others wait, and are compared with the thresholds of their bucket.
    """
    n = thresholds.size
    # Values and thresholds fall into buckets by their difference from `low` in the precision of the map. Rounding a
    # threshold never puts a pixel on its wrong side.
    lowest = values.dtype.type(low)
    added = np.float32((high - low) / (1 << _OCTAVES))
    base = _bucket(lowest, lowest, added)
    n_buckets = _bucket(values.dtype.type(high), lowest, added) - base + 1
    first = np.zeros(n_buckets + 1, np.int32)  # number of thresholds in all lower buckets
    for threshold in thresholds:
        first[_bucket(values.dtype.type(threshold), lowest, added) - base + 1] += 1
    # Class 2k: between thresholds k - 1 and k; class 2k + 1: at threshold k; one more for values yet to be compared.
    unsettled = np.uint32(2 * n + 1)
    class_of = np.empty(n_buckets, np.uint32)
    for b in range(n_buckets):
        held = first[b + 1]
        first[b + 1] += first[b]
        class_of[b] = unsettled if held else np.uint32(2 * first[b])
    padded = np.empty(n + 1)
    padded[:n], padded[n] = thresholds, np.inf
    # A counter holds the number of values in its lower half and the sum of weights in its upper half: one increment
    # instead of two. Two lanes of counters, because neighbouring pixels fall into the same class and would wait for
    # each other's increment. Unsigned indices, because signed ones cost a test for "from the end" at every access.
    counters = np.zeros((2, 2 * n + 2), np.int64)
    most = np.int32(0)  # of the weights
    buckets, waiting = np.empty(_BLOCK, np.uint32), np.empty(_BLOCK + 1, np.uint32)
    classes = np.empty(_BLOCK, np.uint32)  # of those that wait
    for start in range(0, values.size, _BLOCK):
        block, weight = values[start : start + _BLOCK], weights[start : start + _BLOCK]
        for j in range(block.size):
            buckets[j] = _bucket(block[j], lowest, added) - base
        for j in range(block.size):
            most = max(most, weight[j])
        n_waiting = np.uintp(0)
        for j in range(block.size):
            c = np.uintp(class_of[np.uintp(buckets[j])])
            counters[np.uintp(j & 1), c] += (np.int64(weight[j]) << 32) + 1
            waiting[n_waiting] = j
            n_waiting += np.uintp(c == unsettled)
        for i in range(n_waiting):
            j = np.uintp(waiting[np.uintp(i)])
            b = np.uintp(buckets[j])
            k, end = np.uintp(first[b]), np.uintp(first[b + np.uintp(1)])
            classes[i] = _class(float(block[j]), padded, k, end - k)
        for i in range(n_waiting):  # apart, because the increments would wait for the comparisons
            weight_of_it = np.int64(weight[np.uintp(waiting[np.uintp(i)])])
            counters[np.uintp(i & 1), np.uintp(classes[i])] += (weight_of_it << 32) + 1
    counters = counters[0, :-1] + counters[1, :-1]
    counts, sums = counters & 0xFFFFFFFF, counters >> 32
    up_to, sum_up_to = np.cumsum(counts), np.cumsum(sums)
    may_overflow = most * np.int64(values.size) > LARGEST_SUM
    total = _sum(weights) if may_overflow else sum_up_to[-1]
    return up_to[:-1:2], counts[1::2], sum_up_to[:-1:2], sums[1::2], total


@njit(nogil=True, cache=True)
def distinct(values):
    """The different values of a rising 1-D array."""
    out = np.empty_like(values)
    n = 0
    for i in range(values.size):
        if i == 0 or values[i] != values[i - 1]:
            out[n] = values[i]
            n += 1
    return out[:n]


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
