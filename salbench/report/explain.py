"""What a score is made of: where KL is paid, what each fixation adds to NSS and to IG, and the ROC curve of AUC."""

import numpy as np

from salbench.maps import resize, to_density

EPS = float(np.finfo(np.float64).eps)
_SHARE = 0.9  # of the attention; colour begins there, as in `salbench.overlay`


def kl_paid(prediction: np.ndarray, density: np.ndarray, eps: float = EPS) -> np.ndarray:
    """What each pixel adds to KL, q log(eps + q / (p + eps)); the sum is `salbench.metrics.kl`.

    Args:
        prediction, density: (H, W) maps of any scale.
        eps: as in `salbench.metrics.kl`.

    Returns:
        Nats, (H, W): above zero where the prediction is too low, below zero where it is too high.
    """
    p, q = to_density(prediction), to_density(density)
    return q * np.log(eps + q / (p + eps))


def nss_won(prediction: np.ndarray, points: np.ndarray, ddof: int = 0) -> np.ndarray:
    """What each fixation adds to NSS; the mean is `salbench.metrics.nss`.

    Args:
        prediction: (H, W) map.
        points: (N, 2) fixations x, y.
        ddof: as in `salbench.metrics.nss`.

    Returns:
        Standard deviations above the mean of the map, (N,); zeros for a constant map.
    """
    values = prediction.astype(np.float64)
    deviation = values.std(ddof=ddof)
    return (_at(values, points) - values.mean()) / deviation if deviation else np.zeros(len(points))


def ig_won(prediction: np.ndarray, baseline: np.ndarray, points: np.ndarray, floor: str | None = "min") -> np.ndarray:
    """What each fixation adds to IG; the mean is `salbench.metrics.ig`.

    Args:
        prediction, baseline: (H, W) maps of any scale.
        points: (N, 2) fixations x, y.
        floor: as in `salbench.metrics.ig`.

    Returns:
        Bits, (N,): below zero where the baseline said better that people look there.
    """
    p, b = (_at(to_density(each, floor=floor), points) for each in (prediction, baseline))
    return np.log2(EPS + p) - np.log2(EPS + b)


def roc(prediction: np.ndarray, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The ROC curve with the image's pixels as negatives; the area beneath is `salbench.metrics.auc`.

    Args:
        prediction: (H, W) map of whole numbers >= 0, such as one of 8 bits.
        points: (N, 2) fixations x, y.

    Returns:
        (false-positive rate, hit rate), from (0, 0) to (1, 1).
    """
    levels = prediction.astype(np.int64)
    pixels = np.bincount(levels.ravel())
    fixated = np.bincount(_at(levels, points), minlength=len(pixels))
    rates = [np.concatenate([[0], counts[::-1].cumsum()]) / counts.sum() for counts in (pixels, fixated)]
    kept = np.concatenate([[True], np.diff(rates[0]) > 0])
    return rates[0][kept], rates[1][kept]


def heat(prediction: np.ndarray, longest: int) -> np.ndarray:
    """Where a map says that people look, to be drawn in colour: equal shares of the attention in equal colours.

    Args:
        prediction: (H, W) map.
        longest: longer side of the result in pixels.

    Returns:
        uint8 (h, w): 255 at the peak, 0 outside the most salient pixels that hold 90 % of the attention.
    """
    small = to_density(_within(longest, prediction))
    values, index = np.unique(small.round(12), return_inverse=True)
    mass = np.bincount(index.ravel(), small.ravel(), len(values))
    enclosed = mass[::-1].cumsum()[::-1][index.reshape(small.shape)]
    return np.round(255 * np.clip(1 - enclosed / _SHARE, 0, 1)).astype(np.uint8)


def paid(prediction: np.ndarray, density: np.ndarray, longest: int, eps: float = EPS) -> np.ndarray:
    """`kl_paid` to be drawn in two colours, on a scale that all predictions on one image share.

    Args:
        prediction, density, eps: as for `kl_paid`; both are shrunk first.
        longest: longer side of the result in pixels.

    Returns:
        uint8 (h, w): 128 for zero, brighter where KL is paid, darker where it is gained.
    """
    small = _within(longest, density)
    cost = kl_paid(_within(longest, prediction), small, eps)
    return np.round(128 + 127 * np.clip(cost / to_density(small).max(), -1, 1)).astype(np.uint8)


def _within(longest: int, map_: np.ndarray) -> np.ndarray:
    """A map, shrunk to a longer side of at most `longest` pixels."""
    scale = min(1, longest / max(map_.shape))
    return resize(map_, [max(1, round(scale * side)) for side in map_.shape])


def _at(values: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The values of the pixels of some points."""
    columns, rows = np.asarray(points, dtype=np.float64).reshape(-1, 2).astype(np.int64).T
    return values[rows, columns]
