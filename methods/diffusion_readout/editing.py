"""Edits of one sample, from its image to images: see `edit`."""

import numpy as np
import torch
from torch.nn.functional import interpolate

from salbench.checks import check_aspect
from salbench.edits import NEUTRAL, SALIENCY, MadeEdits, NewEdit, check_wanted
from salbench.maps import density_from_fixations

from . import regions
from .editor import BAND, Change


def edit(sample, image, editor, wanted, *, color=None, word=None, mask=None):
    """Edit a sample in each of the ways wanted, from one inversion.

    The image is stretched to the backbone's square, as for prediction; what comes back has the image's proportions, and
    its longer side the square's length. A region is where a word's attention meets saliency, which is the ground
    truth's where the sample has one, else what the editor's network predicts (see `regions.choose`). With a mask, a
    word takes part only where one is named, or where a colour needs it: the one that looks most at the mask.

    Args:
        sample: a `Sample`, with or without ground truth.
        image: uint8 (1, H, W, 3), its image at the backbone's size.
        editor: `Editor`.
        wanted: {"contrast", "brightness" or "color": list of strengths}.
        color: for "color", its word.
        word: of the caption; by default the most salient one.
        mask: float (h, w), >= 0, of the image's aspect ratio, in place of what a word looks at; or SALIENCY, for where
            saliency is a third of its peak or more, which needs no caption.

    Returns:
        `salbench.edits.MadeEdits`; dropped are those that could not be brought into their band.

    Raises:
        ValueError: what `salbench.edits.check_wanted` and `regions.choose` raise, a colour without its word or without
            a caption, a region too small for the latents, or latents that are no numbers.
    """
    check_wanted(wanted)
    if "color" in wanted and not (color and color.strip()):
        raise ValueError("color: expected a word such as purple, got none")
    if mask is not None and not _is_saliency(mask):
        check_aspect(mask.shape, sample.size, "mask")
    inverted = editor.invert(image, sample.caption or "")
    saliency, source = _saliency(sample, editor, inverted)
    region = regions.choose(
        editor.backbone, sample.caption, inverted.attention, saliency, word=word,
        mask=_mask(mask, saliency, inverted.attention.device), needs_word="color" in wanted,
    )  # fmt: skip
    on_latents = regions.on_latents(region.mask, inverted.latents[0].shape[-2:])
    size = _shown_size(sample.size, max(image.shape[1:3]))
    edits, dropped = [], []
    for type, strengths in wanted.items():
        change = Change(type, color if type == "color" else None, region.word)
        for made in editor.edit(inverted, on_latents, change, strengths):
            if made.is_within:
                edits.append(_new_edit(change, made, _picture(editor.backbone, made.latents, size)))
            else:
                dropped.append(_dropped(change, made))
    shown = interpolate(on_latents, size=size, mode="bilinear", align_corners=False)[0, 0].cpu().numpy()
    return MadeEdits(
        original=_picture(editor.backbone, inverted.latents[0][0], size),
        mask=shown,
        edits=edits,
        caption=sample.caption,
        word=None if region.word is None else region.word.text,
        saliency=source if mask is None or _is_saliency(mask) else None,
        dropped=dropped,
        attention=None if region.attention is None else region.attention.cpu().numpy(),
    )


def _is_saliency(mask):
    return isinstance(mask, str) and mask == SALIENCY


def _saliency(sample, editor, inverted):
    """(density (H, W), what it is: "density", "fixations" or "predicted"), or Nones where nothing tells of saliency."""
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


def _mask(mask, saliency, device):
    """The region that a mask is, or SALIENCY, as a tensor (h, w); None without a mask."""
    if mask is None:
        return None
    if not _is_saliency(mask):
        return torch.as_tensor(mask, dtype=torch.float32, device=device)
    if saliency is None:
        raise ValueError("mask: expected an image with fixations, or a trained model, for a region of saliency")
    return regions.region(saliency, None)


def _dropped(change, made):
    reason = f"a reading is {made.trace[-1][1]:.1f} deviations from the original's, more than {BAND:g}"
    return {"type": change.type, "asked": made.asked, "reason": reason, **made.facts()}


def _new_edit(change, made, picture):
    facts = made.facts() | ({"color": change.color} if change.color else {})
    direction = 1 if made.asked >= NEUTRAL[change.type] else -1
    return NewEdit(change.type, made.asked, made.used, direction, picture, facts)


def _shown_size(size, longest):
    """(height, width) of the proportions of `size`, the longer one `longest`."""
    scale = longest / max(size)
    return tuple(max(1, round(side * scale)) for side in size)


def _picture(backbone, latents, size):
    """uint8 (*size, 3) of latents (4, h, w)."""
    pixels = interpolate(
        backbone.decode(latents[None]), size=size, mode="bilinear", align_corners=False, antialias=True
    )[0]
    return ((pixels / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()
