"""OpenCV's Gaussian blur with a kernel of 5 x 5 pixels and no sigma given."""

import numpy as np
from scipy.ndimage import correlate1d

KERNEL = np.array([1, 4, 6, 4, 1]) / 16  # OpenCV takes these numbers, not those of its formula (a sigma of 1.1 pixels)


def blurred(saliency: np.ndarray) -> np.ndarray:
    """Blur a float map (H, W); beyond the border it is mirrored, without the border pixel itself."""
    return correlate1d(correlate1d(saliency, KERNEL, 0, mode="mirror"), KERNEL, 1, mode="mirror")
