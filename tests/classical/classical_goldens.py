"""Outputs of the authors' code of classical models, the pictures that they belong to, and how to compare with them.

Maps of generated pictures are in `kits/classical/`; maps of photographs are read from `../shared` and their tests
skipped where it is absent. A key is [variant__]picture__what, with a suffix: `_s2` means every second row and column,
`_u8` the exact 8-bit output.
"""

from pathlib import Path

import numpy as np
import pytest

from salbench.maps import minmax

COMMITTED = Path(__file__).resolve().parents[1] / "kits" / "classical"
SHARED = Path(__file__).resolve().parents[3] / "shared" / "goldens" / "classical"
SIZES = {"popout": (120, 160), "popout160": (160, 200), "noise": (128, 160)}
PHOTOGRAPHS = "osie1001", "osie1105"  # 150 x 200


def picture(name):
    """uint8 (H, W, 3) RGB: "popout", "popout160" (discs on grey, one of them red), "noise" (1/f) or a photograph."""
    if name in PHOTOGRAPHS:
        if not SHARED.is_dir():
            pytest.skip(f"{SHARED} is absent")
        return np.load(SHARED / "inputs.npz")[name]
    return (noise if name == "noise" else popout)(*SIZES[name])


def popout(height, width):
    """Green discs on grey, 40 pixels apart; the third of the second row is red."""
    rows, columns = np.indices((height, width))
    row, column = rows // 40, columns // 40
    in_disc = (rows % 40 - 20) ** 2 + (columns % 40 - 20) ** 2 <= 12**2
    in_disc &= (row < height // 40) & (column < width // 40)
    image = np.full((height, width, 3), 128, np.uint8)
    image[in_disc] = 40, 160, 40
    image[in_disc & (row == 1) & (column == 2)] = 200, 40, 40
    return image


def noise(height, width):
    """Three planes of noise with amplitudes falling as 1/f."""
    rng = np.random.RandomState(7)
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width))
    frequency[0, 0] = 1
    planes = [np.fft.ifft2(np.fft.fft2(rng.standard_normal((height, width))) / frequency).real for _ in range(3)]
    image = np.stack([128 + 40 * (plane - plane.mean()) / plane.std() for plane in planes], axis=-1)
    return np.floor(image.clip(0, 255) + 0.5).astype(np.uint8)


def bank(side, number):
    """(number, side * side * 3) filters in place of learned ones: cosines of rising frequency times three colours.

    Each is flattened rows first, then columns, then colours, as MATLAB flattens.
    """
    colours = np.array([[1, 1, 1], [1, -1, 0], [1, 1, -2]], float)
    cosines = np.cos(np.pi * np.outer(np.arange(side), np.arange(side) + 0.5) / side)
    colours, cosines = (a / np.linalg.norm(a, axis=1, keepdims=True) for a in (colours, cosines))
    frequencies = [(u * u + v * v, u, v) for u in range(side) for v in range(side) if u + v]
    filters = [
        np.einsum("k,j,i->kji", colour, cosines[v], cosines[u]).ravel()  # u runs down the rows
        for _, u, v in sorted(frequencies)
        for colour in colours
    ]
    return np.array(filters[:number])


def expected(model, key):
    """The authors' array of this key, as float64."""
    is_photograph = any(name in key for name in PHOTOGRAPHS)
    folder, file = (SHARED, f"expected_{model}.npz") if is_photograph else (COMMITTED, f"{model}.npz")
    if is_photograph and not folder.is_dir():
        pytest.skip(f"{folder} is absent")
    return np.load(folder / file)[key].astype(np.float64)


def assert_agree(found, model, key, *, r, difference):
    """The map `found` agrees with the authors': Pearson's r above `r`, and after min-max all within `difference`."""
    theirs = expected(model, key)
    ours = found[::2, ::2] if key.endswith("_s2") else found
    assert ours.shape == theirs.shape
    assert np.corrcoef(ours.ravel(), theirs.ravel())[0, 1] > r
    assert np.abs(minmax(ours) - minmax(theirs)).max() < difference
