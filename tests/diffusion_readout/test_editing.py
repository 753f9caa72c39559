"""Edits of one sample on the tiny backbone, from its image to images and to files."""

import csv
import re
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from modules import part
from numpy.testing import assert_array_equal
from PIL import Image

from salbench import edits, registry
from salbench.cli import main
from salbench.datasets import load
from salbench.runtime import Runtime
from salbench.sample import Sample
from salbench.study import regions

CAPTION = "a red bus on a street"
CORNER = np.zeros((60, 80))
CORNER[:20, 50:] = 3.0  # no reflection is like it


def picture():
    return np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def method(tiny_backbone_folder):
    """The method on the tiny backbone, with two diffusion steps to save time. Nothing may change it."""
    method = registry.create("diffusion_readout", Runtime(backbone=str(tiny_backbone_folder)))
    method.timesteps = 2
    return method


@pytest.fixture(scope="module")
def of_five_steps(method):
    """The method with as many steps as a change of colour needs, which undoes four."""
    deeper = copy(method)
    deeper.frozen, deeper.timesteps = method.frozen, 5
    return deeper


@pytest.fixture(scope="module")
def shipped():
    """The method on the small backbone, with its weights. Nothing may change it."""
    return registry.create("diffusion_readout")


def edited(method, wanted, *, caption=CAPTION, fixations=((20.0, 15.0),), **options):
    fixations = None if fixations is None else np.array(fixations)
    sample = Sample("a", (60, 80), picture, fixations, sigma=5.0, caption=caption)
    return method.edit(sample, wanted, constrained=False, **options)


class TestEdit:
    def test_pictures_have_the_image_s_proportions_and_the_backbone_s_length(self, method):
        made = edited(method, {"contrast": [0.5, 2.0], "brightness": [0.3]})
        assert {image.shape for image in (made.original, *(e.image for e in made.edits))} == {(48, 64, 3)}
        assert made.mask.shape == (48, 64)
        assert [(e.type, e.asked, e.strength, e.direction) for e in made.edits] == [
            ("contrast", 0.5, 0.5, -1), ("contrast", 2.0, 2.0, 1), ("brightness", 0.3, 0.3, 1),
        ]  # fmt: skip
        assert (made.caption, made.dropped) == (CAPTION, [])
        assert made.word in CAPTION.split(), "chosen where people look"
        assert made.attention.shape == (2, 2)
        assert made.saliency == "fixations"

    def test_the_reconstruction_is_the_decoded_image(self, method):
        made = edited(method, {"contrast": [2.0]}, mask=CORNER)
        backbone = method.frozen
        pixels = backbone.decode(backbone.encode(method.images_of(Sample("a", (60, 80), picture))))[0]
        square = Image.fromarray(((pixels / 2 + 0.5).clamp(0, 1) * 255).byte().permute(1, 2, 0).numpy())
        shown = np.asarray(square.resize((64, 48), Image.Resampling.BILINEAR), int)
        assert np.abs(made.original - shown).mean() < 1
        assert np.abs(made.original[:, ::-1] - shown).mean() > 3

    def test_the_edit_is_where_the_mask_is(self, shipped):
        """Of the small backbone, as the tiny one's random decoder spreads everything everywhere."""
        method = copy(shipped)
        method.frozen, method.timesteps = shipped.frozen, 2
        made = edited(method, {"brightness": [1.0]}, mask=CORNER)
        y, x = np.indices(made.mask.shape) + 0.5
        changed = np.abs(made.edits[0].image.astype(int) - made.original).sum(2)
        for map in (changed, made.mask):
            assert (map * x).sum() / map.sum() == pytest.approx(65 * 1.6, abs=8)
            assert (map * y).sum() / map.sum() == pytest.approx(10 * 1.6, abs=8)

    def test_a_word_may_be_named(self, method):
        made = edited(method, {"contrast": [2.0]}, word="Bus", fixations=None)
        assert (made.word, made.saliency) == ("bus", None)

    def test_a_mask_needs_no_caption(self, method):
        mask = np.zeros((60, 80))
        mask[:, :40] = 3.0
        made = edited(method, {"brightness": [1.0]}, caption=None, mask=mask)
        assert (made.word, made.attention) == (None, None)
        assert made.mask[:, :24].min() == pytest.approx(1)
        assert made.mask[:, 40:].max() == 0

    @pytest.mark.parametrize("mask", [CORNER, edits.SALIENCY])
    def test_with_a_mask_a_word_takes_part_where_it_is_named(self, method, mask):
        made = edited(method, {"brightness": [1.0]}, mask=mask)
        assert (made.word, made.attention) == (None, None)
        named = edited(method, {"brightness": [1.0]}, mask=mask, word="bus")
        assert named.word == "bus"
        assert_array_equal(named.mask, made.mask)
        assert (named.edits[0].image != made.edits[0].image).any()  # the map is injected

    def test_with_a_mask_a_word_takes_part_where_a_colour_needs_it(self, of_five_steps):
        made = edited(of_five_steps, {"color": [1.0]}, mask=CORNER, color="purple")
        assert made.word in CAPTION.split()

    def test_tells_whose_saliency_decided(self, method):
        fixated = {"contrast": [2.0]}, {"mask": edits.SALIENCY}
        assert edited(method, fixated[0], **fixated[1]).saliency == "fixations"
        assert edited(method, fixated[0], mask=CORNER).saliency is None
        sample = Sample("a", (60, 80), picture, read_density=lambda: CORNER, caption=CAPTION)
        assert method.edit(sample, fixated[0], constrained=False, **fixated[1]).saliency == "density"

    def test_saliency_as_the_region(self, method):
        options = {"caption": None, "fixations": ((70.0, 10.0),), "mask": edits.SALIENCY}
        made = edited(method, {"brightness": [1.0]}, **options)
        y, x = np.unravel_index(made.mask.argmax(), made.mask.shape)
        assert abs(x - 70 * 0.8) < 8
        assert abs(y - 10 * 0.8) < 8
        assert (made.mask == 0).mean() > 0.5

    @pytest.mark.parametrize(
        ("wanted", "options", "reason"),
        [
            ({"hue": [1.0]}, {}, r"type: expected .* hue"),
            ({"contrast": [1.0]}, {}, r"strength: expected .* \[1\.0\]"),
            ({"contrast": [float("nan")]}, {}, r"strength: expected finite numbers, got \[nan\]"),
            (
                {"contrast": [2.0]},
                {"mask": np.eye(60)},
                r"mask: expected the aspect ratio of the image, 60 x 80 .*60 x 60",
            ),
            ({"color": [1.0]}, {}, r"color: expected a word such as purple, got none"),
            ({"color": [1.0]}, {"color": " "}, r"color: expected a word such as purple, got none"),
            ({"contrast": [2.0]}, {"mask": np.eye(1, 4800).reshape(60, 80)}, r"mask: expected a region that covers"),
            ({"color": [-1.0]}, {"color": "purple"}, r"strength: expected 0 or more for color"),
            ({"contrast": [-1.0]}, {}, r"strength: expected 0 or more for contrast"),
            ({"contrast": [2.0]}, {"caption": None}, r"caption: expected one with words, or a mask"),
            ({"contrast": [2.0]}, {"word": "dog"}, r"word: expected one of the caption \(a, red, bus, on, a, street\)"),
            (
                {"contrast": [2.0]},
                {"fixations": None},
                r"word: expected one, because the saliency of this image is unknown",
            ),
            ({"contrast": [2.0]}, {"mask": np.zeros((60, 80))}, r"mask: expected some pixels above zero"),
            ({"contrast": [2.0]}, {"mask": "saliency", "fixations": None}, r"mask: expected an image with fixations"),
            (
                {"color": [2.0]},
                {"color": "purple", "caption": None, "mask": "saliency"},
                r"caption: expected one with words, got",
            ),
        ],
    )
    def test_bad_requests_are_told(self, method, wanted, options, reason):
        with pytest.raises(ValueError, match=reason):
            edited(method, wanted, **options)

    def test_pixels_that_are_no_numbers_are_told(self, method, monkeypatch):
        nothing = SimpleNamespace(sample=torch.full((1, 3, 64, 64), torch.nan))
        monkeypatch.setattr(type(method.frozen.vae), "decode", lambda self, latents: nothing)
        with pytest.raises(ValueError, match=r"the decoded image has NaN or infinite values; edit in float32"):
            edited(method, {"contrast": [2.0]}, mask=CORNER)

    def test_latents_that_are_no_numbers_are_told(self, method, monkeypatch):
        nothing = SimpleNamespace(sample=torch.full((1, 4, 8, 8), torch.nan))
        monkeypatch.setattr(type(method.frozen.unet), "forward", lambda *_, **__: nothing)
        with pytest.raises(ValueError, match=r"the inverted image has NaN or infinite latents; edit in float32"):
            edited(method, {"contrast": [2.0]}, mask=CORNER)


class TestBatch:
    def test_pictures_are_those_of_one_at_a_time(self, of_five_steps):
        """Up to one grey level, of images that differ in size, caption, colour and kind of mask."""
        high = np.random.default_rng(1).integers(0, 256, (80, 40, 3), dtype=np.uint8)
        samples = [
            Sample("a", (60, 80), picture, np.array([(20.0, 15.0)]), sigma=5.0, caption=CAPTION),
            Sample("b", (80, 40), lambda: high, np.array([(20.0, 60.0)]), sigma=5.0, caption="a cat"),
        ]
        wanted, colors, masks = {"contrast": [0.5, 2.0], "color": [2.0]}, ["purple", "green"], [CORNER, edits.SALIENCY]
        together = of_five_steps.edit_batch(samples, wanted, colors=colors, masks=masks, constrained=False)
        assert [made.original.shape for made in together] == [(48, 64, 3), (64, 32, 3)]
        for sample, color, mask, made in zip(samples, colors, masks, together, strict=True):
            alone = of_five_steps.edit(sample, wanted, color=color, mask=mask, constrained=False)
            assert (made.word, made.caption, made.saliency) == (alone.word, alone.caption, alone.saliency)
            np.testing.assert_allclose(made.mask, alone.mask, atol=1e-5)
            assert len(made.edits) == 3
            for one, other in zip(made.edits, alone.edits, strict=True):
                assert (one.type, one.asked, one.strength) == (other.type, other.asked, other.strength)
                assert one.facts.get("color") == other.facts.get("color")
                assert np.abs(one.image.astype(int) - other.image).max() <= 1
                assert (one.image != made.original).any()


class TestConstraint:
    def test_is_applied_unless_it_is_turned_off(self, method, monkeypatch):
        monkeypatch.setattr(part("editor"), "TRIES", 1)
        monkeypatch.setattr(part("readouts").Spread, "deviation", lambda self: self.mean + 1e-9)
        network = part("network").ReadoutNetwork(method.frozen.channels, method.frozen.embedding, steps=2).eval()
        monkeypatch.setattr(type(method), "network", network)
        sample = Sample("a", (60, 80), picture)
        numbers = {
            constrained: len(method.edit(sample, {"contrast": [2.0]}, mask=CORNER, constrained=constrained).edits)
            for constrained in (True, False)
        }
        assert numbers == {True: 0, False: 1}
        assert not method.edit(sample, {"contrast": [2.0]}, mask=CORNER).edits

    def test_what_leaves_its_band_is_dropped_with_the_reason(self, method, tmp_path, monkeypatch):
        """A readout without deviation takes any movement for too much."""
        editor = part("editor")
        monkeypatch.setattr(editor, "TRIES", 2)
        monkeypatch.setattr(part("readouts").Spread, "deviation", lambda self: self.mean + 1e-9)
        network = part("network").ReadoutNetwork(method.frozen.channels, method.frozen.embedding, steps=2).eval()
        sample = Sample("a", (60, 80), picture, np.array([(20.0, 15.0)]), sigma=5.0)
        given = [sample], method.images_of(sample), editor.Editor(method.frozen, 2, network), {"contrast": [2.0]}
        (made,) = part("editing").edit(*given, colors=[None], masks=[edits.SALIENCY])
        assert made.edits == []
        (dropped,) = made.dropped
        assert (dropped["type"], dropped["asked"], len(dropped["trace"])) == ("contrast", 2.0, 2)
        assert "standard deviations, more than 2" in dropped["reason"]


class TestPhotographs:
    """On the small backbone, held to their bands, with captions of 20 photographs, of which one is edited here."""

    @pytest.fixture
    def captioned(self, shared):
        with open(Path(__file__).with_name("osie_captions.csv"), newline="", encoding="utf-8") as file:
            captions = {row["image"]: row["caption"] for row in csv.DictReader(file)}
        samples = {sample.id: sample for sample in load("osie_test", shared / "data").samples[:20]}
        assert samples.keys() == captions.keys()
        return {id: replace(sample, caption=captions[id]) for id, sample in samples.items()}

    def test_what_is_edited_rises_inside_and_the_rest_stays(self, shipped, captioned):
        made = shipped.edit(captioned["1001"], {"contrast": [2.0], "brightness": [0.3]})
        assert made.word in made.caption
        assert not made.dropped
        mask = regions.fitted(made.mask, made.original.shape[:2])
        for type in ("contrast", "brightness"):
            pictures = [made.original, *(edit.image for edit in made.edits if edit.type == type)]
            values = [regions.edited_property(type, picture, made.original, mask) for picture in pictures]
            assert len(values) == 2
            assert values == sorted(values)
            assert min(regions.psnr_outside(picture, made.original, mask) for picture in pictures) > 30


class TestCommandLine:
    @pytest.fixture(autouse=True)
    def _two_steps(self, monkeypatch):
        monkeypatch.setattr(registry.get("diffusion_readout"), "timesteps", 2)

    def run(self, backbone, *more):
        return main(["edit", "--unconstrained", "--backbone", str(backbone), *map(str, more)])

    def test_a_set(self, tiny_backbone_folder, tmp_path, capsys):
        data = "--dataset", "popout", "--limit", 2
        request = "--mask", "saliency", "--strength", "1.5,2", "--out", tmp_path / "e"
        assert self.run(tiny_backbone_folder, *data, *request) == 0
        assert "4 edits (contrast) of 2 images, 0 weaker than asked for, 0 dropped" in capsys.readouterr().out
        assert edits.read(tmp_path / "e").setup["edits"] == {"contrast": [1.5, 2.0]}

    def test_images_without_captions_are_told_before_anything_is_written(self, tiny_backbone_folder, tmp_path, capsys):
        assert self.run(tiny_backbone_folder, "--dataset", "popout", "--limit", 5, "--out", tmp_path / "e") == 2
        assert "popout: expected captions" in capsys.readouterr().err
        assert not (tmp_path / "e").exists()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            (("--color", "red"), r"--color requires --type color"),
            (("--caption", "a cat"), r"--caption requires --image or --id"),
            (("--fixations", "f.csv"), r"--fixations requires --image"),
            (("--id", "color_01", "--fixations", "f.csv"), r"--fixations requires --image"),
            (("--id", "color_01", "--limit", "3"), r"--limit requires --dataset without --id"),
            (("--mask", "m.png"), r"m\.png: expected a folder"),
            (("--strength", "2,1.5,2.0000001"), r"strength: expected numbers that differ"),
        ],
    )
    def test_what_would_do_nothing_is_refused(self, tiny_backbone_folder, tmp_path, capsys, options, message):
        assert self.run(tiny_backbone_folder, *options, "--out", tmp_path / "e") == 2
        assert re.search(message, capsys.readouterr().err)
        assert not (tmp_path / "e").exists()

    def test_a_picture_of_one_s_own_with_its_fixations(self, tiny_backbone_folder, tmp_path, monkeypatch):
        """~ is the home folder, also where a shell leaves it alone."""
        monkeypatch.setenv("HOME", str(tmp_path))
        Image.fromarray(picture()).save(tmp_path / "cat.png")
        (tmp_path / "cat.csv").write_text("x,y\n20,15\n")
        given = "--image=~/cat.png", "--fixations=~/cat.csv", "--mask=saliency"
        assert self.run(tiny_backbone_folder, *given, "--strength", "2,1.5,0.5", "--out=~/sheet.png") == 0
        assert (tmp_path / "sheet.png").stat().st_size > 1000

    def test_a_sheet(self, tiny_backbone_folder, tmp_path, monkeypatch):
        """Of a change of colour, which undoes four steps."""
        monkeypatch.setattr(registry.get("diffusion_readout"), "timesteps", 5)
        picture = "--dataset", "popout", "--id", "color_01", "--caption", "a red bar", "--word", "bar"
        out = tmp_path / "sheet.png"
        assert self.run(tiny_backbone_folder, *picture, "--type", "color", "--color", "blue", "--out", out) == 0
        assert out.stat().st_size > 1000
