"""The adapted density against arithmetic by hand and SciPy; the fit against numbers that are known."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.optimize import approx_fprime

from salbench.adaptation import model
from salbench.adaptation.model import Example, Parameters, fit, grid, log_density

SHAPE, SIGMA = (20, 28), (2.0, 2.0)


def normalised(log):
    density = np.exp(log - log.max())
    return density / density.sum()


def spotty(rng, shape=SHAPE):
    """A density with a few soft spots."""
    density = np.exp(gaussian_filter(rng.standard_normal(shape), 2) * 8)
    return density / density.sum()


def observed(rng, density, n, densities):
    """An image with `n` fixations drawn from a density, and what a method predicts for it."""
    counts = rng.multinomial(n, density.ravel())
    index = np.flatnonzero(counts)
    return Example(densities, SIGMA, index, counts[index])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def test_the_defaults_change_nothing(rng):
    density = spotty(rng)
    np.testing.assert_allclose(normalised(log_density(density, SIGMA, Parameters())), density, rtol=0.03, atol=1e-6)


def test_each_number_does_what_it_says(rng):
    density = spotty(rng)
    np.testing.assert_allclose(
        normalised(log_density(density, SIGMA, Parameters(blur=1.5))), gaussian_filter(density, 3.0), rtol=1e-3
    )
    mixed = (1 - 1e-4) * density + 1e-4 / density.size
    np.testing.assert_allclose(
        normalised(log_density(density, SIGMA, Parameters(exponent=2.0))), mixed**2 / (mixed**2).sum(), rtol=1e-9
    )
    prior = log_density(np.ones((2, 4)), SIGMA, Parameters(exponent=0.0, prior=(1.0, 10.0, 100.0, 1000.0)))
    x, y = np.array([-0.75, -0.25, 0.25, 0.75]), np.array([[-0.5], [0.5]])
    np.testing.assert_allclose(prior, x + 10 * x**2 + 100 * y + 1000 * y**2)


def test_zeros_are_allowed(rng):
    density = spotty(rng)
    density[:5] = 0
    assert np.isfinite(log_density(density, SIGMA, Parameters())).all()
    assert np.isfinite(log_density(np.zeros(SHAPE), SIGMA, Parameters(blur=1.0))).all()


def test_a_grid_has_two_cells_per_sigma_and_never_more_than_the_image():
    assert grid((600, 800), 24.0) == (50, 67)
    assert grid((24, 32), 1.5) == (24, 32)


@pytest.mark.parametrize("by_fixation", [False, True])
def test_the_gradient_is_that_of_the_value(rng, by_fixation):
    examples = [observed(rng, spotty(rng, s), n, {1.0: spotty(rng, s)}) for n, s in ((9, SHAPE), (30, (12, 9)))]
    likelihood = model._Likelihood(examples, by_fixation, spread=0.5)
    likelihood.best(1.0, 0.5)
    seen = likelihood.terms[:, likelihood.fixated] @ likelihood.masses
    theta = np.array([0.7, 0.3, -0.8, 0.1, 0.4])
    numeric = approx_fprime(theta, lambda x: likelihood._loss(x, seen)[0], 1e-6)
    np.testing.assert_allclose(likelihood._loss(theta, seen)[1], numeric, atol=1e-5)


@pytest.mark.parametrize("by_fixation", [False, True])
def test_the_value_is_the_mean_log_likelihood(rng, by_fixation):
    examples = [observed(rng, spotty(rng), n, {1.0: spotty(rng)}) for n in (5, 50)]
    value, (exponent, *prior) = model._Likelihood(examples, by_fixation, spread=0.5).best(1.0, 1.0)
    found = Parameters(1.0, 1.0, exponent, tuple(prior))
    logs = [np.log(normalised(log_density(e.densities[1.0], SIGMA, found))).ravel()[e.index] for e in examples]
    each = [np.average(log, weights=e.count) for log, e in zip(logs, examples, strict=True)]
    assert each == pytest.approx([model.log_likelihood(e, found) for e in examples])
    penalty = ((exponent - 1) ** 2 + np.square(prior).sum()) / 2 / 0.5**2 / len(examples)
    assert value == pytest.approx(np.average(each, weights=(5, 50) if by_fixation else None) - penalty, abs=1e-9)


def test_a_prior_has_the_moments_of_the_fixations(rng):
    """A property of every exponential family without a penalty."""
    y, x = np.indices(SHAPE)
    wide = np.exp(-(((x - 16) / 6.0) ** 2) - ((y - 8) / 4.0) ** 2)
    uniform = {1.0: np.full(SHAPE, 1 / wide.size)}
    examples = [observed(rng, wide / wide.sum(), 50, uniform) for _ in range(60)]
    _, (exponent, *prior) = model._Likelihood(examples, False, spread=1e3).best(1.0, 0.0)
    found = normalised(log_density(uniform[1.0], SIGMA, Parameters(exponent=exponent, prior=tuple(prior))))
    index, count = (np.concatenate([getattr(e, name) for e in examples]) for name in ("index", "count"))
    for place in (x, y, (x - 14.0) ** 2, (y - 10.0) ** 2):
        assert (found * place).sum() == pytest.approx(np.average(place.ravel()[index], weights=count), rel=2e-3)


def test_the_scale_with_the_better_densities_is_chosen(rng):
    truths = [spotty(rng) for _ in range(20)]
    examples = [observed(rng, t, 40, {0.5: spotty(rng), 1.0: spotty(rng), 1.41: t}) for t in truths]
    assert fit(examples).scale == 1.41


def test_the_penalty_is_weak_if_images_agree_and_strong_if_they_do_not(rng):
    """People look at the middle of every image, or at one place of each that is nowhere in particular."""
    y, x = np.indices(SHAPE)
    uniform = {1.0: np.full(SHAPE, 1 / x.size)}

    def image(row, column):
        spot = np.exp(-(((x - column) / 3) ** 2) - ((y - row) / 3) ** 2)
        return observed(rng, spot / spot.sum(), 40, uniform)

    middle = [image(10, 14) for _ in range(10)]
    anywhere = [image(*rng.uniform((2, 2), (18, 26))) for _ in range(10)]
    assert model._best_spread(middle, False) == max(model.SPREADS)
    assert model._best_spread(anywhere, False) < max(model.SPREADS)


def test_it_needs_an_image():
    with pytest.raises(ValueError, match="expected at least one image with fixations"):
        fit([])
