"""`salbench edit`, with a method that edits by arithmetic on pixels."""

import json

import numpy as np
import pytest
from PIL import Image

from salbench import edits

BRIGHTENER = '''
import numpy as np
from salbench.edits import SALIENCY, MadeEdits, NewEdit
from salbench.registry import SaliencyMethod, register

@register
class Brightener(SaliencyMethod):
    """Brightness by addition. By the constraint, strengths above 0.75 are weakened and those above 1 dropped."""

    def predict(self, sample):
        return np.ones(sample.size)

    def edit(self, sample, wanted, *, color=None, word=None, mask=None, constrained=True, scaled=True):
        if sample.id == "color_03":
            raise ValueError("cannot be edited")
        if mask is None or isinstance(mask, str):
            mask = np.ones(sample.size)
        made, dropped = [], []
        for type, strengths in wanted.items():
            for strength in strengths:
                if strength > 1 and constrained:
                    dropped.append({"type": type, "asked": strength, "reason": "too strong"})
                else:
                    image = np.clip(sample.image + 100 * strength * np.ones(3), 0, 255).astype(np.uint8)
                    used = min(strength, 0.75) if constrained else strength
                    made.append(NewEdit(type, strength, used, 1, image, {"color": color}))
        return MadeEdits(sample.image, mask, made, sample.caption, word, dropped=dropped)
'''


@pytest.fixture
def edit(salbench, tmp_path):
    """A function of further words: the exit status of `salbench edit` with the toy."""
    folder = tmp_path / "editors"
    folder.mkdir()
    (folder / "brightener.py").write_text(BRIGHTENER)
    common = "edit", "--methods-dir", folder, "--methods", "brightener", "--type", "brightness"
    return lambda *words: salbench(*common, *words)


class TestOneImage:
    def test_a_picture_of_ones_own(self, edit, picture, tmp_path, capsys):
        out = tmp_path / "sheet.png"
        words = "--fixations", picture.with_suffix(".csv"), "--caption", "a cat", "--word", "cat"
        assert edit("--image", picture, *words, "--strength=-0.2,0.5,1,2", "--out", out) == 0
        printed = capsys.readouterr()
        assert printed.out == f"sheet: {out}\n"
        assert printed.err == "weakened: brightness: asked for 1, used 0.75\ndropped: brightness 2: too strong\n"
        assert out.stat().st_size > 1000

    def test_an_image_of_a_data_set(self, edit, tmp_path, monkeypatch):
        monkeypatch.chdir(tmp_path)
        assert edit("--id", "color_01", "--caption", "a red bar") == 0
        assert (tmp_path / "sheet.png").exists()

    def test_without_an_edit_it_failed(self, edit, picture, tmp_path):
        words = "--image", picture, "--strength", "2", "--out", tmp_path / "sheet.png"
        assert edit(*words) == 1
        assert edit(*words, "--unconstrained") == 0

    def test_a_mask(self, edit, picture, tmp_path):
        Image.fromarray(np.full((60, 80), 255, np.uint8)).save(tmp_path / "mask.png")
        assert edit("--image", picture, "--mask", tmp_path / "mask.png", "--out", tmp_path / "sheet.png") == 0


class TestDataSet:
    def test_a_set(self, edit, tmp_path, capsys):
        out = tmp_path / "set"
        words = "--mask", "saliency", "--strength", "0.5,2", "--out", out
        assert edit(*words, "--limit", 2) == 0
        printed = capsys.readouterr()
        assert f"edit set: {out}: 2 edits (brightness) of 2 images" in printed.out
        assert "dropped: color_01" in printed.err
        assert edits.read(out).setup["edits"] == {"brightness": [0.5, 2.0]}
        assert edit(*words, "--limit", 4) == 1
        printed = capsys.readouterr()
        assert "not edited: color_03: " in printed.err
        assert "3 edits (brightness) of 3 images" in printed.out

    def test_of_a_training_split_it_says_how_to_train(self, edit, write_data_set, tmp_path, capsys):
        out, dataset = tmp_path / "set", write_data_set(tmp_path / "my_train", "ab", 1)
        assert edit("--dataset", f"folder:{dataset}", "--mask", "saliency", "--strength", "0.5", "--out", out) == 0
        command = f"salbench fit --methods NAME --dataset folder:{dataset} --augment edits:{out}"
        assert f": {command}\n" in capsys.readouterr().out

    def test_the_request_is_recorded(self, edit, tmp_path):
        out = tmp_path / "set"
        words = "--type", "color", "--color", "red", "--word", "bar", "--strength", "1", "--unconstrained", "--unscaled"
        assert edit("--mask", "saliency", *words, "--limit", 1, "--out", out) == 0
        setup = edits.read(out).setup
        assert (setup["color"], setup["word"]) == ("red", "bar")
        assert (setup["constrained"], setup["scaled"]) == (False, False)

    def test_one_of_several_colours_is_drawn_for_each_image(self, edit, tmp_path):
        words = (
            "--type",
            "color",
            "--color",
            "red,green,blue",
            "--strength",
            "1",
            "--limit",
            "8",
            "--out",
            tmp_path / "e",
        )
        assert edit("--dataset", "popout", "--mask", "saliency", *words) in (0, 1)
        made = edits.read(tmp_path / "e")
        colours = {source: made.of(source)[0].facts["color"] for source in made.sources if made.of(source)}
        assert set(colours.values()) <= {"red", "green", "blue"}
        assert len(set(colours.values())) > 1


class TestNewType:
    """A type of edit is one row: it is listed, has default strengths, and says whether --color is for it."""

    @pytest.fixture(autouse=True)
    def tint(self, monkeypatch):
        tint = edits.EditType(
            "tint", (0.25, 0.75), neutral=0.0, is_factor=False, measure=lambda pixels, original: 0.0, unit="mean hue",
            definition="mean hue, 0 to 1", summary="moves the hue", needs_color=True,
        )  # fmt: skip
        monkeypatch.setitem(edits.EDIT_TYPES, "tint", tint)

    def test_is_listed(self, salbench, capsys):
        assert salbench("list", "edits", "--json") == 0
        assert json.loads(capsys.readouterr().out)[-1] == {
            "name": "tint", "summary": "moves the hue", "strengths": [0.25, 0.75], "neutral": 0.0,
            "measured as": "mean hue", "needs": "--color",
        }  # fmt: skip

    def test_can_be_made(self, edit, tmp_path):
        words = "--mask", "saliency", "--limit", 1, "--out", tmp_path / "set"
        assert edit("--type", "tint", "--color", "red", *words) == 0
        setup = edits.read(tmp_path / "set").setup
        assert (setup["edits"], setup["color"]) == ({"tint": [0.25, 0.75]}, "red")

    def test_errors_name_it(self, edit, capsys):
        assert edit("--color", "red") == 2
        assert "--color requires --type color or tint" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--color", "red"), "--color requires --type color"),
        (("--caption", "a cat"), "--caption requires --image or --id"),
        (("--fixations", "f.csv"), "--fixations requires --image"),
        (("--id", "color_01", "--fixations", "f.csv"), "--fixations requires --image"),
        (("--id", "color_01", "--limit", "3"), "--limit requires --dataset without --id"),
        (("--image", "cat.png", "--limit", "3"), "--limit requires --dataset without --id"),
        (("--image", "cat.png", "--id", "3"), "--id requires --dataset"),
        (("--mask", "m.png"), "m.png: expected a folder"),
        (("--limit", "3"), "popout: expected captions"),
        (("--strength", "2,1.5,2.0000001"), "strength: expected numbers that differ"),
        (("--type", "colour"), "expected one or more of contrast, brightness, color"),
        (("--methods", "brightener,uniform"), "--methods: expected one method"),
    ],
)
def test_errors_before_anything_is_written(words, message, edit, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert edit(*words) == 2
    assert message in capsys.readouterr().err
    assert not list(folder.rglob("*.png"))
