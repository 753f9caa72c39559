"""Where an image is edited: the word whose attention overlaps most with saliency, and its region (equation 8)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple
from unicodedata import normalize

import torch
from torch.nn.functional import interpolate

if TYPE_CHECKING:
    from .backbone import Backbone

LEAST_SHARE = 0.1  # a region must cover at least this fraction of one cell of the latents
LEAST = 1 / 3  # values below this fraction of the peak are outside the region, as in the released code


class Word(NamedTuple):
    """A word of a caption.

    Attributes:
        text: the word.
        tokens: positions of its tokens among the prompt's 77.
    """

    text: str
    tokens: list[int]


class Region(NamedTuple):
    """Where to edit.

    Attributes:
        word: the word of the caption that the region belongs to, if any.
        attention: (h, w), the attention map C of that word, if any.
        mask: float (h, w) in [0, 1] with peak one, the region M.
    """

    word: Word | None
    attention: torch.Tensor | None
    mask: torch.Tensor


def choose(
    backbone: Backbone,
    caption: str | None,
    attention: torch.Tensor,
    saliency: torch.Tensor | None,
    *,
    word: str | None = None,
    mask: torch.Tensor | None = None,
    needs_word: bool = False,
) -> Region:
    """Choose the region to edit: the overlap of a word's attention with saliency, or a given mask.

    With a mask, a word is chosen only if one is named or needed.

    Args:
        backbone: its tokenizer splits the caption.
        caption: the image's caption, if there is one.
        attention: (77, h, w), cross-attention of the caption's prompt.
        saliency: (H, W), >= 0. Without it the region is the whole attention map of `word`.
        word: a word of the caption. The default is the most salient word (equation 8), or with a mask the word whose
            attention overlaps most with the mask.
        mask: (H, W), >= 0, the region itself.
        needs_word: whether the edit needs a word.

    Raises:
        ValueError: there are neither words nor a mask, or no words though one is needed; the caption lacks the word;
            the mask is empty; there is neither a word nor saliency.
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
        raise ValueError("word: expected one, because the saliency of this image is unknown, got none")
    maps = word_maps(attention, known)
    if word is None:
        i = most_salient(maps, saliency if mask is None else mask)
    return Region(known[i], maps[i], region(maps[i], saliency) if mask is None else mask / mask.max())


def words(backbone: Backbone, caption: str) -> list[Word]:
    """Split a caption into words with all their tokens, by the tokenizer's offsets.

    Words that do not fit in the prompt are dropped. The released code takes the i-th word between blanks to be the i-th
    token.
    """
    caption = normalize("NFC", caption)  # one character for a letter and its accent, as in the tokenizer
    _, spans = backbone.tokenize(caption)
    found = []
    for match in re.finditer(r"\w+(?:['’-]\w+)*", caption):
        inside = [
            1 + i for i, (a, b) in enumerate(spans) if a < match.end() and b > match.start()
        ]  # token 0 marks the start
        if inside:
            found.append(Word(match.group(), inside))
    return found


def find(words: Sequence[Word], text: str) -> Word:
    """Find the first word that equals `text`, ignoring case.

    Raises:
        ValueError: the caption has no such word.
    """
    meant = normalize("NFC", text.strip()).casefold()
    for word in words:
        if word.text.casefold() == meant:
            return word
    known = ", ".join(word.text for word in words) or "none"
    raise ValueError(f"word: expected one of the caption ({known}), got {text!r}")


def word_maps(maps: torch.Tensor, words: Sequence[Word]) -> torch.Tensor:
    """Average the attention (77, h, w) of each word's tokens: (number of words, h, w)."""
    return torch.stack([maps[word.tokens].mean(0) for word in words])


def most_salient(maps: torch.Tensor, saliency: torch.Tensor) -> int:
    """Index of the map C_i that has the largest inner product with saliency S (equation 8).

    Args:
        maps: (number of words, h, w), >= 0.
        saliency: (H, W), >= 0.
    """
    return int((maps * _resized(saliency, maps.shape[-2:])).sum((1, 2)).argmax())


def region(attention: torch.Tensor, saliency: torch.Tensor | None) -> torch.Tensor:
    """M = C x S of equation 8, scaled to a peak of one. Values below a third are set to zero: they are outside.

    Args:
        attention: C, (h, w), >= 0.
        saliency: S, (H, W), >= 0; without it M = C.

    Returns:
        float (h, w) in [0, 1].

    Raises:
        ValueError: attention and saliency do not overlap.
    """
    product = attention if saliency is None else attention * _resized(saliency, attention.shape)
    if not product.max() > 0:
        raise ValueError("region: expected attention and saliency to overlap, their product is zero everywhere")
    product = product / product.max()
    return torch.where(product >= LEAST, product, 0.0)


def on_latents(region: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Resize a region (h, w) to the latents' grid `size`, (H, W): float (1, 1, H, W) in [0, 1].

    Resizing is bilinear if the region grows and by area if it shrinks. It lowers the peak, which is then scaled back to
    one; otherwise the same strength would have less effect in a small region.

    Raises:
        ValueError: the region covers less than a tenth of every cell of the latents.
    """
    resized = _resized(region, size)
    peak = resized.max()
    if peak < LEAST_SHARE:
        raise ValueError(
            f"mask: expected a region that covers at least a tenth of one of the backbone's {size[1]} x {size[0]} "
            f"cells, got one that covers {peak:.1%}; give a larger one"
        )
    return (resized / peak)[None, None].clamp(0, 1)


def _resized(region: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    shrinks = region.numel() > size[0] * size[1]
    options = {"mode": "area"} if shrinks else {"mode": "bilinear", "align_corners": False}
    return interpolate(region[None, None].float(), size=tuple(size), **options)[0, 0]
