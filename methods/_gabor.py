"""Gabor filters, and how strongly an image responds to them in four orientations."""

import numpy as np
from scipy.fft import irfft2, next_fast_len, rfft2

ANGLES = 0, 45, 90, 135  # degrees
PHASES = 0, 90  # degrees


def gabor_bank(radius: int, period: float, sigmas: tuple[float, float]) -> np.ndarray:
    """Build Gabor filters of zero mean and unit norm for all ANGLES and PHASES.

    Args:
        radius: distance in pixels from the centre of a filter to its edge; a side is 2 * radius + 1.
        period: length of the cosine wave in pixels.
        sigmas: standard deviations of the Gaussian in pixels, along the wave and across it.

    Returns:
        float64 (4 angles, 2 phases, side, side).
    """
    rows, columns = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    angle = np.deg2rad(ANGLES)[:, None, None, None]
    phase = np.deg2rad(PHASES)[:, None, None]
    along = rows * np.cos(angle) - columns * np.sin(angle)
    across = rows * np.sin(angle) + columns * np.cos(angle)
    gaussian = np.exp(-0.5 * (along / sigmas[0]) ** 2 - 0.5 * (across / sigmas[1]) ** 2)
    filters = gaussian * np.cos(2 * np.pi / period * along + phase)
    filters -= filters.mean(axis=(2, 3), keepdims=True)
    return filters / np.linalg.norm(filters, axis=(2, 3), keepdims=True)


def orientation_energy(padded: np.ndarray, bank: np.ndarray) -> np.ndarray:
    """Convolve a plane with both phases of each orientation and add the magnitudes of the two responses.

    Args:
        padded: (height + 2 * radius, width + 2 * radius), the plane with a border chosen by the caller.
        bank: filters made by `gabor_bank` with this radius.

    Returns:
        float64 (4, height, width). The cost is n log n in the number of pixels.
    """
    shape = [next_fast_len(side, real=True) for side in padded.shape]
    responses = irfft2(rfft2(padded, shape) * rfft2(bank, shape), shape)  # what wraps around falls in the border
    height, width = padded.shape
    border = bank.shape[-1] - 1
    return np.abs(responses[..., border:height, border:width]).sum(axis=1)
