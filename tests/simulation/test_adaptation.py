"""Fits to fixations from a known density: the numbers are recovered, and the measured gain is the true one."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from salbench.adaptation.model import Example, Parameters, fit, log_density

SHAPE, SIGMA, FIXATIONS = (18, 24), (1.5, 1.5), 40
TRUTH = Parameters(1.0, 1.0, 0.7, (0.2, -1.0, -0.3, -1.5))


def normalised(log):
    density = np.exp(log - log.max())
    return density / density.sum()


class World:
    """Images on which a toy method predicts soft spots, and people follow `truth`."""

    def __init__(self, truth, seed):
        self.truth, self.rng = truth, np.random.default_rng(seed)

    def image(self):
        """(example, true density) of a new image."""
        prediction = np.exp(gaussian_filter(self.rng.standard_normal(SHAPE), 1.5) * 6)
        prediction /= prediction.sum()
        true = normalised(log_density(prediction, SIGMA, self.truth))
        counts = self.rng.multinomial(FIXATIONS, true.ravel())
        index = np.flatnonzero(counts)
        return Example({1.0: prediction}, SIGMA, index, counts[index]), true


def gains(image, parameters):
    """Bits by which an adapted density exceeds the true one: mean over the fixations, and over the true density."""
    example, true = image
    bits = np.log2(normalised(log_density(example.densities[1.0], SIGMA, parameters)) / true).ravel()
    return np.average(bits[example.index], weights=example.count), bits @ true.ravel()


def errors(truth, n_images, trials):
    """(trials, 6) blur, exponent and prior of the fits, minus the true ones."""
    found = []
    for seed in range(trials):
        world = World(truth, seed)
        p = fit([world.image()[0] for _ in range(n_images)])
        found.append([p.blur - truth.blur, p.exponent - truth.exponent, *np.subtract(p.prior, truth.prior)])
    return np.array(found)


def test_numbers_are_recovered_and_more_images_help():
    few, many = errors(TRUTH, 8, trials=8), errors(TRUTH, 48, trials=8)
    assert (np.abs(many.mean(0)) < 4 * many.std(0, ddof=1) / np.sqrt(8)).all()
    assert (many.std(0, ddof=1) < [0.2, 0.08, 0.15, 0.15, 0.15, 0.15]).all()
    assert (np.sqrt(np.square(many).mean(0)) < np.sqrt(np.square(few).mean(0))).all()


def test_a_method_that_is_right_gains_nothing_on_new_images():
    measured = []
    for seed in range(8):
        world = World(Parameters(), seed)
        parameters = fit([world.image()[0] for _ in range(20)])
        measured += [gains(world.image(), parameters)[0] for _ in range(30)]
    assert -0.03 < np.mean(measured) < 0.005


@pytest.mark.parametrize("truth", [TRUTH, Parameters()])
def test_the_gain_on_new_images_is_unbiased_and_that_on_fitted_images_is_not(truth):
    """Measured on the fixations, against the mean over the true density, both relative to the true parameters."""
    held_out, fitted = [], []
    for seed in range(25):
        world = World(truth, 100 + seed)
        images = [world.image() for _ in range(4)]
        parameters = fit([example for example, _ in images])
        for target, group in ((fitted, images), (held_out, [world.image() for _ in range(15)])):
            measured, exact = np.mean([gains(image, parameters) for image in group], axis=0)
            target.append(measured - exact)
    fitted, held_out = np.array(fitted), np.array(held_out)
    error = held_out.std(ddof=1) / np.sqrt(len(held_out))
    assert abs(held_out.mean()) < 3 * error
    assert fitted.mean() > 3 * fitted.std(ddof=1) / np.sqrt(len(fitted))
