"""The adapted density, and its fit by penalised maximum likelihood.

For an image, the method predicts the density p_s from the image resized by the factor s. The adapted density is

    q = exp(a log(G_b * p_s) + c1 x + c2 x² + c3 y + c4 y²) / Z,

where G_b is a Gaussian blur, a is one over the temperature, and x and y go from -1 to 1 across the image. The terms in
x and y are a Gaussian centre prior (Clarke and Tatler, 2014, Vision Research 102) if c2 and c4 are negative. If
they are positive, they weaken a centre bias that the method has of its own.

Two fixations on one image tell less than two on different images. So an image counts as one fixation in the fit, and a
and c are kept near the values that change nothing by independent normal distributions. Their standard deviation is
chosen by cross-validation over images: small where ten images say little about the next, as on displays with an object
anywhere; large where a centre bias is shared by all.

The log likelihood is concave in a and c, as in every exponential family, so there is one best a and c for each scale
and blur. With a kernel density as the prior, its bandwidth would have to be chosen, and an image's own fixations left
out of it. Four coefficients need neither, and ten images are enough for them. Alone, without a method, the Gaussian is
0.01 bits below the kernel density of `center_bias` on nus_scene, and 0.07 bits on osie_test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy.optimize import minimize, minimize_scalar

from salbench.maps import blur, to_density

CELLS = 2.0  # cells of the grid per sigma of the data set
UNIFORM_SHARE = 1e-4  # mixed into every prediction, because the logarithm of zero is infinite
BLURS = (0.0, 0.5, 1.0, 2.0, 4.0)  # candidates; the best is refined between its neighbours
BLUR_TOLERANCE = 0.02
SPREADS = (0.25, 1.0, 4.0)  # candidates for the standard deviation of a and c around no change
FOLDS, MOST_TRIED = 5, 100  # folds of the cross-validation, and the most images that it uses
UNCHANGED = np.array([1.0, 0.0, 0.0, 0.0, 0.0])  # exponent and coefficients of the prior
PRIOR = ("x", "x²", "y", "y²")  # terms of the centre prior

Size = tuple[int, int]  # height, width


@dataclass(frozen=True)
class Parameters:
    """What is fitted. The defaults change nothing.

    Attributes:
        scale: factor by which the image is resized before the prediction.
        blur: standard deviation of the Gaussian blur, in multiples of the data set's sigma.
        exponent: one over the temperature: above 1 the density gets more peaked, below 1 flatter.
        prior: coefficients of x, x², y, y² in the logarithm of the centre prior; x and y are -1 and 1 at the borders.
    """

    scale: float = 1.0
    blur: float = 0.0
    exponent: float = 1.0
    prior: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class Example:
    """One image to fit to.

    Attributes:
        densities: {scale: float (h, w)}, the method's densities on the grid of the image.
        sigma: the data set's sigma in cells of the grid, (vertical, horizontal).
        index, count: flat indices of fixated cells, and the number of fixations on each; at least one.
    """

    densities: Mapping[float, np.ndarray]
    sigma: tuple[float, float]
    index: np.ndarray
    count: np.ndarray


def grid(size: Size, sigma: float) -> Size:
    """Shape of the grid for an image of `size`, on which `sigma` (pixels) is `CELLS` cells; at most `size`."""
    shrink = max(1.0, sigma / CELLS)
    return int(np.ceil(size[0] / shrink)), int(np.ceil(size[1] / shrink))


def log_density(density: np.ndarray, sigma: tuple[float, float], parameters: Parameters) -> np.ndarray:
    """The adapted density's logarithm, up to a constant.

    Args:
        density: (h, w), predicted from the image at `parameters.scale`.
        sigma: the data set's sigma in cells of the density, (vertical, horizontal).
        parameters: from `fit`.

    Returns:
        float64 (h, w).
    """
    prior = np.tensordot(parameters.prior, _prior_terms(density.shape), 1)
    return parameters.exponent * _log_blurred(density, sigma, parameters.blur) + prior


def fit(examples: Sequence[Example], *, by_fixation: bool = False) -> Parameters:
    """The parameters of the highest penalised likelihood.

    Args:
        examples: images with fixations, all with the same scales.
        by_fixation: give every fixation the same weight; otherwise every image has, as in IG.

    Raises:
        ValueError: no examples.
    """
    if not examples:
        raise ValueError("expected at least one image with fixations to fit to, got none")
    likelihood = _Likelihood(examples, by_fixation, _best_spread(examples, by_fixation))
    tried = {(scale, width): likelihood.best(scale, width)[0] for scale in examples[0].densities for width in BLURS}
    scale, width = max(tried, key=lambda pair: tried[pair])
    place = BLURS.index(width)
    bounds = BLURS[max(0, place - 1)], BLURS[min(len(BLURS) - 1, place + 1)]
    refined = minimize_scalar(
        lambda x: -likelihood.best(scale, x)[0], bounds=bounds, method="bounded", options={"xatol": BLUR_TOLERANCE}
    )
    if -refined.fun > tried[scale, width]:
        width = float(refined.x)
    return _parameters(scale, width, likelihood.best(scale, width)[1])


def log_likelihood(example: Example, parameters: Parameters) -> float:
    """Mean over the fixations of an image of the adapted density's logarithm, in nats per cell of the grid."""
    logs = log_density(example.densities[parameters.scale], example.sigma, parameters).ravel()
    top = logs.max()
    return float(np.average(logs[example.index], weights=example.count) - top - np.log(np.exp(logs - top).sum()))


def _best_spread(examples: Sequence[Example], by_fixation: bool) -> float:
    """The candidate of `SPREADS` that predicts left-out images best, without blur at an input scale of 1."""
    tried = examples[:MOST_TRIED]
    if len(tried) < 2:
        return SPREADS[0]
    weights = [float(each.count.sum()) if by_fixation else 1.0 for each in tried]
    values = dict.fromkeys(SPREADS, 0.0)
    for fold in range(min(FOLDS, len(tried))):
        others = [each for k, each in enumerate(tried) if k % FOLDS != fold]
        for spread in SPREADS:
            found = _parameters(1.0, 0.0, _Likelihood(others, by_fixation, spread).best(1.0, 0.0)[1])
            held_out = range(fold, len(tried), FOLDS)
            values[spread] += sum(weights[k] * log_likelihood(tried[k], found) for k in held_out)
    return max(SPREADS, key=lambda spread: values[spread])


def _parameters(scale: float, width: float, theta: np.ndarray) -> Parameters:
    exponent, *prior = map(float, theta)
    return Parameters(float(scale), float(width), exponent, (prior[0], prior[1], prior[2], prior[3]))


class _Likelihood:
    """Penalised mean log likelihood of fixations, given the parameters. All images lie in one long row of cells."""

    def __init__(self, examples: Sequence[Example], by_fixation: bool, spread: float) -> None:
        self.examples = examples
        shapes = [next(iter(each.densities.values())).shape for each in examples]
        self.lengths = np.array([height * width for height, width in shapes])
        self.starts = np.concatenate([[0], np.cumsum(self.lengths)[:-1]])
        counts = np.array([each.count.sum() for each in examples], dtype=np.float64)
        self.weights = counts / counts.sum() if by_fixation else np.full(len(examples), 1 / len(examples))
        self.fixated = np.concatenate([each.index + start for each, start in zip(examples, self.starts, strict=True)])
        self.masses = np.concatenate(
            [each.count * (weight / n) for each, weight, n in zip(examples, self.weights, counts, strict=True)]
        )
        self.terms = np.empty((1 + len(PRIOR), self.lengths.sum()))
        self.terms[1:] = np.concatenate([_prior_terms(shape).reshape(len(PRIOR), -1) for shape in shapes], axis=1)
        self.penalty = 0.5 / (len(examples) * spread**2)
        self.start = UNCHANGED

    def best(self, scale: float, width: float) -> tuple[float, np.ndarray]:
        """The highest value for a scale and a blur, and the exponent and coefficients there."""
        logs = [_log_blurred(each.densities[scale], each.sigma, width).ravel() for each in self.examples]
        self.terms[0] = np.concatenate(logs)
        observed = self.terms[:, self.fixated] @ self.masses
        bounds = [(0.0, None)] + [(None, None)] * len(PRIOR)
        found = minimize(
            self._loss, self.start, (observed,), jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-9}
        )
        self.start = found.x  # the next scale or blur has its best place nearby
        return -float(found.fun), found.x

    def _loss(self, theta: np.ndarray, observed: np.ndarray) -> tuple[float, np.ndarray]:
        """Minus the penalised mean log likelihood, and its gradient."""
        logits = theta @ self.terms
        top = np.maximum.reduceat(logits, self.starts)
        densities = np.exp(logits - np.repeat(top, self.lengths))
        totals = np.add.reduceat(densities, self.starts)
        densities *= np.repeat(self.weights / totals, self.lengths)
        value = self.weights @ (np.log(totals) + top) - theta @ observed
        change = theta - UNCHANGED
        value += self.penalty * (change @ change)
        return float(value), self.terms @ densities - observed + 2 * self.penalty * change


def _log_blurred(density: np.ndarray, sigma: tuple[float, float], width: float) -> np.ndarray:
    """Logarithm of a blurred density with a little of the uniform density in it, which sums to one."""
    blurred = blur(density, (width * sigma[0], width * sigma[1])) if width else density
    mixed = (1 - UNIFORM_SHARE) * to_density(np.maximum(blurred, 0.0)) + UNIFORM_SHARE / density.size
    return np.log(mixed)


@lru_cache(maxsize=64)
def _prior_terms(shape: Size) -> np.ndarray:
    """(4, h, w): x, x², y, y² at the centres of the cells."""
    y, x = (2 * (np.arange(length) + 0.5) / length - 1 for length in shape)
    x, y = np.broadcast_to(x, shape), np.broadcast_to(y[:, None], shape)
    return np.stack([x, x**2, y, y**2])
