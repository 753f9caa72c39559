"""Graph-based visual saliency: where random walkers on a lattice gather, if they prefer steps to unlike features."""

import numpy as np

from salbench.maps import resize_matlab
from salbench.registry import register
from salbench.sample import Sample

from ._classical import Classical
from ._dkl import dkl
from ._gbvs_toolbox import ROUNDING, lattice_shape, orientation_maps, pyramid, saliency_map

LEVELS = 2, 3, 4  # of the pyramid: a quarter, an eighth and a sixteenth of the image's size
LONG_SIDE = 32  # nodes of the lattice
REACH = 0.15  # standard deviation of the distance weights, as a share of the lattice's mean side
TOLERANCE = 1e-4  # Euclidean norm of the last change of the walkers' distribution
POWER = 1.5  # sharpens the distribution; replaces the second chain of the paper
BLUR = 0.02  # of the saliency map, as a share of its longer side


def feature_maps(image: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the features of each channel on the lattice.

    Args:
        image: uint8 (height, width, 3) RGB.

    Returns:
        {channel: (maps, rows, columns)}: 9 maps of colour, 3 of intensity, 12 of orientation. Maps are sorted
        by feature, then by level.
    """
    shape = lattice_shape(image.shape[:2], LONG_SIDE)
    halved = pyramid(image, max(LEVELS))
    levels = [halved[number] for number in LEVELS]
    features = {
        "colour": [dkl(level[..., 1:]) for level in levels],
        "intensity": [level[..., :1] for level in levels],
        "orientation": [np.moveaxis(orientation_maps(level[..., 0]), 0, 2) for level in levels],
    }
    return {channel: _on_lattice(maps, shape) for channel, maps in features.items()}


def _on_lattice(levels: list[np.ndarray], shape: tuple[int, int]) -> np.ndarray:
    resized = np.stack([resize_matlab(level, shape) for level in levels])  # (levels, rows, columns, features)
    return np.moveaxis(resized, 3, 0).reshape(-1, *shape)


def distance_weights(shape: tuple[int, int]) -> np.ndarray:
    """(nodes, nodes) Gaussian of the distance between each two nodes of the lattice, which all maps share."""
    rows, columns = (index.ravel() for index in np.indices(shape))
    squared = np.subtract.outer(rows, rows) ** 2 + np.subtract.outer(columns, columns) ** 2
    return np.exp(squared / (-2 * (REACH * np.mean(shape)) ** 2))


def activation(feature: np.ndarray, nearness: np.ndarray) -> np.ndarray:
    """Find where random walkers gather if they prefer steps between near nodes with different features.

    Args:
        feature: (rows, columns).
        nearness: (nodes, nodes) distance weights of the lattice.

    Returns:
        (rows, columns) distribution of the walkers, summing to one, from a uniform start until a step changes it by at
        most TOLERANCE: 7 to 25 steps, up to 50 for an image of 1:5. It is uniform for a constant feature.
    """
    walkers = np.full(feature.size, 1 / feature.size)
    if np.ptp(feature) < ROUNDING:
        return walkers.reshape(feature.shape)
    weights = np.abs(np.subtract.outer(feature.ravel(), feature.ravel()))
    weights *= nearness
    outgoing = weights.sum(axis=0)
    change = np.inf
    while change > TOLERANCE:
        stepped = weights @ (walkers / outgoing)
        change = np.linalg.norm(stepped - walkers)
        walkers = stepped
    return (walkers / walkers.sum()).reshape(feature.shape)


def channel_map(features: np.ndarray, nearness: np.ndarray) -> np.ndarray:
    """(rows, columns) sum of the sharpened activations of a channel's (maps, rows, columns) features."""
    return sum(activation(feature, nearness) ** POWER for feature in features)


@register
class Gbvs(Classical):
    """Classical, no training: graph-based visual saliency (Harel, Koch and Perona 2006).

    This is the model of the authors' toolbox, which departs from the paper. An edge weighs the absolute difference of
    two features, not of their logarithms. A power of 1.5 replaces the second chain, which concentrates the activation.
    Colours are those of DKL space. There is one lattice; its longer side has 32 nodes. The map fades at the borders and
    is blurred, so the map of a constant image is constant except near the borders. Two details differ from the toolbox:
    a feature that varies by less than 1e-6 counts as constant, and images with a side below 128 pixels, which the
    toolbox refuses, get a map.

    Time and memory grow with the number of pixels, in addition to the constant cost of 24 chains of up to 1024 nodes.
    """

    output = "map"
    paper = "Harel, Koch, Perona (2006), Graph-Based Visual Saliency, NeurIPS 19"

    def predict(self, sample: Sample) -> np.ndarray:
        """Sum the three channels on the lattice; 0 to 1, with a longer side of 32."""
        nearness = distance_weights(lattice_shape(sample.size, LONG_SIDE))
        channels = [channel_map(features, nearness) for features in feature_maps(sample.image).values()]
        return saliency_map(sum(channels), BLUR)
