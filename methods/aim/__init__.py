"""AIM: a place is salient if its features are rare in the image."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2

from salbench.registry import register
from salbench.sample import Sample

from .._matlab import filter_rows_and_columns, gaussian
from .._patches import PatchModel, framed, kernels_of

BINS = 1000
FLOOR = 1e-6  # added to a share, whose logarithm is taken
SMOOTHING = gaussian(30, 8.0)  # pixels at the working size
ROUNDING = 4 * np.finfo(np.float32).eps  # error of a response, relative to the sum of its terms' magnitudes


@register
class AIM(PatchModel):
    """Classical, no training: self-information of 25 independent components (Bruce and Tsotsos 2005).

    The probability of a response is its share in a histogram over the whole image, as in the author's code; the paper
    also considers neighbourhoods. Filters are our own (see `PatchModel`). The map's frame, where patches do not fit,
    gets the map's minimum. A feature that varies by less than rounding errors counts as constant.

    Images are shrunk to a longest side of 400 pixels, which scored best of 100, 133, 200 and 400 on every tenth image
    of osie_train (sAUC 0.65, 0.69, 0.72, 0.74; NSS 1.03, 1.08, 1.15, 1.20). Variants: "sharp", the author's default,
    and "smooth", which blurs the information with a Gaussian of 8 pixels at that size. Time grows with the number of
    pixels at that size, and the time of the resize with that of the image.
    """

    paper = "Bruce, Tsotsos (2009), Saliency, attention, and visual search, Journal of Vision 9(3)"
    options = ("sharp", "smooth")
    file = Path(__file__).parent / "filters.npz"
    side = 21
    n_filters = 25
    longest = 400

    def predict(self, sample: Sample) -> np.ndarray:
        """Information of each pixel at the working size, in nats."""
        image = self.prepared(sample.image)
        inner = information(image, self.bank["filters"])
        if self.option == "smooth":
            inner = filter_rows_and_columns(inner, SMOOTHING)
        return framed(inner, image.shape[:2])


def information(image: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Sum over filters of -ln of the share of patches whose response falls into the same bin.

    Args:
        image: float (H, W, 3) of any linear scale.
        filters: (K, side * side * 3) in MATLAB's order.

    Returns:
        float64 (H - side + 1, W - side + 1).
    """
    features = responses(image, filters)
    noise = ROUNDING * np.abs(image).max() * np.abs(filters).sum(axis=1)
    return sum(_information(feature, error) for feature, error in zip(features, noise, strict=True))


def responses(image: np.ndarray, filters: np.ndarray) -> Iterator[np.ndarray]:
    """For each filter, its products with every patch that lies inside the image, (H - side + 1, W - side + 1).

    There are few filters and they are large, so Fourier transforms take less time than products with patches.
    """
    kernels = kernels_of(filters)
    height, width, side = *image.shape[:2], kernels.shape[1]
    shape = [next_fast_len(length, real=True) for length in (height, width)]
    spectrum = rfft2(image, shape, axes=(0, 1))
    for kernel in kernels:
        product = (spectrum * rfft2(kernel, shape, axes=(0, 1)).conj()).sum(axis=2)
        yield irfft2(product, shape)[: height - side + 1, : width - side + 1]


def _information(feature: np.ndarray, noise: float) -> np.ndarray:
    low, high = feature.min(), feature.max()
    span = high - low if high - low > noise else np.inf  # otherwise it holds only rounding errors
    bins = np.floor((feature - low) / span * (BINS - 1) + 0.5).astype(np.int64)
    shares = np.bincount(bins.ravel(), minlength=BINS) / bins.size
    return -np.log(shares + FLOOR)[bins]
