"""The band that holds edits: those that move a reading or the picture too far are weakened until they are inside."""

import json

import pytest
import torch
from editors import CAPTION, CHANGE, IMAGE, REGION, WORDED, counted, edited, latents_of
from modules import part

from salbench.edits import EDIT_TYPES

editor, features = part("editor"), part("features")
STEPS = 2  # of the inversion that each attempt takes


@pytest.fixture(scope="module")
def free(trained, reading, inverted):
    """The edit of strength 0.004 in a band that nothing leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained.low_level.readings, "deviation", lambda: torch.full((6,), 1e9))
        (made,) = edited(reading, inverted, CHANGE, [0.004])
    return made


@pytest.fixture(scope="module")
def movement(free):
    """Largest change of a reading by that edit."""
    return moved(free)


def moved(made):
    return (made.after.readings - made.before.readings).abs().max().item()


class TestBand:
    """The deviation of the readings is set such that an edit leaves its band or does not.

    Edits are so weak here that a random network's readings move more with more strength.
    """

    @pytest.fixture
    def deviate(self, trained, monkeypatch):
        """A function that sets the deviation."""

        def deviate(value):
            monkeypatch.setattr(trained.low_level.readings, "deviation", lambda: torch.as_tensor(value).expand(6))

        deviate(1e9)
        return deviate

    def read(self, reading, trained, latents):
        """Readings of latents by an inversion of their own."""
        prompt = reading.backbone.embed_prompts([CAPTION])
        steps = features.invert(reading.backbone, latents, prompt, reading.timesteps)
        _, low = trained.aggregation((s.features, reading.backbone.embed_timestep(s.timestep, 1)) for s in steps)
        return trained.low_level(low, REGION)[0, 0]

    def test_readings_are_those_of_a_fresh_inversion(self, reading, trained, inverted, deviate):
        for made in edited(reading, inverted, CHANGE, [0.04, -0.02]):
            before = self.read(reading, trained, inverted.latents[:1])
            after = self.read(reading, trained, made.latents[None])
            torch.testing.assert_close(made.before.readings, before, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(made.after.readings, after, rtol=1e-3, atol=1e-4)

    def test_one_that_stays_inside_is_left_as_it_is(self, reading, blind, inverted, deviate, movement):
        deviate(movement / 1.9)
        (made,) = edited(reading, inverted, CHANGE, [0.004])
        (unread,) = edited(blind, inverted, CHANGE, [0.004])
        assert made.used == made.asked == 0.004
        assert made.trace == [(0.004, pytest.approx(1.9, rel=1e-3))]
        assert made.is_within
        torch.testing.assert_close(made.latents, unread.latents, rtol=1e-4, atol=1e-5)

    def test_the_band_is_of_each_reading_s_own_deviation(self, reading, inverted, deviate, free):
        """The trace holds the largest of six quotients."""
        changes = (free.after.readings - free.before.readings).abs()
        deviations = changes / torch.tensor([0.1, 0.2, 1.5, 0.3, 0.4, 0.5])
        deviate(deviations)
        (made,) = edited(reading, inverted, CHANGE, [0.004])
        assert made.trace == [(0.004, pytest.approx(1.5, rel=1e-3))]

    @pytest.mark.parametrize(("type", "strength"), [("brightness", 0.1), ("contrast", 0.5)])
    def test_too_strong_a_one_shrinks_towards_none(self, reading, blind, inverted, deviate, type, strength):
        """By a tenth of the distance until it is inside; what is made is what that strength makes."""
        (free,) = edited(reading, inverted, WORDED[type], [strength])
        deviation = moved(free) / 2.1
        deviate(deviation)
        (made,) = edited(reading, inverted, WORDED[type], [strength])
        neutral = EDIT_TYPES[type].neutral
        tried, movements = zip(*made.trace, strict=True)
        expected = [neutral + (strength - neutral) * 0.9**i for i in range(len(tried))]
        assert tried == pytest.approx(expected)
        assert len(tried) > 1
        assert all(m > 2 for m in movements[:-1])
        assert movements[-1] <= 2
        assert (made.asked, made.used) == (strength, tried[-1])
        assert made.is_within
        (again,) = edited(blind, inverted, WORDED[type], [made.used])
        torch.testing.assert_close(made.latents, again.latents, rtol=1e-4, atol=1e-5)
        assert moved(made) / deviation == pytest.approx(movements[-1], rel=1e-3)

    def test_each_strength_on_its_own(self, reading, inverted, deviate, movement):
        deviate(movement / 2.1)
        strengths = [0.004, 0.0005, 0.005]
        together = edited(reading, inverted, CHANGE, strengths)
        alone = [edited(reading, inverted, CHANGE, [s])[0] for s in strengths]
        assert [m.asked for m in together] == strengths
        assert len(together[1].trace) == 1
        assert len(together[2].trace) > len(together[0].trace) > 1
        for one, other in zip(together, alone, strict=True):
            assert one.used == other.used
            assert len(one.trace) == len(other.trace)
            torch.testing.assert_close(one.latents, other.latents, rtol=1e-3, atol=1e-5)

    def test_each_image_on_its_own(self, reading, inverted, deviate):
        """The band is such that the first image takes two attempts or more, and another number than the second."""
        (second,) = reading.invert(IMAGE.flip(2), ["the big cat"])
        both = [editor.Target(inverted, REGION, CHANGE), editor.Target(second, REGION.flip(2, 3), CHANGE)]
        strengths = [0.004, 0.0005]
        moves = [moved(made) for (made, _) in reading.edit(both, strengths)]
        deviate(moves[0] / 2.1)
        together = reading.edit(both, strengths)
        alone = [reading.edit([target], strengths)[0] for target in both]
        tries = [[len(made.trace) for made in of_one] for of_one in together]
        assert tries == [[len(made.trace) for made in of_one] for of_one in alone]
        assert tries[0][0] > 1
        assert tries[0][0] != tries[1][0]
        for made, others in zip(together, alone, strict=True):
            assert [one.used for one in made] == [one.used for one in others]
            torch.testing.assert_close(latents_of(made), latents_of(others), rtol=1e-3, atol=1e-5)

    def test_an_attempt_takes_the_edit_s_calls_and_an_inversion(self, reading, inverted, deviate, movement):
        """Of those strengths only that are still too strong."""
        deviate(movement / 2.1)
        with counted(reading.backbone.unet) as sizes:
            strong, weak = edited(reading, inverted, CHANGE, [0.004, 0.0005])
        assert len(weak.trace) == 1
        again = len(strong.trace) - 1
        assert again > 0
        assert sizes == [2] * (1 + STEPS) + [1] * (1 + STEPS) * again

    def test_an_edit_that_the_readings_miss_is_weakened(self, reading, trained, inverted, deviate, monkeypatch):
        """The readings' band is wide; the second band is that of the picture."""
        (free,) = edited(reading, inverted, CHANGE, [0.4])
        changes = (free.after.properties - free.before.properties).abs()
        assert free.used == 0.4
        monkeypatch.setattr(trained.low_level.truths, "deviation", lambda: changes / 2.1)
        (made,) = edited(reading, inverted, CHANGE, [0.4])
        assert made.trace[0] == (0.4, pytest.approx(2.1, rel=1e-4))
        assert made.used < 0.4
        assert made.is_within
        left = (made.after.properties - made.before.properties).abs() / (changes / 2.1)
        assert made.trace[-1][1] == pytest.approx(left.max().item(), rel=1e-4)
        assert left.max() <= 2

    def test_it_is_given_up_after_some_attempts(self, reading, inverted, deviate, monkeypatch):
        """The weakest of twenty has 0.9 to the 19th of the strength, an eighth."""
        assert editor.TRIES == 20
        monkeypatch.setattr(editor, "TRIES", 3)
        deviate(1e-9)
        (made,) = edited(reading, inverted, CHANGE, [0.004])
        assert [used for used, _ in made.trace] == pytest.approx([0.004, 0.0036, 0.00324])
        assert made.used == pytest.approx(0.00324)
        assert not made.is_within

    def test_readings_that_are_no_numbers_are_told(self, reading, inverted, deviate):
        """At the first attempt, and not taken for an edit that is too strong."""
        deviate(float("nan"))
        with pytest.raises(ValueError, match="readings of the edited image are NaN; edit in float32"):
            edited(reading, inverted, CHANGE, [0.004])

    @pytest.mark.parametrize("of", ["reading", "blind"])
    def test_latents_that_are_no_numbers_are_told(self, request, of, inverted, deviate, monkeypatch):
        kept = editor.predicted_noise
        monkeypatch.setattr(editor, "predicted_noise", lambda *given: kept(*given) * float("nan"))
        with pytest.raises(ValueError, match="the edited image has NaN or infinite latents; edit in float32"):
            edited(request.getfixturevalue(of), inverted, CHANGE, [0.004])

    def test_facts_fit_in_json(self, free):
        facts = json.loads(json.dumps(free.facts()))
        for values in (facts["properties"], facts["readings"]):
            assert {when: len(six) for when, six in values.items()} == {"before": 6, "after": 6}
        assert facts["trace"][0][0] == 0.004
