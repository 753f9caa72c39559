"""Edits an inverted image: the latents changed inside a region, denoised, and held to a band of readings.

The image is inverted once. Each edit starts from the inverted latents at its own depth, changed inside the region, and
is denoised with the region's map in the place of an inserted token's attention (paper sections 4.1 and 4.2). What the
paper leaves open is decided as follows:

- The equations act on the image's part of the inverted latents, sqrt(alpha) z; its noise stays. At depth zero that is
  equations 1 and 2 to the letter; deeper, a strength keeps its meaning.
- The inserted token is the tokenizer's padding for contrast and brightness (the released code inserts a blank, which
  the tokenizer drops), and the colour's word for colour; it comes before the region's word.
- Where the map is one, the token gets as much attention as any word gets anywhere (for colour, times the strength);
  the other tokens share the rest, so that attention still sums to one.
- Every step adds what the inversion, run back without an edit, would have missed by (after Ju et al. 2024), at no
  further call of the U-Net: an edit of no strength gives the image back (but for what an inserted token does by
  itself). Outside the region the latents are those of the inversion.
- One step of six is undone for contrast and brightness, as the region is to keep its content (the released code undoes
  one at nearly no noise); a colour needs the noisier steps, in which colours are decided.
- One conditional pass, no guidance.
- Too strong an edit comes nearer to no edit by a tenth of the distance, which for contrast is that to one. (A tenth of
  the factor itself, as in the released code, would end by lowering the contrast.)
"""

from collections import deque
from dataclasses import dataclass, field
from math import sqrt
from typing import NamedTuple

import torch

from salbench.edits import NEUTRAL

from . import regions
from .attention import Injection, injected, recorded
from .equations import EQUATIONS
from .extraction import for_aggregation
from .features import cumulative_alpha, ddim_timesteps, invert, predicted_noise, renoise
from .scaling import gamma

DEPTH = {"contrast": 1, "brightness": 1, "color": 4}  # steps of the inversion that are undone
BAND = 2.0  # deviations that a reading may move by, section 4.2
SHRINK = 0.9
TRIES = 20  # the weakest edit tried has an eighth of the strength asked for


@dataclass(frozen=True)
class Inverted:
    """An image on its way to noise, everything that edits of it start from.

    Attributes:
        caption: its prompt.
        latents, noise: of each timestep, float32 (1, 4, h, w).
        attention: float32 (77, h / 4, w / 4), mean cross-attention.
        maps: (high, low), the network's feature maps; empty without a network.
    """

    caption: str
    latents: list
    noise: list
    attention: torch.Tensor
    maps: tuple


class Change(NamedTuple):
    """What to change: a type of NEUTRAL, a colour for "color", and the word before which its token goes, or None."""

    type: str
    color: str | None = None
    word: regions.Word | None = None


@dataclass(frozen=True)
class Made:
    """One edited image.

    Attributes:
        asked, used: strength.
        latents: float32 (4, h, w), denoised.
        before, after: (6,) readings of the region, columns as in PROPERTIES.
        trace: (strength, largest movement of a reading in deviations) of each attempt.
    """

    asked: float
    used: float
    latents: torch.Tensor
    before: list = field(default_factory=list)
    after: list = field(default_factory=list)
    trace: list = field(default_factory=list)

    def facts(self):
        """What is recorded of it, as JSON can hold it."""
        return {"before": self.before, "after": self.after, "trace": self.trace}

    @property
    def is_within(self):
        """Whether all readings stayed in their band, or were not held to one."""
        return not self.trace or self.trace[-1][1] <= BAND


class Editor:
    """Edits images with a backbone, and reads them with the trained network.

    Args:
        backbone: `Backbone`.
        steps: of the inversion.
        network: `ReadoutNetwork` in evaluation mode, or None: then nothing is read, and nothing can be constrained.
    """

    def __init__(self, backbone, steps, network=None):
        self.backbone, self.timesteps, self.network = backbone, ddim_timesteps(backbone, steps), network

    @torch.inference_mode()
    def invert(self, image, caption=""):
        """`Inverted` of an image, uint8 (1, H, W, 3) of the backbone's size.

        Raises:
            ValueError: latents that are no numbers, as happens in half precision.
        """
        clean = self.backbone.encode(image)
        latents, noise, prompts = [], [], self.backbone.embed_prompts([caption])

        def steps():
            for step in invert(self.backbone, clean, prompts, self.timesteps):
                latents.append(step.latents)
                noise.append(step.noise)
                yield for_aggregation(self.backbone, step)

        with recorded(self.backbone.unet, clean) as recorder:
            maps = tuple(self.network.aggregation(steps()) if self.network else deque(steps(), maxlen=0))
        _check_numbers("the inverted image", *latents, *noise)
        return Inverted(caption, latents, noise, recorder.maps()[0], maps)

    def saliency(self, inverted):
        """Predicted fixation density (h, w) of an inverted image, summing to one. Needs the network."""
        with torch.inference_mode():
            logits = self.network.saliency(*inverted.maps)[0]
        return logits.flatten().softmax(0).reshape(logits.shape)

    @torch.inference_mode()
    def edit(self, inverted, region, change, strengths):
        """One `Made` for each strength, in one batch; too strong ones again, weaker, until they are within the band.

        Without a network nothing is held to a band.

        Args:
            inverted: `Inverted`.
            region: float (1, 1, h, w) in [0, 1], M on the latents' grid.
            change: `Change`.
            strengths: list of float.

        Raises:
            ValueError: latents or readings that are no numbers.
        """
        if self.network is None:
            made = self._denoised(inverted, region, change, strengths)
            return [Made(s, s, latents) for s, latents in zip(strengths, made, strict=True)]
        before = self._read(inverted.maps[1], region)
        made, traces, pending = {}, [[] for _ in strengths], dict(enumerate(strengths))
        while pending:
            latents = self._denoised(inverted, region, change, list(pending.values()))
            after = self._read(self._low_level(latents, inverted), region)
            moved = ((after - before).abs() / self.network.low_level.deviation()).amax(1)
            if moved.isnan().any():
                raise ValueError("readings of the edited image are no numbers; edit in float32, with --device cpu")
            tried = zip(list(pending.items()), latents, after, moved.tolist(), strict=True)
            for (i, used), latent, reading, moves in tried:
                traces[i].append((used, moves))
                made[i] = Made(strengths[i], used, latent, before[0].tolist(), reading.tolist(), traces[i])
                pending[i] = NEUTRAL[change.type] + SHRINK * (used - NEUTRAL[change.type])
                if made[i].is_within or len(traces[i]) == TRIES:
                    del pending[i]
        return [made[i] for i in range(len(strengths))]

    def _read(self, low, region):
        return self.network.low_level(low, region.expand(len(low), -1, -1, -1))

    def _low_level(self, latents, inverted):
        """The low-level map of edited latents, inverted as any image is, with the image's own prompt."""
        prompts = self.backbone.embed_prompts([inverted.caption]).expand(len(latents), -1, -1)
        steps = invert(self.backbone, latents, prompts, self.timesteps)
        return self.network.aggregation(for_aggregation(self.backbone, step) for step in steps)[1]

    def _denoised(self, inverted, region, change, strengths):
        """Edited latents (len(strengths), 4, h, w), denoised."""
        backbone, weights = self.backbone, torch.tensor(strengths, device=region.device)
        depth, inside = DEPTH[change.type], (region > 0).float()
        levels = [cumulative_alpha(backbone, t) for t in self.timesteps]
        clean = inverted.latents[0]
        edited = EQUATIONS[change.type](clean, region, weights[:, None, None, None], gamma(backbone))
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

    def _prompt(self, inverted, region, change, strengths):
        """(prompt (1, 77, D), `Injection` or None): the caption with a token inserted before the change's word."""
        if change.word is None:
            return self.backbone.embed_prompts([inverted.caption]), None
        ids, _ = self.backbone.tokenize(inverted.caption)
        given = self.backbone.tokenize(change.color)[0] if change.color else [self.backbone.tokenizer.pad_token_id]
        at = change.word.tokens[0]  # among the 77, of which the first is the start mark
        prompt = self.backbone.embed_tokens([*ids[: at - 1], *given, *ids[at - 1 :]])
        most = inverted.attention[1 : 1 + len(ids)].max() * torch.ones_like(strengths)
        weights = most * strengths if change.type == "color" else most
        end = min(at + len(given), prompt.shape[1] - 1)  # the prompt has no room for more
        return prompt, Injection(list(range(at, end)), region, weights)


def _check_numbers(what, *tensors):
    if not all(t.isfinite().all() for t in tensors):
        raise ValueError(f"{what} has latents that are no numbers; edit in float32, with --device cpu")
