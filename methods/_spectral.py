"""What models share that keep only the phases or signs of a small image's spectrum."""

import numpy as np

from salbench.maps import resize_matlab

from ._matlab import filter_rows_and_columns, gaussian

WIDTH = 64  # pixels of the small image
ROUNDING = 1e-12  # an amplitude below this part of the largest one is only a rounding error
TOOLBOX_KERNEL = gaussian(9, 2.5)  # final smoothing in Schauerte's toolbox, in pixels of the small image
YCBCR = np.array([[65.481, 128.553, 24.966], [-37.797, -74.203, 112], [112, -93.786, -18.214]]) / 255
YCBCR_OFFSET = np.array([16, 128, 128]) / 255


def small(image: np.ndarray) -> np.ndarray:
    """(height, WIDTH, 3) RGB, about 0 to 1, of a uint8 image. Bicubic resizing overshoots and is not clipped."""
    return resize_matlab(image, WIDTH / image.shape[1]) / 255


def ycbcr(rgb: np.ndarray) -> np.ndarray:
    """Y, Cb, Cr (ITU-R BT.601, studio range) of RGB 0 to 1; both (height, width, 3)."""
    return rgb @ YCBCR.T + YCBCR_OFFSET


def smallest_amplitude(amplitude: np.ndarray) -> float:
    """Largest amplitude that counts as a rounding error. It is positive, even for a black image."""
    return max(ROUNDING * amplitude.max(), np.finfo(np.float64).tiny)


def phase(spectrum: np.ndarray) -> np.ndarray:
    """Divide each coefficient by its amplitude: its phase, or sign if it is real; 0 for a rounding error.

    The sign of a rounding error is arbitrary, but would count as much as any other: a grey image has such
    coefficients in the channels of colour, and a constant one in all.

    Args:
        spectrum: real or complex, of all channels of an image.
    """
    amplitude = np.abs(spectrum)
    return np.divide(spectrum, amplitude, out=np.zeros_like(spectrum), where=amplitude > smallest_amplitude(amplitude))


def toolbox_map(channels: np.ndarray) -> np.ndarray:
    """Average maps of channels (height, width, channels) and smooth them, as Schauerte's toolbox ends."""
    return filter_rows_and_columns(channels.mean(axis=2), TOOLBOX_KERNEL)
