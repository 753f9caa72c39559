"""Where an image is edited: the word whose attention meets saliency, and the region that it looks at (equation 8)."""

import re
from typing import NamedTuple
from unicodedata import normalize

import torch
from torch.nn.functional import interpolate

LEAST_SHARE = 0.1  # of a cell of the latents, that a region must cover somewhere
LEAST = 1 / 3  # of the peak: what is below is outside the region, as in the released code


class Word(NamedTuple):
    """A word of a caption: its text, and the positions of its tokens among the prompt's 77."""

    text: str
    tokens: list


class Region(NamedTuple):
    """Where to edit.

    Attributes:
        word: the caption's `Word` that it belongs to, or None.
        attention: (h, w), the word's map C, or None.
        mask: float (h, w) in [0, 1], peak one: M.
    """

    word: Word | None
    attention: torch.Tensor | None
    mask: torch.Tensor


def choose(backbone, caption, attention, saliency, *, word=None, mask=None, needs_word=False):
    """The region to edit: where a word's attention meets saliency, or a mask of one's own.

    With a mask, a word takes part only where it is named or needed.

    Args:
        caption: str or None.
        attention: (77, h, w) of the caption's prompt.
        saliency: (H, W), >= 0, or None: the region of `word` is then all that it looks at.
        word: which word; by default the most salient one (equation 8), or the one that looks most at the mask.
        mask: (H, W), >= 0, in place of what a word looks at.
        needs_word: whether the edit is one of a word.

    Raises:
        ValueError: neither words nor a mask, or no words where one is needed; a word that the caption lacks; an empty
            mask; no word and no saliency.
    """
    if mask is not None and not mask.max() > 0:
        raise ValueError("mask: expected some pixels above zero, got none; nothing would be edited")
    if mask is not None and word is None and not needs_word:
        return Region(None, None, mask / mask.max())
    known = words(backbone, caption or "")
    if word is not None:
        i = known.index(find(known, word))
    elif not known:
        instead = "" if needs_word else ", or a mask of the region to edit"
        raise ValueError(f"caption: expected one with words{instead}, got none")
    elif mask is None and saliency is None:
        raise ValueError("word: expected one where no saliency is known, got none")
    maps = word_maps(attention, known)
    if word is None:
        i = most_salient(maps, saliency if mask is None else mask)
    return Region(known[i], maps[i], region(maps[i], saliency) if mask is None else mask / mask.max())


def words(backbone, caption):
    """The words of a caption, each with all its tokens, by the tokenizer's own offsets; those cut off are left out.

    (The released code takes the i-th blank-separated word to be the i-th token.)
    """
    caption = normalize("NFC", caption)  # as the tokenizer does, so that a letter and its accent are one
    _, spans = backbone.tokenize(caption)
    found = []
    for match in re.finditer(r"\w+(?:['’-]\w+)*", caption):
        inside = [1 + i for i, (a, b) in enumerate(spans) if a < match.end() and b > match.start()]  # 0 is the start
        if inside:
            found.append(Word(match.group(), inside))
    return found


def find(words, text):
    """The word of a caption that is meant by `text`, in any case.

    Raises:
        ValueError: the caption has no such word.
    """
    meant = normalize("NFC", text.strip()).casefold()
    for word in words:
        if word.text.casefold() == meant:
            return word
    known = ", ".join(word.text for word in words) or "none"
    raise ValueError(f"word: expected one of the caption ({known}), got {text!r}")


def word_maps(maps, words):
    """Attention (77, h, w) of tokens -> (number of words, h, w): the mean over a word's tokens."""
    return torch.stack([maps[word.tokens].mean(0) for word in words])


def most_salient(maps, saliency):
    """Index of the map C_i with the largest inner product with saliency S, equation 8.

    Args:
        maps: (number of words, h, w), >= 0.
        saliency: (H, W), >= 0.
    """
    return int((maps * _resized(saliency, maps.shape[-2:])).sum((1, 2)).argmax())


def region(attention, saliency):
    """M = C x S of equation 8, scaled to a peak of one; what is below a third of it is zero, so that M has an outside.

    Args:
        attention: (h, w), >= 0.
        saliency: (H, W), >= 0, or None for M = C.

    Returns:
        float (h, w) in [0, 1].

    Raises:
        ValueError: nothing is left: attention and saliency do not meet.
    """
    product = attention if saliency is None else attention * _resized(saliency, attention.shape)
    if not product.max() > 0:
        raise ValueError("region: expected attention and saliency to meet somewhere, their product is zero")
    product = product / product.max()
    return torch.where(product >= LEAST, product, 0.0)


def on_latents(region, size):
    """A region (h, w) of any grid on the latents' (1, 1, H, W), bilinear where it grows, by area where it shrinks.

    Its peak, which resizing lowers, is one again: else a strength would mean less in a small region.

    Raises:
        ValueError: a region that covers less than a tenth of every cell of the latents.
    """
    resized = _resized(region, size)
    peak = resized.max()
    if peak < LEAST_SHARE:
        raise ValueError(
            f"mask: expected a region that covers a tenth or more of one of the {size[1]} x {size[0]} cells that the "
            f"backbone sees an image as, got one that covers {peak:.1%}; give a larger one"
        )
    return (resized / peak)[None, None].clamp(0, 1)


def _resized(region, size):
    shrinks = region.numel() > size[0] * size[1]
    options = {"mode": "area"} if shrinks else {"mode": "bilinear", "align_corners": False}
    return interpolate(region[None, None].float(), size=tuple(size), **options)[0, 0]
