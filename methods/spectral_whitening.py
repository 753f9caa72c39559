"""Spectral whitening: the image that remains if all frequencies have the same amplitude."""

import numpy as np
from scipy.fft import fft2, ifft2

from salbench.registry import register
from salbench.sample import Sample

from ._classical import Classical
from ._spectral import phase, small, toolbox_map, ycbcr

COLOURS = {"ycbcr": ycbcr, "rgb": lambda rgb: rgb}


@register
class SpectralWhitening(Classical):
    """Classical, no training: phases of each channel's Fourier spectrum (Guo, Ma, Zhang 2008).

    Each channel of an image 64 pixels wide is transformed by itself, as in the toolbox of Schauerte and Stiefelhagen
    (2012); Guo et al. transform all channels at once, as quaternions. One detail differs from the toolbox: a
    coefficient that is only a rounding error becomes 0.

    Variants: ycbcr, the default, and rgb: the colour space of the channels. Most of the time is that of the resize,
    which grows with the number of pixels.
    """

    paper = (
        "Guo, Ma, Zhang (2008), Spatio-temporal Saliency Detection Using Phase Spectrum of Quaternion Fourier "
        "Transform, CVPR"
    )
    options = tuple(COLOURS)

    def predict(self, sample: Sample) -> np.ndarray:
        """Saliency, >= 0, of an image 64 pixels wide."""
        spectrum = fft2(COLOURS[self.option](small(sample.image)), axes=(0, 1))
        return toolbox_map(np.abs(ifft2(phase(spectrum), axes=(0, 1))) ** 2)
