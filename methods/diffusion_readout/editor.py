"""Edits an inverted image: changes latents inside a region, denoises them, and weakens edits that are too strong.

The image is inverted once. Each edit starts from the inverted latents at a depth that depends on its type, changed
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
        latents: float32 (1, 4, h, w) at each timestep.
        noise: predicted noise, float32 (1, 4, h, w), at each timestep.
        attention: float32 (77, h / 4, w / 4), mean cross-attention.
        maps: high-level and low-level feature maps of the network; empty without a network.
    """

    caption: str
    latents: list[torch.Tensor]
    noise: list[torch.Tensor]
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
    def invert(self, image: torch.Tensor, caption: str = "") -> Inverted:
        """Invert an image, uint8 (1, H, W, 3) of the backbone's size.

        Raises:
            ValueError: latents are NaN or infinite, which can happen in half precision.
        """
        clean = self.backbone.encode(image)
        latents, noise, prompts = [], [], self.backbone.embed_prompts([caption])

        def steps() -> Iterator[tuple[list[torch.Tensor], torch.Tensor]]:
            for step in invert(self.backbone, clean, prompts, self.timesteps):
                latents.append(step.latents)
                noise.append(step.noise)
                yield for_aggregation(self.backbone, step)

        with recorded(self.backbone.unet, clean) as recorder:
            maps = tuple(self.network.aggregation(steps()) if self.network else deque(steps(), maxlen=0))
        _check_numbers("the inverted image", *latents, *noise)
        return Inverted(caption, latents, noise, recorder.maps()[0], maps)

    def saliency(self, inverted: Inverted) -> torch.Tensor:
        """Predict the fixation density (h, w), which sums to one, of an inverted image. It needs the network."""
        with torch.inference_mode():
            logits = self.network.saliency(*inverted.maps)[0]
        return logits.flatten().softmax(0).reshape(logits.shape)

    @torch.inference_mode()
    def edit(
        self,
        inverted: Inverted,
        region: torch.Tensor,
        change: Change,
        strengths: Sequence[float],
        size: tuple[int, int] | None = None,
    ) -> list[Made]:
        """Edit an image with each strength, all in one batch.

        With a network, edits that leave a band are weakened and tried again until they are within it.

        Args:
            inverted: the image.
            region: float (1, 1, h, w) in [0, 1], M on the latents' grid.
            change: what to change.
            strengths: strengths that are asked for.
            size: (height, width) of the pictures; by default as decoded.

        Raises:
            ValueError: latents or readings are NaN or infinite.
        """
        original, low = inverted.latents[0], inverted.maps[1] if self.network else None
        before, neutral = self._seen(original, low, region, size)[0], EDIT_TYPES[change.type].neutral
        made, traces, pending = {}, [[] for _ in strengths], dict(enumerate(strengths))
        while pending:
            latents = self._denoised(inverted, region, change, list(pending.values()))
            seen = self._seen(latents, self._low_level(latents, inverted), region, size)
            for (i, used), latent, after in zip(list(pending.items()), latents, seen, strict=True):
                if self.network is not None:
                    traces[i].append((used, _movement(before, after, self.network.low_level)))
                made[i] = Made(strengths[i], used, latent, before, after, traces[i])
                pending[i] = neutral + SHRINK * (used - neutral)
                if made[i].is_within or len(traces[i]) == TRIES:
                    del pending[i]
        return [made[i] for i in range(len(strengths))]

    def picture(self, latents: torch.Tensor, size: tuple[int, int] | None = None) -> np.ndarray:
        """Decode latents (1, 4, h, w) to a picture, uint8 (*size, 3); by default as large as decoded."""
        pixels = self.backbone.decode(latents)
        if size is not None:
            pixels = interpolate(pixels, size=size, mode="bilinear", align_corners=False, antialias=True)
        return ((pixels[0] / 2 + 0.5).clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0).cpu().numpy()

    def _seen(
        self, latents: torch.Tensor, low: torch.Tensor | None, region: torch.Tensor, size: tuple[int, int] | None
    ) -> list[Seen]:
        """What is seen of each of the latents (B, 4, h, w), with their low-level features if there is a network."""
        readings = [None] * len(latents)
        if low is not None:
            readings = list(self.network.low_level(low, region.expand(len(low), -1, -1, -1))[:, 0].cpu())
        pictures = [self.picture(one[None], size) for one in latents]
        return [
            Seen(picture, _measured(picture, region), read) for picture, read in zip(pictures, readings, strict=True)
        ]

    def _low_level(self, latents: torch.Tensor, inverted: Inverted) -> torch.Tensor | None:
        """Low-level features of edited latents, inverted like any image with the original's prompt."""
        if self.network is None:
            return None
        prompts = self.backbone.embed_prompts([inverted.caption]).expand(len(latents), -1, -1)
        steps = invert(self.backbone, latents, prompts, self.timesteps)
        return self.network.aggregation(for_aggregation(self.backbone, step) for step in steps)[1]

    def _denoised(
        self, inverted: Inverted, region: torch.Tensor, change: Change, strengths: Sequence[float]
    ) -> torch.Tensor:
        """Edited and denoised latents (len(strengths), 4, h, w)."""
        backbone, weights = self.backbone, torch.tensor(strengths, device=region.device)
        equation, depth, _ = LATENT_EDITS[change.type]
        inside = (region > 0).float()
        levels = [cumulative_alpha(backbone, t) for t in self.timesteps]
        clean = inverted.latents[0]
        scale = gamma(backbone) if self.scaled else clean.new_ones(clean.shape[1])
        edited = equation(clean, region, weights[:, None, None, None], scale)
        latents = inverted.latents[depth] + sqrt(levels[depth] / levels[0]) * (edited - clean)
        prompts, injection = self._prompt(inverted, region, change, weights)
        prompts = prompts.expand(len(latents), -1, -1)
        for i in range(depth, 0, -1):
            with injected(backbone.unet, injection):
                noise = predicted_noise(backbone, latents, prompts, self.timesteps[i])
            unedited = renoise(inverted.latents[i], inverted.noise[i], levels[i], levels[i - 1])
            latents = renoise(latents, noise, levels[i], levels[i - 1]) + inverted.latents[i - 1] - unedited
            latents = inside * latents + (1 - inside) * inverted.latents[i - 1]
        _check_numbers("the edited image", latents)
        return latents

    def _prompt(
        self, inverted: Inverted, region: torch.Tensor, change: Change, strengths: torch.Tensor
    ) -> tuple[torch.Tensor, Injection | None]:
        """The prompt (1, 77, D) with a token inserted before the change's word, and what to inject for the token."""
        if change.word is None:
            return self.backbone.embed_prompts([inverted.caption]), None
        ids, _ = self.backbone.tokenize(inverted.caption)
        given = self.backbone.tokenize(change.color)[0] if change.color else [self.backbone.tokenizer.pad_token_id]
        at = change.word.tokens[0]  # position among the 77 tokens; token 0 marks the start
        prompt = self.backbone.embed_tokens([*ids[: at - 1], *given, *ids[at - 1 :]])
        most = inverted.attention[1 : 1 + len(ids)].max() * torch.ones_like(strengths)
        weights = most * strengths if LATENT_EDITS[change.type].scales_attention else most
        end = min(at + len(given), prompt.shape[1] - 1)  # the rest of a long prompt is cut
        return prompt, Injection(list(range(at, end)), region, weights)


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
