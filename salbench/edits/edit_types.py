"""Everything that differs between edits of contrast, brightness and colour, in one table.

To add a type, add a row to `EDIT_TYPES`. The command line, edit sets, tables and figures follow. A method that makes
edits needs its equation too; those of the diffusion model are in `methods/diffusion_readout/equations.py`.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

_GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601, as in the readouts of the paper's model


@dataclass(frozen=True)
class EditType:
    """One type of edit.

    Attributes:
        name: as in commands and in the names of files.
        strengths: default strengths, rising.
        neutral: the strength that changes nothing.
        is_factor: whether the strength multiplies something, so that it must be 0 or more.
        measure: computes the property that the edit should change. It takes the pixels inside the region, of an image
            and of its original, each uint8 (N, 3) RGB, and returns a number.
        unit: what `measure` returns, in a few words. It is not the unit of the strength.
        definition: what `measure` returns, for a note beneath tables.
        summary: what the strength does, for `salbench list edits`.
        needs_color: whether the user must name a colour.
    """

    name: str
    strengths: tuple[float, ...]
    neutral: float
    is_factor: bool
    measure: Callable[[np.ndarray, np.ndarray], float]
    unit: str
    definition: str
    summary: str = ""
    needs_color: bool = False

    @property
    def label(self) -> str:
        """Name of the measured property in tables and figures, such as "contrast (SD of grey)"."""
        return f"{self.name} ({self.unit})"

    def check(self, strengths: Sequence[float]) -> None:
        """Raise `ValueError` unless each strength is finite, allowed for this type, and changes something."""
        if not strengths or not all(map(math.isfinite, strengths)):
            raise ValueError(f"strength: expected finite numbers, got {strengths}")
        if self.neutral in strengths:
            raise ValueError(
                f"strength: expected numbers other than {self.neutral:g}, which does not change {self.name}, "
                f"got {strengths}"
            )
        if self.is_factor and min(strengths) < 0:
            raise ValueError(f"strength: expected 0 or more for {self.name}, because it is a factor, got {strengths}")


def _grey(pixels: np.ndarray) -> np.ndarray:
    return pixels @ np.array(_GREY) / 255


def _contrast(pixels: np.ndarray, original: np.ndarray) -> float:  # section 3.2 of the paper
    return float(_grey(pixels).std())


def _brightness(pixels: np.ndarray, original: np.ndarray) -> float:
    return float(_grey(pixels).mean())


def _color(pixels: np.ndarray, original: np.ndarray) -> float:
    from skimage.color import rgb2lab  # slow to import

    shift = rgb2lab(pixels)[:, 1:] - rgb2lab(original)[:, 1:]
    return float(np.hypot(*shift.T).mean())


EDIT_TYPES: dict[str, EditType] = {
    edit_type.name: edit_type
    for edit_type in (
        EditType(
            "contrast", (1.2, 1.5, 2.0), neutral=1.0, is_factor=True, measure=_contrast, unit="SD of grey",
            definition="standard deviation of grey = 0.299 R + 0.587 G + 0.114 B, 0 to 1",
            summary="the strength multiplies the contrast; below 1 lowers it",
        ),
        EditType(
            "brightness", (0.1, 0.2, 0.4), neutral=0.0, is_factor=False, measure=_brightness, unit="mean grey",
            definition="mean of grey = 0.299 R + 0.587 G + 0.114 B, 0 to 1",
            summary="the strength is added to the brightness (black to white is 2); below 0 darkens",
        ),
        EditType(
            "color", (1.0, 2.0, 4.0), neutral=0.0, is_factor=True, measure=_color, unit="distance in CIELAB a, b",
            definition="mean distance to the original in the a, b plane of CIELAB",
            summary="the strength multiplies the attention to the colour's word", needs_color=True,
        ),
    )
}  # fmt: skip


def wanted(types: str, strengths: Sequence[float] | None = None) -> dict[str, list[float]]:
    """The edits that a command asks for.

    Args:
        types: names of types, separated by commas.
        strengths: the same for each type; by default those of the type.

    Returns:
        {type: rising strengths}.

    Raises:
        ValueError: an unknown type, a type or strength given twice, or a strength that its type does not allow.
    """
    names = [name.strip() for name in types.split(",")]
    if len(set(names)) < len(names) or not set(names) <= EDIT_TYPES.keys():
        raise ValueError(f"type: expected one or more of {', '.join(EDIT_TYPES)}, each once, got {types!r}")
    if strengths and len({f"{strength:g}" for strength in strengths}) < len(strengths):
        raise ValueError(f"strength: expected numbers that differ in their first six digits, got {strengths}")
    found = {name: sorted(strengths or EDIT_TYPES[name].strengths) for name in names}
    check_wanted(found)
    return found


def check_wanted(wanted: Mapping[str, Sequence[float]]) -> None:
    """Raise `ValueError` unless {type: strengths} has known types and strengths that these allow."""
    unknown = [name for name in wanted if name not in EDIT_TYPES]
    if unknown or not wanted:
        raise ValueError(f"type: expected one or more of {', '.join(EDIT_TYPES)}, got {', '.join(unknown) or 'none'}")
    for name, strengths in wanted.items():
        EDIT_TYPES[name].check(strengths)
