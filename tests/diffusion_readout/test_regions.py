"""Regions: the words of captions by their offsets, equation 8 by plain loops and on the kit's maps."""

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from modules import part

regions = part("regions")

KITS = Path(__file__).resolve().parents[1] / "kits"
PROMPT = "a small brown dog sits on the green grass"  # the kit's


def rand(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


def one_token_per_word(caption):
    """As `Backbone.tokenize`, of a tokenizer that knows every word and no punctuation."""
    spans = [match.span() for match in re.finditer(r"\w+", caption)]
    return list(range(len(spans))), spans


KNOWS_ALL = SimpleNamespace(tokenize=one_token_per_word)


class TestWords:
    """The tiny tokenizer knows the words "a" and "cat", and bytes."""

    @pytest.mark.parametrize(
        ("caption", "expected"),
        [
            ("a cat", {"a": [1], "cat": [2]}),
            ("  A\tCAT \n", {"A": [1], "CAT": [2]}),
            ("dog cat go", {"dog": [1, 2, 3], "cat": [4], "go": [5, 6]}),
            ("(cat), a: go!", {"cat": [2], "a": [5], "go": [7, 8]}),
            ("dog's cat", {"dog's": [1, 2, 3, 4, 5], "cat": [6]}),
            ("cat’s go", {"cat’s": [1, 2, 3, 4, 5], "go": [6, 7]}),
            ("x-go 'a'", {"x-go": [1, 2, 3, 4], "a": [6]}),
            ("Bär öl cat", {"Bär": [1, 2, 3, 4], "öl": [5, 6, 7], "cat": [8]}),
            ("Ba\u0308r o\u0308l cat", {"Bär": [1, 2, 3, 4], "öl": [5, 6, 7], "cat": [8]}),
            ("2 go", {"2": [1], "go": [2, 3]}),
            ("", {}),
            ("?! …", {}),
        ],
    )
    def test_all_tokens_of_each(self, tiny_backbone, caption, expected):
        assert {word.text: word.tokens for word in regions.words(tiny_backbone, caption)} == expected

    def test_the_same_word_twice(self, tiny_backbone):
        assert regions.words(tiny_backbone, "a cat a") == [("a", [1]), ("cat", [2]), ("a", [3])]

    def test_what_the_prompt_cuts_off_is_left_out(self, tiny_backbone):
        """It has room for 75 tokens: 73 times "a", and the first two letters of "dog"."""
        found = regions.words(tiny_backbone, "a " * 73 + "dog cat")
        assert [word.text for word in found] == ["a"] * 73 + ["dog"]
        assert found[-1].tokens == [74, 75]


class TestFind:
    WORDS = (regions.Word("a", [1]), regions.Word("Cat", [2, 3]), regions.Word("cat", [4]))

    @pytest.mark.parametrize("text", ["cat", "CAT", " Cat "])
    def test_the_first_in_any_case(self, text):
        assert regions.find(self.WORDS, text).tokens == [2, 3]

    @pytest.mark.parametrize("text", ["Caf\u00e9", "cafe\u0301"])
    def test_an_accent_however_it_is_written(self, tiny_backbone, text):
        (word,) = regions.words(tiny_backbone, "CAFE\u0301")
        assert regions.find([word], text) is word

    @pytest.mark.parametrize("text", ["ca", "dog", ""])
    def test_a_word_that_is_not_there(self, text):
        with pytest.raises(ValueError, match=rf"word: expected one of the caption \(a, Cat, cat\), got '{text}'"):
            regions.find(self.WORDS, text)

    def test_no_words(self):
        with pytest.raises(ValueError, match=r"expected one of the caption \(none\), got 'cat'"):
            regions.find([], "cat")


class TestEquation8:
    def test_maps_of_words_are_means_over_tokens(self):
        maps = rand(77, 2, 3)
        given = regions.word_maps(maps, [regions.Word("x", [3]), regions.Word("y", [5, 6, 9])])
        torch.testing.assert_close(given[0], maps[3])
        torch.testing.assert_close(given[1], (maps[5] + maps[6] + maps[9]) / 3)

    @pytest.mark.parametrize("seed", range(5))
    def test_the_largest_inner_product(self, seed):
        maps, saliency = rand(6, 3, 4, seed=seed), rand(3, 4, seed=seed + 100)
        products = [
            sum((maps[i, y, x] * saliency[y, x]).item() for y in range(3) for x in range(4)) for i in range(len(maps))
        ]
        assert regions.most_salient(maps, saliency) == products.index(max(products))

    def test_the_product_scaled_without_what_is_below_a_third(self):
        attention, saliency = rand(3, 4, seed=1), rand(3, 4, seed=2)
        product = [[(attention[y, x] * saliency[y, x]).item() for x in range(4)] for y in range(3)]
        peak = max(map(max, product))
        expected = [[p / peak if p / peak >= 1 / 3 else 0.0 for p in row] for row in product]
        np.testing.assert_allclose(regions.region(attention, saliency), expected, rtol=1e-6)
        assert 0 < np.count_nonzero(expected) < 12

    def test_by_hand(self):
        attention = torch.tensor([[4.0, 2, 3], [1, 0, 2]])
        saliency = torch.tensor([[1.0, 1, 0.25], [4, 4, 0.5]])
        assert regions.region(attention, saliency).tolist() == [[1, 0.5, 0], [1, 0, 0]]
        assert regions.region(attention, None).tolist() == [[1, 0.5, 0.75], [0, 0, 0.5]]

    def test_saliency_of_a_finer_grid_by_area(self):
        """Cells of 2 x 2 with means 1, 2, 0.5 and 4, times an attention of 4, 1, 4 and 1."""
        saliency = torch.tensor([[0.0, 2, 2, 2], [0, 2, 2, 2], [0, 1, 0, 8], [0, 1, 0, 8]])
        attention = torch.tensor([[4.0, 1], [4, 1]])
        assert regions.region(attention, saliency).tolist() == [[1, 0.5], [0.5, 1]]
        assert regions.most_salient(torch.stack([torch.eye(2), 1 - torch.eye(2)]), saliency) == 0

    @pytest.mark.parametrize("saliency", [torch.zeros(2, 2), torch.tensor([[0.0, 0], [0, 1]])])
    def test_attention_and_saliency_that_do_not_meet(self, saliency):
        with pytest.raises(ValueError, match=r"attention and saliency to overlap, their product is zero"):
            regions.region(torch.tensor([[1.0, 2], [3, 0]]), saliency)


class TestReleasedCode:
    """Its choice of a word and its maps. They are the paper's where every word is one token.

    Its mask is not: the paper's M is C x S, while the released code keeps the values of C alone, where C x S exceeds
    1e-5 and C its mean, scales them with the strength, and makes all above a third of the peak one.
    """

    @pytest.fixture
    def kit(self):
        space = runpy.run_path(str(KITS / "weights.py"))
        return SimpleNamespace(
            attention=space["smooth_tensor"]("augsal.edit.attn", (1, 77, 16, 16), 1.5)[0].softmax(0),
            saliency=space["smooth_tensor"]("augsal.edit.sal", (1, 1, 16, 16), 2.0)[0, 0].sigmoid(),
            expected=np.load(KITS / "augsal" / "expected_edit.npz"),
        )

    def test_inputs(self, kit):
        expected = kit.expected["edit/inputs_check"][:2]
        given = [kit.attention.double().sum(), kit.saliency.double().sum()]
        np.testing.assert_allclose(given, expected, rtol=1e-6)

    @pytest.mark.parametrize("mode", ["brightness", "contrast", "redness"])
    def test_chooses_the_same_word(self, kit, mode):
        chosen = regions.choose(KNOWS_ALL, PROMPT, kit.attention, kit.saliency)
        (position,) = kit.expected[f"edit/{mode}/map_index"]
        assert chosen.word == (PROMPT.split()[position], [position + 1]) == ("green", [8])

    def test_maps_of_words(self, kit):
        """The released code inserts the scaled map before that of the word."""
        maps = regions.word_maps(kit.attention, regions.words(KNOWS_ALL, PROMPT))
        expected = np.delete(kit.expected["edit/contrast/cmaps"], 7, 0)[:9]
        np.testing.assert_allclose(maps, expected, rtol=0, atol=1e-6)


class TestChoose:
    CAPTION = "red bus, blue car"
    SALIENCY = torch.tensor([[0.0, 0, 0, 0], [0, 0, 1, 1]])
    MASK = torch.tensor([[5.0, 2.5, 0, 0], [0, 0, 0, 0]])

    @pytest.fixture
    def attention(self):
        """Each of the four words looks at one column, "car" at the last and most of all."""
        attention = torch.full((77, 2, 4), 0.01)
        attention[0] = 1  # the start mark's, as usual
        for column, share in enumerate((0.4, 0.2, 0.3, 0.5)):
            attention[1 + column, :, column] = share
        return attention

    def choose(self, attention, saliency=None, caption=CAPTION, **wanted):
        return regions.choose(KNOWS_ALL, caption, attention, saliency, **wanted)

    def test_the_most_salient_word_where_it_is_salient(self, attention):
        chosen = self.choose(attention, self.SALIENCY)
        assert chosen.word == ("car", [4])
        assert torch.equal(chosen.attention, attention[4])
        assert chosen.mask.tolist() == [[0, 0, 0, 0], [0, 0, 0, 1]]

    def test_a_given_word_where_it_is_salient(self, attention):
        chosen = self.choose(attention, self.SALIENCY, word="Blue")
        assert chosen.word == ("blue", [3])
        assert torch.equal(chosen.attention, attention[3])
        assert chosen.mask.tolist() == [[0, 0, 0, 0], [0, 0, 1, 0]]

    def test_all_that_a_given_word_looks_at_without_saliency(self, attention):
        assert self.choose(attention, word="bus").mask.tolist() == [[0, 1, 0, 0], [0, 1, 0, 0]]

    @pytest.mark.parametrize("saliency", [None, SALIENCY])
    def test_a_mask_and_the_word_that_looks_most_at_it(self, attention, saliency):
        chosen = self.choose(attention, saliency, mask=self.MASK, needs_word=True)
        assert chosen.word == ("red", [1])
        assert torch.equal(chosen.attention, attention[1])
        assert chosen.mask.tolist() == [[1, 0.5, 0, 0], [0, 0, 0, 0]]

    def test_a_mask_and_a_word(self, attention):
        chosen = self.choose(attention, self.SALIENCY, mask=self.MASK, word="car")
        assert chosen.word == ("car", [4])
        assert torch.equal(chosen.attention, attention[4])
        assert chosen.mask.tolist() == [[1, 0.5, 0, 0], [0, 0, 0, 0]]

    @pytest.mark.parametrize("caption", [None, "", " ?", CAPTION])
    def test_a_mask_alone(self, attention, caption):
        chosen = self.choose(attention, self.SALIENCY, caption, mask=self.MASK)
        assert chosen[:2] == (None, None)
        assert chosen.mask.tolist() == [[1, 0.5, 0, 0], [0, 0, 0, 0]]

    def test_a_mask_of_a_finer_grid_stays_one(self, attention):
        mask = torch.zeros(20, 40)
        mask[3:9, 22:28] = 0.2
        chosen = self.choose(attention, mask=mask, needs_word=True)
        assert chosen.word.text == "blue"
        assert torch.equal(chosen.mask, (mask > 0).float())

    @pytest.mark.parametrize("caption", [None, "", "?!"])
    def test_neither_words_nor_a_mask(self, attention, caption):
        with pytest.raises(ValueError, match=r"caption: expected one with words, or a mask .*, got none"):
            self.choose(attention, self.SALIENCY, caption)
        with pytest.raises(ValueError, match=r"caption: expected one with words, got none"):
            self.choose(attention, self.SALIENCY, caption, mask=self.MASK, needs_word=True)

    @pytest.mark.parametrize("mask", [None, MASK])
    def test_a_word_that_the_caption_lacks(self, attention, mask):
        with pytest.raises(ValueError, match=r"expected one of the caption \(red, bus, blue, car\), got 'dog'"):
            self.choose(attention, self.SALIENCY, mask=mask, word="dog")

    def test_a_word_without_a_caption(self, attention):
        with pytest.raises(ValueError, match=r"word: expected one of the caption \(none\), got 'dog'"):
            self.choose(attention, self.SALIENCY, None, mask=self.MASK, word="dog")

    def test_neither_a_word_nor_saliency(self, attention):
        with pytest.raises(ValueError, match=r"word: expected one, because the saliency of this image is unknown"):
            self.choose(attention)

    @pytest.mark.parametrize("caption", [None, CAPTION])
    def test_an_empty_mask(self, attention, caption):
        with pytest.raises(ValueError, match=r"mask: expected some pixels above zero, got none"):
            self.choose(attention, self.SALIENCY, caption, mask=torch.zeros(2, 4))

    def test_where_nothing_is_salient(self, attention):
        with pytest.raises(ValueError, match=r"region: expected attention and saliency to overlap"):
            self.choose(attention, torch.zeros(2, 4))


class TestOnLatents:
    def test_grows_bilinearly(self):
        """Pixels are areas: a third of the way between the centres of two cells, and clamped at the border."""
        given = regions.on_latents(torch.tensor([[0.0, 1.0]]), (1, 6))
        np.testing.assert_allclose(given, [[[[0, 0, 1 / 3, 2 / 3, 1, 1]]]], atol=1e-6)

    def test_shrinks_by_area(self):
        region = torch.tensor([[1.0, 0, 0, 0], [1, 1, 0, 0], [0, 0, 0, 1], [0, 0, 0, 0]])
        torch.testing.assert_close(regions.on_latents(region, (2, 2)), torch.tensor([[[[1, 0], [0, 1 / 3]]]]))

    def test_a_region_too_small_for_the_latents(self):
        """Up to a tenth of a cell; what is larger is edited at full strength."""
        region = torch.zeros(20, 20)
        region[2, 3:13] = 1
        with pytest.raises(
            ValueError, match=r"mask: expected a region that covers at least a tenth of one of .* 2 x 2"
        ):
            regions.on_latents(region, (2, 2))
        region[3, 3:13] = 1
        assert regions.on_latents(region, (2, 2)).max() == 1

    def test_stays(self):
        region = rand(3, 5)
        torch.testing.assert_close(regions.on_latents(region, (3, 5))[0, 0], region / region.max())
