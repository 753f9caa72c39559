"""Edits of samples, from their images to edited images; see `edit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate

from salbench.checks import check_aspect
from salbench.edits import EDIT_TYPES, SALIENCY, MadeEdits, NewEdit, check_wanted
from salbench.maps import density_from_fixations

from . import regions
from .editor import BAND, Change, Target

if TYPE_CHECKING:
    from salbench.sample import Sample

    from .editor import Editor, Inverted, Made


class Place(NamedTuple):
    """Where an image is edited.

    Attributes:
        inverted: the image.
        region: the region and its word.
        mask: (1, 1, h, w), the region on the latents' grid.
        size: (height, width) of the pictures.
        saliency: how the salient region was found; None if saliency was not used. See `salbench.edits.Edit`.
    """

    inverted: Inverted
    region: regions.Region
    mask: torch.Tensor
    size: tuple[int, int]
    saliency: str | None


def edit(
    samples: Sequence[Sample],
    images: torch.Tensor,
    editor: Editor,
    wanted: Mapping[str, Sequence[float]],
    *,
    colors: Sequence[str | None],
    masks: Sequence[np.ndarray | str | None],
    word: str | None = None,
) -> list[MadeEdits]:
    """Edit samples in all wanted ways, from one inversion of each. All are in one batch.

    The image is stretched to the backbone's square, as for prediction. Edited images have the original aspect ratio,
    and their longer side has the square's length. The region is the overlap of a word's attention with saliency (see
    `regions.choose`). Saliency is the sample's ground truth if it has one, otherwise the prediction of the editor's
    network. With a mask, a word is used only if one is named or an edit needs a colour; the default is then the word
    whose attention overlaps most with the mask.

    Args:
        samples: with or without ground truth.
        images: uint8 (B, H, W, 3), the samples' images at the backbone's size.
        editor: makes the edits.
        wanted: {type: strengths}.
        colors: for each sample, the colour's word for types that need one.
        masks: for each sample, float (h, w), >= 0, of the image's aspect ratio: the region itself. Or SALIENCY: the
            region where saliency is at least a third of its peak; it needs no caption.
        word: a word of the captions; by default the most salient one of each.

    Returns:
        The edits of each sample. Those that stay too strong however much they are weakened are listed as dropped.

    Raises:
        ValueError: see `salbench.edits.check_wanted` and `regions.choose`; or a colour lacks its word or a caption, the
            region is too small for the latents, or latents are NaN or infinite.
    """
    check_wanted(wanted)
    needs_color = any(EDIT_TYPES[type].needs_color for type in wanted)
    for sample, color, mask in zip(samples, colors, masks, strict=True):
        if needs_color and not (color and color.strip()):
            raise ValueError("color: expected a word such as purple, got none")
        if mask is not None and not _is_saliency(mask):
            check_aspect(mask.shape, sample.size, "mask")
    inverted = editor.invert(images, [sample.caption or "" for sample in samples])
    places = [
        _place(sample, one, editor, mask, word, needs_color, max(images.shape[1:3]))
        for sample, one, mask in zip(samples, inverted, masks, strict=True)
    ]
    done: list[list[tuple[Change, Made]]] = [[] for _ in samples]
    for type, strengths in wanted.items():
        used = colors if EDIT_TYPES[type].needs_color else [None] * len(samples)
        changes = [Change(type, color, place.region.word) for place, color in zip(places, used, strict=True)]
        targets = [Target(p.inverted, p.mask, change, p.size) for p, change in zip(places, changes, strict=True)]
        for own, change, made in zip(done, changes, editor.edit(targets, strengths), strict=True):
            own += [(change, one) for one in made]
    return [_made_edits(editor, *each) for each in zip(samples, places, done, strict=True)]


def _place(
    sample: Sample,
    inverted: Inverted,
    editor: Editor,
    mask: np.ndarray | str | None,
    word: str | None,
    needs_word: bool,
    longest: int,
) -> Place:
    """Choose the region of a sample. The longer side of its pictures will have `longest` pixels."""
    saliency, source = _saliency(sample, editor, inverted)
    region = regions.choose(
        editor.backbone, sample.caption, inverted.attention, saliency, word=word,
        mask=_mask(mask, saliency, inverted.attention.device), needs_word=needs_word,
    )  # fmt: skip
    on_latents = regions.on_latents(region.mask, inverted.latents.shape[-2:])
    used = source if mask is None or _is_saliency(mask) else None
    return Place(inverted, region, on_latents, _shown_size(sample.size, longest), used)


def _made_edits(editor: Editor, sample: Sample, place: Place, done: Sequence[tuple[Change, Made]]) -> MadeEdits:
    shown = interpolate(place.mask, size=place.size, mode="bilinear", align_corners=False)[0, 0].cpu().numpy()
    word, attention, _ = place.region
    return MadeEdits(
        original=editor.picture(place.inverted.latents[:1], place.size),
        mask=shown,
        edits=[_new_edit(change, made) for change, made in done if made.is_within],
        caption=sample.caption,
        word=None if word is None else word.text,
        saliency=place.saliency,
        dropped=[_dropped(change, made) for change, made in done if not made.is_within],
        attention=None if attention is None else attention.cpu().numpy(),
    )


def _is_saliency(mask: np.ndarray | str | None) -> bool:
    return isinstance(mask, str) and mask == SALIENCY


def _saliency(sample: Sample, editor: Editor, inverted: Inverted) -> tuple[torch.Tensor | None, str | None]:
    """Density (H, W) and its source: "density", "fixations" or "predicted". Both are None if there is no source."""
    if sample.read_density is not None:
        density, source = torch.from_numpy(np.array(sample.read_density(), np.float32)), "density"
    elif sample.fixations is not None and len(sample.fixations):
        density = density_from_fixations(sample.fixations, sample.size, sample.sigma)
        density, source = torch.from_numpy(np.array(density, np.float32)), "fixations"
    elif editor.network is not None:
        density, source = editor.saliency(inverted), "predicted"
    else:
        return None, None
    return density.to(inverted.attention.device), source


def _mask(mask: np.ndarray | str | None, saliency: torch.Tensor | None, device: torch.device) -> torch.Tensor | None:
    """The region of a mask or of SALIENCY as a tensor (h, w); None without a mask."""
    if mask is None:
        return None
    if not _is_saliency(mask):
        return torch.as_tensor(mask, dtype=torch.float32, device=device)
    if saliency is None:
        raise ValueError(
            "mask: expected an image with fixations or a trained network, because the region is that of saliency"
        )
    return regions.region(saliency, None)


def _dropped(change: Change, made: Made) -> dict[str, Any]:
    moved = made.trace[-1][1]
    reason = f"a property of the region or its reading moved by {moved:.1f} standard deviations, more than {BAND:g}"
    return {"type": change.type, "asked": made.asked, "reason": reason, **made.facts()}


def _new_edit(change: Change, made: Made) -> NewEdit:
    facts = made.facts() | ({"color": change.color} if change.color else {})
    direction = 1 if made.asked >= EDIT_TYPES[change.type].neutral else -1
    return NewEdit(change.type, made.asked, made.used, direction, made.after.picture, facts)


def _shown_size(size: tuple[int, int], longest: int) -> tuple[int, int]:
    """(height, width) with the aspect ratio of `size` and a longer side of `longest`."""
    scale = longest / max(size)
    return tuple(max(1, round(side * scale)) for side in size)
