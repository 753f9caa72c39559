"""Spectral whitening: the picture that remains if all frequencies have the same amplitude."""

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

    On a picture 64 pixels wide, as in the toolbox of Schauerte and Stiefelhagen (2012), except that here a coefficient
    that is zero but for rounding stays zero. Guo et al. transform all channels at once, as quaternions.

    Variants: ycbcr, rgb. The cost is that of the resizing and grows with the number of pixels.
    """

    paper = (
        "Guo, Ma, Zhang (2008), Spatio-temporal Saliency Detection Using Phase Spectrum of Quaternion Fourier "
        "Transform, CVPR"
    )
    options = tuple(COLOURS)

    def predict(self, sample: Sample) -> np.ndarray:
        """Saliency, >= 0, of a picture 64 pixels wide."""
        spectrum = fft2(COLOURS[self.option](small(sample.image)), axes=(0, 1))
        return toolbox_map(np.abs(ifft2(phase(spectrum), axes=(0, 1))) ** 2)
