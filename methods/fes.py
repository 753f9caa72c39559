"""FES: a pixel is salient if its colour is rare among the colours on rings around it."""

import numpy as np

from salbench.maps import minmax, resize_matlab
from salbench.registry import register
from salbench.sample import Sample

from ._classical import Classical
from ._matlab import filter_rows_and_columns, gaussian
from ._rgb2lab import rgb2lab

SHAPE = 128, 171  # rows, columns that every image is resized to; all lengths below are in pixels of this grid
RADII = 13, 25, 38  # of the rings, one for each scale
ON_RING = 8  # samples on each ring
SIGMA_CENTRE, SIGMA_RING = 1.0, 10.0  # kernel widths of the centre's and the ring's colour density, in units of Lab
BLUR_SIZE, BLUR_SIGMA = 26, 5.2
POWER = 30  # raises the contrast of each scale's map
UNIFORM_PRIOR = 0.5

# The Gaussian that fits best, by least squares, the mean fixation density of the 500 images of osie_train. Centre and
# sigma are fractions of the height or width. Of the peaks 0.1, 0.2, ... 0.7, this one has the best NSS on every
# sixth of these images.
PRIOR_PEAK = 0.4
PRIOR_Y, PRIOR_SIGMA_Y = 0.4561, 0.2156
PRIOR_X, PRIOR_SIGMA_X = 0.4971, 0.2565


@register
class Fes(Classical):
    """Classical: a colour rare around its place (Tavakoli et al. 2011). The prior is from osie_train.

    Bayes' rule gives the probability that a pixel is salient from its prior and from the colours on three rings. The
    authors' prior was learned from fixations and may not be redistributed; ours is a Gaussian of five constants, fitted
    to the fixations of osie_train. As in the authors' code, the blur has an even kernel, which shifts the map by half a
    pixel, and zeros outside the image darken its frame.

    Variants:
        prior: the Gaussian prior, the default.
        uniform: a prior of 0.5 everywhere, which the authors offer too.

    Most of the time is that of the colour conversion, which grows with the number of pixels.
    """

    output = "map"
    paper = "Rezazadegan Tavakoli, Rahtu, Heikkila (2011), Fast and Efficient Saliency Detection Using Sparse Sampling and Kernel Density Estimation, SCIA"  # noqa: E501
    options = "prior", "uniform"

    def notes(self) -> list[str]:
        """Say what the prior was fitted to."""
        return (
            [] if self.option == "uniform" else ["trained (only the prior, 5 constants) on 500 images of osie_train."]
        )

    def predict(self, sample: Sample) -> np.ndarray:
        """float64 (128, 171), 0 to 1."""
        lab = resize_matlab(rgb2lab(sample.image / 255), SHAPE)
        return saliency(lab, UNIFORM_PRIOR if self.option == "uniform" else gaussian_prior())


def gaussian_prior() -> np.ndarray:
    """(128, 171) probability that a place is salient, whatever the image shows."""
    y, x = ((np.arange(side) + 0.5) / side for side in SHAPE)
    vertical = np.exp(-0.5 * ((y - PRIOR_Y) / PRIOR_SIGMA_Y) ** 2)
    horizontal = np.exp(-0.5 * ((x - PRIOR_X) / PRIOR_SIGMA_X) ** 2)
    return PRIOR_PEAK * np.outer(vertical, horizontal)


def saliency(lab: np.ndarray, prior: np.ndarray | float) -> np.ndarray:
    """Mean over the scales of the blurred posterior to the power 30, from 0 to 1.

    Args:
        lab: (height, width, 3).
        prior: (height, width) or one number, between 0 and 1.
    """
    kernel = gaussian(BLUR_SIZE, BLUR_SIGMA)
    maps = [filter_rows_and_columns(posterior(lab, radius, prior), kernel) ** POWER for radius in RADII]
    return minmax(np.mean(maps, axis=0))


def posterior(lab: np.ndarray, radius: int, prior: np.ndarray | float) -> np.ndarray:
    """(height, width) probability that each pixel is salient, given the colours on the ring of this radius.

    Ring samples outside the image are moved to its edge. The centre is a single sample, at distance 0 from itself.
    """
    height, width = lab.shape[:2]
    padded = np.pad(lab, [(radius, radius), (radius, radius), (0, 0)], mode="edge")
    ring_density = np.zeros((height, width))
    for angle in 2 * np.pi * np.arange(1, ON_RING + 1) / ON_RING:
        down, right = radius + round(radius * np.cos(angle)), radius - round(radius * np.sin(angle))
        difference = padded[down : down + height, right : right + width] - lab
        ring_density += np.exp(-(difference**2).sum(axis=2) / (2 * SIGMA_RING**2))
    return 1 / (1 + (1 - prior) / prior * SIGMA_CENTRE / (ON_RING * SIGMA_RING) * ring_density)
