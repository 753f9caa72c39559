"""The editor: against plain DDIM steps, what an edit leaves alone, its cost, and the band that holds it."""

import json
from contextlib import contextmanager
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch
from modules import part
from PIL import Image

from salbench.edits import EDIT_TYPES

editor, regions, scaling, features = part("editor"), part("regions"), part("scaling"), part("features")
attention, equations, network = part("attention"), part("equations"), part("network")

CAPTION = "a cat sits"
CAT = regions.Word("cat", [2])
STEPS = 6
PLAIN = {  # changes without a word, whose prompt and attention are the image's own
    "contrast": editor.Change("contrast"),
    "brightness": editor.Change("brightness"),
}
WORDED = {
    "contrast": editor.Change("contrast", word=CAT),
    "brightness": editor.Change("brightness", word=CAT),
    "color": editor.Change("color", "red", CAT),
}
STRENGTHS = {"contrast": [1.5, 0.5, 2.0], "brightness": [0.1, -0.1, 0.05], "color": [1.0, 3.0, 8.0]}


@pytest.fixture(scope="module")
def trained(tiny_backbone):
    """A network as if trained: its weights random, a deviation of one."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        new = network.ReadoutNetwork(tiny_backbone.channels, tiny_backbone.embedding, steps=STEPS)
    new.low_level.readings.mean_square.fill_(1)
    new.low_level.truths.mean_square.fill_(1e18)
    return new.requires_grad_(False).eval()


@pytest.fixture(scope="module")
def reading(tiny_backbone, trained):
    """The editor with the network."""
    return editor.Editor(tiny_backbone, STEPS, trained)


@pytest.fixture(scope="module")
def blind(tiny_backbone):
    """The editor without it."""
    return editor.Editor(tiny_backbone, STEPS)


@pytest.fixture(scope="module")
def image():
    return torch.randint(0, 256, (1, 64, 128, 3), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def inverted(reading, image):
    return reading.invert(image, [CAPTION])[0]


@pytest.fixture(scope="module")
def region():
    """Soft at its border."""
    region = torch.zeros(1, 1, 8, 16)
    region[..., 2:6, 3:9] = 1
    region[..., 2, 3:9] = 0.5
    return region


@contextmanager
def counted(unet):
    """A list of the batch sizes of the U-Net's calls."""
    sizes = []
    hook = unet.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    yield sizes
    hook.remove()


def edited(of, inverted, region, change, strengths, size=None):
    """What an editor makes of one image."""
    (made,) = of.edit([editor.Target(inverted, region, change, size)], strengths)
    return made


def positions(injection):
    """Of the tokens of each image."""
    return [row.nonzero().flatten().tolist() for row in injection.tokens]


def latents_of(made):
    return torch.stack([m.latents for m in made])


class TestInvert:
    def test_is_the_inversion(self, tiny_backbone, inverted, image):
        prompt = tiny_backbone.embed_prompts([CAPTION])
        steps = list(features.invert(tiny_backbone, tiny_backbone.encode(image), prompt, [0, 166, 332, 498, 664, 830]))
        assert len(inverted.latents) == len(inverted.noise) == STEPS
        for step, latents, noise in zip(steps, inverted.latents, inverted.noise, strict=True):
            torch.testing.assert_close(latents, step.latents[0], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(noise, step.noise[0], rtol=1e-4, atol=1e-5)
        assert inverted.caption == CAPTION

    def test_maps_are_the_network_s(self, tiny_backbone, trained, inverted):
        prompt = tiny_backbone.embed_prompts([CAPTION])
        steps = features.invert(tiny_backbone, inverted.latents[:1], prompt, [0, 166, 332, 498, 664, 830])
        expected = trained.aggregation((s.features, tiny_backbone.embed_timestep(s.timestep, 1)) for s in steps)
        for given, wanted in zip(inverted.maps, expected, strict=True):
            torch.testing.assert_close(given, wanted[0], rtol=1e-3, atol=1e-4)

    def test_attention_is_the_mean_of_its_six_calls(self, tiny_backbone, inverted):
        prompt = tiny_backbone.embed_prompts([CAPTION])
        with attention.recorded(tiny_backbone.unet, inverted.latents[:1]) as recorder, torch.no_grad():
            for latents, timestep in zip(inverted.latents, [0, 166, 332, 498, 664, 830], strict=True):
                tiny_backbone.unet(latents[None], timestep, encoder_hidden_states=prompt)
        assert inverted.attention.shape == (77, 2, 4)
        torch.testing.assert_close(inverted.attention, recorder.maps()[0], rtol=1e-4, atol=1e-7)

    def test_without_a_network(self, blind, inverted, image):
        (alone,) = blind.invert(image, [CAPTION])
        assert len(alone.maps) == 0
        torch.testing.assert_close(alone.latents[-1], inverted.latents[-1])
        torch.testing.assert_close(alone.attention, inverted.attention)

    @pytest.mark.parametrize("kind", ["blind", "reading"])
    def test_takes_six_calls(self, kind, request, tiny_backbone, image):
        with counted(tiny_backbone.unet) as calls:
            request.getfixturevalue(kind).invert(image, [""])
        assert calls == [1] * STEPS

    def test_saliency_is_the_network_s(self, reading, trained, inverted):
        saliency = reading.saliency(inverted)
        logits = trained.saliency(*(map[None] for map in inverted.maps))[0]
        torch.testing.assert_close(saliency, logits.exp() / logits.exp().sum())
        assert saliency.shape == (8, 16)
        assert saliency.sum().item() == pytest.approx(1, abs=1e-5)


class TestDenoised:
    def by_hand(self, backbone, inverted, region, type, strength):
        """One step of DDIM back from 166, once for the edit and once for what the inversion misses by."""
        start, end = (backbone.scheduler.alphas_cumprod[t].item() for t in (0, 166))
        prompt = backbone.embed_prompts([CAPTION])
        clean, gamma = inverted.latents[:1], scaling.gamma(backbone)[:, None, None]
        if type == "brightness":
            changed = clean + strength * gamma * region
        else:
            mu = (clean * region).sum((2, 3), keepdim=True) / region.sum()
            changed = region * (strength * (clean - mu) + mu) + (1 - region) * clean

        def back(latents, noise):
            image = (latents - sqrt(1 - end) * noise) / sqrt(end)
            return sqrt(start) * image + sqrt(1 - start) * noise

        latents = inverted.latents[1:2] + sqrt(end / start) * (changed - clean)
        with torch.no_grad():
            noise = backbone.unet(latents, 166, encoder_hidden_states=prompt).sample
        missed = clean - back(inverted.latents[1:2], inverted.noise[1:2])
        return torch.where(region > 0, back(latents, noise) + missed, clean)[0]

    @pytest.mark.parametrize("type", list(PLAIN))
    def test_a_plain_step_of_ddim(self, blind, inverted, region, type):
        for made in edited(blind, inverted, region, PLAIN[type], STRENGTHS[type]):
            expected = self.by_hand(blind.backbone, inverted, region, type, made.asked)
            torch.testing.assert_close(made.latents, expected, rtol=1e-3, atol=1e-5)
            assert (made.latents - inverted.latents[0]).abs().max() > 0.01

    def test_unscaled_brightness_is_alike_in_all_channels(self, blind, tiny_backbone, inverted, region, monkeypatch):
        (unscaled,) = edited(editor.Editor(tiny_backbone, STEPS, scaled=False), inverted, region, CHANGE, [0.1])
        (scaled,) = edited(blind, inverted, region, CHANGE, [0.1])
        assert (unscaled.latents - scaled.latents).abs().max() > 1e-3
        monkeypatch.setattr(editor, "gamma", lambda backbone: torch.ones(4))
        (ones,) = edited(blind, inverted, region, CHANGE, [0.1])
        torch.testing.assert_close(unscaled.latents, ones.latents)

    @pytest.mark.parametrize("type", list(PLAIN))
    def test_no_strength_gives_the_image_back(self, blind, inverted, region, type):
        (made,) = edited(blind, inverted, region, PLAIN[type], [EDIT_TYPES[type].neutral])
        torch.testing.assert_close(made.latents, inverted.latents[0], rtol=0, atol=1e-4)

    @pytest.mark.parametrize("type", list(WORDED))
    def test_outside_the_region_it_is_the_image(self, blind, inverted, region, type):
        outside = (region[0] == 0).expand(4, -1, -1)
        for made in edited(blind, inverted, region, WORDED[type], STRENGTHS[type]):
            assert torch.equal(made.latents[outside], inverted.latents[0][outside])
            assert not torch.equal(made.latents[~outside], inverted.latents[0][~outside])

    @pytest.mark.parametrize("type", list(WORDED))
    def test_strengths_of_a_batch_do_not_see_each_other(self, blind, inverted, region, type):
        together = edited(blind, inverted, region, WORDED[type], STRENGTHS[type])
        alone = [edited(blind, inverted, region, WORDED[type], [s])[0] for s in STRENGTHS[type]]
        assert [m.asked for m in together] == [m.used for m in together] == STRENGTHS[type]
        torch.testing.assert_close(latents_of(together), latents_of(alone), rtol=1e-3, atol=1e-5)
        assert (together[0].latents - together[1].latents).abs().max() > 1e-3

    @pytest.mark.parametrize(("type", "calls"), [("contrast", 1), ("brightness", 1), ("color", 4)])
    def test_takes_as_many_calls_as_steps_are_undone(self, blind, inverted, region, type, calls):
        scaling.gamma(blind.backbone)
        with counted(blind.backbone.unet) as sizes:
            edited(blind, inverted, region, WORDED[type], STRENGTHS[type])
        assert sizes == [3] * calls

    def test_whole_numbers_are_strengths(self, blind, inverted, region):
        whole, broken = (edited(blind, inverted, region, WORDED["contrast"], s) for s in ([2, 3], [2.0, 3.0]))
        assert torch.equal(latents_of(whole), latents_of(broken))

    def test_without_a_network_nothing_is_read(self, blind, inverted, region):
        (made,) = edited(blind, inverted, region, WORDED["brightness"], [100.0])
        assert made.used == 100
        assert (made.before.readings, made.after.readings, made.trace) == (None, None, [])
        assert made.is_within


class TestPrompt:
    """What the U-Net is given, and what is injected, while an edit is denoised."""

    @pytest.fixture
    def attended(self, inverted):
        """The image with its attention peaking at 0.25, but for the marks before and after the six tokens."""
        maps = torch.full((77, 2, 4), 0.01)
        maps[0], maps[7:], maps[5, 1, 2] = 0.4, 0.3, 0.25
        return replace(inverted, attention=maps)

    @pytest.fixture
    def seen(self, monkeypatch):
        """Lists of the prompts, timesteps and injections, filled by `edit`."""
        seen = {"prompts": [], "timesteps": [], "injections": []}
        predicted, injected = editor.predicted_noise, editor.injected

        def recorded_noise(backbone, latents, prompts, timestep):
            seen["prompts"].append(prompts)
            seen["timesteps"].append(timestep)
            return predicted(backbone, latents, prompts, timestep)

        def recorded_injection(unet, injection):
            seen["injections"].append(injection)
            return injected(unet, injection)

        monkeypatch.setattr(editor, "predicted_noise", recorded_noise)
        monkeypatch.setattr(editor, "injected", recorded_injection)
        return seen

    def embedded(self, backbone, pieces):
        vocabulary = json.loads((backbone.folder / "tokenizer/vocab.json").read_text())
        ids = [vocabulary[p] for p in ("<|startoftext|>", *pieces)]
        ids += [vocabulary["<|endoftext|>"]] * (77 - len(ids))
        with torch.no_grad():
            return backbone.text_encoder(torch.tensor([ids])).last_hidden_state

    @pytest.mark.parametrize("type", ["contrast", "brightness"])
    def test_padding_comes_before_the_word(self, blind, attended, region, seen, type):
        """With the most attention that any word gets, whatever the strength."""
        edited(blind, attended, region, WORDED[type], [2.0, 1.5])
        pieces = ["a</w>", "<|endoftext|>", "cat</w>", "s", "i", "t", "s</w>"]
        expected = self.embedded(blind.backbone, pieces).expand(2, -1, -1)
        torch.testing.assert_close(seen["prompts"][0], expected, rtol=1e-5, atol=1e-5)
        (injection,) = seen["injections"]
        assert positions(injection) == [[2], [2]]
        assert torch.equal(injection.region, region.expand(2, -1, -1, -1))
        assert injection.weights.tolist() == pytest.approx([0.25, 0.25])
        assert seen["timesteps"] == [166]

    def test_the_colour_comes_before_the_word(self, blind, attended, region, seen):
        """As in the caption that a person would write; its attention is times the strength, at every step."""
        edited(blind, attended, region, WORDED["color"], [2.0, 0.5])
        expected = blind.backbone.embed_prompts(["a red cat sits"] * 2)
        assert seen["timesteps"] == [664, 498, 332, 166]
        for prompts, injection in zip(seen["prompts"], seen["injections"], strict=True):
            torch.testing.assert_close(prompts, expected, rtol=1e-5, atol=1e-5)
            assert positions(injection) == [[2, 3, 4]] * 2, "r, e and d"
            assert injection.weights.tolist() == pytest.approx([0.5, 0.125])

    def test_without_a_word_there_is_nothing_to_insert(self, blind, inverted, region, seen):
        edited(blind, inverted, region, PLAIN["contrast"], [2.0])
        torch.testing.assert_close(seen["prompts"][0], blind.backbone.embed_prompts([CAPTION]))
        assert seen["injections"] == [None]

    @pytest.mark.parametrize(("number", "tokens"), [(72, [73, 74, 75]), (73, [74, 75]), (74, [75])])
    def test_a_caption_that_leaves_no_room_for_the_colour(self, blind, image, region, seen, number, tokens):
        """Then the prompt's end is cut, and the map goes to what is left of the colour."""
        caption = "a " * number + "cat " * 9
        (full,) = blind.invert(image, [caption])
        cat = regions.find(regions.words(blind.backbone, caption), "cat")
        edited(blind, full, region, editor.Change("color", "red", cat), [1.0])
        expected = blind.backbone.embed_prompts(["a " * number + "red cat cat"])
        torch.testing.assert_close(seen["prompts"][0], expected, rtol=1e-5, atol=1e-5)
        assert [positions(injection) for injection in seen["injections"]] == [[tokens]] * 4


CHANGE = PLAIN["brightness"]


@pytest.fixture(scope="module")
def free(trained, reading, inverted, region):
    """The edit of strength 0.04 in a band that nothing leaves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trained.low_level.readings, "deviation", lambda: torch.full((6,), 1e9))
        (made,) = edited(reading, inverted, region, CHANGE, [0.04])
    return made


@pytest.fixture(scope="module")
def movement(free):
    """Largest change of a reading by that edit."""
    return moved(free)


def moved(made):
    return (made.after.readings - made.before.readings).abs().max().item()


class TestBand:
    """The deviation of the readings is set such that an edit leaves its band or does not.

    Edits are so weak here that a random network's readings move in proportion to the strength.
    """

    @pytest.fixture
    def deviate(self, trained, monkeypatch):
        """A function that sets the deviation."""

        def deviate(value):
            monkeypatch.setattr(trained.low_level.readings, "deviation", lambda: torch.as_tensor(value).expand(6))

        deviate(1e9)
        return deviate

    def read(self, reading, trained, latents, region):
        """Readings of latents by an inversion of their own."""
        prompt = reading.backbone.embed_prompts([CAPTION])
        steps = features.invert(reading.backbone, latents, prompt, reading.timesteps)
        _, low = trained.aggregation((s.features, reading.backbone.embed_timestep(s.timestep, 1)) for s in steps)
        return trained.low_level(low, region)[0, 0]

    def test_readings_are_those_of_a_fresh_inversion(self, reading, trained, inverted, region, deviate):
        for made in edited(reading, inverted, region, CHANGE, [0.04, -0.02]):
            before = self.read(reading, trained, inverted.latents[:1], region)
            after = self.read(reading, trained, made.latents[None], region)
            torch.testing.assert_close(made.before.readings, before, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(made.after.readings, after, rtol=1e-3, atol=1e-4)

    def test_one_that_stays_inside_is_left_as_it_is(self, reading, blind, inverted, region, deviate, movement):
        deviate(movement / 1.9)
        (made,) = edited(reading, inverted, region, CHANGE, [0.04])
        (unread,) = edited(blind, inverted, region, CHANGE, [0.04])
        assert made.used == made.asked == 0.04
        assert made.trace == [(0.04, pytest.approx(1.9, rel=1e-3))]
        assert made.is_within
        torch.testing.assert_close(made.latents, unread.latents, rtol=1e-4, atol=1e-5)

    def test_the_band_is_of_each_reading_s_own_deviation(self, reading, inverted, region, deviate, free):
        """The trace holds the largest of six quotients."""
        changes = (free.after.readings - free.before.readings).abs()
        deviations = changes / torch.tensor([0.1, 0.2, 1.5, 0.3, 0.4, 0.5])
        deviate(deviations)
        (made,) = edited(reading, inverted, region, CHANGE, [0.04])
        assert made.trace == [(0.04, pytest.approx(1.5, rel=1e-3))]

    @pytest.mark.parametrize(("type", "strength"), [("brightness", 0.4), ("contrast", -1.0)])
    def test_too_strong_a_one_shrinks_towards_none(self, reading, blind, inverted, region, deviate, type, strength):
        """By a tenth of the distance until it is inside; what is made is what that strength makes."""
        (free,) = edited(reading, inverted, region, WORDED[type], [strength])
        deviation = moved(free) / 2.1
        deviate(deviation)
        (made,) = edited(reading, inverted, region, WORDED[type], [strength])
        neutral = EDIT_TYPES[type].neutral
        tried, movements = zip(*made.trace, strict=True)
        expected = [neutral + (strength - neutral) * 0.9**i for i in range(len(tried))]
        assert tried == pytest.approx(expected)
        assert len(tried) > 1
        assert all(m > 2 for m in movements[:-1])
        assert movements[-1] <= 2
        assert (made.asked, made.used) == (strength, tried[-1])
        assert made.is_within
        (again,) = edited(blind, inverted, region, WORDED[type], [made.used])
        torch.testing.assert_close(made.latents, again.latents, rtol=1e-4, atol=1e-5)
        assert moved(made) / deviation == pytest.approx(movements[-1], rel=1e-3)

    def test_each_strength_on_its_own(self, reading, inverted, region, deviate, movement):
        deviate(movement / 2.1)
        strengths = [0.04, 0.005, 0.045]
        together = edited(reading, inverted, region, CHANGE, strengths)
        alone = [edited(reading, inverted, region, CHANGE, [s])[0] for s in strengths]
        assert [m.asked for m in together] == strengths
        assert len(together[1].trace) == 1
        assert len(together[2].trace) > len(together[0].trace) > 1
        for one, other in zip(together, alone, strict=True):
            assert one.used == other.used
            assert len(one.trace) == len(other.trace)
            torch.testing.assert_close(one.latents, other.latents, rtol=1e-3, atol=1e-5)

    def test_an_attempt_takes_the_edit_s_calls_and_an_inversion(self, reading, inverted, region, deviate, movement):
        """Of those strengths only that are still too strong."""
        deviate(movement / 2.1)
        with counted(reading.backbone.unet) as sizes:
            strong, weak = edited(reading, inverted, region, CHANGE, [0.04, 0.005])
        assert len(weak.trace) == 1
        again = len(strong.trace) - 1
        assert again > 0
        assert sizes == [2] * (1 + STEPS) + [1] * (1 + STEPS) * again

    def test_it_is_given_up_after_some_attempts(self, reading, inverted, region, deviate, monkeypatch):
        """The weakest of twenty has 0.9 to the 19th of the strength, an eighth."""
        assert editor.TRIES == 20
        monkeypatch.setattr(editor, "TRIES", 3)
        deviate(1e-9)
        (made,) = edited(reading, inverted, region, CHANGE, [0.04])
        assert [used for used, _ in made.trace] == pytest.approx([0.04, 0.036, 0.0324])
        assert made.used == pytest.approx(0.0324)
        assert not made.is_within

    def test_readings_that_are_no_numbers_are_told(self, reading, inverted, region, deviate):
        """At the first attempt, and not taken for an edit that is too strong."""
        deviate(float("nan"))
        with pytest.raises(ValueError, match="readings of the edited image are NaN; edit in float32"):
            edited(reading, inverted, region, CHANGE, [0.04])

    @pytest.mark.parametrize("of", ["reading", "blind"])
    def test_latents_that_are_no_numbers_are_told(self, request, of, inverted, region, deviate, monkeypatch):
        kept = editor.predicted_noise
        monkeypatch.setattr(editor, "predicted_noise", lambda *given: kept(*given) * float("nan"))
        with pytest.raises(ValueError, match="the edited image has NaN or infinite latents; edit in float32"):
            edited(request.getfixturevalue(of), inverted, region, CHANGE, [0.04])

    def test_facts_fit_in_json(self, free):
        facts = json.loads(json.dumps(free.facts()))
        for values in (facts["properties"], facts["readings"]):
            assert {when: len(six) for when, six in values.items()} == {"before": 6, "after": 6}
        assert facts["trace"][0][0] == 0.04


@pytest.fixture(scope="module")
def targets(reading, image, inverted, region):
    """A function of a type: images with other captions, words, colours, regions and sizes; one has no word."""
    (second,) = reading.invert(image.flip(2), ["the big cat"])
    cat = regions.find(regions.words(reading.backbone, second.caption), "cat")

    def targets(type):
        color = type == "color"
        other = region.flip(2, 3) * 0.5 + (region > 0) * 0.5
        return [
            editor.Target(inverted, region, WORDED[type]),
            editor.Target(second, other, editor.Change(type, "blue" if color else None, cat), (40, 80)),
            *([] if color else [editor.Target(second, region, PLAIN[type])]),
        ]

    return targets


class TestImagesTogether:
    """What is made of several images in one batch is what is made of each alone."""

    def test_are_inverted_together(self, reading, image, inverted, targets):
        captions = [CAPTION, "the big cat"]
        together = reading.invert(torch.cat([image, image.flip(2)]), captions)
        for one, alone in zip(together, [inverted, targets("contrast")[1].inverted], strict=True):
            assert one.caption == alone.caption
            for name in ("prompt", "latents", "noise", "attention"):
                torch.testing.assert_close(getattr(one, name), getattr(alone, name), rtol=1e-3, atol=1e-5)
            for map, other in zip(one.maps, alone.maps, strict=True):
                torch.testing.assert_close(map, other, rtol=1e-3, atol=1e-4)

    @pytest.mark.parametrize("type", list(WORDED))
    def test_are_edited_together(self, blind, targets, type):
        strengths = STRENGTHS[type][:2]
        with counted(blind.backbone.unet) as sizes:
            together = blind.edit(targets(type), strengths)
        assert sizes == [2 * len(targets(type))] * equations.LATENT_EDITS[type].depth
        for made, target in zip(together, targets(type), strict=True):
            (alone,) = blind.edit([target], strengths)
            torch.testing.assert_close(latents_of(made), latents_of(alone), rtol=1e-3, atol=1e-5)
            for one, other in zip(made, alone, strict=True):
                assert (one.asked, one.used) == (other.asked, other.used)
                assert np.abs(one.after.picture.astype(int) - other.after.picture).max() <= 1
                torch.testing.assert_close(one.after.properties, other.after.properties, rtol=0, atol=1 / 255)

    def test_each_is_weakened_on_its_own(self, reading, trained, targets, monkeypatch):
        """The band is such that the first image takes two attempts or more, and another number than the second."""
        monkeypatch.setattr(trained.low_level.readings, "deviation", lambda: torch.full((6,), 1e9))
        both, strengths = targets("brightness")[:2], [0.04, 0.005]
        moves = [moved(made) for (made, _) in reading.edit(both, strengths)]
        monkeypatch.setattr(trained.low_level.readings, "deviation", lambda: torch.full((6,), moves[0] / 2.1))
        together = reading.edit(both, strengths)
        alone = [edited(reading, *target[:3], strengths, target.size) for target in both]
        tries = [[len(made.trace) for made in of_one] for of_one in together]
        assert tries == [[len(made.trace) for made in of_one] for of_one in alone]
        assert tries[0][0] > 1
        assert tries[0][0] != tries[1][0]
        for made, others in zip(together, alone, strict=True):
            assert [one.used for one in made] == [one.used for one in others]
            torch.testing.assert_close(latents_of(made), latents_of(others), rtol=1e-3, atol=1e-5)


class TestMeasured:
    """The true properties of the region in the decoded picture."""

    SIZE = (80, 160)

    def test_is_of_the_written_picture(self, blind, inverted, region):
        (made,) = edited(blind, inverted, region, CHANGE, [0.1], self.SIZE)
        mask = np.asarray(Image.fromarray(region[0, 0].numpy()).resize(self.SIZE[::-1], Image.Resampling.BILINEAR))
        for seen in (made.before, made.after):
            assert (seen.picture.shape, seen.picture.dtype) == ((*self.SIZE, 3), np.uint8)
            colours = (seen.picture / 255 * mask[..., None]).sum((0, 1)) / mask.sum()
            np.testing.assert_allclose(seen.properties[:3], colours, rtol=1e-4)
        assert not np.array_equal(made.before.picture, made.after.picture)

    def test_the_unedited_picture_is_that_of_the_inversion(self, blind, inverted, region):
        (made,) = edited(blind, inverted, region, CHANGE, [0.1], self.SIZE)
        alone = blind.picture(inverted.latents[:1], self.SIZE)
        assert np.abs(made.before.picture.astype(int) - alone).max() <= 1, "of rounding"

    def test_an_edit_that_the_readings_miss_is_weakened(self, reading, trained, inverted, region, monkeypatch):
        """The readings' band is wide; the second band is that of the picture."""
        monkeypatch.setattr(trained.low_level.readings, "deviation", lambda: torch.full((6,), 1e9))
        (free,) = edited(reading, inverted, region, CHANGE, [1.0])
        changes = (free.after.properties - free.before.properties).abs()
        assert free.used == 1
        monkeypatch.setattr(trained.low_level.truths, "deviation", lambda: changes / 2.1)
        (made,) = edited(reading, inverted, region, CHANGE, [1.0])
        assert made.trace[0] == (1, pytest.approx(2.1, rel=1e-4))
        assert made.used < 1
        assert made.is_within
        left = (made.after.properties - made.before.properties).abs() / (changes / 2.1)
        assert made.trace[-1][1] == pytest.approx(left.max().item(), rel=1e-4)
        assert left.max() <= 2
