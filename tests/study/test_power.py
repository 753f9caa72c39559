"""The smallest change that a plan promises to find is found as often as it says, in simulated trials."""

import numpy as np
import pytest
from studies import small_set

from salbench.study import plan, power
from salbench.study.plan import Design
from salbench.study.power import Assumptions, smallest_change, trials_of

ONE_STRENGTH = {0: 0.0, 1: 1.0}


@pytest.mark.parametrize("design", [Design(participants=8, per_type=20), Design(participants=24, per_type=12)])
def test_simulated_trials(design):
    assumed = Assumptions()
    trials = trials_of(design, ONE_STRENGTH)
    change = smallest_change(trials, assumed)
    # The same trials again, by hand: version (participant + image) mod 4
    participants, images = (a.ravel() for a in np.indices((design.participants, design.per_type)))
    version = (participants + images) % 4
    participants, images, x = (a[version < 2] for a in (participants, images, version))
    rng, found = np.random.default_rng(0), 0
    for _ in range(600):
        by_person, by_image = (
            rng.normal(0, assumed.spread * change, n) for n in (design.participants, design.per_type)
        )
        y = x * (change + by_person[participants] + by_image[images]) + rng.normal(0, assumed.trial_sd, len(x))
        found += trials.slope(y).p < 0.05
    assert found / 600 == pytest.approx(0.8, abs=0.05)


def test_more_participants_images_or_trials_find_less():
    def found(participants, per_type, all_versions=False):
        design = Design(participants=participants, per_type=per_type, all_versions=all_versions)
        return smallest_change(trials_of(design, ONE_STRENGTH), Assumptions())

    assert found(8, 20) > found(16, 20) > found(16, 50) > found(16, 50, all_versions=True)


def test_too_few_participants_find_nothing():
    assert smallest_change(trials_of(Design(participants=4, per_type=20), ONE_STRENGTH), Assumptions()) is None


def test_the_page_has_the_numbers():
    drawn = plan.draw(small_set(12, contrast=(1.5, 2.0, 4.0)), Design(participants=10, per_type=12))
    text = power.text(drawn)
    expected = smallest_change(trials_of(drawn.design, ONE_STRENGTH), Assumptions())
    slope = smallest_change(trials_of(drawn.design, {1: 0.0, 2: 0.2, 3: 1.0}), Assumptions())
    assert f"| 10             | {expected:.3f}                           | {slope:.3f} " in text
    assert "Each sees one version of 12 images in random order: 12 trials, 1 minutes." in text
    assert "Strengths: contrast 1.5, 2, 4 (1: unedited)." in text
    one = power.text(plan.draw(small_set(12, contrast=(1.5,)), Design(participants=10, per_type=12, strengths=1)))
    assert "| participants   | one strength against unedited   |\n" in one
