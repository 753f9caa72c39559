"""The scorecard of readings whose errors are known."""

import numpy as np
import pytest
import torch
from modules import part

properties, readouts, scorecard = part("properties"), part("readouts"), part("scorecard")
IMAGES = 40


class Reading:
    """Reads the true properties of the image, which is given as its own features, and makes errors."""

    def __init__(self, error):
        self.error = error
        self.readings, self.truths = readouts.Spread(6), readouts.Spread(6)

    def __call__(self, low, masks):
        pixels = low.expand(masks.shape[1], -1, -1, -1)
        return self.error(properties.photometric_properties(pixels, masks.transpose(0, 1)))[None]


@pytest.fixture(scope="module")
def images():
    """Smooth gradients of many colours and contrasts, with noise."""
    rng, found = np.random.default_rng(0), []
    for _ in range(IMAGES):
        slope = rng.uniform(-1, 1, (2, 3))
        y, x = np.mgrid[-1:1:24j, -1:1:32j][..., None] * 70
        noise = rng.normal(0, rng.uniform(2, 40), (24, 32, 3))
        picture = np.clip(rng.uniform(60, 200, 3) + slope[0] * x + slope[1] * y + noise, 0, 255).astype(np.uint8)
        image = torch.from_numpy(picture)[None]
        found.append((image, image.permute(0, 3, 1, 2).float() / 255))
    return found


def with_spreads(reading, images):
    """The reading with the spreads that a training would have left."""
    generator = torch.Generator().manual_seed(1)
    both = [scorecard._read(reading, image, low, scorecard._boxes(generator)) for image, low in images]
    for spread, values in zip((reading.readings, reading.truths), zip(*both, strict=True), strict=True):
        spread.update(torch.from_numpy(np.stack(values)).flatten(0, 2))
    return reading


def test_areas_cover_what_they_should():
    boxes = scorecard._boxes(torch.Generator().manual_seed(0))
    assert (boxes[:, 2] * boxes[:, 3]).tolist() == pytest.approx(np.repeat(scorecard.SHARES, scorecard.AREAS).tolist())
    ratios = boxes[:, 2] / boxes[:, 3]
    assert 0.5 <= ratios.min() < 0.6 < 1.7 < ratios.max() <= 2
    properties.box_masks(boxes, (48, 64))  # raises if one is not inside the image


@pytest.fixture(scope="module")
def perfect(images):
    """The card of perfect readings."""
    return scorecard.scorecard(with_spreads(Reading(lambda true: true), images), images)


def test_of_perfect_readings(perfect):
    assert len(perfect) == 6 * len(scorecard.SHARES)
    assert (perfect["r2"] > 1 - 1e-5).all()
    assert (perfect["coverage"] == 1).all()


def test_r2_is_what_the_errors_leave(images, perfect):
    """Noise of half the deviation: a quarter of the variance is lost."""
    generator, deviations = torch.Generator().manual_seed(0), []

    def noisy(true):
        by_share = true.reshape(len(scorecard.SHARES), -1, 6)
        return (by_share + 0.5 * deviations[0] * torch.randn(by_share.shape, generator=generator)).flatten(0, 1)

    boxes = torch.Generator().manual_seed(0)
    truths = np.stack([scorecard._read(Reading(lambda t: t), *pair, scorecard._boxes(boxes))[1] for pair in images])
    deviations.append(torch.from_numpy(truths.std((0, 2)))[:, None])
    card = scorecard.scorecard(with_spreads(Reading(noisy), images), images)
    np.testing.assert_allclose(card["r2"], 0.75, atol=0.12)
    assert card["r2"].mean() == pytest.approx(0.75, abs=0.01)
    assert card["coverage"].mean() < perfect["coverage"].mean()


def test_readings_that_say_nothing(images):
    """They never leave their band, so the coverage is the part of all pairs whose true properties stay in theirs."""
    card = scorecard.scorecard(with_spreads(Reading(lambda true: 0 * true + 0.5), images), images)
    assert (card["r2"] <= 0).all()
    assert 0.7 < card["coverage"].min() <= card["coverage"].mean() < 0.95  # 0.84 for normal properties


def test_needs_two_images(images):
    with pytest.raises(ValueError, match="expected at least two images"):
        scorecard.scorecard(Reading(lambda true: true), images[:1])
