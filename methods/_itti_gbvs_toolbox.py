"""The model of Itti, Koch and Niebur (1998) as the GBVS toolbox computes it."""

import numpy as np

from salbench.maps import minmax, resize_matlab

from ._gbvs_toolbox import ROUNDING, lattice_shape, orientation_maps, pyramid, saliency_map
from ._local_maxima import local_maxima

CENTRES = 2, 3  # levels of the pyramid: a quarter and an eighth of the image's size
SURROUND = 2  # levels from a centre to its surround
SHRINK = 8  # pixels of the image for a node of the lattice
TOP = 10  # the largest value of a map before its peaks are compared
BLUR = 0.03  # of the saliency map, as a share of its longer side


def saliency(image: np.ndarray) -> np.ndarray:
    """Saliency map of a uint8 (height, width, 3) RGB image: an eighth of its size, 0 to 1."""
    return saliency_map(sum(channel_maps(image).values()), BLUR)


def channel_maps(image: np.ndarray) -> dict[str, np.ndarray]:
    """{channel: (rows, columns)} conspicuity maps of colour, intensity and orientation on the lattice."""
    height, width = image.shape[:2]
    shape = lattice_shape((height, width), int(max(height, width) / SHRINK + 0.5))
    levels = pyramid(image, max(CENTRES) + SURROUND)
    features = {number: _features(level) for number, level in levels.items() if number >= min(CENTRES)}
    channels = {}
    for channel in "colour", "intensity", "orientation":
        contrasts = [_contrast(features[c][channel], features[c + SURROUND][channel]) for c in CENTRES]
        planes = [plane for contrast in contrasts for plane in np.moveaxis(resize_matlab(contrast, shape), 2, 0)]
        channels[channel] = favour_single_peak(sum(favour_single_peak(plane) for plane in planes))
    return channels


def _features(level: np.ndarray) -> dict[str, np.ndarray]:
    """{channel: (height, width, maps)} of a pyramid level. Colours are unsigned and relative to the intensity."""
    intensity, red, green, blue = np.moveaxis(level.astype(np.float64), 2, 0)
    opponents = np.abs([blue - np.minimum(red, green), red - green])
    colour = np.divide(opponents, intensity, out=np.zeros_like(opponents), where=intensity > 0)
    return {
        "colour": np.moveaxis(colour, 0, 2),
        "intensity": intensity[..., None],
        "orientation": np.moveaxis(orientation_maps(intensity), 0, 2),
    }


def _contrast(centre: np.ndarray, surround: np.ndarray) -> np.ndarray:
    """Squared difference of two levels' (height, width, maps) at the size of the centre; 0 if it is only rounding."""
    difference = centre - resize_matlab(surround, centre.shape[:2])
    return np.where(np.abs(difference) < ROUNDING, 0, difference) ** 2


def favour_single_peak(array: np.ndarray) -> np.ndarray:
    """Weight a map with how far its highest peak is above the mean of all (the operator N of the paper)."""
    array = TOP * minmax(array)
    peaks = local_maxima(array, threshold=TOP / 10)
    if len(peaks) == 0:
        return array
    return array * (TOP - (peaks.mean() if len(peaks) > 1 else 0)) ** 2
