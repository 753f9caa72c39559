"""SUN: a place is salient if its features are rare in natural images."""

from pathlib import Path

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import gammaln

from salbench.registry import register
from salbench.sample import Sample

from .._patches import PatchModel, framed, responses

THETAS = 0.2, 4.0  # range of the fitted shapes
TINY = np.finfo(np.float32).tiny  # replaces zero before the logarithm


@register
class SUN(PatchModel):
    """Classical, no training: self-information of 362 independent components (Zhang et al. 2008).

    As in the authors' code, constants of the log probability are left out. Filters and their distributions are our own
    (see `PatchModel`). They describe natural images, not the image at hand: through these filters, one red disc among
    green ones does not stand out. The map's frame, where patches do not fit, gets the map's minimum.

    Images are shrunk to a longest side of 128 pixels, which scored best of 128, 192 and 256 on every tenth image of
    osie_train: sAUC 0.766 at 128 and 0.753 at 256; with filters learned at 256 pixels, 0.760 at 128 and 0.758 at 192.
    Time grows with the number of pixels at that size, and the time of the resize with that of the image.
    """

    paper = (
        "Zhang et al. (2008), SUN: A Bayesian framework for saliency using natural statistics, Journal of Vision 8(7)"
    )
    file = Path(__file__).parent / "filters.npz"
    side = 11
    n_filters = 362
    longest = 128
    sees_mean = False

    def predict(self, sample: Sample) -> np.ndarray:
        """Information of each pixel at the working size, in nats, up to a constant."""
        image = self.prepared(sample.image)
        return framed(novelty(image, **self.bank), image.shape[:2])

    def prepared(self, image: np.ndarray) -> np.ndarray:
        """The image at the working size, float64, divided by its standard deviation.

        Many responses to a flat display are almost zero, and `novelty` raises them to powers as low as 0.4: an error
        of 1e-7, as single precision has, would become one of 1e-3.
        """
        return standardised(super().prepared(image).astype(np.float64))

    def fit_responses(self, responses: np.ndarray) -> dict[str, np.ndarray]:
        """`sigma` and `theta`, (n_filters,), of the generalised Gaussian of each filter's responses."""
        sigma, theta = np.transpose([fit_generalised_gaussian(values) for values in responses])
        return {"sigma": sigma, "theta": theta}


def standardised(image: np.ndarray) -> np.ndarray:
    """An image divided by the standard deviation of all its values; zeros if they are all the same."""
    deviation = image.std(ddof=1, dtype=np.float64)
    return image / image.dtype.type(deviation) if deviation else np.zeros_like(image)


def novelty(image: np.ndarray, filters: np.ndarray, sigma: np.ndarray, theta: np.ndarray) -> np.ndarray:
    """Sum over filters of (|response| / sigma) ** theta: -ln of the probability of each patch, up to a constant.

    Args:
        image: float (H, W, 3), from `standardised`.
        filters: (K, side * side * 3) in MATLAB's order.
        sigma: (K,) scales of the filters' generalised Gaussians.
        theta: (K,) shapes.

    Returns:
        (H - side + 1, W - side + 1) of the image's type.
    """
    bands = []
    for band in responses(image, (filters / sigma[:, None]).astype(image.dtype)):
        logs = np.log(np.maximum(np.abs(band), TINY))
        bands.append(np.exp(theta[:, None, None] * logs).sum(axis=0))
    return np.concatenate(bands)


def fit_generalised_gaussian(values: np.ndarray) -> tuple[float, float]:
    """The most likely sigma and theta of p(x) = theta / (2 sigma Gamma(1 / theta)) exp(-(|x| / sigma) ** theta).

    For a given theta, the most likely sigma is (theta mean(|x| ** theta)) ** (1 / theta).
    """
    logs = np.log(np.maximum(np.abs(values), TINY))

    def log_sigma(theta: float) -> float:
        return np.log(theta * np.exp(theta * logs).mean()) / theta

    def cost(theta: float) -> float:
        return log_sigma(theta) + gammaln(1 / theta) - np.log(theta) + 1 / theta

    theta = minimize_scalar(cost, bounds=THETAS, method="bounded").x
    return float(np.exp(log_sigma(theta))), float(theta)
