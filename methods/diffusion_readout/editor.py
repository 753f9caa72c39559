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
- An edit that is too strong moves towards the neutral strength by a tenth of the distance, which for contrast is the
  distance to one. (The released code takes a tenth of the factor itself, which would end in lowering the contrast.)
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from math import sqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import torch

from salbench.edits import EDIT_TYPES

from . import regions
from .attention import Injection, injected, recorded
from .equations import LATENT_EDITS
from .extraction import for_aggregation
from .features import cumulative_alpha, ddim_timesteps, invert, predicted_noise, renoise
from .scaling import gamma

if TYPE_CHECKING:
    from .backbone import Backbone
    from .network import ReadoutNetwork

BAND = 2.0  # a reading may move by this many standard deviations, section 4.2
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


@dataclass(frozen=True)
class Made:
    """One edited image.

    Attributes:
        asked: strength that was asked for.
        used: strength of the edit.
        latents: float32 (4, h, w), denoised.
        before: readings (6,) of the region before the edit, columns as in PROPERTIES.
        after: readings (6,) after the edit.
        trace: (strength, largest movement of a reading in standard deviations) of each attempt.
    """

    asked: float
    used: float
    latents: torch.Tensor
    before: list[float] = field(default_factory=list)
    after: list[float] = field(default_factory=list)
    trace: list[tuple[float, float]] = field(default_factory=list)

    def facts(self) -> dict[str, Any]:
        """What the edit set records of the edit; JSON can hold it."""
        return {"before": self.before, "after": self.after, "trace": self.trace}

    @property
    def is_within(self) -> bool:
        """Whether all readings stayed in their band; true without readings."""
        return not self.trace or self.trace[-1][1] <= BAND


class Editor:
    """Edits images with a backbone and checks the edits with the trained network.

    Args:
        backbone: the frozen model.
        steps: number of steps of the inversion.
        network: in evaluation mode. Without it nothing is read, so edits are not constrained.
    """

    def __init__(self, backbone: Backbone, steps: int, network: ReadoutNetwork | None = None) -> None:
        self.backbone, self.timesteps, self.network = backbone, ddim_timesteps(backbone, steps), network

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
    def edit(self, inverted: Inverted, region: torch.Tensor, change: Change, strengths: Sequence[float]) -> list[Made]:
        """Edit an image with each strength, all in one batch.

        With a network, edits that leave the band are weakened and tried again until they are within it.

        Args:
            inverted: the image.
            region: float (1, 1, h, w) in [0, 1], M on the latents' grid.
            change: what to change.
            strengths: strengths that are asked for.

        Raises:
            ValueError: latents or readings are NaN or infinite.
        """
        if self.network is None:
            made = self._denoised(inverted, region, change, strengths)
            return [Made(s, s, latents) for s, latents in zip(strengths, made, strict=True)]
        before, neutral = self._read(inverted.maps[1], region), EDIT_TYPES[change.type].neutral
        made, traces, pending = {}, [[] for _ in strengths], dict(enumerate(strengths))
        while pending:
            latents = self._denoised(inverted, region, change, list(pending.values()))
            after = self._read(self._low_level(latents, inverted), region)
            moved = ((after - before).abs() / self.network.low_level.deviation()).amax(1)
            if moved.isnan().any():
                raise ValueError("readings of the edited image are NaN; edit in float32, with --device cpu")
            tried = zip(list(pending.items()), latents, after, moved.tolist(), strict=True)
            for (i, used), latent, reading, moves in tried:
                traces[i].append((used, moves))
                made[i] = Made(strengths[i], used, latent, before[0].tolist(), reading.tolist(), traces[i])
                pending[i] = neutral + SHRINK * (used - neutral)
                if made[i].is_within or len(traces[i]) == TRIES:
                    del pending[i]
        return [made[i] for i in range(len(strengths))]

    def _read(self, low: torch.Tensor, region: torch.Tensor) -> torch.Tensor:
        """Readings (B, 6) of the region from low-level features."""
        return self.network.low_level(low, region.expand(len(low), -1, -1, -1))

    def _low_level(self, latents: torch.Tensor, inverted: Inverted) -> torch.Tensor:
        """Low-level features of edited latents, inverted like any image with the original's prompt."""
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
        edited = equation(clean, region, weights[:, None, None, None], gamma(backbone))
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


def _check_numbers(what: str, *tensors: torch.Tensor) -> None:
    if not all(t.isfinite().all() for t in tensors):
        raise ValueError(f"{what} has NaN or infinite latents; edit in float32, with --device cpu")
