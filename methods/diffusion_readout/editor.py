"""Edits inverted images: changes latents inside a region, denoises them, and weakens edits that are too strong.

An image is inverted once. Each edit starts from the inverted latents at a depth that depends on its type, changed
inside the region. It is denoised while the region's map replaces the attention of an inserted token (paper sections 4.1
and 4.2). Decisions that the paper leaves open:

- The equations act on the image's part of the inverted latents, sqrt(alpha) z, and leave the noise. At depth zero this
  is exactly equations 1 and 2; at greater depths a strength keeps its meaning.
- The inserted token comes before the region's word. For contrast and brightness it is the tokenizer's padding (the
  released code inserts a blank, which the tokenizer drops); for colour it is the colour's word.
- Where the map is one, the token gets as much attention as any word gets anywhere (times the strength for colour). The
  other tokens share the rest, so attention still sums to one.
- Every step adds the error that reversing the inversion without an edit would make (after Ju et al. 2024), which needs
  no further U-Net call. So an edit of neutral strength returns the original image, except for the effect of the
  inserted token. Outside the region the latents are those of the inversion.
- Contrast and brightness undo one step of six, because the region should keep its content (the released code undoes one
  at almost no noise). Colour undoes the noisier steps too, because colours are decided there.
- There is one conditional pass without guidance.
- The band holds twice: for the readings (section 4.2), and for the true properties of the region in the decoded
  picture, with the deviation of the true properties of the training areas.
- An edit that is too strong moves towards the neutral strength by a tenth of the distance, which for contrast is the
  distance to one. (The released code takes a tenth of the factor itself, which would end in lowering the contrast.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import isnan, sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn.functional import interpolate

from salbench.edits import EDIT_TYPES

from . import regions
from .attention import Injection, injected, recorded
from .equations import LATENT_EDITS
from .extraction import for_aggregation
from .features import cumulative_alpha, ddim_timesteps, invert, predicted_noise, renoise
from .properties import photometric_properties
from .scaling import gamma

if TYPE_CHECKING:
    from .backbone import Backbone
    from .network import ReadoutNetwork
    from .readouts import LowLevelReadout

BAND = 2.0  # a reading or a true property may move by this many standard deviations, section 4.2
SHRINK = 0.9  # of the distance to the neutral strength, after each attempt that is too strong
TRIES = 20  # the weakest attempt has an eighth of the strength asked for


@dataclass(frozen=True)
class Inverted:
    """The inversion of an image, from which all its edits start.

    Attributes:
        caption: the prompt.
        prompt: (77, D), its embedding.
        latents: float32 (steps, 4, h, w), at each timestep.
        noise: predicted noise, float32 (steps, 4, h, w), at each timestep.
        attention: float32 (77, h / 4, w / 4), mean cross-attention.
        maps: high-level and low-level feature maps (width, h, w) of the network; empty without a network.
    """

    caption: str
    prompt: torch.Tensor
    latents: torch.Tensor
    noise: torch.Tensor
    attention: torch.Tensor
    maps: tuple[torch.Tensor, ...]


class Change(NamedTuple):
    """What to change.

    Attributes:
        type: a key of `LATENT_EDITS`.
        color: the colour's word, if the type needs one.
        word: the word before which the token is inserted; without it nothing is inserted.
    """

    type: str
    color: str | None = None
    word: regions.Word | None = None


class Target(NamedTuple):
    """An image and what to change in it.

    Attributes:
        inverted: the image.
        region: float (1, 1, h, w) in [0, 1], M on the latents' grid.
        change: what to change.
        size: (height, width) of the pictures; by default as decoded.
    """

    inverted: Inverted
    region: torch.Tensor
    change: Change
    size: tuple[int, int] | None = None


class Seen(NamedTuple):
    """What is seen of latents.

    Attributes:
        picture: uint8 (H, W, 3), decoded.
        properties: (6,), the true properties of the region in the picture, columns as in PROPERTIES.
        readings: (6,), what the network reads of the region; None without a network.
    """

    picture: np.ndarray
    properties: torch.Tensor
    readings: torch.Tensor | None


class Inserted(NamedTuple):
    """A prompt with a token inserted before the word of a change.

    Attributes:
        prompt: (77, D), its embedding; that of the image's own prompt if the change has no word.
        tokens: bool (77,), positions of what was inserted.
        attention: the most attention () that a word of the image's own prompt gets anywhere.
    """

    prompt: torch.Tensor
    tokens: torch.Tensor
    attention: torch.Tensor


class Row(NamedTuple):
    """What all attempts at one edit share; a batch has a row for each image and strength.

    Attributes:
        target: the image, and what to change.
        before: what is seen of it without the edit.
        inserted: the prompt of the edit.
        asked: strength that was asked for.
    """

    target: Target
    before: Seen
    inserted: Inserted
    asked: float


@dataclass(frozen=True)
class Made:
    """One edited image.

    Attributes:
        asked: strength that was asked for.
        used: strength of the edit.
        latents: float32 (4, h, w), denoised.
        before, after: what is seen without and with the edit.
        trace: of each attempt, its strength and the largest movement of a reading or true property in standard
            deviations; empty without a network.
    """

    asked: float
    used: float
    latents: torch.Tensor
    before: Seen
    after: Seen
    trace: list[tuple[float, float]] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """What the edit set records of the edit; JSON can hold it."""
        both = {"before": self.before, "after": self.after}
        properties = {when: seen.properties.tolist() for when, seen in both.items()}
        readings = {when: seen.readings.tolist() for when, seen in both.items() if seen.readings is not None}
        return {"properties": properties, "readings": readings, "trace": self.trace}

    @property
    def is_within(self) -> bool:
        """Whether readings and true properties stayed in their bands; true without a network."""
        return not self.trace or self.trace[-1][1] <= BAND


class Editor:
    """Edits images with a backbone and checks the edits with the trained network.

    Args:
        backbone: the frozen model.
        steps: number of steps of the inversion.
        network: in evaluation mode. Without it nothing is read, so edits are not constrained.
        scaled: whether the equations get the backbone's gamma (section 4.2), or ones.
    """

    def __init__(
        self, backbone: Backbone, steps: int, network: ReadoutNetwork | None = None, *, scaled: bool = True
    ) -> None:
        self.backbone, self.timesteps, self.network = backbone, ddim_timesteps(backbone, steps), network
        self.scaled = scaled

    @torch.inference_mode()
    def invert(self, images: torch.Tensor, captions: Sequence[str]) -> list[Inverted]:
        """Invert images, uint8 (B, H, W, 3) of the backbone's size, in one batch.

        Raises:
            ValueError: latents are NaN or infinite, which can happen in half precision.
        """
        clean = self.backbone.encode(images)
        latents, noise, prompts = [], [], self.backbone.embed_prompts(captions)

        def steps() -> Iterator[tuple[list[torch.Tensor], torch.Tensor]]:
            for step in invert(self.backbone, clean, prompts, self.timesteps):
                latents.append(step.latents)
                noise.append(step.noise)
                yield for_aggregation(self.backbone, step)

        with recorded(self.backbone.unet, clean) as recorder:
            maps = tuple(self.network.aggregation(steps()) if self.network else deque(steps(), maxlen=0))
        _check_numbers("the inverted image", *latents, *noise)
        of_each = torch.stack(latents, 1), torch.stack(noise, 1), recorder.maps()
        own_maps = list(zip(*maps, strict=True)) or [()] * len(clean)
        return [Inverted(*one) for one in zip(captions, prompts, *of_each, own_maps, strict=True)]

    def saliency(self, inverted: Inverted) -> torch.Tensor:
        """Predict the fixation density (h, w), which sums to one, of an inverted image. It needs the network."""
        with torch.inference_mode():
            logits = self.network.saliency(*(map[None] for map in inverted.maps))[0]
        return logits.flatten().softmax(0).reshape(logits.shape)

    @torch.inference_mode()
    def edit(self, targets: Sequence[Target], strengths: Sequence[float]) -> list[list[Made]]:
        """Edit images with each strength, all in one batch.

        With a network, edits that leave a band are weakened and tried again until they are within it.

        Args:
            targets: the images, all with changes of one type.
            strengths: strengths that are asked for.

        Returns:
            For each image, what was made with each strength.

        Raises:
            ValueError: latents or readings are NaN or infinite.
        """
        neutral = EDIT_TYPES[targets[0].change.type].neutral
        shared = [(target, self._before(target), self._inserted(target)) for target in targets]
        rows = {(i, j): Row(*one, asked) for i, one in enumerate(shared) for j, asked in enumerate(strengths)}
        made: dict[tuple[int, int], Made] = {}
        traces: dict[tuple[int, int], list[tuple[float, float]]] = {at: [] for at in rows}
        pending = {at: row.asked for at, row in rows.items()}
        while pending:
            tried = [rows[at] for at in pending]
            latents = self._denoised(tried, list(pending.values()))
            seen = self._seen([row.target for row in tried], latents, self._low_level(tried, latents))
            for (at, used), row, latent, after in zip(list(pending.items()), tried, latents, seen, strict=True):
                if self.network is not None:
                    traces[at].append((used, _movement(row.before, after, self.network.low_level)))
                made[at] = Made(row.asked, used, latent, row.before, after, traces[at])
                pending[at] = neutral + SHRINK * (used - neutral)
                if made[at].is_within or len(traces[at]) == TRIES:
                    del pending[at]
        return [[made[i, j] for j in range(len(strengths))] for i in range(len(targets))]

    def picture(self, latents: torch.Tensor, size: tuple[int, int] | None = None) -> np.ndarray:
        """Decode latents (1, 4, h, w) to a picture, uint8 (*size, 3); by default as large as decoded."""
        pixels = self.backbone.decode(latents)
        if size is not None:
            pixels = interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)
        return ((pixels[0] / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()

    def _before(self, target: Target) -> Seen:
        """What is seen of a target without an edit."""
        inverted = target.inverted
        low = inverted.maps[1][None] if self.network else None
        (seen,) = self._seen([target], inverted.latents[:1], low)
        return seen

    def _seen(self, targets: Sequence[Target], latents: torch.Tensor, low: torch.Tensor | None) -> list[Seen]:
        """What is seen of latents (B, 4, h, w), one for each target, with low-level features if there is a network."""
        readings = [None] * len(targets)
        if low is not None:
            readings = list(self.network.low_level(low, torch.cat([t.region for t in targets]))[:, 0].cpu())
        # One at a time, because their sizes may differ.
        pictures = [self.picture(one, t.size) for one, t in zip(latents.split(1), targets, strict=True)]
        return [
            Seen(picture, _measured(picture, t.region), read)
            for picture, t, read in zip(pictures, targets, readings, strict=True)
        ]

    def _low_level(self, rows: Sequence[Row], latents: torch.Tensor) -> torch.Tensor | None:
        """Low-level features of edited latents, inverted like any image with the original's prompt."""
        if self.network is None:
            return None
        prompts = torch.stack([row.target.inverted.prompt for row in rows])
        steps = invert(self.backbone, latents, prompts, self.timesteps)
        return self.network.aggregation(for_aggregation(self.backbone, step) for step in steps)[1]

    def _denoised(self, rows: Sequence[Row], strengths: Sequence[float]) -> torch.Tensor:
        """Edited and denoised latents (B, 4, h, w), one for each row and its strength."""
        backbone, inverted = self.backbone, [row.target.inverted for row in rows]
        original, noises = (torch.stack([getattr(one, name) for one in inverted], 1) for name in ("latents", "noise"))
        region = torch.cat([row.target.region for row in rows])
        prompts = torch.stack([row.inserted.prompt for row in rows])
        weights, inside = torch.tensor(strengths, device=region.device), (region > 0).float()
        equation, depth, _ = LATENT_EDITS[rows[0].target.change.type]
        levels = [cumulative_alpha(backbone, t) for t in self.timesteps]
        scale = gamma(backbone) if self.scaled else region.new_ones(original.shape[2])
        edited = equation(original[0], region, weights[:, None, None, None], scale)
        latents = original[depth] + sqrt(levels[depth] / levels[0]) * (edited - original[0])
        injection = _injection(rows, region, weights)
        for i in range(depth, 0, -1):
            with injected(backbone.unet, injection):
                noise = predicted_noise(backbone, latents, prompts, self.timesteps[i])
            unedited = renoise(original[i], noises[i], levels[i], levels[i - 1])
            latents = renoise(latents, noise, levels[i], levels[i - 1]) + original[i - 1] - unedited
            latents = inside * latents + (1 - inside) * original[i - 1]
        _check_numbers("the edited image", latents)
        return latents

    def _inserted(self, target: Target) -> Inserted:
        """Insert padding, or the colour if there is one, before the word of a target's change."""
        inverted, (_, color, word) = target.inverted, target.change
        tokens = torch.zeros(len(inverted.prompt), dtype=torch.bool, device=inverted.prompt.device)
        if word is None:
            return Inserted(inverted.prompt, tokens, inverted.attention.new_zeros(()))
        ids, _ = self.backbone.tokenize(inverted.caption)
        given = self.backbone.tokenize(color)[0] if color else [self.backbone.tokenizer.pad_token_id]
        at = word.tokens[0]  # position among the 77 tokens; token 0 marks the start
        tokens[at : min(at + len(given), len(tokens) - 1)] = True  # the rest of a long prompt is cut
        prompt = self.backbone.embed_tokens([*ids[: at - 1], *given, *ids[at - 1 :]])[0]
        return Inserted(prompt, tokens, inverted.attention[1 : 1 + len(ids)].max())


def _injection(rows: Sequence[Row], region: torch.Tensor, strengths: torch.Tensor) -> Injection | None:
    """What to inject for the inserted tokens into regions (B, 1, h, w); None if nothing was inserted."""
    if not any(row.target.change.word for row in rows):
        return None
    weights = torch.stack([row.inserted.attention for row in rows])
    if LATENT_EDITS[rows[0].target.change.type].scales_attention:
        weights = weights * strengths
    return Injection(torch.stack([row.inserted.tokens for row in rows]), region, weights)


def _measured(picture: np.ndarray, region: torch.Tensor) -> torch.Tensor:
    """The true properties (6,) of the region (1, 1, h, w) in a picture."""
    mask = interpolate(region.float(), size=picture.shape[:2], mode="bilinear", align_corners=False).cpu()
    return photometric_properties(torch.from_numpy(picture).permute(2, 0, 1)[None].float() / 255, mask)[0]


def _movement(before: Seen, after: Seen, readout: LowLevelReadout) -> float:
    """The largest change of a reading or a true property, in standard deviations."""
    changes = [(after.readings - before.readings).abs() / readout.readings.deviation().cpu()]
    changes.append((after.properties - before.properties).abs() / readout.truths.deviation().cpu())
    movement = torch.cat(changes).max().item()
    if isnan(movement):
        raise ValueError("readings of the edited image are NaN; edit in float32, with --device cpu")
    return movement


def _check_numbers(what: str, *tensors: torch.Tensor) -> None:
    if not all(t.isfinite().all() for t in tensors):
        raise ValueError(f"{what} has NaN or infinite latents; edit in float32, with --device cpu")
