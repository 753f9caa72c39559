"""DVA: a place is salient if it excites features that are rarely excited in the image."""

from pathlib import Path

import numpy as np
from scipy.signal import convolve2d

from salbench.maps import minmax, resize_matlab
from salbench.registry import register
from salbench.sample import Sample

from .._patches import PatchModel, responses

SHAPE = (80, 120)  # pixels; every image is stretched to it


@register
class DVA(PatchModel):
    """Classical, no training: coding length increments of 192 components (Hou and Zhang 2008).

    Every image is stretched to 80 x 120 pixels, as in the authors' code, so time hardly depends on its size. Filters
    are our own (see `PatchModel`). An image of one colour gets a map of zeros. The paper also treats films; this is
    its model of a single image. The authors' demo squares the map again and blurs it, which is left out.
    """

    paper = "Hou, Zhang (2008), Dynamic visual attention: searching for coding length increments, NIPS"
    file = Path(__file__).parent / "filters.npz"
    side = 8
    n_filters = 192

    def predict(self, sample: Sample) -> np.ndarray:
        """The authors' map of 80 x 120 pixels, from zero to one."""
        image = sample.image
        if (image == image[0, 0]).all():  # otherwise its map would fall towards the borders, which fewer patches cover
            return np.zeros(SHAPE)
        return saliency(energy(self.prepared(image), self.bank["filters"]), self.side)

    def prepared(self, image: np.ndarray) -> np.ndarray:
        """The image in [0, 1], stretched to 80 x 120 pixels."""
        return (resize_matlab(image, SHAPE) / 255).astype(np.float32)


def energy(image: np.ndarray, filters: np.ndarray) -> np.ndarray:
    """Activity of each patch's features, weighted by the coding length that one more activation of each would add.

    Args:
        image: float (H, W, 3) in [0, 1].
        filters: (K, side * side * 3) in MATLAB's order.

    Returns:
        (H - side + 1, W - side + 1).
    """
    activity = np.abs(np.concatenate(list(responses(image, filters)), axis=1))
    return np.tensordot(gains(activity.sum(axis=(1, 2), dtype=np.float64)), activity, 1)


def gains(activity: np.ndarray) -> np.ndarray:
    """Share of each feature in the coding length that can be gained, (K,) from (K,) total activities.

    The gain of a feature is how the entropy H of the shares p grows with it, -H - log2 p - p - p log2 p, if positive.
    """
    p = activity / activity.sum()
    active = p > 0
    logs = np.log2(p, where=active, out=np.zeros_like(p))
    gain = np.where(active, p @ logs - logs - p - p * logs, 0).clip(min=0)
    return gain / gain.sum()


def saliency(energies: np.ndarray, side: int) -> np.ndarray:
    """Squared sum of the energies of all patches that cover a pixel, scaled to [0, 1]."""
    return minmax(convolve2d(energies, np.ones((side, side))) ** 2)
