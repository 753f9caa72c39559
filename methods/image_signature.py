"""Image signature: the signs of the cosine transform bring out a foreground that covers little of the image."""

import numpy as np
from scipy.fft import dctn, idctn

from salbench.maps import minmax
from salbench.registry import register
from salbench.sample import Sample

from ._classical import Classical
from ._matlab import filter_rows_and_columns, gaussian
from ._spectral import TOOLBOX_KERNEL, WIDTH, phase, small, ycbcr

SIGMA = 0.045 * WIDTH  # of the final smoothing, in pixels of the small image
KERNEL = gaussian(round(4 * SIGMA), SIGMA)  # 12 taps: even, so the map is shifted by half a pixel
XYZ_D50 = np.array([  # linear sRGB to XYZ, adapted to D50
    [0.4360747, 0.3850649, 0.1430804], [0.2225045, 0.7168786, 0.0606169], [0.0139322, 0.0971045, 0.7141733],
])  # fmt: skip
WHITE_D50 = np.array([0.9642, 1, 0.8249])
XYZ_D65 = np.array([  # linear sRGB to XYZ
    [0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041],
])  # fmt: skip
WHITE_D65 = XYZ_D65.sum(axis=1)


def lab(rgb: np.ndarray, matrix: np.ndarray, white: np.ndarray) -> np.ndarray:
    """L*, a*, b* of sRGB; both (height, width, 3).

    Values outside 0 to 1, from bicubic overshoot, are converted by the same formulas.
    """
    linear = np.where(rgb > 0.04045, ((np.maximum(rgb, 0.04045) + 0.055) / 1.055) ** 2.4, rgb / 12.92)
    xyz = linear @ matrix.T / white
    x, y, z = np.moveaxis(np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116), 2, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=2)


COLOURS = {
    "lab": lambda rgb: lab(rgb, XYZ_D50, WHITE_D50),
    "lab65": lambda rgb: lab(rgb, XYZ_D65, WHITE_D65),
    "rgb": lambda rgb: rgb,
    "ycbcr": ycbcr,
}


@register
class ImageSignature(Classical):
    """Classical, no training: signs of each channel's cosine transform (Hou, Harel, Koch 2012).

    On an image 64 pixels wide, the square of the inverse transform of the signs is averaged over the channels and
    smoothed. One detail differs from the authors' code: a coefficient that is only a rounding error has no sign.

    Variants: lab, the authors' default (CIELAB with the white D50 of MATLAB's conversion); lab65 (CIELAB with the white
    of sRGB, D65); rgb; ycbcr (channels and smoothing of Schauerte's toolbox). Most of the time is that of the resize,
    which grows with the number of pixels.
    """

    paper = "Hou, Harel, Koch (2012), Image Signature: Highlighting Sparse Salient Regions, IEEE TPAMI 34(1)"
    options = tuple(COLOURS)

    def predict(self, sample: Sample) -> np.ndarray:
        """Saliency 0 to 1 of an image 64 pixels wide."""
        spectrum = dctn(COLOURS[self.option](small(sample.image)), axes=(0, 1), norm="ortho")
        signature = idctn(phase(spectrum), axes=(0, 1), norm="ortho")
        kernel = TOOLBOX_KERNEL if self.option == "ycbcr" else KERNEL
        return minmax(filter_rows_and_columns((signature**2).mean(axis=2), kernel))
