"""The editor: against plain DDIM steps, what an edit leaves alone, and its cost."""

import json
from dataclasses import replace
from math import sqrt

import numpy as np
import pytest
import torch
from editors import CAPTION, CHANGE, IMAGE, PLAIN, REGION, WORDED, counted, edited, latents_of
from modules import part
from PIL import Image

from salbench.edits import EDIT_TYPES

editor, regions, scaling, features = part("editor"), part("regions"), part("scaling"), part("features")
attention, equations = part("attention"), part("equations")

STEPS = 6
STRENGTHS = {"contrast": [1.5, 0.5, 2.0], "brightness": [0.1, -0.1, 0.05], "color": [1.0, 3.0, 8.0]}


def positions(injection):
    """Of the tokens of each image."""
    return [row.nonzero().flatten().tolist() for row in injection.tokens]


class TestInvert:
    def test_is_the_inversion(self, tiny_backbone, inverted):
        prompt = tiny_backbone.embed_prompts([CAPTION])
        steps = list(features.invert(tiny_backbone, tiny_backbone.encode(IMAGE), prompt, [0, 166, 332, 498, 664, 830]))
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

    def test_without_a_network(self, blind, inverted):
        (alone,) = blind.invert(IMAGE, [CAPTION])
        assert len(alone.maps) == 0
        torch.testing.assert_close(alone.latents[-1], inverted.latents[-1])
        torch.testing.assert_close(alone.attention, inverted.attention)

    @pytest.mark.parametrize("kind", ["blind", "reading"])
    def test_takes_six_calls(self, kind, request, tiny_backbone):
        with counted(tiny_backbone.unet) as calls:
            request.getfixturevalue(kind).invert(IMAGE, [""])
        assert calls == [1] * STEPS

    def test_saliency_is_the_network_s(self, reading, trained, inverted):
        saliency = reading.saliency(inverted)
        logits = trained.saliency(*(map[None] for map in inverted.maps))[0]
        torch.testing.assert_close(saliency, logits.exp() / logits.exp().sum())
        assert saliency.shape == (8, 16)
        assert saliency.sum().item() == pytest.approx(1, abs=1e-5)


class TestDenoised:
    def by_hand(self, backbone, inverted, type, strength):
        """One step of DDIM back from 166, once for the edit and once for what the inversion misses by."""
        start, end = (backbone.scheduler.alphas_cumprod[t].item() for t in (0, 166))
        prompt = backbone.embed_prompts([CAPTION])
        clean, gamma = inverted.latents[:1], scaling.gamma(backbone)[:, None, None]
        if type == "brightness":
            changed = clean + strength * gamma * REGION
        else:
            mu = (clean * REGION).sum((2, 3), keepdim=True) / REGION.sum()
            changed = REGION * (strength * (clean - mu) + mu) + (1 - REGION) * clean

        def back(latents, noise):
            image = (latents - sqrt(1 - end) * noise) / sqrt(end)
            return sqrt(start) * image + sqrt(1 - start) * noise

        latents = inverted.latents[1:2] + sqrt(end / start) * (changed - clean)
        with torch.no_grad():
            noise = backbone.unet(latents, 166, encoder_hidden_states=prompt).sample
        missed = clean - back(inverted.latents[1:2], inverted.noise[1:2])
        return torch.where(REGION > 0, back(latents, noise) + missed, clean)[0]

    @pytest.mark.parametrize("type", list(PLAIN))
    def test_a_plain_step_of_ddim(self, blind, inverted, type):
        for made in edited(blind, inverted, PLAIN[type], STRENGTHS[type]):
            expected = self.by_hand(blind.backbone, inverted, type, made.asked)
            torch.testing.assert_close(made.latents, expected, rtol=1e-3, atol=1e-5)
            assert (made.latents - inverted.latents[0]).abs().max() > 0.01

    def test_unscaled_brightness_is_alike_in_all_channels(self, blind, tiny_backbone, inverted, monkeypatch):
        (unscaled,) = edited(editor.Editor(tiny_backbone, STEPS, scaled=False), inverted, CHANGE, [0.1])
        (scaled,) = edited(blind, inverted, CHANGE, [0.1])
        assert (unscaled.latents - scaled.latents).abs().max() > 1e-3
        monkeypatch.setattr(editor, "gamma", lambda backbone: torch.ones(4))
        (ones,) = edited(blind, inverted, CHANGE, [0.1])
        torch.testing.assert_close(unscaled.latents, ones.latents)

    @pytest.mark.parametrize("type", list(PLAIN))
    def test_no_strength_gives_the_image_back(self, blind, inverted, type):
        (made,) = edited(blind, inverted, PLAIN[type], [EDIT_TYPES[type].neutral])
        torch.testing.assert_close(made.latents, inverted.latents[0], rtol=0, atol=1e-4)

    @pytest.mark.parametrize("type", list(WORDED))
    def test_outside_the_region_it_is_the_image(self, blind, inverted, type):
        outside = (REGION[0] == 0).expand(4, -1, -1)
        for made in edited(blind, inverted, WORDED[type], STRENGTHS[type]):
            assert torch.equal(made.latents[outside], inverted.latents[0][outside])
            assert not torch.equal(made.latents[~outside], inverted.latents[0][~outside])

    @pytest.mark.parametrize("type", list(WORDED))
    def test_strengths_of_a_batch_do_not_see_each_other(self, blind, inverted, type):
        together = edited(blind, inverted, WORDED[type], STRENGTHS[type])
        (alone,) = edited(blind, inverted, WORDED[type], STRENGTHS[type][-1:])
        assert [m.asked for m in together] == [m.used for m in together] == STRENGTHS[type]
        torch.testing.assert_close(together[-1].latents, alone.latents, rtol=1e-3, atol=1e-5)
        assert (together[0].latents - together[1].latents).abs().max() > 1e-3

    @pytest.mark.parametrize(("type", "calls"), [("contrast", 1), ("brightness", 1), ("color", 4)])
    def test_takes_as_many_calls_as_steps_are_undone(self, blind, inverted, type, calls):
        scaling.gamma(blind.backbone)
        with counted(blind.backbone.unet) as sizes:
            edited(blind, inverted, WORDED[type], STRENGTHS[type])
        assert sizes == [3] * calls

    def test_whole_numbers_are_strengths(self, blind, inverted):
        whole, broken = (edited(blind, inverted, WORDED["contrast"], s) for s in ([2, 3], [2.0, 3.0]))
        assert torch.equal(latents_of(whole), latents_of(broken))

    def test_without_a_network_nothing_is_read(self, blind, inverted):
        (made,) = edited(blind, inverted, WORDED["brightness"], [100.0])
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
    def test_padding_comes_before_the_word(self, blind, attended, seen, type):
        """With the most attention that any word gets, whatever the strength."""
        edited(blind, attended, WORDED[type], [2.0, 1.5])
        pieces = ["a</w>", "<|endoftext|>", "cat</w>", "s", "i", "t", "s</w>"]
        expected = self.embedded(blind.backbone, pieces).expand(2, -1, -1)
        torch.testing.assert_close(seen["prompts"][0], expected, rtol=1e-5, atol=1e-5)
        (injection,) = seen["injections"]
        assert positions(injection) == [[2], [2]]
        assert torch.equal(injection.region, REGION.expand(2, -1, -1, -1))
        assert injection.weights.tolist() == pytest.approx([0.25, 0.25])
        assert seen["timesteps"] == [166]

    def test_the_colour_comes_before_the_word(self, blind, attended, seen):
        """As in the caption that a person would write; its attention is times the strength, at every step."""
        edited(blind, attended, WORDED["color"], [2.0, 0.5])
        expected = blind.backbone.embed_prompts(["a red cat sits"] * 2)
        assert seen["timesteps"] == [664, 498, 332, 166]
        for prompts, injection in zip(seen["prompts"], seen["injections"], strict=True):
            torch.testing.assert_close(prompts, expected, rtol=1e-5, atol=1e-5)
            assert positions(injection) == [[2, 3, 4]] * 2, "r, e and d"
            assert injection.weights.tolist() == pytest.approx([0.5, 0.125])

    def test_without_a_word_there_is_nothing_to_insert(self, blind, inverted, seen):
        edited(blind, inverted, PLAIN["contrast"], [2.0])
        torch.testing.assert_close(seen["prompts"][0], blind.backbone.embed_prompts([CAPTION]))
        assert seen["injections"] == [None]

    def test_captions_that_leave_no_room_for_the_colour(self, blind, seen):
        """Then the prompt's end is cut, and the map goes to what is left of the colour."""
        captions = ["a " * number + "cat " * 9 for number in (72, 73, 74)]
        targets = []
        for full in blind.invert(IMAGE.expand(3, -1, -1, -1), captions):
            cat = regions.find(regions.words(blind.backbone, full.caption), "cat")
            targets.append(editor.Target(full, REGION, editor.Change("color", "red", cat)))
        blind.edit(targets, [1.0])
        expected = blind.backbone.embed_prompts(["a " * number + "red cat cat" for number in (72, 73, 74)])
        torch.testing.assert_close(seen["prompts"][0], expected, rtol=1e-5, atol=1e-5)
        assert [positions(injection) for injection in seen["injections"]] == [[[73, 74, 75], [74, 75], [75]]] * 4


@pytest.fixture(scope="module")
def targets(reading, inverted):
    """A function of a type: images with other captions, words, colours, regions and sizes; one has no word."""
    (second,) = reading.invert(IMAGE.flip(2), ["the big cat"])
    cat = regions.find(regions.words(reading.backbone, second.caption), "cat")

    def targets(type):
        color = type == "color"
        other = REGION.flip(2, 3) * 0.5 + (REGION > 0) * 0.5
        return [
            editor.Target(inverted, REGION, WORDED[type]),
            editor.Target(second, other, editor.Change(type, "blue" if color else None, cat), (40, 80)),
            *([] if color else [editor.Target(second, REGION, PLAIN[type])]),
        ]

    return targets


class TestImagesTogether:
    """What is made of several images in one batch is what is made of each alone."""

    def test_are_inverted_together(self, reading, inverted, targets):
        captions = [CAPTION, "the big cat"]
        together = reading.invert(torch.cat([IMAGE, IMAGE.flip(2)]), captions)
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


class TestMeasured:
    """The true properties of the region in the decoded picture."""

    SIZE = (80, 160)

    def test_is_of_the_written_picture(self, blind, inverted):
        (made,) = edited(blind, inverted, CHANGE, [0.1], self.SIZE)
        mask = np.asarray(Image.fromarray(REGION[0, 0].numpy()).resize(self.SIZE[::-1], Image.Resampling.BILINEAR))
        for seen in (made.before, made.after):
            assert (seen.picture.shape, seen.picture.dtype) == ((*self.SIZE, 3), np.uint8)
            colours = (seen.picture / 255 * mask[..., None]).sum((0, 1)) / mask.sum()
            np.testing.assert_allclose(seen.properties[:3], colours, rtol=1e-4)
        assert not np.array_equal(made.before.picture, made.after.picture)

    def test_the_unedited_picture_is_that_of_the_inversion(self, blind, inverted):
        (made,) = edited(blind, inverted, CHANGE, [0.1], self.SIZE)
        alone = blind.picture(inverted.latents[:1], self.SIZE)
        assert np.abs(made.before.picture.astype(int) - alone).max() <= 1, "of rounding"
