"""Edits of one sample, from its image to edited images; see `edit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch.nn.functional import interpolate

from salbench.checks import check_aspect
from salbench.edits import EDIT_TYPES, SALIENCY, MadeEdits, NewEdit, check_wanted
from salbench.maps import density_from_fixations

from . import regions
from .editor import BAND, Change

if TYPE_CHECKING:
    from salbench.sample import Sample

    from .editor import Editor, Inverted, Made


def edit(
    sample: Sample,
    image: torch.Tensor,
    editor: Editor,
    wanted: Mapping[str, Sequence[float]],
    *,
    color: str | None = None,
    word: str | None = None,
    mask: np.ndarray | str | None = None,
) -> MadeEdits:
    """Edit a sample in all wanted ways, from one inversion.

    The image is stretched to the backbone's square, as for prediction. Edited images have the original aspect ratio,
    and their longer side has the square's length. The region is the overlap of a word's attention with saliency (see
    `regions.choose`). Saliency is the sample's ground truth if it has one, otherwise the prediction of the editor's
    network. With a mask, a word is used only if one is named or an edit needs a colour; the default is then the word
    whose attention overlaps most with the mask.

    Args:
        sample: with or without ground truth.
        image: uint8 (1, H, W, 3), the sample's image at the backbone's size.
        editor: makes the edits.
        wanted: {type: strengths}.
        color: the colour's word, for types that need one.
        word: a word of the caption; by default the most salient one.
        mask: float (h, w), >= 0, of the image's aspect ratio: the region itself. Or SALIENCY: the region where saliency
            is at least a third of its peak; it needs no caption.

    Returns:
        The edits. Those that stay too strong however much they are weakened are listed as dropped.

    Raises:
        ValueError: see `salbench.edits.check_wanted` and `regions.choose`; or a colour lacks its word or a caption, the
            region is too small for the latents, or latents are NaN or infinite.
    """
    check_wanted(wanted)
    needs_color = any(EDIT_TYPES[type].needs_color for type in wanted)
    if needs_color and not (color and color.strip()):
        raise ValueError("color: expected a word such as purple, got none")
    if mask is not None and not _is_saliency(mask):
        check_aspect(mask.shape, sample.size, "mask")
    inverted = editor.invert(image, sample.caption or "")
    saliency, source = _saliency(sample, editor, inverted)
    region = regions.choose(
        editor.backbone, sample.caption, inverted.attention, saliency, word=word,
        mask=_mask(mask, saliency, inverted.attention.device), needs_word=needs_color,
    )  # fmt: skip
    on_latents = regions.on_latents(region.mask, inverted.latents[0].shape[-2:])
    size = _shown_size(sample.size, max(image.shape[1:3]))
    edits, dropped = [], []
    for type, strengths in wanted.items():
        change = Change(type, color if EDIT_TYPES[type].needs_color else None, region.word)
        for made in editor.edit(inverted, on_latents, change, strengths, size):
            if made.is_within:
                edits.append(_new_edit(change, made))
            else:
                dropped.append(_dropped(change, made))
    shown = interpolate(on_latents, size=size, mode="bilinear", align_corners=False)[0, 0].cpu().numpy()
    return MadeEdits(
        original=editor.picture(inverted.latents[0], size),
        mask=shown,
        edits=edits,
        caption=sample.caption,
        word=None if region.word is None else region.word.text,
        saliency=source if mask is None or _is_saliency(mask) else None,
        dropped=dropped,
        attention=None if region.attention is None else region.attention.cpu().numpy(),
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
