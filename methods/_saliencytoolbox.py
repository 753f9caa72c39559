"""The model of Itti, Koch and Niebur (1998) as the SaliencyToolbox (Walther and Koch 2006) computes it."""

from collections.abc import Callable

import numpy as np
from scipy.ndimage import convolve1d

from ._gabor import gabor_bank, orientation_energy
from ._gbvs_toolbox import ROUNDING, fade_borders
from ._local_maxima import local_maxima

Normalise = Callable[[np.ndarray, float], np.ndarray]  # (map, its new maximum or 0 to keep its range) -> map
Pyramid = dict[int, np.ndarray]  # {number of the level: (height, width)}; level 1 has the image's size

HALVING = np.array([1, 5, 10, 10, 5, 1, 1]) / 33
GREY = np.array([0.298936, 0.587043, 0.114021])
DARKEST = 0.1  # a pixel whose largest colour value is below this has no colour
CENTRES = 3, 4, 5  # levels
SURROUNDS = 3, 4  # levels from a centre to its surrounds
MAP_LEVEL = 5  # the saliency map has the size of this level
GABOR_RADIUS = 4  # pixels
GABORS = gabor_bank(GABOR_RADIUS, period=7, sigmas=(2.3333, 2.3333))
ITERATIONS = 3
EXCITATION = 0.5, 0.02  # gain; standard deviation as a share of the map's longer side
INHIBITION = 1.5, 0.25
GLOBAL_INHIBITION = 0.02  # share of the map's maximum
KERNEL_END = 0.01  # a Gaussian kernel is cut where it falls below this share of its peak


def saliency(image: np.ndarray, normalise: Normalise) -> np.ndarray:
    """The normalised mean of the conspicuity maps of colour, intensity and orientation.

    Args:
        image: uint8 (height, width, 3) RGB.
        normalise: `iterative`, `favour_single_peak` or `rescale`.

    Returns:
        float64 (rows, columns), a sixteenth of the image's size. Features without a level for the surround, in an
        image with a side below 32 pixels, add nothing.
    """
    red_green, blue_yellow, intensity = map(pyramid, colours_and_intensity(image))
    shape = intensity[min(MAP_LEVEL, len(intensity))].shape
    channels = [[red_green, blue_yellow], [intensity], orientations(intensity)]
    return normalise(sum(conspicuity(features, shape, normalise) for features in channels) / len(channels), 2)


def colours_and_intensity(image: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Red-green and blue-yellow contrast, signed and relative to the brightest colour, and intensity, 0 to 1."""
    rgb = image / 255
    brightest = rgb.max(axis=2)
    red, green, blue = np.moveaxis(rgb, 2, 0)
    opponents = np.stack([red - green, blue - np.minimum(red, green)])
    red_green, blue_yellow = np.divide(
        opponents, brightest, out=np.zeros_like(opponents), where=np.broadcast_to(brightest >= DARKEST, opponents.shape)
    )
    return red_green, blue_yellow, rgb @ GREY


def pyramid(plane: np.ndarray) -> Pyramid:
    """Halve a plane until its smaller side is one pixel."""
    levels = {1: plane}
    while min(plane.shape) > 1:
        plane = _halve(_halve(plane, axis=0), axis=1)
        levels[len(levels) + 1] = plane
    return levels


def _halve(plane: np.ndarray, axis: int) -> np.ndarray:
    length = plane.shape[axis]
    if length <= 3:
        return np.average(plane, axis=axis, weights=[1, 2, 1][:length] if length == 3 else None, keepdims=True)
    kept = np.arange(length // 2) * 2
    return _convolve(plane, HALVING, axis).take(kept, axis)


def _convolve(plane: np.ndarray, kernel: np.ndarray, axis: int) -> np.ndarray:
    """Convolve along an axis; at the borders, the part of the kernel inside the plane counts for the whole."""
    inside = convolve1d(np.ones(plane.shape[axis]), kernel / kernel.sum(), mode="constant")
    return convolve1d(plane, kernel, axis, mode="constant") / np.expand_dims(inside, 1 - axis)


def orientations(intensity: Pyramid) -> list[Pyramid]:
    """Gabor energy of the levels of the intensity pyramid that are compared, one pyramid per orientation.

    In the first and last four rows the toolbox divides zero by zero, except in the first and last four columns. Here
    these values are 0.
    """
    energies = {}
    for number, level in intensity.items():
        if number >= min(CENTRES):
            energy = orientation_energy(np.pad(level, GABOR_RADIUS), GABORS)
            inner = slice(GABOR_RADIUS, max(GABOR_RADIUS, level.shape[1] - GABOR_RADIUS))
            energy[:, :GABOR_RADIUS, inner] = energy[:, -GABOR_RADIUS:, inner] = 0
            energies[number] = energy
    return [{number: energy[i] for number, energy in energies.items()} for i in range(len(GABORS))]


def conspicuity(features: list[Pyramid], shape: tuple[int, int], normalise: Normalise) -> np.ndarray:
    """(rows, columns) mean over the features of a channel of their centre-surround contrasts."""
    maps = [normalise(_contrast(feature, shape, normalise), 0) for feature in features]
    return maps[0] if len(maps) == 1 else normalise(sum(maps), 0) / len(maps)


def _contrast(feature: Pyramid, shape: tuple[int, int], normalise: Normalise) -> np.ndarray:
    """Sum over all pairs of levels of the difference between centre and surround."""
    total = np.zeros(shape)
    for centre in CENTRES:
        for surround in (centre + distance for distance in SURROUNDS):
            if surround in feature:
                difference = np.abs(_nearest(feature[centre], shape) - _nearest(feature[surround], shape))
                total += normalise(fade_borders(difference, int(max(shape) / 20 + 0.5)), 10)
    return total


def _nearest(plane: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Resize by taking the nearest old sample; the later one if two are equally near."""
    rows, columns = (
        np.floor((np.arange(new) + 0.5) * (old / new)).astype(int) for new, old in zip(shape, plane.shape, strict=True)
    )
    return plane[np.ix_(rows, columns)]


def rescale(array: np.ndarray, top: float) -> np.ndarray:
    """Rescale a map to 0 to `top`. A constant map becomes top / 2, and with `top` 0 a map stays as it is."""
    if top == 0:
        return array
    low, high = array.min(), array.max()
    return top * (array - low) / (high - low) if high - low > ROUNDING else np.full(array.shape, top / 2)


def favour_single_peak(array: np.ndarray, top: float) -> np.ndarray:
    """Weight a map with how far its highest peak is above the mean of all (the operator N of Itti et al. 1998)."""
    array = rescale(array, top)
    peaks = local_maxima(array, threshold=top / 10 or 1)
    if len(peaks) == 0:
        return array
    return array * ((top or array.max()) - (peaks.mean() if len(peaks) > 1 else 0)) ** 2


def iterative(array: np.ndarray, top: float) -> np.ndarray:
    """Let each place excite its neighbours and inhibit a wide surround, three times (Itti and Koch 2000)."""
    array = rescale(np.maximum(array, 0), top)
    for _ in range(ITERATIONS):
        excited, inhibited = (_spread(array, *setting) for setting in (EXCITATION, INHIBITION))
        array = np.maximum(array + excited - inhibited - GLOBAL_INHIBITION * array.max(), 0)
    return array


def _spread(array: np.ndarray, gain: float, width: float) -> np.ndarray:
    """Convolve both axes with a Gaussian of integral `gain` and standard deviation `width` times the longer side."""
    sigma = width * max(array.shape)
    radius = int(sigma * np.sqrt(-2 * np.log(KERNEL_END)))
    longest = min(array.shape) // 2 - 1
    if longest > 0:
        radius = min(radius, longest)
    offsets = np.arange(-radius, radius + 1)
    kernel = gain / (sigma * np.sqrt(2 * np.pi)) * np.exp(-0.5 * (offsets / sigma) ** 2)
    return _convolve(_convolve(array, kernel, 0), kernel, 1)
