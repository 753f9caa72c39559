"""Controls of an edit set: the same images, changed in ways that separate the causes of what edits do.

Each control is an edit set with the same sources, types and strengths asked for as the one it controls, so that
trainings with both see the same images equally often. `CONTROLS` lists them. The strength used, as the edit set records
it, is that of `changed`. An edit that pixels cannot match is dropped and recorded.

A region is moved as a whole, and what leaves the image on one side comes back on the other. So its area stays exactly
the same, but at the border of the image it is cut in two.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image
from scipy.optimize import brentq
from tqdm import tqdm

from salbench.datasets import Dataset
from salbench.edits import EDIT_TYPES, Edit, EditSet, EditSetProblem, NewEdit, Writer
from salbench.files import hash_bytes
from salbench.identity import Identity
from salbench.maps import density_from_fixations, resize
from salbench.sample import Sample
from salbench.writing import atomic_write

INSIDE = 0.5  # of the mask's peak: where the changed property is measured, as in studies of edit sets
STRONGEST = 20.0  # limit for a factor on contrast, and, as a share of 255, for an added brightness


class _Source:
    """One image of the edit set, with what its controls are made from.

    Attributes:
        sample: the image with its ground truth.
        edits: its edits.
        image: uint8 (H, W, 3), as the edit set has it without an edit.
        mask: float (H, W), 0 to 1, the region of its edits.
        entropy: seeds random numbers of its own.
    """

    def __init__(self, edit_set: EditSet, sample: Sample, seed: int) -> None:
        self.sample, self.edits = sample, edit_set.of(sample.id)
        self.image = edit_set.originals[sample.id]()
        self.mask = resize(self.edits[0].read_mask(), self.image.shape[:2]).clip(0, 1)
        self.entropy = [seed, int(hash_bytes(sample.id), 16)]

    @cached_property
    def strengths(self) -> list[float]:
        """For each edit, the strength that is as strong in pixels."""
        return [strength_in_pixels(edit, self.image, self.mask) for edit in self.edits]

    @cached_property
    def saliency(self) -> np.ndarray:
        """Where people look, float (H, W), >= 0."""
        sample, size = self.sample, self.mask.shape
        if sample.read_density is not None:
            return resize(sample.read_density(), size)
        if sample.fixations is None or sample.sigma is None:
            raise EditSetProblem(
                f"{sample.id}: expected fixations or a density to know where saliency is low, got neither"
            )
        return resize(density_from_fixations(sample.fixations, sample.size, sample.sigma), size)


@dataclass(frozen=True)
class Control:
    """One control.

    Attributes:
        summary: what it does, in a few words.
        region: returns the region, float (H, W), from the source.
        makes: "pixels": an edit set whose property changes in pixels, as much as the edit changed it; "original": an
            edit set in which nothing changes; "mask": a folder of masks.
    """

    summary: str
    region: Callable[[_Source], np.ndarray]
    makes: Literal["pixels", "original", "mask"] = "pixels"


def _same(source: _Source) -> np.ndarray:
    return source.mask


def _everywhere(source: _Source) -> np.ndarray:
    return np.ones_like(source.mask)


def _random(source: _Source) -> np.ndarray:
    return np.roll(source.mask, np.random.default_rng(source.entropy).integers(source.mask.shape), (0, 1))


def _least(source: _Source) -> np.ndarray:
    """The mask where it covers least saliency, among all moves."""
    # covered[dy, dx] is the sum of saliency x mask moved by (dy, dx), by the correlation theorem.
    spectrum = np.fft.rfft2(source.saliency) * np.conj(np.fft.rfft2(source.mask))
    covered = np.fft.irfft2(spectrum, source.mask.shape)
    return np.roll(source.mask, np.unravel_index(covered.argmin(), covered.shape), (0, 1))


CONTROLS = {
    "reconstruction": Control("the method's reconstruction, without an edit", _same, "original"),
    "pixels": Control("the same region, changed in pixels as much as by the edit", _same),
    "pixels_random": Control("the same strength in pixels, in a random region of equal area", _random),
    "pixels_least": Control("the same strength in pixels, in the least salient region of equal area", _least),
    "pixels_everywhere": Control("the same strength in pixels, in the whole image", _everywhere),
    "masks_random": Control("a random region of equal area, for `edit --mask`", _random, "mask"),
    "masks_least": Control("the least salient region of equal area, for `edit --mask`", _least, "mask"),
}


def make(
    edit_set: EditSet,
    dataset: Dataset,
    folder: Path | str,
    names: Sequence[str],
    *,
    seed: int = 0,
    progress: bool = False,
) -> list[Path]:
    """Write controls of an edit set, or resume.

    Args:
        edit_set: the edits.
        dataset: holds the sources. Its fixations or densities tell where saliency is low.
        folder: parent of one folder for each control.
        names: keys of `CONTROLS`.
        seed: random seed for the random regions.
        progress: whether to show a bar.

    Returns:
        The folders: edit sets, or masks <id>.png.

    Raises:
        ValueError: an unknown name.
        EditSetProblem: a source that is not in the data set or has no ground truth, a type of edit that has no
            counterpart in pixels, or a folder that holds something else.
    """
    unknown = [name for name in names if name not in CONTROLS]
    if unknown or not names:
        raise ValueError(f"controls: expected names among {', '.join(CONTROLS)}, got {', '.join(unknown) or 'none'}")
    samples = {sample.id: sample for sample in dataset.samples}
    missing = [id for id in edit_set.sources if id not in samples]
    if missing:
        raise EditSetProblem(
            f"{dataset.name}: expected the images of edit set {edit_set.name}, {len(missing)} are not there, such as "
            f"{missing[0]}"
        )
    setup = {"of": f"{edit_set.name} {edit_set.fingerprint}", "seed": seed, "licence": edit_set.licence}
    setup |= {"dataset": f"{dataset.name} {dataset.fingerprint}"}
    writers: list[Callable[[_Source], None]] = [
        _Masks(Path(folder) / name, CONTROLS[name], {"control": name} | setup)
        if CONTROLS[name].makes == "mask"
        else _Edits(Path(folder) / name, CONTROLS[name], {"control": name} | setup)
        for name in names
    ]
    sources = [id for id in edit_set.sources if edit_set.of(id)]
    for id in tqdm(sources, desc="controls", unit="image", disable=not progress):
        source = _Source(edit_set, samples[id], seed)
        for write in writers:
            write(source)
    for write in writers:
        if isinstance(write, _Edits):
            write.writer.finish()
    return [Path(folder) / name for name in names]


class _Masks:
    """Writes the masks of a control, and what they were made with as setup.json."""

    def __init__(self, folder: Path, control: Control, setup: Mapping[str, Any]) -> None:
        self.folder, self.control, path = folder, control, folder / "setup.json"
        if path.is_file():
            found = Identity(json.loads(path.read_text(encoding="utf-8")))
            Identity(setup).require_same(found, folder, "Choose another folder", EditSetProblem)
        with atomic_write(path) as file:
            file.write(json.dumps(Identity(setup).facts, indent=2) + "\n")

    def __call__(self, source: _Source) -> None:
        region = self.control.region(source)
        with atomic_write(self.folder / f"{source.sample.id}.png", "wb") as file:
            Image.fromarray(np.rint(255 * region / region.max()).astype(np.uint8)).save(file, format="PNG")


class _Edits:
    """Writes the edits of a control, one source at a time."""

    def __init__(self, folder: Path, control: Control, setup: Mapping[str, Any]) -> None:
        self.control, self.writer = control, Writer(folder, setup)

    def __call__(self, source: _Source) -> None:
        if self.writer.done(source.sample.id):
            return
        region, made, dropped = self.control.region(source), [], []
        for edit, in_pixels in zip(source.edits, self._strengths(source), strict=True):
            if np.isnan(in_pixels):
                reason = "no change of pixels is as strong as the edit"
                dropped.append({"type": edit.type, "asked": edit.asked, "reason": reason})
            else:
                is_same = self.control.makes == "original"
                image = source.image if is_same else changed(edit.type, source.image, region, in_pixels)
                made.append(NewEdit(edit.type, edit.asked, in_pixels, edit.direction, image))
        self.writer.add(
            source.sample.id, source.image, dict.fromkeys((edit.type for edit in source.edits), region), made,
            source=source.sample.image, saliency=source.edits[0].saliency, dropped=dropped,
        )  # fmt: skip

    def _strengths(self, source: _Source) -> list[float]:
        if self.control.makes == "original":
            return [EDIT_TYPES[edit.type].neutral for edit in source.edits]
        return source.strengths


def strength_in_pixels(edit: Edit, original: np.ndarray, mask: np.ndarray) -> float:
    """The strength of `changed` that gives the region the same property as the edit did.

    Args:
        edit: of a type that has an equation in pixels.
        original: uint8 (H, W, 3), the image without the edit.
        mask: float (H, W), its region, 0 to 1.

    Returns:
        NaN if no strength up to `STRONGEST` is enough.

    Raises:
        EditSetProblem: a type without an equation in pixels.
    """
    edit_type, inside = EDIT_TYPES[edit.type], mask > INSIDE * mask.max()
    before, weights, mean = original[inside], mask[inside], _mean(original, mask)
    wanted = edit_type.measure(edit.read_image()[inside], before)

    def excess(strength: float) -> float:
        return edit_type.measure(_changed(edit.type, before, weights, mean, strength), before) - wanted

    neutral = edit_type.neutral
    end = STRONGEST if excess(neutral) < 0 else min(0.0, neutral - 1)
    if excess(neutral) * excess(end) > 0:
        return float("nan")
    return float(brentq(excess, neutral, end, xtol=1e-3))


def changed(type: str, image: np.ndarray, mask: np.ndarray, strength: float) -> np.ndarray:
    """Change the contrast or brightness of a region in pixels.

    Args:
        type: "contrast" multiplies the distance of each pixel to the region's mean colour by the strength; "brightness"
            adds the strength x 255.
        image: uint8 (H, W, 3).
        mask: float (H, W), 0 to 1: how much of the change each pixel gets.
        strength: see `type`. The neutral one returns the image.

    Returns:
        uint8 (H, W, 3).

    Raises:
        EditSetProblem: another type.
    """
    return _changed(type, image, mask, _mean(image, mask), strength)


def _mean(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Mean colour of a region, float (3,)."""
    return np.tensordot(mask, image, 2) / mask.sum()


def _changed(type, values, weights, mean, strength):
    """`changed` for pixels uint8 (..., 3) with weights (...)."""
    if type not in _CHANGES:
        raise EditSetProblem(f"{type}: expected edits of {' or '.join(_CHANGES)}, which have an equation in pixels")
    values = values.astype(np.float64)
    moved = values + weights[..., None] * _CHANGES[type](values, mean, strength)
    return np.rint(moved.clip(0, 255)).astype(np.uint8)


_CHANGES: Mapping[str, Callable[[np.ndarray, np.ndarray, float], np.ndarray]] = {
    "contrast": lambda values, mean, strength: (strength - 1) * (values - mean),
    "brightness": lambda values, mean, strength: np.full_like(values, 255 * strength),
}
